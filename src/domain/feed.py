"""A feed: a user's notifications under one version, which every change increments by one.

The version orders a user's changes without clocks. A change names the version that it follows: a client at
that version can apply it, and a client at an older one knows that something is missing.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeAlias

from domain.errors import FieldError, Invalid
from domain.identifiers import NotificationId, UserId
from domain.notification import Notification
from domain.states import RULES, Mark, Time
from domain.value import value

MARK_LIMIT = 100
"""How many notifications a mark lists at most."""

_CURSOR = re.compile(r"([0-9a-z]{1,16})\.(0|[1-9][0-9]{0,17})")


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in a feed. The epoch identifies one life of the feed: a restored database gets new ones."""

    epoch: str
    version: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.version}"

    @classmethod
    def parse(cls, text: str, field: str = "cursor") -> "Cursor":
        """Read a cursor that a client hands back. Raises Invalid."""
        match = _CURSOR.fullmatch(text)
        if match is None:
            raise Invalid([FieldError(field, "is not a cursor of this service")])
        return cls(match[1], int(match[2]))


Change: TypeAlias = tuple[Notification | None, Notification | None]
"""A notification before and after a change; None where there was none, or is none any more."""


@value()
class Feed:
    """A user's feed at one version, and the exact counts at that version."""

    user_id: UserId
    epoch: str
    version: int
    unread_count: int
    unseen_count: int = 0
    unread_in: Mapping[str, int] = field(default_factory=dict, hash=False)
    """The unread count of each category that has any."""
    preferences_version: int = 0
    """The version with which the user's preferences changed last."""

    @property
    def cursor(self) -> Cursor:
        """The position to resume from."""
        return Cursor(self.epoch, self.version)

    def grown(self, new: Sequence[Notification]) -> "Feed":
        """The feed after these, which are new, took its next versions: as `changed`, but quick."""
        unread_in = dict(self.unread_in)
        for item in new:
            unread_in[item.category] = unread_in.get(item.category, 0) + 1
        size = len(new)
        return Feed(
            self.user_id,
            self.epoch,
            self.version + size,
            self.unread_count + size,
            self.unseen_count + size,
            unread_in,
            self.preferences_version,
        )

    def changed(self, version: int, changes: Iterable[Change]) -> "Feed":
        """The feed at a later version, after these changes of notifications."""
        unread, unseen = Counter(self.unread_in), self.unseen_count
        for before, after in changes:
            for item, weight in ((before, -1), (after, 1)):
                if item is not None and item.unread:
                    unread[item.category] += weight
                    unseen += weight * item.unseen
        return replace(
            self,
            version=version,
            unread_count=unread.total(),
            unseen_count=unseen,
            unread_in={category: count for category, count in sorted(unread.items()) if count},
        )


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
class Edited:
    """Producers changed notifications, which are here as they are now, in version order."""

    feed: Feed
    prev: int
    notifications: tuple[Notification, ...]


@dataclass(frozen=True, slots=True)
class Marked:
    """Notifications were marked: by id, in version order, or all up to a version.

    `notifications` holds them as they are now. It is None if a mark by `up_to` changed more than MARK_LIMIT.
    `at` is the time of the mark, which may differ from the time when it was made.
    """

    feed: Feed
    prev: int
    mark: Mark
    at: datetime
    notifications: tuple[Notification, ...] | None
    up_to: int | None = None
    category: str | None = None
    """If it is given, a mark by `up_to` was of this category only."""
    action: str | None = None
    """The id of the action that the user chose."""

    @property
    def changed(self) -> int:
        """How many notifications it changed."""
        return self.feed.version - self.prev

    @property
    def set(self) -> Mapping[Time, datetime | None]:
        """The field that the mark is about, and its new value. What follows from it is in the table of
        rules, and a client knows that as well.
        """
        rule = RULES[self.mark]
        return {rule.sets: rule.value(self.at)}

    @property
    def ids(self) -> tuple[NotificationId, ...]:
        """The notifications that it changed; empty if they are too many."""
        return tuple(item.id for item in self.notifications or ())


@dataclass(frozen=True, slots=True)
class Settled:
    """A bare position: the feed is at least at this version, and streams behind it catch up."""

    feed: Feed


@dataclass(frozen=True, slots=True)
class Chosen:
    """The user chose which categories to be shown: the feed takes a version, and no notification does."""

    feed: Feed
    prev: int
    choices: Mapping[str, bool | None] = field(hash=False)
    """What was chosen for each category that was named; None for its default."""

    @property
    def changed(self) -> bool:
        """Whether anything was chosen otherwise than before."""
        return self.feed.version != self.prev


FeedChange: TypeAlias = Added | Edited | Marked | Chosen | Settled
