"""A user's inbox."""

from functools import partial
from typing import Annotated, Any
from uuid import UUID

from litestar import Request, Response, get, patch, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody, QueryParameter

from application.inbox import (
    ActOnNotification,
    CountUnread,
    ListNotifications,
    MarkNotifications,
    MarkRead,
)
from application.pages import RenderedPage
from common import wire
from domain.category import CATEGORY, CATEGORY_RULE
from domain.errors import FieldError, Invalid, UnknownUser
from domain.feed import Marked
from domain.identifiers import NotificationId, UserId
from domain.notification import EVENT, EVENT_RULE
from domain.states import Mark, Status
from entrypoints.http.schemas import (
    Changed,
    Counts,
    NotificationPage,
    Selection,
    Snoozing,
    Unsnoozing,
)
from entrypoints.http.times import read_time
from entrypoints.web import guards, rules
from entrypoints.web.fast_path import FAST
from entrypoints.web.headers import names_tag
from entrypoints.web.ready import Ready
from entrypoints.web.schemas import NotificationBody, problems
from entrypoints.web.state import Access, part

_BODY_LIMIT = 16 * 1024
_OPERATIONS = {
    Mark.SEEN: "markNotificationsSeen",
    Mark.READ: "markNotificationsRead",
    Mark.UNREAD: "markNotificationsUnread",
    Mark.ARCHIVED: "archiveNotifications",
    Mark.UNARCHIVED: "unarchiveNotifications",
    Mark.SNOOZED: "snoozeNotifications",
    Mark.WOKEN: "unsnoozeNotifications",
}

StatusFilter = Annotated[Status, QueryParameter(description="Which view of the feed.")]
EventFilter = Annotated[
    str | None,
    QueryParameter(description="Only notifications of this event.", schema_extra=rules.EVENT_NAME),
]
CategoryFilter = Annotated[
    list[str] | None,
    QueryParameter(
        name="category",
        description="Only notifications of this category. May be repeated: of any of these.",
        schema_extra={"items": {"type": "string", **rules.CATEGORY}},
    ),
]
Limit = Annotated[int, QueryParameter(ge=1, le=100, description="How many.")]
PageCursor = Annotated[
    str | None,
    QueryParameter(description="`next_cursor` of the page before.", schema_extra={"format": "uuid"}),
]


@get(
    ["/v1/users/{user_id:str}/notifications", "/notifications/{user_id:str}"],
    guards=[guards.reader],
    opt=FAST,
    security=guards.NEEDS_TOKEN_OR_KEY,
    tags=["inbox"],
    summary="List notifications",
    responses={
        200: ResponseSpec(NotificationPage, description="A page, newest first.", generate_examples=False),
        304: ResponseSpec(None, description="The feed has not changed.", generate_examples=False),
        **problems(400, 401, 403, 404, 422, 429, 503),
    },
)
async def list_notifications(  # noqa: PLR0917 - each is a part of the query
    request: Request[Any, Any, Any],
    user_id: FromPath[str],
    listing: NamedDependency[ListNotifications],
    status: StatusFilter = Status.UNREAD,
    event: EventFilter = None,
    categories: CategoryFilter = None,
    limit: Limit = 20,
    cursor: PageCursor = None,
) -> Response[bytes]:
    """Unread notifications, unless `status` names another view; newest first. Answers 304 to an
    `If-None-Match` with the `ETag` of an unchanged feed. An API key needs the scope `read`.
    """
    if event is not None and EVENT.fullmatch(event) is None:
        raise Invalid([FieldError("event", EVENT_RULE)])
    if categories and not all(map(CATEGORY.fullmatch, categories)):
        raise Invalid([FieldError("category", CATEGORY_RULE)])
    page_of = partial(
        listing,
        UserId(user_id),
        status,
        limit=limit,
        before=_before(cursor),
        event=event,
        categories=categories or (),
    )
    try:
        page = await page_of()
    except UnknownUser:
        await _arrived(request)
        page = await page_of()
    etag = f'"{page.feed.cursor}"'
    headers = {"etag": etag, "cache-control": "private, no-cache"}
    condition = request.headers.get("if-none-match")
    if condition and names_tag(condition, etag):
        return Ready(b"", headers, 304)
    return Ready(wire.page(page.items, _next(page), page.feed), headers)


def _counting(path: str, summary: str) -> get:
    return get(
        f"/v1/users/{{user_id:str}}/{path}",
        guards=[guards.reader],
        opt=FAST,
        security=guards.NEEDS_TOKEN_OR_KEY,
        tags=["inbox"],
        summary=summary,
        responses=problems(400, 401, 403, 404, 429, 503),
    )


@_counting("counts", "Count notifications")
async def count_notifications(
    request: Request[Any, Any, Any],
    user_id: FromPath[str],
    count: NamedDependency[CountUnread],
) -> Counts:
    """How many are unread, in all and by category, and how many of these are unseen; and the position of the
    feed at which all that is exact. An API key needs the scope `read`.
    """
    return await _counts(request, UserId(user_id), count)


@_counting("unread-count", "Count unread notifications")
async def count_unread(
    request: Request[Any, Any, Any],
    user_id: FromPath[str],
    count: NamedDependency[CountUnread],
) -> Counts:
    """The same as `counts`."""
    return await _counts(request, UserId(user_id), count)


@patch(
    [
        "/v1/users/{user_id:str}/notifications/{notification_id:uuid}/read",
        "/notifications/{user_id:str}/{notification_id:uuid}/read",
    ],
    guards=[guards.owner, guards.marking],
    opt=FAST,
    security=guards.NEEDS_TOKEN,
    tags=["inbox"],
    summary="Mark one read",
    responses={
        200: ResponseSpec(
            NotificationBody, description="The notification, now read.", generate_examples=False
        ),
        **problems(400, 401, 403, 404, 429, 503),
    },
)
async def mark_notification_read(
    user_id: FromPath[str], notification_id: FromPath[UUID], mark_read: NamedDependency[MarkRead]
) -> Response[bytes]:
    """Returns the notification. Marking it again changes nothing."""
    notification = await mark_read(UserId(user_id), NotificationId(notification_id))
    return Ready(wire.render(notification), {})


def _marking(path: str, mark: Mark, summary: str | None = None) -> post:
    """The route of a mark."""
    return post(
        f"/v1/users/{{user_id:str}}/notifications/{path}",
        name=f"mark-{mark}",
        operation_id=_OPERATIONS[mark],
        status_code=200,
        guards=[guards.owner, guards.marking],
        opt=FAST,
        security=guards.NEEDS_TOKEN,
        request_max_body_size=_BODY_LIMIT,
        tags=["inbox"],
        summary=summary or f"Mark many {mark}",
        responses=problems(400, 401, 403, 404, 413, 422, 429, 503),
    )


def _mark_many(path: str, mark: Mark) -> Any:
    """The handler of a mark that takes no time."""

    @_marking(path, mark)
    async def handler(
        user_id: FromPath[str],
        data: JSONBody[Selection],
        mark_notifications: NamedDependency[MarkNotifications],
    ) -> Changed:
        """Mark the notifications in `ids`, or all up to a cursor that the client has seen (`up_to`), or of
        these all of one `category`.
        """
        marked = await mark_notifications(UserId(user_id), mark, data.ids, data.up_to, category=data.category)
        return _changed(marked)

    return handler


@_marking("snooze", Mark.SNOOZED, "Snooze many")
async def snooze(
    user_id: FromPath[str],
    data: JSONBody[Snoozing],
    mark_notifications: NamedDependency[MarkNotifications],
) -> Changed:
    """Take the notifications in `ids` away until a time. Then they are back, unread and unseen. Snoozing them
    again replaces the time. Those that are archived are skipped.
    """
    until = read_time("until", data.until)
    return _changed(await mark_notifications(UserId(user_id), Mark.SNOOZED, data.ids, until=until))


@_marking("unsnooze", Mark.WOKEN, "Bring many back")
async def unsnooze(
    user_id: FromPath[str],
    data: JSONBody[Unsnoozing],
    mark_notifications: NamedDependency[MarkNotifications],
) -> Changed:
    """Bring snoozed notifications back at once, unread and unseen."""
    return _changed(await mark_notifications(UserId(user_id), Mark.WOKEN, data.ids))


@post(
    "/v1/users/{user_id:str}/notifications/{notification_id:uuid}/actions/{action:str}",
    status_code=200,
    guards=[guards.owner, guards.marking],
    opt=FAST,
    security=guards.NEEDS_TOKEN,
    tags=["inbox"],
    summary="Act on a notification",
    responses={
        200: ResponseSpec(
            NotificationBody, description="The notification, now acted on.", generate_examples=False
        ),
        **problems(400, 401, 403, 404, 409, 422, 429, 503),
    },
)
async def act_on_notification(
    user_id: FromPath[str],
    notification_id: FromPath[UUID],
    action: FromPath[str],
    act: NamedDependency[ActOnNotification],
) -> Response[bytes]:
    """Answers a notification with one of its `actions` that has no `url`, once. Returns the notification. The
    same action again changes nothing; another one is refused.
    """
    acted = await act(UserId(user_id), NotificationId(notification_id), action)
    return Ready(wire.render(acted.notification), {})


async def _counts(request: Request[Any, Any, Any], user: UserId, count: CountUnread) -> Counts:
    try:
        return Counts.of(await count(user))
    except UnknownUser:
        await _arrived(request)
        return Counts.of(await count(user))


async def _arrived(request: Request[Any, Any, Any]) -> None:
    """Create the user whose token this is. Raises UnknownUser if that creates nobody."""
    await part(request, Access).arrive(request.auth)


def _changed(marked: Marked) -> Changed:
    return Changed.after(marked)


def _before(cursor: str | None) -> NotificationId | None:
    if cursor is None:
        return None
    try:
        return NotificationId(UUID(cursor))
    except ValueError:
        raise Invalid([FieldError("cursor", "is not a cursor of this service")]) from None


def _next(page: RenderedPage) -> str | None:
    """The cursor of the next page; None on the last."""
    return wire.identifier(page.items[-1]) if page.more else None


HANDLERS = [
    list_notifications,
    count_notifications,
    count_unread,
    mark_notification_read,
    act_on_notification,
    _mark_many("seen", Mark.SEEN),
    _mark_many("read", Mark.READ),
    _mark_many("unread", Mark.UNREAD),
    _mark_many("archive", Mark.ARCHIVED),
    _mark_many("unarchive", Mark.UNARCHIVED),
    snooze,
    unsnooze,
]
