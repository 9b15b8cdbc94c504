"""Publishing."""

from hashlib import sha256
from typing import Annotated

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.params import HeaderParameter, JSONBody

from application.limits import Limits
from application.publishing import Idempotency, PublishBatch, PublishNotification
from domain.errors import DomainError, FieldError, Invalid
from domain.identifiers import NotificationId
from domain.notification import Content
from entrypoints.http.schemas import (
    Accepted,
    BatchResult,
    BatchResults,
    NewBatch,
    NewNotification,
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


HANDLERS = [publish_notification, publish_batch]
