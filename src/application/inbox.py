"""The inbox: users read their feeds, and mark notifications."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import datetime

from application.pages import RenderedPage, rendered
from application.ports import Announcer, Clock, FeedMarks, FeedViews, Render, UnreadIndex
from domain.errors import FieldError, Invalid
from domain.feed import Cursor, Feed, Marked, Settled
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

    feeds: FeedMarks
    announcer: Announcer
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
        return await self._announced(self.feeds.mark(user, mark, ids, at))

    async def _mark_up_to(self, user: UserId, mark: Mark, cursor: Cursor, at: datetime) -> Marked:
        if (await self.feeds.feed(user)).epoch != cursor.epoch:
            raise Invalid([FieldError("up_to", "is a cursor of an earlier life of this feed; reload")])
        return await self._announced(self.feeds.mark_up_to(user, mark, cursor.version, at))

    async def _announced(self, marking: Awaitable[Marked]) -> Marked:
        """Mark and announce, even if the caller is cancelled: a socket that closes in between must not leave
        a change that is not announced.
        """
        return await asyncio.shield(asyncio.ensure_future(self._mark_and_announce(marking)))

    async def _mark_and_announce(self, marking: Awaitable[Marked]) -> Marked:
        """A mark that changed nothing is announced too, for streams that missed the first announcement."""
        marked = await marking
        await self.announcer.announce([marked if marked.changed else Settled(marked.feed)])
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
