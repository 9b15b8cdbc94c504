"""What each mark does and where it puts a notification, said a second time.

The table in domain/states.py is what production runs on, so it cannot be its own witness. A mark that has no
line here fails the contracts of the feeds, of retention, of the index and of the frames.
"""

from datetime import datetime
from typing import NamedTuple

from domain.notification import Notification
from domain.states import RULES, Mark, Status, To
from tests.build import LATER


class Effect(NamedTuple):
    """What a mark does to a notification to which nothing else was done."""

    field: str
    """The time that it sets, in a notification and in a frame's `set`."""
    is_set: bool
    """Whether that time is there afterwards."""
    views: frozenset[Status]
    """Which views show it afterwards. It counts as unread if one of them is `unread`."""

    @property
    def unread(self) -> bool:
        return Status.UNREAD in self.views


NEW = frozenset({Status.UNREAD, Status.ALL})
MARKED = {
    Mark.READ: Effect("read_at", True, frozenset({Status.READ, Status.ALL})),
    Mark.UNREAD: Effect("read_at", False, NEW),
    Mark.ARCHIVED: Effect("archived_at", True, frozenset({Status.ARCHIVED})),
    Mark.UNARCHIVED: Effect("archived_at", False, NEW),
    Mark.RETRACTED: Effect("retracted_at", True, frozenset()),
}

COMMANDS = {
    "read": Mark.READ,
    "unread": Mark.UNREAD,
    "archive": Mark.ARCHIVED,
    "unarchive": Mark.UNARCHIVED,
}
"""What users call the marks that they make, over HTTP and on a socket."""
USER_MARKS = tuple(COMMANDS.values())


def effect_of(mark: Mark) -> Effect:
    """What a mark does."""
    assert mark in MARKED, f"tests/states.py does not say what {mark!r} does"
    return MARKED[mark]


def time_of(mark: Mark) -> datetime | None:
    """A time for the marks that carry one."""
    return LATER if RULES[mark].to is To.GIVEN else None


def undone(mark: Mark) -> list[Mark]:
    """The marks to make first, so that this one changes something."""
    field, is_set, _ = effect_of(mark)
    return [] if is_set else [other for other in Mark if effect_of(other)[:2] == (field, True)]


def changeable(item: Notification, mark: Mark) -> Notification:
    """The notification in a state in which the mark changes it."""
    for other in undone(mark):
        item = item.marked(other, LATER, item.version)
    return item
