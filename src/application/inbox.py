"""The inbox: users read their feeds, and mark notifications."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from application.marks import Marks
from application.pages import RenderedPage, rendered
from application.ports import Clock, FeedMarks, FeedViews, Render, UnreadIndex
from domain.errors import FieldError, Invalid
from domain.feed import Cursor, Feed, Marked
from domain.identifiers import NotificationId, UserId
from domain.notification import Notification
from domain.states import RULES, Mark, Status

MARK_LIMIT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchUnread:
    """The newest unread notifications: from the index if it can answer, else from the store.

    Raises UnknownUser.
    """

    index: UnreadIndex
    feeds: FeedViews
    render: Render

    async def __call__(self, user: UserId, limit: int, before: NotificationId | None = None) -> RenderedPage:
        found = await self.index.page(user, limit, before)
        if isinstance(found, RenderedPage):
            return found
        if found.lease is not None:
            newest = await self._load(user, found.lease)
            if before is None:
                return newest.first(limit)
        page = await self.feeds.page(user, Status.UNREAD, limit=limit, before=before)
        return rendered(page, self.render).first(limit)

    async def _load(self, user: UserId, lease: str) -> RenderedPage:
        newest = rendered(await self.feeds.page(user, Status.UNREAD, limit=self.index.capacity), self.render)
        await self.index.load(newest, lease)
        return newest


@dataclass(frozen=True, slots=True, kw_only=True)
class ListNotifications:
    """A page of any view of a feed, newest first. Raises UnknownUser."""

    feeds: FeedViews
    fetch_unread: FetchUnread
    render: Render

    async def __call__(
        self,
        user: UserId,
        status: Status = Status.UNREAD,
        *,
        limit: int = 20,
        before: NotificationId | None = None,
        event: str | None = None,
    ) -> RenderedPage:
        if status is Status.UNREAD and event is None:
            return await self.fetch_unread(user, limit, before)
        page = await self.feeds.page(user, status, limit=limit, before=before, event=event)
        return rendered(page, self.render).first(limit)


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
        until: datetime | None = None,
    ) -> Marked:
        """Mark `ids`, or everything up to the cursor `up_to`. `until` is the time of a mark that takes one.
        Raises Invalid.
        """
        at = RULES[mark].time(self.clock(), until)
        if ids is not None and up_to is None:
            return await self._mark_ids(user, mark, ids, at)
        if up_to is not None and ids is None:
            return await self._mark_up_to(user, mark, Cursor.parse(up_to, "up_to"), at)
        raise Invalid([FieldError("ids", "is required, or up_to, but not both")])

    async def _mark_ids(
        self, user: UserId, mark: Mark, ids: Sequence[NotificationId], at: datetime
    ) -> Marked:
        if len(ids) > MARK_LIMIT:
            raise Invalid([FieldError("ids", f"must be at most {MARK_LIMIT} ids")])
        return await self.marks.by_ids(user, mark, ids, at)

    async def _mark_up_to(self, user: UserId, mark: Mark, cursor: Cursor, at: datetime) -> Marked:
        marked = await self.marks.up_to(user, mark, cursor, at)
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
