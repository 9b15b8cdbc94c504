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
from application.ports import EventStream
from domain.errors import UnknownUser
from domain.identifiers import UserId
from entrypoints.live import hello
from entrypoints.live.frames import BAD_REQUEST, REVOKED, TOKEN_EXPIRED, TOO_MANY
from entrypoints.live.protocol import Bye
from entrypoints.live.session import Session
from entrypoints.live.state import Streams
from entrypoints.web.guards import NEEDS_TOKEN
from entrypoints.web.schemas import problems
from entrypoints.web.state import part

_decode_bye = msgspec.json.Decoder(Bye).decode

_TEXT = Schema(type=OpenAPIType.STRING)
_QUERY = [
    Parameter("ticket", "query", schema=_TEXT, description="Instead of a token, for browsers: single use."),
    Parameter("cursor", "query", schema=_TEXT, description="Resume after this position."),
    Parameter(
        "view",
        "query",
        schema=Schema(type=OpenAPIType.STRING, enum=["manual", "auto"], default="manual"),
        description="`auto`: what comes live is marked read at once.",
    ),
    Parameter("Last-Event-ID", "header", schema=_TEXT, description="As `cursor`, which it wins over."),
]


@dataclass
class _Described(Operation):
    """What OpenAPI is told of the parameters: they are read where those of the WebSocket are."""

    def __post_init__(self) -> None:
        self.parameters = [*(self.parameters or ()), *_QUERY]


@get(
    "/sse/{user_id:str}",
    security=[*NEEDS_TOKEN, {"ticket": []}],
    tags=["inbox"],
    summary="Follow the feed live",
    operation_class=_Described,
    responses={
        200: ResponseSpec(
            str,
            media_type="text/event-stream",
            description="Frames as events, until either side ends it.",
            generate_examples=False,
        ),
        **problems(400, 401, 403, 404, 422, 429, 503),
    },
)
async def live_events(user_id: FromPath[str], request: Request[Any, Any, Any]) -> ASGIApp:
    """The live stream as server-sent events, described with the WebSocket at `/schema/stream`."""
    streams = part(request, Streams)
    sessions = streams.sessions
    sessions.check_room()
    asked = hello.Request(request.scope)
    hello.check_origin(asked, streams.origins)
    wanted = await hello.read_hello(asked, UserId(user_id), streams.authenticate)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a session until it ends. One that ends before it began is a problem over HTTP."""
        events: EventStream = streams.connect_events(scope, receive, send)
        with sessions.entrance() as welcomed:
            await sessions.serve(Session(sessions.streaming, wanted, events), welcomed)
        if events.refused:
            raise _refusal(_decode_bye(events.refused))
        await events.receive()  # until its last words are sent

    return serve


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
