"""The inbox: what a user sees of its feed, and what it changes in it."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

from application.feeds import FeedPage
from application.pages import UnreadPage
from application.ports import Announcer, Clock, FeedMarks, FeedViews, Render, UnreadIndex
from domain.errors import FieldError, Invalid
from domain.feed import Cursor, Feed, Marked, Settled
from domain.identifiers import NotificationId, UserId
from domain.notification import Mark, Notification, Status

PAGE_LIMIT = 100
MARK_LIMIT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchUnread:
    """The newest unread notifications: from the index if it can answer, else from the store.

    Raises UnknownUser.
    """

    index: UnreadIndex
    feeds: FeedViews
    render: Render

    async def __call__(self, user: UserId, limit: int, before: NotificationId | None = None) -> UnreadPage:
        found = await self.index.page(user, limit, before)
        if isinstance(found, UnreadPage):
            return found
        if found.lease is not None:
            newest = await self._load(user, found.lease)
            if before is None:
                return UnreadPage(newest.feed, newest.items[:limit], newest.more or len(newest.items) > limit)
        return rendered(await self.feeds.page(user, Status.UNREAD, limit=limit, before=before), self.render)

    async def _load(self, user: UserId, lease: str) -> UnreadPage:
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
    ) -> UnreadPage:
        if status is Status.UNREAD and event is None:
            return await self.fetch_unread(user, limit, before)
        page = await self.feeds.page(user, status, limit=limit, before=before, event=event)
        return rendered(page, self.render)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountUnread:
    """How many notifications the user has not read, and the position at which that is so.

    Raises UnknownUser.
    """

    fetch_unread: FetchUnread

    async def __call__(self, user: UserId) -> Feed:
        return (await self.fetch_unread(user, 0)).feed


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkNotifications:
    """Mark notifications of a user read, unread, archived or unarchived.

    What is so already is left alone; ids that are not the user's are skipped. The index and every
    open stream of the user know of it when this returns. Raises UnknownUser.
    """

    feeds: FeedMarks
    announcer: Announcer
    clock: Clock

    async def __call__(self, user: UserId, mark: Mark, ids: Sequence[NotificationId]) -> Marked:
        if len(ids) > MARK_LIMIT:
            raise Invalid([FieldError("ids", f"must be at most {MARK_LIMIT}")])
        return await self._announced(self.feeds.mark(user, mark, ids, self.clock()))

    async def up_to(self, user: UserId, mark: Mark, cursor: Cursor) -> Marked:
        """Mark everything that is not newer than what the client had seen."""
        if (await self.feeds.feed(user)).epoch != cursor.epoch:
            raise Invalid([FieldError("up_to", "is a cursor of another life of this feed; reload")])
        return await self._announced(self.feeds.mark_up_to(user, mark, cursor.version, self.clock()))

    async def _announced(self, marking: Awaitable[Marked]) -> Marked:
        """Mark and announce, to the end even if whoever asked is gone: a socket that closes in between
        must not leave a change that nobody was told of.
        """
        return await asyncio.shield(asyncio.ensure_future(self._mark_and_announce(marking)))

    async def _mark_and_announce(self, marking: Awaitable[Marked]) -> Marked:
        """What changed nothing is announced too: it heals followers that missed it the first time."""
        marked = await marking
        await self.announcer.announce([marked if marked.changed else Settled(marked.feed)])
        return marked


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkRead:
    """Mark one notification read and return it. The first time stays.

    Raises UnknownNotification, for one of another user as for one that never was.
    """

    mark: MarkNotifications
    feeds: FeedMarks

    async def __call__(self, user: UserId, notification: NotificationId) -> Notification:
        marked = await self.mark(user, Mark.READ, [notification])
        if marked.notifications:
            return marked.notifications[0]
        return await self.feeds.get(user, notification)


def rendered(page: FeedPage, render: Render) -> UnreadPage:
    """Turn entities into what travels."""
    return UnreadPage(page.feed, [render(item) for item in page.notifications], page.more)
