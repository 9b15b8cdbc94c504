"""Feeds as the store returns them: pages, standings, histories, and the outcomes of changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from domain.feed import Added, Feed, Marked, Settled
from domain.identifiers import NotificationId, UserId
from domain.notification import Draft, Notification


class MarkRequest(NamedTuple):
    """Which notifications of a user to mark, and the time of the mark (`Rule.time`)."""

    user_id: UserId
    ids: Sequence[NotificationId]
    at: datetime


@dataclass(frozen=True, slots=True)
class Appended:
    """The outcome of storing drafts."""

    added: tuple[Added, ...] = ()
    """One change for each feed that grew."""
    present: tuple[Settled, ...] = ()
    """Feeds of drafts that were already stored: nothing changed, but streams may have missed them."""
    unknown: tuple[Draft, ...] = ()
    """Drafts for unknown users."""
    erased: tuple[Draft, ...] = ()
    """Drafts for users who were erased: to be dropped, because a dead letter would keep their text."""


@dataclass(frozen=True, slots=True)
class Retracted:
    """The outcome of taking a notification back."""

    marked: Marked | None = None
    """The change, which is empty if the notification was retracted before; None if the feed does not hold it.
    Then nothing with its id will be stored."""


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
