"""Chooses the Connection of a WebSocket: its transport if the server gives access to it, else ASGI events."""

from typing import Any

from adapters.websocket.asgi import SocketConnection
from adapters.websocket.protocol import EXTENSION, StreamProtocol
from application.ports import Connection, Monotonic


def connect(scope: Any, receive: Any, send: Any, *, now: Monotonic) -> Connection:
    """Return the Connection of an accepted WebSocket; `now` returns monotonic seconds."""
    protocol: StreamProtocol | None = (scope.get("extensions") or {}).get(EXTENSION)
    return SocketConnection(receive, send, now) if protocol is None else protocol.connection(now)
