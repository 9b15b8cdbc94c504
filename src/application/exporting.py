"""Exporting everything that is kept of a user."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

from application.audit import THE_SERVICE, Action, By, Entry, audited
from application.errors import Unavailable
from application.exports import Exported, ExportedUser, ExportEnd
from application.ports import AuditTrail, Exports
from domain.identifiers import NotificationId, UserId

_TOGETHER = 2
"""How many exports a process makes at a time: each holds a connection to the store."""


class Busy(Unavailable):
    """As many exports are running as this process makes at a time. Try again later."""

    retry_seconds = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportUser:
    """Export a user: the user, its notifications in every state, what was withheld of late, and the counts,
    which come last.

    Raises UnknownUser, Busy, and Unavailable, all before the first item unless the store goes away or the
    user is erased meanwhile.
    """

    exports: Exports
    audit: AuditTrail
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_TOGETHER))

    async def __call__(
        self, user: UserId, by: By = THE_SERVICE, after: NotificationId | None = None
    ) -> AsyncGenerator[Exported, None]:
        """Begin after this notification if an earlier export was cut off there."""
        if self.room.locked():
            raise Busy
        async with self.room:
            await audited(Entry(by, Action.USER_EXPORTED, user), self.audit.add)
            async with aclosing(self._items(user, after)) as items:
                async for item in items:
                    yield item

    async def _items(self, user: UserId, after: NotificationId | None) -> AsyncGenerator[Exported, None]:
        """One snapshot after the other, because none can be held for a client that reads slowly."""
        snapshots = count = withheld = 0
        more = True
        while more:
            snapshots += 1
            pages = 0
            try:
                async with aclosing(self.exports.pages(user, after)) as found:
                    async for page in found:
                        if not pages and snapshots == 1:
                            yield ExportedUser(page.user, page.feed, page.choices)
                        for notification in page.notifications:
                            yield notification
                            after = notification.id
                        for one in page.withheld:
                            yield one
                        count += len(page.notifications)
                        withheld += len(page.withheld)
                        pages, more = pages + 1, page.more
            except Unavailable:
                if not pages:
                    raise
        yield ExportEnd(1, count, withheld, snapshots)
