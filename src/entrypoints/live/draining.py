"""Taking a process out of service, for `bellwire drain`."""

from typing import Any

from litestar import Request, Response, post
from litestar.background_tasks import BackgroundTask
from litestar.exceptions import HTTPException

from application.audit import Action, Entry
from entrypoints.live.state import Streams
from entrypoints.web import guards
from entrypoints.web.attribution import operator_of
from entrypoints.web.drain import PATH, Draining
from entrypoints.web.schemas import problems
from entrypoints.web.state import part


@post(
    PATH,
    status_code=200,
    guards=[guards.operator],
    tags=["operation"],
    summary="Take this process out of service",
    security=guards.NEEDS_OPERATOR,
    responses=problems(401, 409),
)
async def drain(request: Request[Any, Any, Any]) -> Response[Draining]:
    """The process is no longer ready, takes no more streams, ends the open ones one after another, and
    answers requests until it is stopped. Repeat the request to see how many streams are left. For
    `bellwire drain`, which makes the token from the secret. 409 if several workers share the port.
    """
    streams = part(request, Streams)
    if streams.workers > 1:
        detail = "Several workers share this port; this request reached only one. SIGTERM drains them all."
        raise HTTPException(detail, status_code=409)
    entry = None if streams.sessions.draining else Entry(operator_of(request), Action.PROCESS_DRAINED)
    _ = streams.drain()
    body = Draining(len(streams.sessions), streams.sessions.draining)
    return Response(body, background=None if entry is None else BackgroundTask(streams.record, entry))


HANDLERS = [drain]
