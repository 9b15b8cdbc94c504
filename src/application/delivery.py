"""Delivery: from the queue into the feeds, and out to their followers."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from application.errors import Refused
from application.feeds import Appended
from application.ports import Announcer, Categories, Clock, DueMarks, FeedWriter, MissingUsers
from domain.arrivals import Arrival
from domain.errors import Invalid, UnknownUser
from domain.feed import FeedChange, Marked
from domain.identifiers import NotificationId, UserId
from domain.notification import Draft
from domain.states import RULES, Mark

_NOT_OWN = "this notification was sent with another API key"


@dataclass(frozen=True, slots=True)
class Stored:
    """The outcome of storing a batch."""

    appended: Appended
    refused: tuple[tuple[Arrival, Refused], ...] = ()
    """Arrivals without effect, each with the reason: the store will never take them, they are dated too far
    ahead, or they are not their sender's to send."""

    def __add__(self, other: "Stored") -> "Stored":
        """The outcome of both."""
        return Stored(self.appended + other.appended, self.refused + other.refused)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreNotifications:
    """Store a batch. Nothing is announced before it is committed.

    Storing and announcing are separate calls, so that a consumer can announce one batch while it stores the
    next. It announces batches in the order in which it stored them. Both may be repeated.
    """

    feeds: FeedWriter
    announcer: Announcer
    clock: Clock
    categories: Categories | None = None
    """Enters those that are new. None if they stay as they are."""
    missing: MissingUsers | None = None
    """Creates users who are notified and do not exist. None if nobody is created."""

    async def __call__(self, arrivals: Sequence[Arrival]) -> Stored:
        """Store what can be stored."""
        now = self.clock()
        timely: list[Arrival] = []
        ahead: list[tuple[Arrival, Refused]] = []
        for arrival in arrivals:
            try:
                arrival.check_not_ahead(now)
            except Invalid as error:
                ahead.append((arrival, Refused("invalid", error.detail)))
            else:
                timely.append(arrival)
        stored = await self._store(await self._entered(timely), now)
        if self.missing is not None and stored.appended.unknown:
            stored = await self._store_for_new(stored, self.missing, now)
        foreign = [(arrival, Refused("not-own", _NOT_OWN)) for arrival in stored.appended.foreign]
        return replace(stored, refused=(*ahead, *foreign, *stored.refused))

    async def _entered(self, arrivals: Sequence[Arrival]) -> Sequence[Arrival]:
        """Enter categories that are new. Drafts of those for which there is no room get another."""
        if self.categories is None:
            return arrivals
        names = {arrival.content.category for arrival in arrivals if isinstance(arrival, Draft)}
        stored = await self.categories.enter(names)
        if all(name == category for name, category in stored.items()):
            return arrivals
        return [_within(arrival, stored) for arrival in arrivals]

    async def _store(self, drafts: Sequence[Arrival], now: datetime) -> Stored:
        """One bad draft makes the store refuse the whole batch, so a refused batch is halved until the bad
        drafts are isolated.
        """
        if not drafts:
            return Stored(Appended())
        try:
            return Stored(await self.feeds.append(drafts, now))
        except Refused as error:
            if len(drafts) == 1:
                return Stored(Appended(), ((drafts[0], error),))
        middle = len(drafts) // 2
        first, second = await self._store(drafts[:middle], now), await self._store(drafts[middle:], now)
        return first + second

    async def _store_for_new(self, stored: Stored, missing: MissingUsers, now: datetime) -> Stored:
        """Create the unknown users, then store what is theirs. After a crash in between, the records are read
        again and find their users.
        """
        unknown = stored.appended.unknown
        await missing.create({arrival.user_id for arrival in unknown}, now)
        known = replace(stored, appended=replace(stored.appended, unknown=()))
        return known + await self._store(unknown, now)

    async def announce(self, stored: Stored) -> None:
        """Announce the changes, and the feeds of drafts that were already stored: a consumer that died
        between storing and announcing has not announced those.
        """
        appended = stored.appended
        changes: list[FeedChange] = [*appended.present, *appended.changed, *appended.added]
        if changes:
            await self.announcer.announce(changes)


def _within(arrival: Arrival, categories: Mapping[str, str]) -> Arrival:
    """An arrival with the category under which it is stored."""
    if not isinstance(arrival, Draft):
        return arrival
    category = categories[arrival.content.category]
    return replace(arrival, content=replace(arrival.content, category=category))


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkDue:
    """Make the marks that are due: retract expired notifications.

    Returns how many notifications changed.
    """

    feeds: DueMarks
    announcer: Announcer
    clock: Clock

    async def __call__(self, limit: int = 500) -> int:
        now = self.clock()
        return sum([await self._mark(mark, now, limit) for mark, rule in RULES.items() if rule.due])

    async def _mark(self, mark: Mark, now: datetime, limit: int) -> int:
        due: dict[UserId, list[NotificationId]] = {}
        for user, notification in await self.feeds.due(mark, now, limit):
            due.setdefault(user, []).append(notification)
        changes: list[Marked] = []
        try:
            for user, ids in due.items():
                with suppress(UnknownUser):  # the user is being erased
                    changes.append(await self.feeds.mark(user, mark, ids, now))
        finally:
            # Also if the store fails halfway: notifications that are marked are not due again.
            if changes:
                await self.announcer.announce(changes)
        return sum(change.changed for change in changes)
