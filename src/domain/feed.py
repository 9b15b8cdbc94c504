"""A feed: a user's notifications under one version that grows by one with every change.

The version orders a user's changes without clocks. A change says which version it follows, so whoever
holds that version may apply it, and whoever does not knows that something is missing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from domain.errors import FieldError, Invalid
from domain.identifiers import NotificationId, UserId
from domain.notification import Notification
from domain.states import RULES, Mark, Time

_CURSOR = re.compile(r"([0-9a-z]{1,16})\.(0|[1-9][0-9]{0,17})")


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in a feed. The epoch tells one life of the feed from another (a restored database)."""

    epoch: str
    version: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.version}"

    @classmethod
    def parse(cls, text: str, field: str = "cursor") -> "Cursor":
        """Read a cursor that a client hands back. Raises Invalid."""
        match = _CURSOR.fullmatch(text)
        if match is None:
            raise Invalid([FieldError(field, "is not a cursor that this service gave out")])
        return cls(match[1], int(match[2]))


@dataclass(frozen=True, slots=True)
class Feed:
    """Where a user's feed stands: the unread count is true for exactly this version."""

    user_id: UserId
    epoch: str
    version: int
    unread_count: int

    @property
    def cursor(self) -> Cursor:
        """The position to resume from."""
        return Cursor(self.epoch, self.version)


@dataclass(frozen=True, slots=True)
class Added:
    """New notifications, in version order; the last one carries the feed's version."""

    feed: Feed
    notifications: tuple[Notification, ...]

    @property
    def prev(self) -> int:
        """The version that this change follows."""
        return self.feed.version - len(self.notifications)


@dataclass(frozen=True, slots=True)
class Marked:
    """Some notifications were marked: named ones, in version order, or all up to a version.

    `notifications` holds them as they are now. It is None when the change was by `up_to`: they may
    be too many to name. `at` is the time of the mark, not always the one it was made at.
    """

    feed: Feed
    prev: int
    mark: Mark
    at: datetime
    notifications: tuple[Notification, ...] | None
    up_to: int | None = None

    @property
    def changed(self) -> int:
        """How many notifications it changed."""
        return self.feed.version - self.prev

    @property
    def set(self) -> Mapping[Time, datetime | None]:
        """What it set in each of them."""
        rule = RULES[self.mark]
        return {rule.sets: rule.value(self.at)}

    @property
    def ids(self) -> tuple[NotificationId, ...]:
        """Which notifications it changed; empty when the change was by `up_to`."""
        return tuple(item.id for item in self.notifications or ())


@dataclass(frozen=True, slots=True)
class Settled:
    """No change: only the word that the feed is at least at this version. Who is behind catches up."""

    feed: Feed


FeedChange: TypeAlias = Added | Marked | Settled
