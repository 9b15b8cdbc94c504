"""The alarm clock: work for later, put in the store by what decides on it."""

from typing import Protocol

from application.feeds import Rung
from domain.alarm import AlarmKind


class Alarms(Protocol):
    """Alarms of feeds. A mark after which a notification is snoozed puts one, in its own transaction; it
    replaces the one of the same notification and kind.
    """

    async def ring(self, kind: AlarmKind, limit: int) -> Rung:
        """Do the work of up to `limit` alarms that are due, the earliest first, and delete them, in one
        transaction. Safe to run in several processes: each alarm has its effect once.

        The store's clock decides what is due. Alarms of feeds that are being changed are left for the next
        time. One whose notification is gone, or not in the state for its work, is deleted without effect.
        """
        ...
