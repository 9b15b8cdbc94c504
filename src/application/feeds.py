"""What is known of a feed at one moment."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from domain.feed import Added, Feed, Settled
from domain.identifiers import NotificationId, UserId
from domain.notification import Draft, Notification


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of a batch of drafts."""

    added: tuple[Added, ...] = ()
    """One change for each feed that grew."""
    present: tuple[Settled, ...] = ()
    """Feeds of drafts that were stored before: nothing changed, but followers may have missed it."""
    unknown: tuple[Draft, ...] = ()
    """Drafts for unknown users."""


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Part of a view, newest first, true for `feed.version`."""

    feed: Feed
    notifications: tuple[Notification, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a feed stands, and from which version on it can be replayed."""

    feed: Feed
    horizon: int = 0
    """Changes up to this version may be gone: a client below it must reload."""


@dataclass(frozen=True, slots=True)
class FeedHistory:
    """The changes after a version: notifications as they are now, in version order, true for
    `feed.version`. Below the horizon some may be missing.
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
    """The last notification it looked at; None if there was none."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """What became of the partitions of earlier months."""

    dropped: Sequence[str]
    kept: Sequence[str]
    """Those that are in use or not empty."""
