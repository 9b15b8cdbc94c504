"""Pruning: notifications are kept for some months."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

from application.feeds import Dropped, Pruned
from application.ports import Announcer, Clock, Retention
from domain.errors import FieldError, Invalid
from domain.feed import Settled

PRUNED_AT_ONCE = 1_000
_PASSES = 3
"""How often it begins anew because something old was stored meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneFeeds:
    """Delete what is older than the current month and so many whole months before it.

    Each batch is true by itself: it can be ended at any moment and begun again. Whoever follows a feed is
    told that it changed, and a client whose position is older has to reload.
    """

    retention: Retention
    announcer: Announcer
    clock: Clock

    async def __call__(self, keep_months: int) -> AsyncIterator[Pruned | Dropped]:
        """Yield what each batch deleted, at last what became of the partitions.

        Raises Unavailable, and Invalid for less than a month.
        """
        if keep_months < 1:
            raise Invalid([FieldError("keep_months", "must be at least 1")])
        before = first_kept(self.clock(), keep_months)
        for _ in range(_PASSES):
            async for pruned in self._prune(before):
                yield pruned
            dropped = await self.retention.drop(before)
            yield dropped
            if not dropped.kept:
                return

    async def _prune(self, before: datetime) -> AsyncIterator[Pruned]:
        after = None
        while True:
            pruned = await self.retention.prune(before, after, PRUNED_AT_ONCE)
            if pruned.last is None:
                return
            if pruned.feeds:
                await self.announcer.announce([Settled(feed) for feed in pruned.feeds])
            yield pruned
            after = pruned.last


def first_kept(now: datetime, keep_months: int) -> datetime:
    """The first moment of the first month that is kept, in UTC."""
    utc = now.astimezone(UTC)
    months = utc.year * 12 + utc.month - 1 - keep_months
    if months < 12:
        raise Invalid([FieldError("keep_months", "reaches back before the year 1")])
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)
