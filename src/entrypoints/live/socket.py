"""The live socket: `/ws/{user_id}`."""

from collections.abc import Callable
from typing import Any, TypeAlias

from litestar import asgi
from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.types import Receive, Scope, Send

from adapters import metrics, wire
from application.ports import Connection
from domain.identifiers import UserId
from entrypoints.http import problems
from entrypoints.live.frames import SUBPROTOCOL, Close
from entrypoints.live.hello import Request, check_origin, read_hello
from entrypoints.live.session import Session, closing
from entrypoints.live.sessions import Full, Sessions

Connect: TypeAlias = Callable[[Any, Any, Any], Connection]
"""Makes the connection of an accepted WebSocket from its ASGI scope, receive and send."""


@asgi("/ws/{user_id:str}", copy_scope=False)
async def live_socket(scope: Scope, receive: Receive, send: Send) -> None:
    """Accept, so that a browser can see the reason of a refusal, then serve the session until it ends."""
    if scope["type"] != ScopeType.WEBSOCKET:
        raise HTTPException("This path is a WebSocket.", status_code=426, headers={"Upgrade": "websocket"})
    state = scope["litestar_app"].state
    sessions: Sessions = state.sessions
    await receive()
    try:
        sessions.check_room()
    except Full as full:
        await _deny(send, full)
        return
    offered = scope["subprotocols"]
    chosen = SUBPROTOCOL if SUBPROTOCOL in offered else None
    await send({"type": "websocket.accept", "headers": [], "subprotocol": chosen})
    connection: Connection = state.connect(scope, receive, send)
    try:
        request: Request = ASGIConnection(scope)
        check_origin(request, state.origins)
        authenticate = state.authenticate_user
        hello = await read_hello(request, UserId(scope["path_params"]["user_id"]), authenticate)
    except Exception as error:  # noqa: BLE001 - whatever it is, the client is told
        say_bye(connection, closing(error))
    else:
        del request
        await sessions.serve(Session(sessions.streaming, hello, connection))


def say_bye(connection: Connection, close: Close) -> None:
    """End a connection that has no session."""
    metrics.CLOSES.labels(close.code).inc()
    connection.close(close.code, close.reason[:100], wire.text(close.bye()))


async def _deny(send: Send, full: Full) -> None:
    """Refuse the handshake itself: whoever has no room cannot explain at length, and a balancer sees it."""
    headers = [
        (b"content-type", problems.MEDIA_TYPE.encode()),
        (b"retry-after", str(full.retry_seconds).encode()),
    ]
    start: Any = {"type": "websocket.http.response.start", "status": 503, "headers": headers}
    body: Any = {"type": "websocket.http.response.body", "body": wire.encode(problems.describe(full))}
    await send(start)
    await send(body)
