"""The states of a notification: what a mark sets, what counts as unread, and what each view shows.

These tables are the only definition. `Notification` follows them. The SQL of marks, pages, counts and
retention, the partial indexes, and the `set` of a frame are made from them.

A state is a time that a notification has or lacks: `read_at` is when it was read, None while it is unread.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, StrEnum, auto
from typing import Literal, TypeAlias

from domain.errors import FieldError, Invalid

Time: TypeAlias = Literal[
    "seen_at",
    "read_at",
    "archived_at",
    "acted_at",
    "snoozed_until",
    "woken_at",
    "retracted_at",
    "expires_at",
]
"""A time of a notification: the name of its field, of its column and of its field in JSON."""


class Mark(StrEnum):
    """A change of state that a user makes to a notification. RETRACTED is made by the service, and WOKEN by
    either.
    """

    SEEN = "seen"
    READ = "read"
    UNREAD = "unread"
    ARCHIVED = "archived"
    UNARCHIVED = "unarchived"
    ACTED = "acted"
    SNOOZED = "snoozed"
    WOKEN = "woken"
    RETRACTED = "retracted"


class Status(StrEnum):
    """A view of a feed."""

    UNREAD = "unread"
    READ = "read"
    ALL = "all"
    ARCHIVED = "archived"
    SNOOZED = "snoozed"


@dataclass(frozen=True, slots=True)
class Condition:
    """Holds for notifications that have all of some times and lack all of some others."""

    has: tuple[Time, ...] = ()
    lacks: tuple[Time, ...] = ()

    def holds(self, notification: object) -> bool:
        """Whether it holds for this notification."""
        return all(getattr(notification, time) is not None for time in self.has) and all(
            getattr(notification, time) is None for time in self.lacks
        )

    def __and__(self, other: "Condition") -> "Condition":
        """Holds where both hold."""
        return Condition(_union(self.has, other.has), _union(self.lacks, other.lacks))


def _union(one: tuple[Time, ...], other: tuple[Time, ...]) -> tuple[Time, ...]:
    return tuple(dict.fromkeys(one + other))


class To(Enum):
    """What a mark sets a time to."""

    NOW = auto()
    """The time when the mark is made. An earlier mark's time stays."""
    AGAIN = auto()
    """The time when the mark is made. It replaces an earlier mark's time."""
    GIVEN = auto()
    """A time given with the mark. It replaces an earlier mark's time."""
    NOTHING = auto()


VISIBLE = Condition(lacks=("retracted_at",))
"""Not retracted. A retracted notification is in no view, and no mark changes it."""

SHOWN = VISIBLE & Condition(lacks=("archived_at", "snoozed_until"))
"""In the list of all: neither put away nor put off."""

UNREAD = SHOWN & Condition(lacks=("read_at",))
"""What counts as unread."""

UNSEEN = UNREAD & Condition(lacks=("seen_at",))
"""What counts as unseen: unread, and the user has not had it before the eyes."""


SNOOZED = VISIBLE & Condition(has=("snoozed_until",), lacks=("archived_at",))
"""Put off, and not put away meanwhile."""

SNOOZE_AT_LEAST = timedelta(seconds=1)
SNOOZE_AT_MOST = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a mark does: it sets one time of a notification, unless it is already set that way."""

    sets: Time
    to: To
    also: tuple[Time, ...] = ()
    """Times that it sets to the same where they are missing: what they mean follows from the mark."""
    clears: tuple[Time, ...] = ()
    """Times that it takes away."""
    of: Condition = VISIBLE
    """The notifications that it is for."""
    names_action: bool = False
    """Whether it carries the id of the action that the user chose."""
    due: Time | None = None
    """The time of a notification at which the service itself makes the mark."""
    may_snooze: bool = False
    """Whether what it changes may be SNOOZED afterwards, and then needs an alarm."""

    @property
    def condition(self) -> Condition:
        """Which notifications it can change."""
        match self.to:
            case To.NOW:
                return self.of & Condition(lacks=(self.sets,))
            case To.NOTHING:
                return self.of & Condition(has=(self.sets,))
            case To.AGAIN | To.GIVEN:
                return self.of

    @property
    def waiting(self) -> Condition:
        """Which notifications the service will mark when their time comes."""
        return self.condition & Condition(has=(self.due,) if self.due else ())

    def time(self, now: datetime, given: datetime | None = None) -> datetime:
        """The time of the mark: `given` if it takes one, else `now`. Raises Invalid, also if what is given is
        too soon or too far away.
        """
        if (self.to is To.GIVEN) != (given is not None):
            rule = "is required" if given is None else "is not allowed for this mark"
            raise Invalid([FieldError("until", rule)])
        if given is None:
            return now
        if not SNOOZE_AT_LEAST <= given - now <= SNOOZE_AT_MOST:
            raise Invalid([FieldError("until", "must be between 1 second and 90 days from now")])
        return given.astimezone(UTC)

    def value(self, at: datetime) -> datetime | None:
        """The value that a mark with this time sets."""
        return None if self.to is To.NOTHING else at

    def changes(self, notification: object, at: datetime) -> bool:
        """Whether a mark with this time changes the notification."""
        return self.condition.holds(notification) and (
            self.to is not To.GIVEN or getattr(notification, self.sets) != at
        )

    def changed(self, notification: object, at: datetime) -> dict[Time, datetime | None]:
        """The times of a notification that a mark with this time sets, and their values."""
        missing = [time for time in self.also if getattr(notification, time) is None]
        return {**dict.fromkeys(self.clears), **dict.fromkeys(missing, at), self.sets: self.value(at)}


VIEWS: Mapping[Status, Condition] = {
    Status.UNREAD: UNREAD,
    Status.READ: SHOWN & Condition(has=("read_at",)),
    Status.ALL: SHOWN,
    Status.ARCHIVED: VISIBLE & Condition(has=("archived_at",)),
    Status.SNOOZED: SNOOZED,
}

RULES: Mapping[Mark, Rule] = {
    Mark.SEEN: Rule("seen_at", To.NOW, of=UNREAD),
    Mark.READ: Rule("read_at", To.NOW, also=("seen_at",)),
    Mark.UNREAD: Rule("read_at", To.NOTHING),
    Mark.ARCHIVED: Rule("archived_at", To.NOW, also=("seen_at",)),
    Mark.UNARCHIVED: Rule("archived_at", To.NOTHING, may_snooze=True),
    Mark.ACTED: Rule("acted_at", To.NOW, also=("read_at", "seen_at"), names_action=True),
    Mark.SNOOZED: Rule(
        "snoozed_until", To.GIVEN, of=VISIBLE & Condition(lacks=("archived_at",)), may_snooze=True
    ),
    Mark.WOKEN: Rule(
        "woken_at",
        To.AGAIN,
        clears=("snoozed_until", "read_at", "seen_at"),
        of=SNOOZED,
    ),
    Mark.RETRACTED: Rule("retracted_at", To.NOW, due="expires_at"),
}

STATES: tuple[Time, ...] = tuple(dict.fromkeys(rule.sets for rule in RULES.values()))
"""The times that marks set."""
