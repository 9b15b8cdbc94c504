"""The truth: feeds, and what becomes of old notifications."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from application.feeds import (
    Appended,
    Dropped,
    FeedHistory,
    FeedPage,
    MarkRequest,
    Pruned,
    Retracted,
    Spot,
    Standing,
)
from application.pages import RenderedPage
from domain.arrivals import Arrival
from domain.feed import Chosen, Cursor, Feed, Marked
from domain.identifiers import NotificationId, UserId
from domain.notification import BEFORE_ALL, Notification
from domain.states import Mark, Status


class FeedWriter(Protocol):
    """Stores new notifications. Each call is one transaction; the changes of a user are totally ordered."""

    async def append(self, arrivals: Sequence[Arrival], now: datetime = BEFORE_ALL) -> Appended:
        """Apply arrivals to their feeds, as domain.arrivals says. `now` decides what has expired, and is the
        time of edits and retractions.

        An arrival changes nothing if its user is unknown or erased.
        Raises Refused if the store will never take one of them; then some may be stored and none is told.
        """
        ...

    async def retract(
        self, user: UserId, notification: NotificationId, at: datetime, key_id: str | None = None
    ) -> Retracted:
        """Take a notification back, or keep it from being stored if it has not arrived.

        With `key_id` only what this API key sent. Raises UnknownUser; NotAllowed if another key sent it.
        """
        ...


class FeedMarks(Protocol):
    """What a user changes in a feed, and sees of that. Each call is one transaction."""

    async def mark(
        self,
        user: UserId,
        mark: Mark,
        ids: Sequence[NotificationId],
        at: datetime,
        *,
        action: str | None = None,
    ) -> Marked:
        """Mark these notifications. Ids that the feed does not hold, and those already in that state, are
        skipped. `at` is the time of the mark (`Rule.time`), `action` what it names. Raises UnknownUser.
        """
        ...

    async def mark_together(self, mark: Mark, requests: Sequence[MarkRequest]) -> Mapping[UserId, Marked]:
        """The same for several users, each named once, in one transaction that waits for no other one.

        Users are left out, and nothing of theirs is marked, if they are unknown or if another transaction is
        changing their feed: mark them one by one.
        """
        ...

    async def mark_up_to(
        self, user: UserId, mark: Mark, cursor: Cursor, at: datetime, *, category: str | None = None
    ) -> Marked:
        """Mark everything up to and including this position, or all of a category. Nothing is marked if the
        epoch is not that of the feed. SEEN looks at each notification once, and writes nothing if none is
        unseen. Raises UnknownUser.
        """
        ...

    async def get(self, user: UserId, notification: NotificationId) -> Notification:
        """A notification of the user. Raises UnknownNotification if the feed does not hold it, or if it was
        retracted.
        """
        ...


class Preferences(Protocol):
    """Which categories users chose to be shown. Each call is one transaction."""

    async def choices(self, user: UserId) -> tuple[Feed, Mapping[str, bool]]:
        """The feed, and what its user has chosen as of the feed's version. Raises UnknownUser."""
        ...

    async def choose(self, user: UserId, choices: Mapping[str, bool | None]) -> Chosen:
        """Set these choices; None goes back to the default, and others stay. The feed takes a version if that
        changes anything. Raises UnknownUser, and Invalid if the user would have made too many.
        """
        ...


class DueMarks(Protocol):
    """The marks that the service makes when their time has come."""

    async def due(self, mark: Mark, at: datetime, limit: int) -> Sequence[tuple[UserId, NotificationId]]:
        """Up to `limit` notifications whose time for this mark has come, the earliest first."""
        ...

    async def mark(self, user: UserId, mark: Mark, ids: Sequence[NotificationId], at: datetime) -> Marked:
        """As `FeedMarks.mark`."""
        ...


class FeedViews(Protocol):
    """The lists that a user sees."""

    async def page(
        self,
        user: UserId,
        status: Status,
        *,
        limit: int,
        before: NotificationId | None = None,
        event: str | None = None,
        categories: Sequence[str] = (),
    ) -> FeedPage:
        """The newest notifications of a view, older than `before` if it is given, and of these categories if
        any are given. Raises UnknownUser.
        """
        ...

    async def rendered_page(
        self,
        user: UserId,
        status: Status,
        *,
        limit: int,
        before: NotificationId | None = None,
        event: str | None = None,
        categories: Sequence[str] = (),
    ) -> RenderedPage:
        """The same page as it is sent, up to the first notification that exceeds PAGE_BYTES."""
        ...


class FeedReplay(Protocol):
    """What a stream needs to know whether it has missed something, and to read what it missed."""

    async def standings(self, users: Collection[UserId]) -> Mapping[UserId, Standing]:
        """The standing of each feed, in one read. Users without a feed are left out."""
        ...

    async def histories(
        self, wanted: Sequence[tuple[UserId, int]], limit: int
    ) -> Sequence[FeedHistory | None]:
        """For each pair of user and version the changes after that version, in one read and in this order;
        None for a user without a feed. Up to `limit` notifications each, so ask for few users at a time.
        """
        ...


class Feeds(FeedWriter, FeedMarks, DueMarks, FeedViews, FeedReplay, Protocol):
    """The whole store of feeds, for the adapter and its contract. A use case takes the part it calls."""

    async def feed(self, user: UserId) -> Feed:
        """The feed as it is now. Raises UnknownUser."""
        ...


class Retention(Protocol):
    """Deletes old notifications. Months are UTC months, by the time in the ids; `before` is the first moment
    of a month. Safe to run in several processes, and while everything else goes on.
    """

    async def prune(self, before: datetime, after: Spot | None, limit: int) -> Pruned:
        """Delete up to `limit` notifications older than `before`, by user and id, beyond `after`.

        One transaction. Each feed that loses some takes one more version, which becomes its horizon, and its
        unread count is corrected.
        """
        ...

    async def forget_audit(self, before: datetime, limit: int) -> int:
        """Delete up to `limit` entries of the audit trail from before this time. Returns how many."""
        ...

    async def forget_withheld(self, before: datetime, limit: int) -> int:
        """Forget up to `limit` notifications that were withheld before this time. Returns how many."""
        ...

    async def drop(self, before: datetime) -> Dropped:
        """Drop the partitions of earlier months that are empty."""
        ...
