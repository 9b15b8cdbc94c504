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
    """One change a feed that grew."""
    present: tuple[Settled, ...] = ()
    """Feeds of drafts that were stored before: nothing changed, but whoever follows may have missed it."""
    unknown: tuple[Draft, ...] = ()
    """Drafts for users that do not exist."""


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Part of a view of a feed, newest first, true for `feed.version`."""

    feed: Feed
    notifications: tuple[Notification, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a feed stands, and from where on it can be replayed."""

    feed: Feed
    horizon: int = 0
    """What changed up to this version may be gone: whoever stands below it has to reload."""


@dataclass(frozen=True, slots=True)
class FeedHistory:
    """What changed after a version: notifications as they are now, in version order, true for
    `feed.version`. Of what was asked for below the horizon some may be missing.
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
    """What a batch of pruning deleted."""

    feeds: Sequence[Feed]
    """The feeds that it changed, as they are now."""
    notifications: int
    last: Spot | None
    """The last one it looked at; None if there was none."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """What became of the partitions of months that are over."""

    dropped: Sequence[str]
    kept: Sequence[str]
    """Those that are in use, or hold something."""
