"""What passes through the queue now, for people who watch it."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from application.letters import DeadLetter, Position

Kind: TypeAlias = Literal["new", "edit", "retraction", "unreadable"]

_MOST_NAMES = 1_000
_OTHERS = "others"


@dataclass(frozen=True, slots=True, kw_only=True)
class Passing:
    """A record of the queue, without the texts in it. Nothing in it can be trusted."""

    position: Position
    at: datetime
    """When its producer sent it, by the producer's clock."""
    kind: Kind
    user: str
    """The user that the record seems to be for; empty if nothing says so."""
    event: str
    """Empty in a retraction, and in what is unreadable."""
    category: str
    source: str
    """`key:<id>` for the API key that sent it; what a CloudEvent names as its source; or `kafka`."""
    size: int
    """The bytes of its key and value."""
    error: str
    """Why it is unreadable, as the code of a dead letter; otherwise empty."""


Seen: TypeAlias = Passing | DeadLetter


@dataclass(slots=True)
class Passed:
    """Counts of what passed within some time, by event, category and source. Of each, the first 1,000 names
    are counted by themselves.
    """

    records: int = 0
    size: int = 0
    dead_letters: int = 0
    events: Counter[str] = field(default_factory=Counter)
    categories: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)

    def add(self, seen: Seen) -> None:
        """Count it."""
        if isinstance(seen, DeadLetter):
            self.dead_letters += 1
            return
        self.records += 1
        self.size += seen.size
        _count(self.events, seen.event or seen.kind)
        _count(self.categories, seen.category or seen.kind)
        _count(self.sources, seen.source)


def _count(names: Counter[str], name: str) -> None:
    names[name if name in names or len(names) < _MOST_NAMES else _OTHERS] += 1
