"""The inbox: users read their feeds, and mark notifications."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from application.marks import Marks
from application.pages import RenderedPage
from application.ports import Clock, FeedMarks, FeedViews, UnreadIndex
from domain.category import CATEGORY, CATEGORY_RULE
from domain.errors import AlreadyActed, FieldError, Invalid
from domain.feed import MARK_LIMIT, Cursor, Feed, Marked
from domain.identifiers import NotificationId, UserId
from domain.notification import Notification
from domain.states import RULES, Mark, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchUnread:
    """The newest unread notifications: from the index if it can answer, else from the store.

    Raises UnknownUser.
    """

    index: UnreadIndex
    feeds: FeedViews

    async def __call__(self, user: UserId, limit: int, before: NotificationId | None = None) -> RenderedPage:
        found = await self.index.page(user, limit, before)
        if isinstance(found, RenderedPage):
            return found
        if found.lease is not None:
            newest = await self._load(user, found.lease)
            if before is None:
                return newest.first(limit)
        page = await self.feeds.rendered_page(user, Status.UNREAD, limit=limit, before=before)
        return page.first(limit)

    async def _load(self, user: UserId, lease: str) -> RenderedPage:
        newest = await self.feeds.rendered_page(user, Status.UNREAD, limit=self.index.capacity)
        await self.index.load(newest, lease)
        return newest


@dataclass(frozen=True, slots=True, kw_only=True)
class ListNotifications:
    """A page of any view of a feed, newest first. Raises UnknownUser."""

    feeds: FeedViews
    fetch_unread: FetchUnread

    async def __call__(
        self,
        user: UserId,
        status: Status = Status.UNREAD,
        *,
        limit: int = 20,
        before: NotificationId | None = None,
        event: str | None = None,
        categories: Sequence[str] = (),
    ) -> RenderedPage:
        if status is Status.UNREAD and event is None and not categories:
            return await self.fetch_unread(user, limit, before)
        page = await self.feeds.rendered_page(
            user, status, limit=limit, before=before, event=event, categories=categories
        )
        return page.first(limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountUnread:
    """The number of unread notifications, and the position of the feed at which it is exact.

    Raises UnknownUser.
    """

    fetch_unread: FetchUnread

    async def __call__(self, user: UserId) -> Feed:
        return (await self.fetch_unread(user, 0)).feed


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkNotifications:
    """Mark notifications of a user.

    Notifications already in that state and ids that are not the user's are skipped. The change is announced
    when this returns. Raises UnknownUser.
    """

    marks: Marks
    clock: Clock

    async def __call__(
        self,
        user: UserId,
        mark: Mark,
        ids: Sequence[NotificationId] | None = None,
        up_to: str | None = None,
        *,
        category: str | None = None,
        until: datetime | None = None,
    ) -> Marked:
        """Mark `ids`, or everything up to the cursor `up_to`, or all of a category up to there. `until` is
        the time of a mark that takes one. Raises Invalid.
        """
        at = RULES[mark].time(self.clock(), until)
        if ids is not None and up_to is None and category is None:
            return await self._mark_ids(user, mark, ids, at)
        if up_to is not None and ids is None:
            return await self._mark_up_to(user, mark, Cursor.parse(up_to, "up_to"), at, category)
        if category is not None:
            raise Invalid([FieldError("category", "is only allowed with up_to")])
        raise Invalid([FieldError("ids", "is required, or up_to, but not both")])

    async def _mark_ids(
        self, user: UserId, mark: Mark, ids: Sequence[NotificationId], at: datetime
    ) -> Marked:
        if len(ids) > MARK_LIMIT:
            raise Invalid([FieldError("ids", f"must be at most {MARK_LIMIT} ids")])
        return await self.marks.by_ids(user, mark, ids, at)

    async def _mark_up_to(
        self, user: UserId, mark: Mark, cursor: Cursor, at: datetime, category: str | None
    ) -> Marked:
        if category is not None and CATEGORY.fullmatch(category) is None:
            raise Invalid([FieldError("category", CATEGORY_RULE)])
        marked = await self.marks.up_to(user, mark, cursor, at, category=category)
        if marked.feed.epoch != cursor.epoch:
            raise Invalid([FieldError("up_to", "is a cursor of an earlier life of this feed; reload")])
        return marked


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkRead:
    """Mark one notification read and return it. An earlier `read_at` stays.

    Raises UnknownNotification, also for a notification of another user.
    """

    mark_notifications: MarkNotifications
    feeds: FeedMarks

    async def __call__(self, user: UserId, notification: NotificationId) -> Notification:
        marked = await self.mark_notifications(user, Mark.READ, [notification])
        if marked.notifications:
            return marked.notifications[0]
        return await self.feeds.get(user, notification)


class Acted(NamedTuple):
    """A notification that was answered, and whether this answer was the first."""

    notification: Notification
    changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ActOnNotification:
    """Answer a notification with one of its actions, once. With that it is read and seen.

    Raises UnknownNotification, Invalid for an action that the notification does not have or that leads to a
    URL, and AlreadyActed after another action. The same action again changes nothing.
    """

    marks: Marks
    feeds: FeedMarks
    clock: Clock

    async def __call__(self, user: UserId, notification: NotificationId, action: str) -> Acted:
        _check_action(await self.feeds.get(user, notification), action)
        marked = await self.marks.by_ids(user, Mark.ACTED, [notification], self.clock(), action=action)
        if marked.notifications:
            return Acted(marked.notifications[0], changed=True)
        found = await self.feeds.get(user, notification)
        _check_action(found, action)  # another device was quicker
        return Acted(found, changed=False)


def _check_action(notification: Notification, action: str) -> None:
    """Raise Invalid or AlreadyActed if this notification cannot be answered with it."""
    if notification.acted_at is not None and notification.action != action:
        raise AlreadyActed
    if all(one.id != action or one.url is not None for one in notification.rich.actions):
        raise Invalid([FieldError("action", "is no action of this notification that takes an answer")])
