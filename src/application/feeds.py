"""Feeds as the store returns them: pages, standings, histories, and the outcomes of changes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from itertools import chain
from typing import NamedTuple

from domain.arrivals import Arrival, Withheld
from domain.feed import Added, Edited, Feed, FeedChange, Marked, Settled
from domain.identifiers import NotificationId, UserId
from domain.notification import Notification


class MarkRequest(NamedTuple):
    """Which notifications of a user to mark, the time of the mark (`Rule.time`), and the action that it
    names.
    """

    user_id: UserId
    ids: Sequence[NotificationId]
    at: datetime
    action: str | None = None


@dataclass(frozen=True, slots=True)
class Appended:
    """The outcome of storing drafts."""

    added: tuple[Added, ...] = ()
    """One change for each feed that grew."""
    changed: tuple[Marked | Edited, ...] = ()
    """What else changed: notifications that were retracted, and edited. Of a feed, these come before what was
    added."""
    present: tuple[Settled, ...] = ()
    """Feeds of arrivals that had arrived before: nothing changed, but streams may have missed them."""
    withheld: tuple[Withheld, ...] = ()
    """What is not shown."""
    foreign: tuple[Arrival, ...] = ()
    """What would change a notification of another API key, which its own key may not."""
    unknown: tuple[Arrival, ...] = ()
    """Arrivals for unknown users."""
    erased: tuple[Arrival, ...] = ()
    """Arrivals for users who were erased: to be dropped, because a dead letter would keep their text."""

    @classmethod
    def together(cls, outcomes: Iterable["Appended"]) -> "Appended":
        """Several outcomes as one."""
        found = list(outcomes)
        return cls(
            **{
                one.name: tuple(chain.from_iterable(getattr(each, one.name) for each in found))
                for one in fields(cls)
            }
        )

    def __add__(self, other: "Appended") -> "Appended":
        """The outcome of both."""
        return Appended.together((self, other))


@dataclass(frozen=True, slots=True)
class Retracted:
    """The outcome of taking a notification back."""

    marked: Marked | None = None
    """The change, which is empty if the notification was retracted before; None if the feed does not hold it.
    Then nothing with its id will be stored."""


@dataclass(frozen=True, slots=True)
class Rung:
    """What became of alarms that were due."""

    late: timedelta
    """How long ago the earliest of them was due, before any rang; 0 if none was due."""
    count: int
    """How many rang, with an effect or without."""
    changes: Sequence[FeedChange]


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Part of a view, newest first, as of `feed.version`."""

    feed: Feed
    notifications: tuple[Notification, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a feed is now, and from which version on it can be replayed."""

    feed: Feed
    horizon: int = 0
    """Changes up to this version may have been pruned: a client below it must reload."""


@dataclass(frozen=True, slots=True)
class FeedHistory:
    """The changes after a version: notifications as they are now, in version order, as of `feed.version`.
    Below the horizon some may be missing.
    """

    feed: Feed
    notifications: tuple[Notification, ...]
    more: bool
    horizon: int = 0


class Spot(NamedTuple):
    """Where a notification is stored."""

    user_id: UserId
    id: NotificationId


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one batch of pruning deleted."""

    feeds: Sequence[Feed]
    """The changed feeds, as they are now."""
    notifications: int
    last: Spot | None
    """The last notification that it examined; None if there was none."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """Which partitions of earlier months were dropped, and which were kept."""

    dropped: Sequence[str]
    kept: Sequence[str]
    """Partitions that are in use or not empty."""
