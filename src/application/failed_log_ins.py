"""Failed log-ins, gathered for the audit trail."""

import logging
from asyncio import sleep
from collections import Counter

from application.audit import Action, ActorKind, By, Entry, note
from application.errors import Unavailable
from application.ports import AuditTrail
from domain.identifiers import UserId

logger = logging.getLogger(__name__)

_EVERY_SECONDS = 60.0
# Per interval and process, whoever attacks: an attacker must not be able to fill the trail.
_ENTRIES = 20
_REMEMBERED = 1_000

Account = tuple[UserId | None, str | None]
"""The account, and the address of the client. None: there is no such account, the address is unknown."""


class FailedLogIns:
    """Counts failed log-ins by account and address, and writes one entry for each pair per interval.

    Counting never waits and never fails. Only the pairs with the most failures get an entry; the others are
    one entry together. What was counted since the last interval is lost if the process dies.
    """

    def __init__(
        self,
        audit: AuditTrail,
        *,
        every_seconds: float = _EVERY_SECONDS,
        entries: int = _ENTRIES,
        remembered: int = _REMEMBERED,
    ) -> None:
        self._audit = audit
        self._every_seconds = every_seconds
        self._entries = entries
        self._remembered = remembered
        self._counts: Counter[Account] = Counter()
        self._others = 0

    def add(self, user: UserId | None, by: By) -> None:
        """Count a failure."""
        account = (user, by.address)
        if account in self._counts or len(self._counts) < self._remembered:
            self._counts[account] += 1
        else:
            self._others += 1

    async def run(self) -> None:
        """Write periodically, until cancelled."""
        while True:
            await sleep(self._every_seconds)
            await self.write()

    async def write(self) -> None:
        """Write what was counted. If the store is out of reach, it is written the next time."""
        counts, others = self._counts, self._others
        self._counts, self._others = Counter(), 0
        chosen = counts.most_common(self._entries)
        others += counts.total() - sum(count for _, count in chosen)
        entries = [_entry(user, address, count) for (user, address), count in chosen]
        if others:
            entries.append(_entry(None, None, others))
        for written, entry in enumerate(entries):
            try:
                await self._audit.add(entry)
            except Unavailable as error:
                logger.warning("failed log-ins were not recorded, and will be: %s", error)
                self._take_back(chosen[written:], others)
                return
            note(entry)

    def _take_back(self, counts: list[tuple[Account, int]], others: int) -> None:
        self._others += others
        for account, count in counts:
            self._counts[account] += count


def _entry(user: UserId | None, address: str | None, count: int) -> Entry:
    by = By(ActorKind.USER, None, address)
    return Entry(by, Action.LOG_IN_FAILED, user, {"count": count})
