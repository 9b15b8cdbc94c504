"""Publishing."""

from hashlib import sha256
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Request, delete, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, HeaderParameter, JSONBody

from application.changing import EditNotification, RetractNotification
from application.credentials import ApiKey
from application.limits import Limits
from application.publishing import Idempotency, PublishBatch, PublishNotification
from domain.errors import DomainError, FieldError, Invalid
from domain.identifiers import NotificationId, UserId
from domain.notification import Content
from entrypoints.http.contents import Edit, NewNotification
from entrypoints.http.schemas import (
    Accepted,
    BatchResult,
    BatchResults,
    NewBatch,
    RetractionOutcome,
    read_item,
)
from entrypoints.web import guards, problems, rules
from entrypoints.web.fast_path import FAST
from entrypoints.web.limits import spend
from entrypoints.web.schemas import problems as problem_responses
from entrypoints.web.state import part
from entrypoints.web.verbatim import VerbatimRequest

_BODY_LIMIT = 64 * 1024
_BATCH_BODY_LIMIT = 1024 * 1024
_KEY_LENGTH = rules.IDEMPOTENCY_KEY["maxLength"]

IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        description="1 to 255 characters. For 24 hours the same key and body make only one notification.",
        schema_extra=rules.IDEMPOTENCY_KEY,
    ),
]


@post(
    ["/v1/notifications", "/createNotification"],
    status_code=202,
    guards=[guards.publisher],
    opt=FAST,
    security=guards.NEEDS_KEY,
    request_class=VerbatimRequest,
    request_max_body_size=_BODY_LIMIT,
    tags=["publishing"],
    summary="Publish a notification",
    responses=problem_responses(400, 401, 403, 404, 413, 422, 429, 503),
)
async def publish_notification(
    request: VerbatimRequest,
    data: JSONBody[NewNotification],
    publish_one: NamedDependency[PublishNotification],
    idempotency_key: IdempotencyKey = None,
) -> Accepted:
    """Accepted once it is durable in Kafka. 503 `unconfirmed` means that the outcome is unknown: retry with
    the same `Idempotency-Key`.
    """
    idempotency = await _idempotency(request, idempotency_key)
    return Accepted(await publish_one(request.auth, data.content(), idempotency))


@post(
    "/v1/notifications/batch",
    status_code=202,
    guards=[guards.publisher],
    opt=FAST,
    security=guards.NEEDS_KEY,
    request_class=VerbatimRequest,
    request_max_body_size=_BATCH_BODY_LIMIT,
    tags=["publishing"],
    summary="Publish many notifications",
    responses=problem_responses(400, 401, 403, 413, 422, 429, 503),
)
async def publish_batch(
    request: VerbatimRequest,
    data: JSONBody[NewBatch],
    publish_many: NamedDependency[PublishBatch],
    idempotency_key: IdempotencyKey = None,
) -> BatchResults:
    """Each item is accepted or refused on its own, in order. The limit of the key counts every item."""
    if len(data.items) > 1:
        spend(request.scope, part(request, Limits).publish, request.auth.id, len(data.items) - 1)
    idempotency = await _idempotency(request, idempotency_key)
    outcomes = await publish_many(request.auth, [_content(item) for item in data.items], idempotency)
    return BatchResults([_result(outcome) for outcome in outcomes])


@put(
    "/v1/users/{user_id:str}/notifications/{notification_id:uuid}",
    status_code=202,
    guards=[guards.publisher],
    security=guards.NEEDS_KEY,
    request_class=VerbatimRequest,
    request_max_body_size=_BODY_LIMIT,
    tags=["publishing"],
    summary="Edit a notification",
    responses=problem_responses(400, 401, 403, 404, 413, 422, 429, 503),
)
async def edit_notification(
    request: VerbatimRequest,
    user_id: FromPath[str],
    notification_id: FromPath[UUID],
    data: JSONBody[Edit],
    edit: NamedDependency[EditNotification],
) -> Accepted:
    """Accepted once it is durable in Kafka. It stays read, seen or archived, unless `unread` is set. An edit
    that overtakes its original is stored in its place; one that arrives after a retraction changes nothing.
    """
    identifier, content = NotificationId(notification_id), data.content_for(user_id)
    await edit(request.auth, identifier, content, data.revision, unread=data.unread)
    return Accepted(identifier)


@delete(
    "/v1/users/{user_id:str}/notifications/{notification_id:uuid}",
    status_code=200,
    guards=[guards.publisher],
    security=guards.NEEDS_KEY,
    tags=["publishing"],
    summary="Retract a notification",
    responses=problem_responses(400, 401, 403, 404, 422, 429, 503),
)
async def retract_notification(
    request: Request[Any, ApiKey, Any],
    user_id: FromPath[str],
    notification_id: FromPath[UUID],
    retract: NamedDependency[RetractNotification],
) -> RetractionOutcome:
    """Take it back, whether or not it has arrived: it leaves every list and every count. Retracting it again
    changes nothing. A key that may change only its own is refused what another key sent.
    """
    retracted = await retract(request.auth, UserId(user_id), NotificationId(notification_id))
    return RetractionOutcome("recorded" if retracted.marked is None else "retracted")


async def _idempotency(request: VerbatimRequest, key: str | None) -> Idempotency | None:
    if key is None:
        return None
    if not 0 < len(key) <= _KEY_LENGTH:
        raise Invalid([FieldError("Idempotency-Key", f"must have 1 to {_KEY_LENGTH} characters")])
    return Idempotency(request.auth.id, key, sha256(await request.body()).hexdigest())


def _content(item: msgspec.Raw) -> Content | DomainError:
    try:
        return read_item(item).content()
    except Invalid as error:
        return error
    except msgspec.ValidationError as error:
        return Invalid([problems.field_error(str(error))])


def _result(outcome: NotificationId | Exception) -> BatchResult:
    if isinstance(outcome, Exception):
        return BatchResult(error=problems.describe(outcome))
    return BatchResult(id=outcome)


HANDLERS = [publish_notification, publish_batch, edit_notification, retract_notification]
