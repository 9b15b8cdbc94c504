"""The live stream as server-sent events: `/sse/{user_id}`."""

import math
from dataclasses import dataclass
from typing import Any

import msgspec
from litestar import Request, get
from litestar.exceptions import HTTPException
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIType, Operation, Parameter, Schema
from litestar.params import FromPath
from litestar.types import ASGIApp, Receive, Scope, Send

from application.errors import NotAuthenticated, Revoked, Unavailable
from application.limits import Limits
from application.ports import EventStream
from domain.errors import UnknownUser
from domain.identifiers import UserId
from entrypoints.live import hello
from entrypoints.live.frames import BAD_REQUEST, REVOKED, TOKEN_EXPIRED, TOO_MANY
from entrypoints.live.protocol import Bye
from entrypoints.live.session import Session
from entrypoints.live.state import Streams
from entrypoints.web import rules
from entrypoints.web.client import client_network
from entrypoints.web.guards import NEEDS_TOKEN
from entrypoints.web.limits import count_failure, spend
from entrypoints.web.schemas import problems
from entrypoints.web.state import part

_decode_bye = msgspec.json.Decoder(Bye).decode

_TEXT = Schema(type=OpenAPIType.STRING)
# Empty means none.
_CURSOR = Schema(type=OpenAPIType.STRING, pattern=f"^$|{rules.CURSOR['pattern']}")
_QUERY = [
    Parameter("ticket", "query", schema=_TEXT, description="Instead of a token, for browsers: single use."),
    Parameter("cursor", "query", schema=_CURSOR, description="Resume after this position."),
    Parameter(
        "view",
        "query",
        schema=Schema(type=OpenAPIType.STRING, enum=["manual", "auto"], default="manual"),
        description="`auto`: what is sent live is marked read immediately.",
    ),
    Parameter("Last-Event-ID", "header", schema=_CURSOR, description="Like `cursor`; takes precedence."),
]


@dataclass
class _Described(Operation):
    """Adds the parameters to OpenAPI. The handler reads them as it does for a WebSocket."""

    def __post_init__(self) -> None:
        self.parameters = [*(self.parameters or ()), *_QUERY]


@get(
    "/sse/{user_id:str}",
    security=[*NEEDS_TOKEN, {"ticket": []}],
    tags=["inbox"],
    operation_id="followNotifications",
    summary="Follow the feed live",
    operation_class=_Described,
    responses={
        200: ResponseSpec(
            str,
            media_type="text/event-stream",
            description="Frames as events, until either side ends the stream.",
            generate_examples=False,
        ),
        **problems(400, 401, 403, 404, 422, 429, 503),
    },
)
async def live_events(user_id: FromPath[str], request: Request[Any, Any, Any]) -> ASGIApp:
    """The live stream as server-sent events, described with the WebSocket at `/schema/stream`."""
    streams = part(request, Streams)
    sessions = streams.sessions
    limits = part(request, Limits)
    spend(request.scope, limits.openings, client_network(request.scope))
    sessions.check_room()
    asked = hello.Request(request.scope)
    hello.check_origin(asked, streams.origins)
    try:
        wanted = await hello.read_hello(asked, UserId(user_id), streams.authenticate)
    except NotAuthenticated:
        count_failure(request.scope, limits)
        raise

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a session until it ends. Answer with a problem if it ends before it has begun."""
        events: EventStream = streams.connect_events(scope, receive, send)
        with sessions.entrance() as welcomed:
            await sessions.serve(Session(sessions.streaming, wanted, events), welcomed)
        if events.refused:
            raise _refusal(_decode_bye(events.refused))
        await events.receive()  # until everything is sent

    return serve


def _refusal(bye: Bye) -> Exception:
    """The HTTP error for a `bye` before the stream has begun. Credentials and origin were checked earlier."""
    known: dict[int, Any] = {BAD_REQUEST: UnknownUser, TOKEN_EXPIRED: NotAuthenticated, REVOKED: Revoked}
    if bye.code in known:
        error: Exception = known[bye.code](bye.reason)
        return error
    if bye.code == TOO_MANY:
        return HTTPException(bye.reason, status_code=429)
    unavailable = Unavailable(bye.reason)
    unavailable.retry_seconds = max(1, math.ceil((bye.retry_ms or 0) / 1000))
    return unavailable
