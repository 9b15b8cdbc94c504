"""How a live socket is written to: through its transport where the server lets us, else as ASGI has it."""

from typing import Any

from adapters.websocket.asgi import SocketConnection
from adapters.websocket.protocol import EXTENSION, StreamProtocol
from application.ports import Connection, Monotonic


def connect(scope: Any, receive: Any, send: Any, *, now: Monotonic) -> Connection:
    """The connection of a WebSocket that has been accepted; `now` is in monotonic seconds."""
    protocol: StreamProtocol | None = (scope.get("extensions") or {}).get(EXTENSION)
    return SocketConnection(receive, send, now) if protocol is None else protocol.connection(now)
