"""The audit trail over HTTP."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from litestar import Request, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from msgspec import Meta, Struct

from application.audit import Recorded, Search
from application.auditing import ListAudit
from application.credentials import ApiKey
from application.errors import NotAllowed
from domain.errors import FieldError, Invalid
from entrypoints.http.times import read_time
from entrypoints.web import guards
from entrypoints.web.headers import NO_STORE
from entrypoints.web.schemas import problems

_NAME = 255

Actor = Annotated[
    str | None, QueryParameter(max_length=_NAME, description="The id of a key or a user, or an account.")
]
ActionFilter = Annotated[str | None, QueryParameter(max_length=_NAME, description="Such as `user.erased`.")]
Target = Annotated[str | None, QueryParameter(max_length=_NAME, description="The id of a key or a user.")]
Since = Annotated[
    str | None,
    QueryParameter(
        description="Only entries from this time on (RFC 3339, with a time zone).",
        schema_extra={"format": "date-time"},
    ),
]
Limit = Annotated[int, QueryParameter(ge=1, le=1000, description="How many.")]
PageCursor = Annotated[
    str | None,
    QueryParameter(description="`next_cursor` of the page before.", schema_extra={"format": "uuid"}),
]


class AuditEntry(Struct):
    """What was done, by whom, to whom, and from where."""

    id: UUID
    at: datetime
    actor_kind: Annotated[str, Meta(description="`key`, `user`, `operator`, `cli` or `system`.")]
    actor: Annotated[str | None, Meta(description="The id of a key, or a keyed hash of a user's id.")]
    action: str
    target: Annotated[str | None, Meta(description="The id of a key, or a keyed hash of a user's id.")]
    detail: dict[str, Any]
    address: str | None
    request_id: str | None


class AuditPage(Struct):
    """A page of the audit trail, newest first."""

    items: list[AuditEntry]
    next_cursor: Annotated[str | None, Meta(description="For the next page; null on the last.")]


@get(
    "/v1/audit",
    guards=[guards.admin],
    security=guards.NEEDS_KEY,
    tags=["operation"],
    summary="List the audit trail",
    cache_control=NO_STORE,
    responses=problems(400, 401, 403, 422, 429, 503),
)
async def list_audit(  # noqa: PLR0917 - each is a part of the query
    request: Request[Any, ApiKey, Any],
    listing_audit: NamedDependency[ListAudit],
    actor: Actor = None,
    action: ActionFilter = None,
    target: Target = None,
    since: Since = None,
    limit: Limit = 100,
    cursor: PageCursor = None,
) -> AuditPage:
    """Newest first. Needs an API key with the scope `admin` and without prefixes."""
    if request.auth.limited:
        raise NotAllowed("An API key that is limited to a prefix cannot read the audit trail.")
    search = Search(
        actor=actor, action=action, target=target, since=None if since is None else read_time("since", since)
    )
    found, more = await listing_audit(search, limit, _before(cursor))
    return AuditPage([_entry(item) for item in found], str(found[-1].id) if more else None)


def _before(cursor: str | None) -> UUID | None:
    try:
        return None if cursor is None else UUID(cursor)
    except ValueError:
        raise Invalid([FieldError("cursor", "is not a cursor of this service")]) from None


def _entry(item: Recorded) -> AuditEntry:
    return AuditEntry(
        item.id,
        item.at,
        item.actor_kind,
        item.actor,
        item.action,
        item.target,
        dict(item.detail),
        item.address,
        item.request_id,
    )


HANDLERS = [list_audit]
