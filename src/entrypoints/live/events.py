"""The live stream as server-sent events: `/sse/{user_id}`."""

import math
from typing import Any

import msgspec
from litestar import asgi
from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException
from litestar.types import Receive, Scope, Send

from application.errors import NotAuthenticated, Revoked, Unavailable
from application.ports import EventStream
from domain.errors import UnknownUser
from domain.identifiers import UserId
from entrypoints.live.frames import BAD_REQUEST, REVOKED, TOKEN_EXPIRED, TOO_MANY
from entrypoints.live.hello import Request, check_origin, read_hello
from entrypoints.live.protocol import Bye
from entrypoints.live.session import Session
from entrypoints.live.sessions import Sessions

_decode_bye = msgspec.json.Decoder(Bye).decode


@asgi("/sse/{user_id:str}", copy_scope=False)
async def live_events(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve a session until it ends. One that ends before it began is a problem over HTTP."""
    if scope["type"] != ScopeType.HTTP:
        raise NotFoundException
    if scope["method"] != "GET":
        raise MethodNotAllowedException(headers={"Allow": "GET"})
    state = scope["litestar_app"].state
    sessions: Sessions = state.sessions
    sessions.check_room()
    request: Request = ASGIConnection(scope)
    check_origin(request, state.origins)
    hello = await read_hello(request, UserId(scope["path_params"]["user_id"]), state.authenticate_user)
    del request
    events: EventStream = state.connect_events(scope, receive, send)
    await sessions.serve(Session(sessions.streaming, hello, events))
    if events.refused:
        raise _refusal(_decode_bye(events.refused))
    await events.receive()  # until its last words are sent


def _refusal(bye: Bye) -> Exception:
    """What a `bye` is where no stream has begun. Who is let in was found out before."""
    known: dict[int, Any] = {BAD_REQUEST: UnknownUser, TOKEN_EXPIRED: NotAuthenticated, REVOKED: Revoked}
    if bye.code in known:
        error: Exception = known[bye.code](bye.reason)
        return error
    if bye.code == TOO_MANY:
        return HTTPException(bye.reason, status_code=429)
    unavailable = Unavailable(bye.reason)
    unavailable.retry_seconds = max(1, math.ceil((bye.retry_ms or 0) / 1000))
    return unavailable
