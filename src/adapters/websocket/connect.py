"""Chooses the Connection of a WebSocket: its transport if the server gives access to it, else ASGI events."""

from collections.abc import Callable
from typing import Any

from adapters.websocket.asgi import SocketConnection
from adapters.websocket.opening import EXTENSION
from adapters.websocket.protocol import StreamProtocol
from application.pace import Pace
from application.ports import Connection, Monotonic


def connect(
    scope: Any, receive: Any, send: Any, *, now: Monotonic, pace: Callable[[Monotonic], Pace]
) -> Connection:
    """Return the Connection of an accepted WebSocket. `now` returns monotonic seconds, `pace` how many frames
    the client may send from then on.
    """
    protocol: StreamProtocol | None = (scope.get("extensions") or {}).get(EXTENSION)
    if protocol is None:
        return SocketConnection(receive, send, now, pace(now))
    return protocol.connection(now, pace(now))
