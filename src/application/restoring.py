"""After a backup was restored: another life of every feed."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from application.audit import Action, By, Entry, audited
from application.ports import AuditTrail, Epochs

RENEWED_TOGETHER = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetFeeds:
    """Give every feed a new epoch, so that every client reloads.

    The versions of a restored feed are older than those that clients have seen, and would be assigned a
    second time, to other changes. Each batch is complete by itself: it may be stopped, and started again.
    """

    epochs: Epochs
    audit: AuditTrail

    async def __call__(self, by: By) -> AsyncIterator[int]:
        """Yield how many feeds each batch has changed. Raises Unavailable."""
        await audited(Entry(by, Action.FEEDS_RESET), self.audit.add)
        after = None
        while True:
            count, after = await self.epochs.renew(after, RENEWED_TOGETHER)
            if not count:
                return
            yield count
