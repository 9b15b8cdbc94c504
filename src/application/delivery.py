"""Delivery: from the queue into the feeds, and out to their followers."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from datetime import datetime

from application.errors import Refused
from application.feeds import Appended
from application.ports import Announcer, Clock, DueMarks, FeedWriter, MissingUsers
from domain.errors import Invalid, UnknownUser
from domain.feed import FeedChange, Marked
from domain.identifiers import NotificationId, UserId
from domain.notification import Draft
from domain.states import RULES, Mark


@dataclass(frozen=True, slots=True)
class Stored:
    """The outcome of storing a batch."""

    appended: Appended
    refused: tuple[tuple[Draft, Refused], ...] = ()
    """Drafts that were not stored, each with the reason: the store will never take them, or they are dated
    too far ahead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreNotifications:
    """Store a batch. Nothing is announced before it is committed.

    Storing and announcing are separate calls, so that a consumer can announce one batch while it stores the
    next. It announces batches in the order in which it stored them. Both may be repeated.
    """

    feeds: FeedWriter
    announcer: Announcer
    clock: Clock
    missing: MissingUsers | None = None
    """Creates users who are notified and do not exist. None if nobody is created."""

    async def __call__(self, drafts: Sequence[Draft]) -> Stored:
        """Store the drafts that can be stored."""
        now = self.clock()
        timely: list[Draft] = []
        ahead: list[tuple[Draft, Refused]] = []
        for draft in drafts:
            try:
                draft.check_not_ahead(now)
            except Invalid as error:
                ahead.append((draft, Refused("invalid", error.detail)))
            else:
                timely.append(draft)
        stored = await self._store(timely)
        if self.missing is not None and stored.appended.unknown:
            stored = await self._store_for_new(stored, self.missing, now)
        return replace(stored, refused=(*ahead, *stored.refused))

    async def _store(self, drafts: Sequence[Draft]) -> Stored:
        """One bad draft makes the store refuse the whole batch, so a refused batch is halved until the bad
        drafts are isolated.
        """
        if not drafts:
            return Stored(Appended())
        try:
            return Stored(await self.feeds.append(drafts))
        except Refused as error:
            if len(drafts) == 1:
                return Stored(Appended(), ((drafts[0], error),))
        middle = len(drafts) // 2
        first, second = await self._store(drafts[:middle]), await self._store(drafts[middle:])
        return _together(first, second)

    async def _store_for_new(self, stored: Stored, missing: MissingUsers, at: datetime) -> Stored:
        """Create the unknown users, then store their drafts. After a crash in between, the records are read
        again and find their users.
        """
        unknown = stored.appended.unknown
        await missing.create({draft.content.user_id for draft in unknown}, at)
        known = replace(stored, appended=replace(stored.appended, unknown=()))
        return _together(known, await self._store(unknown))

    async def announce(self, stored: Stored) -> None:
        """Announce the changes, and the feeds of drafts that were already stored: a consumer that died
        between storing and announcing has not announced those.
        """
        changes: list[FeedChange] = [*stored.appended.present, *stored.appended.added]
        if changes:
            await self.announcer.announce(changes)


def _together(first: Stored, second: Stored) -> Stored:
    """Two outcomes as one."""
    both = (
        getattr(first.appended, field.name) + getattr(second.appended, field.name)
        for field in fields(Appended)
    )
    return Stored(Appended(*both), first.refused + second.refused)


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
