"""Alarms: what was put off is done when its time comes."""

from dataclasses import dataclass
from typing import Final

from application.feeds import Rung
from application.ports import Alarms, Announcer
from domain.alarm import AlarmKind

ALARMS_A_BATCH: Final = 100
"""How many ring in one transaction, which holds the locks of their feeds meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RingAlarms:
    """Let alarms of one kind ring that are due, and announce what that changed once it is committed."""

    alarms: Alarms
    announcer: Announcer

    async def __call__(self, kind: AlarmKind, limit: int = ALARMS_A_BATCH) -> Rung:
        rung = await self.alarms.ring(kind, limit)
        if rung.changes:
            await self.announcer.announce(rung.changes)
        return rung
