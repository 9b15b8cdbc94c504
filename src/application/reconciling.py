"""Reconciling: compares the unread index with the store, and repairs it."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from application.feeds import FeedPage
from application.pages import IndexEntry
from application.ports import Announcer, FeedViews, UnreadIndex
from domain.errors import UnknownUser
from domain.feed import Settled
from domain.identifiers import UserId
from domain.states import Status


class Mismatch(StrEnum):
    """How an entry of the index differs from the store."""

    STALE = "stale"
    """It is behind: a change was committed and never announced."""
    WRONG = "wrong"
    """It differs from what the feed held at its version, or the feed never had that version."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The result of a check."""

    checked: int = 0
    mismatches: Mapping[UserId, Mismatch] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileIndex:
    """Compare index entries with the store, and drop those that differ.

    The entry is read first, then the feed, so that the feed is never the older of the two:

    - an entry with the feed's version must hold what the feed holds; otherwise it is wrong;
    - an entry that is behind may still be waiting for an announcement. It is read again after `patience`
      seconds, in which every announcement arrives. By then it must have reached the version that the feed
      had at first, or be gone; otherwise it is stale;
    - an entry that is ahead of the feed both times is wrong: no announcement comes before its commit.
    """

    index: UnreadIndex
    feeds: FeedViews
    announcer: Announcer
    patience: float = 2.0

    async def __call__(self, count: int) -> Reconciled:
        """Check up to `count` entries. Raises Unavailable if the store is out of reach."""
        checked = 0
        suspects: dict[UserId, FeedPage | None] = {}
        mismatches: dict[UserId, Mismatch] = {}
        for user in await self.index.sample(count):
            entry, page = await self._look(user)
            checked += entry is not None
            if entry and page and entry.feed.cursor == page.feed.cursor:
                if not _same(entry, page):
                    mismatches[user] = Mismatch.WRONG
            elif entry:
                suspects[user] = page
        if suspects:
            await asyncio.sleep(self.patience)
        stale: list[Settled] = []
        for user, before in suspects.items():
            entry, page = await self._look(user)
            kind = entry and _judge(entry, page, before)
            if kind:
                mismatches[user] = kind
            if page and kind is Mismatch.STALE:
                stale.append(Settled(page.feed))
        await self._repair(stale, [user for user, kind in mismatches.items() if kind is Mismatch.WRONG])
        return Reconciled(checked, mismatches)

    async def _look(self, user: UserId) -> tuple[IndexEntry | None, FeedPage | None]:
        entry = await self.index.entry(user)
        if entry is None:
            return None, None
        try:
            return entry, await self.feeds.page(user, Status.UNREAD, limit=self.index.capacity)
        except UnknownUser:
            return entry, None

    async def _repair(self, stale: Sequence[Settled], wrong: Iterable[UserId]) -> None:
        """Announce the feeds of stale entries: streams have missed the change too, and the index drops the
        entry. Drop wrong entries.
        """
        if stale:
            await self.announcer.announce(stale)
        for user in wrong:
            await self.index.forget(user)


def _judge(entry: IndexEntry, page: FeedPage | None, before: FeedPage | None) -> Mismatch | None:
    """How an entry differs that did not match at first, after the announcements up to `before` arrived."""
    if page is None:
        return Mismatch.WRONG
    if entry.feed.cursor == page.feed.cursor:
        return None if _same(entry, page) else Mismatch.WRONG
    if entry.feed.epoch == page.feed.epoch and entry.feed.version > page.feed.version:
        return Mismatch.WRONG
    if before is None or (entry.feed.epoch == page.feed.epoch and entry.feed.version >= before.feed.version):
        return None
    return Mismatch.STALE


def _same(entry: IndexEntry, page: FeedPage) -> bool:
    """Whether an entry matches the feed at the same version. It may hold fewer notifications, but no others.

    Comparing ids and versions is enough: every change of a notification gives it a new version.
    """
    newest = tuple((item.id, item.version) for item in page.notifications)
    if entry.feed != page.feed or entry.held != newest[: len(entry.held)]:
        return False
    return not entry.complete or (len(entry.held) == len(newest) and not page.more)
