"""Noting when notifications reach each stage. Only where the demo is on: elsewhere the process
uses what these classes extend.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from application.delivery import Stored, StoreNotifications
from application.errors import Unconfirmed
from application.ports import Clock, NotificationQueue, Stages
from domain.arrivals import Arrival
from domain.identifiers import NotificationId
from domain.notification import Draft


@dataclass(frozen=True, slots=True)
class NotingQueue:
    """A queue that notes what it accepts."""

    queue: NotificationQueue
    stages: Stages
    clock: Clock

    async def put(self, draft: Draft) -> None:
        await self.queue.put(draft)
        self.stages.note("accepted", [draft.id], self.clock())

    async def put_all(self, drafts: Sequence[Draft]) -> Sequence[Unconfirmed | None]:
        errors = await self.queue.put_all(drafts)
        durable = [draft.id for draft, error in zip(drafts, errors, strict=True) if error is None]
        self.stages.note("accepted", durable, self.clock())
        return errors


@dataclass(frozen=True, kw_only=True)
class NotingStore(StoreNotifications):
    """Notes what it has stored and announced."""

    stages: Stages

    async def __call__(self, arrivals: Sequence[Arrival]) -> Stored:
        stored = await super().__call__(arrivals)
        self.stages.note("stored", _new(stored), self.clock())
        return stored

    async def announce(self, stored: Stored) -> None:
        await super().announce(stored)
        self.stages.note("indexed", _new(stored), self.clock())


def _new(stored: Stored) -> Sequence[NotificationId]:
    return [item.id for added in stored.appended.added for item in added.notifications]
