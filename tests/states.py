"""What each mark does and where it puts a notification, said a second time.

The table in domain/states.py is what production runs on, so it cannot be its own witness. A mark that has no
line here fails the contracts of the feeds, of retention, of the index and of the frames.
"""

from datetime import datetime
from typing import Any, NamedTuple

from domain.notification import Notification
from domain.states import RULES, Mark, Status, To
from tests.build import LATER


class Effect(NamedTuple):
    """What a mark does to a notification to which only `first` was done."""

    field: str
    """The time that it sets, in a notification and in a frame's `set`."""
    is_set: bool
    """Whether that time is there afterwards."""
    views: frozenset[Status]
    """Which views show it afterwards. It counts as unread if one of them is `unread`."""
    also: frozenset[str] = frozenset()
    """The times that it also sets where they are missing."""
    clears: frozenset[str] = frozenset()
    """The times that are gone afterwards."""
    unseen: bool = False
    """Whether it counts as unseen afterwards."""
    first: tuple[Mark, ...] = ()
    """The marks to make first, so that this one changes something."""

    @property
    def unread(self) -> bool:
        return Status.UNREAD in self.views

    def times(self, before: Notification, at: datetime) -> dict[str, Any]:
        """What it sets in a notification that it changes."""
        also = {time: getattr(before, time) or at for time in self.also}
        return {self.field: at if self.is_set else None, **also, **dict.fromkeys(self.clears)}


NEW = frozenset({Status.UNREAD, Status.ALL})
SEEN = frozenset({"seen_at"})
MARKED = {
    Mark.SEEN: Effect("seen_at", True, NEW),
    Mark.READ: Effect("read_at", True, frozenset({Status.READ, Status.ALL}), SEEN),
    Mark.UNREAD: Effect("read_at", False, NEW, first=(Mark.READ,)),
    Mark.ARCHIVED: Effect("archived_at", True, frozenset({Status.ARCHIVED}), SEEN),
    Mark.UNARCHIVED: Effect("archived_at", False, NEW, first=(Mark.ARCHIVED,)),
    Mark.ACTED: Effect("acted_at", True, frozenset({Status.READ, Status.ALL}), SEEN | {"read_at"}),
    Mark.SNOOZED: Effect("snoozed_until", True, frozenset({Status.SNOOZED})),
    Mark.WOKEN: Effect(
        "woken_at",
        True,
        NEW,
        clears=frozenset({"snoozed_until", "read_at", "seen_at"}),
        unseen=True,
        first=(Mark.READ, Mark.SNOOZED),
    ),
    Mark.RETRACTED: Effect("retracted_at", True, frozenset()),
}

COMMANDS = {
    "seen": Mark.SEEN,
    "read": Mark.READ,
    "unread": Mark.UNREAD,
    "archive": Mark.ARCHIVED,
    "unarchive": Mark.UNARCHIVED,
}
"""What users call the marks that they make of many, over HTTP and on a socket."""
USER_MARKS = tuple(COMMANDS.values())


def effect_of(mark: Mark) -> Effect:
    """What a mark does."""
    assert mark in MARKED, f"tests/states.py does not say what {mark!r} does"
    return MARKED[mark]


def time_of(mark: Mark) -> datetime | None:
    """A time for the marks that carry one."""
    return LATER if RULES[mark].to is To.GIVEN else None


def changeable(item: Notification, mark: Mark) -> Notification:
    """The notification in a state in which the mark changes it."""
    for other in effect_of(mark).first:
        item = item.marked(other, LATER, item.version)
    return item
