"""Pruning: deletes notifications older than the retention."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from application.feeds import Dropped, Pruned
from application.ports import Announcer, Clock, Retention
from domain.errors import FieldError, Invalid
from domain.feed import Settled

PRUNE_BATCH = 1_000
AUDIT_DAYS = 400
WITHHELD_DAYS = 31
"""For so long a record that comes again is still withheld."""
_PASSES = 3
"""How many passes it makes, because old notifications may be stored in the meantime."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneFeeds:
    """Delete notifications older than the current month and the `keep_months` months before it.

    Each batch is complete by itself: pruning can stop at any moment and be started again. Changed feeds are
    announced, and clients with an older position must reload.
    """

    retention: Retention
    announcer: Announcer
    clock: Clock

    async def __call__(self, keep_months: int) -> AsyncIterator[Pruned | Dropped]:
        """Yield what each batch deleted, and after each pass which partitions were dropped.

        Raises Unavailable, and Invalid for less than one month.
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
            pruned = await self.retention.prune(before, after, PRUNE_BATCH)
            if pruned.last is None:
                return
            if pruned.feeds:
                await self.announcer.announce([Settled(feed) for feed in pruned.feeds])
            yield pruned
            after = pruned.last


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneAudit:
    """Delete entries of the audit trail that are older than `AUDIT_DAYS` days. Raises Unavailable."""

    retention: Retention
    clock: Clock

    async def __call__(self) -> int:
        """Returns how many were deleted."""
        before, total = self.clock() - timedelta(days=AUDIT_DAYS), 0
        while deleted := await self.retention.forget_audit(before, PRUNE_BATCH):
            total += deleted
        return total


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneWithheld:
    """Forget what was withheld more than `WITHHELD_DAYS` days ago. Raises Unavailable."""

    retention: Retention
    clock: Clock

    async def __call__(self) -> int:
        """Returns how many were forgotten."""
        before, total = self.clock() - timedelta(days=WITHHELD_DAYS), 0
        while forgotten := await self.retention.forget_withheld(before, PRUNE_BATCH):
            total += forgotten
        return total


def first_kept(now: datetime, keep_months: int) -> datetime:
    """The first moment of the first month that is kept, in UTC. Raises Invalid."""
    utc = now.astimezone(UTC)
    months = utc.year * 12 + utc.month - 1 - keep_months
    if months < 12:
        raise Invalid([FieldError("keep_months", "reaches back before the year 1")])
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)
