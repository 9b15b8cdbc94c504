"""What is kept of a user: erase it, export it."""

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from litestar import Request, delete, get
from litestar.background_tasks import BackgroundTask
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, QueryParameter
from litestar.response import Stream
from msgspec import Meta, Struct

from application.credentials import ApiKey
from application.erasing import EraseUser, FindErasure
from application.erasures import Erasure
from application.errors import NotAllowed
from application.exporting import ExportUser
from application.exports import Exported
from common import wire
from domain.errors import FieldError, Invalid
from domain.identifiers import NotificationId, UserId
from entrypoints.web import guards
from entrypoints.web.attribution import by_of
from entrypoints.web.headers import NO_STORE
from entrypoints.web.schemas import problems

_NDJSON = "application/x-ndjson"

Forget = Annotated[
    bool, QueryParameter(description="Whether the id may be used again once the erasure is finished.")
]
After = Annotated[
    str | None,
    QueryParameter(
        description="The `id` of the last notification of an export that was cut off.",
        schema_extra={"format": "uuid"},
    ),
]


class ErasureBody(Struct):
    """An erasure."""

    id: UUID
    status: Annotated[str, Meta(description="`running` or `finished`.")]
    requested_at: datetime
    deleted: Annotated[dict[str, int], Meta(description="How many rows are deleted so far, by kind.")]
    finished_at: datetime | None
    kafka_until: Annotated[
        datetime | None,
        Meta(
            description="Until when records in Kafka may hold texts of the user. "
            "Null while it runs, and if Kafka does not say."
        ),
    ]


@delete(
    "/v1/users/{user_id:str}",
    status_code=202,
    guards=[guards.manager],
    security=guards.NEEDS_KEY,
    tags=["users"],
    summary="Erase a user",
    responses=problems(400, 401, 403, 404, 429, 503),
)
async def erase_user(
    request: Request[Any, Any, Any],
    user_id: FromPath[str],
    erase: NamedDependency[EraseUser],
    forget: Forget = False,
) -> ErasureBody:
    """The user and its feed are gone when this is answered. Within 5 s its tokens are refused and its streams
    are closed. Its notifications are deleted in the background. Records that arrive later are dropped, and
    the id cannot be used again. Repeating it returns the same erasure.
    """
    return _body(await erase(UserId(user_id), by_of(request), forget=forget))


@get(
    "/v1/erasures/{erasure_id:uuid}",
    guards=[guards.manager],
    security=guards.NEEDS_KEY,
    tags=["users"],
    summary="Get an erasure",
    responses=problems(401, 403, 404, 429, 503),
)
async def get_erasure(erasure_id: FromPath[UUID], find_erasure: NamedDependency[FindErasure]) -> ErasureBody:
    """How far it is."""
    return _body(await find_erasure(erasure_id))


@get(
    "/v1/users/{user_id:str}/export",
    guards=[guards.owner_or_manager],
    security=guards.NEEDS_TOKEN_OR_KEY,
    tags=["users"],
    summary="Export a user",
    cache_control=NO_STORE,
    responses={
        200: ResponseSpec(
            bytes, description="One JSON object per line.", media_type=_NDJSON, generate_examples=False
        ),
        **problems(400, 401, 403, 404, 422, 429, 503),
    },
)
async def export_user(
    request: Request[Any, Any, Any],
    user_id: FromPath[str],
    export: NamedDependency[ExportUser],
    after: After = None,
) -> Stream:
    """Everything that is kept of a user: a line of type `user`, one of type `notification` for each
    notification in any state, and one of type `end` with the counts. Without the last line the export was cut
    off: continue it with `after`. The user's own token is enough.
    """
    if isinstance(request.auth, ApiKey) and request.auth.event_prefix is not None:
        raise NotAllowed("An API key that is limited to events cannot export users.")
    items = export(UserId(user_id), by_of(request), _after(after))
    first = await anext(items)  # raises before anything is sent
    # Also if the client goes away: the framework then leaves the generator to the garbage collector.
    return Stream(_lines(first, items), media_type=_NDJSON, background=BackgroundTask(_close, items))


async def _close(items: AsyncGenerator[Exported, None]) -> None:
    await items.aclose()


async def _lines(first: Exported, items: AsyncGenerator[Exported, None]) -> AsyncGenerator[bytes, None]:
    yield wire.export_line(first)
    async for item in items:
        yield wire.export_line(item)


def _after(given: str | None) -> NotificationId | None:
    try:
        return None if given is None else NotificationId(UUID(given))
    except ValueError:
        raise Invalid([FieldError("after", "is not the id of a notification")]) from None


def _body(erasure: Erasure) -> ErasureBody:
    return ErasureBody(
        erasure.id,
        "running" if erasure.finished_at is None else "finished",
        erasure.requested_at,
        dict(erasure.deleted),
        erasure.finished_at,
        erasure.kafka_until,
    )


HANDLERS = [erase_user, get_erasure, export_user]
