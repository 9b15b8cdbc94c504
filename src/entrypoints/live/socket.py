"""The live stream over WebSocket: `/ws/{user_id}`."""

import re
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from litestar import Litestar, WebSocket, get, websocket
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.params import FromPath
from litestar.types import ASGIApp, Receive, Scope, Send

from application.errors import Limited, NotAuthenticated
from application.limits import Limits
from application.ports import Chance, Connection
from common import metrics, wire
from domain.identifiers import UserId
from entrypoints.live.closing import close_for
from entrypoints.live.frames import SUBPROTOCOL, Close
from entrypoints.live.hello import Request, check_origin, read_hello
from entrypoints.live.session import Session
from entrypoints.live.sessions import Full
from entrypoints.live.state import Streams
from entrypoints.web import limits, problems
from entrypoints.web.client import client_network
from entrypoints.web.locations import plain_path
from entrypoints.web.state import part_of

_SOCKET: Final = ScopeType.WEBSOCKET
_PATH: Final = "/ws/{user_id}"
_PLAIN_PATH = re.compile(r"/ws/([^/]+)")


@websocket("/ws/{user_id:str}")
async def live_socket(socket: WebSocket[Any, Any, Any], user_id: FromPath[str]) -> None:
    """Serve a stream. Plain requests do not come here: `SocketPath` saves the framework's part."""
    try:
        await serve(socket.scope, socket.receive, socket.send, UserId(user_id))
    finally:
        # The framework's wrappers and the socket refer to each other, which would keep the connection alive.
        del socket.receive, socket.send


class SocketPath:
    """Serves streams whose address is plainly written, without the framework's router and socket, which cost
    more than the rest and stay in memory as long as a stream. Leaves everything else to `app`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Not a coroutine: that would be another one to resume, and to keep for each stream."""
        if scope["type"] == _SOCKET and (user := _plain_user(scope)) is not None:
            scope["path_template"] = _PATH
            return serve(scope, receive, send, user)
        return self._app(scope, receive, send)


def _plain_user(scope: Mapping[str, Any]) -> UserId | None:
    """The user in the path; None if the framework must read it, or judge the host."""
    match = _PLAIN_PATH.fullmatch(plain_path(scope) or "")
    return UserId(match[1]) if match else None


async def serve(scope: Any, receive: Receive, send: Send, user: UserId) -> None:
    """Accept, so that a browser can see the reason of a refusal, then serve the session until it ends."""
    app: Litestar = scope["litestar_app"]
    streams = part_of(app, Streams)
    await receive()
    try:
        part_of(app, Limits).openings.take(client_network(scope))
        with streams.sessions.entrance() as welcomed:
            session = await _begin(scope, receive, send, user, streams)
            if session is not None:
                await streams.sessions.serve(session, welcomed)
    except Full as full:
        await _deny(send, full)
    except Limited as limited:
        limits.limited(scope, limited)
        await _deny(send, limited, limits.headers(scope))


@get("/ws/{user_id:str}", include_in_schema=False)
async def no_socket(user_id: FromPath[str]) -> None:  # noqa: ARG001 - the path is what matters
    """Answer plain HTTP that this path is a WebSocket (RFC 9110 §15.5.22)."""
    raise HTTPException("This path is a WebSocket.", status_code=426, headers={"Upgrade": "websocket"})


async def _begin(scope: Any, receive: Receive, send: Send, user: UserId, streams: Streams) -> Session | None:
    """Accept, and make a session for what the client asks. None if it may not have that and was told so."""
    chosen = SUBPROTOCOL if SUBPROTOCOL in scope["subprotocols"] else None
    await send({"type": "websocket.accept", "headers": [], "subprotocol": chosen})
    connection = streams.connect(scope, receive, send)
    try:
        request = Request(scope)
        check_origin(request, streams.origins)
        hello = await read_hello(request, user, streams.authenticate)
    except Exception as error:  # noqa: BLE001 - any error closes the stream with its code
        if isinstance(error, NotAuthenticated):
            with suppress(Limited):
                limits.count_failure(scope, part_of(scope["litestar_app"], Limits))
        _send_bye(connection, close_for(error), streams.sessions.streaming.chance)
        return None
    scope["headers"] = []  # a stream may last for days, and no longer needs them
    return Session(streams.sessions.streaming, hello, connection)


def _send_bye(connection: Connection, close: Close, chance: Chance) -> None:
    """End a connection that has no session."""
    metrics.CLOSES.labels(close.code).inc()
    connection.close(close.code, close.reason[:100], wire.text(close.bye(chance)))


async def _deny(send: Send, refusal: Full | Limited, told: Sequence[tuple[bytes, bytes]] = ()) -> None:
    """Refuse the handshake itself: it costs less than a `bye`, and load balancers see it."""
    headers = [
        (b"content-type", problems.MEDIA_TYPE.encode()),
        (b"retry-after", str(refusal.retry_seconds).encode()),
        *told,
    ]
    problem = problems.describe(refusal)
    start: Any = {"type": "websocket.http.response.start", "status": problem["status"], "headers": headers}
    body: Any = {"type": "websocket.http.response.body", "body": wire.encode(problem)}
    await send(start)
    await send(body)
