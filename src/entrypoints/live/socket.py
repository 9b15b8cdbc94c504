"""The live socket: `/ws/{user_id}`."""

from collections.abc import Callable
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from litestar import asgi
from litestar.datastructures import Headers
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.types import Receive, Scope, Send

from adapters import metrics, wire
from application.accounts import AuthenticateUser
from application.errors import NotAuthenticated, Revoked
from application.ports import Connection
from domain.errors import Invalid
from domain.feed import Cursor
from domain.identifiers import UserId
from entrypoints.http import problems
from entrypoints.http.guards import bearer_token
from entrypoints.live.frames import BAD_REQUEST, FORBIDDEN, INVALID_TOKEN, REVOKED, SUBPROTOCOL, Close
from entrypoints.live.session import Hello, Session, closing
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
        request = Request(scope)
        check_origin(request, state.origins)
        authenticate = state.authenticate_user
        hello = await read_hello(request, UserId(scope["path_params"]["user_id"]), authenticate)
    except Exception as error:  # noqa: BLE001 - whatever it is, the client is told
        say_bye(connection, closing(error))
    else:
        del request
        scope["headers"] = []  # a stream may live for days, and has no more use for them
        await sessions.serve(Session(sessions.streaming, hello, connection))


class Request:
    """What a stream is asked for with. Unlike the framework's connection it leaves nothing in the scope."""

    def __init__(self, scope: Scope) -> None:
        self.headers = Headers(scope["headers"])
        self.query_params = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))


async def read_hello(request: Request, user: UserId, authenticate: AuthenticateUser) -> Hello:
    """What a client asks for with its credentials, in the query and the headers. Raises Close."""
    query = request.query_params
    try:
        if "ticket" in query:
            claims = await authenticate.ticket(query["ticket"])
        else:
            claims = authenticate.token(bearer_token(request.headers))
    except Revoked as error:
        raise Close(REVOKED, error.detail) from error
    except NotAuthenticated as error:
        raise Close(INVALID_TOKEN, error.detail) from error
    if claims.user_id != user:
        raise Close(FORBIDDEN, "these credentials are another user's")
    view = query.get("view", "manual")
    if view not in {"manual", "auto"}:
        raise Close(BAD_REQUEST, "view must be manual or auto")
    # An EventSource that comes back asks for its first URL again, and says here how far it got since.
    asked = request.headers.get("last-event-id") or query.get("cursor")
    try:
        cursor = Cursor.parse(asked) if asked else None
    except Invalid as error:
        raise Close(BAD_REQUEST, error.detail) from error
    return Hello(claims, cursor, view == "auto")


def check_origin(request: Request, allowed: frozenset[str]) -> None:
    """Browsers let any page open a socket to anywhere, and say from where (RFC 6455 §10.2). Raises Close."""
    origin = request.headers.get("origin")
    if origin is None or origin in allowed:
        return
    try:
        ours = urlsplit(origin).netloc == request.headers.get("host")
    except ValueError:  # no URL at all
        ours = False
    if not ours:
        raise Close(FORBIDDEN, "this origin is not allowed")


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
