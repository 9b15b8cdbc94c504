"""Evidence: what a run left behind, and how a check turns it into a verdict."""

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from workbench.soak.follower import Follower
from workbench.soak.history import History
from workbench.soak.stores import Feed, Record, Row, Withheld
from workbench.soak.watch import Busy, Poll, Sample, busy_seconds

EXAMPLES = 10
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


class Outcome(enum.StrEnum):
    HELD = "held"
    VIOLATED = "violated"
    UNCHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one check."""

    invariant: str
    promise: str
    outcome: Outcome
    figures: Mapping[str, Any] = field(default_factory=dict)
    examples: Sequence[str] = ()
    """What is wrong, the first few cases; or why it was not checked."""


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault as it happened. Times are the history's; None means never."""

    name: str
    begun: float
    ended: float
    ready_after: float | None
    """Seconds from its end until every process reported that it was ready ..."""
    delivered_after: float | None
    """... and until new notifications reached their sockets."""


@dataclass
class Evidence:
    """What a run left behind."""

    history: History = field(default_factory=History)
    ended_at: datetime = _LONG_AGO
    """When the stores were read."""
    rows: Sequence[Row] = ()
    withheld: Sequence[Withheld] = ()
    feeds: Sequence[Feed] = ()
    broken_feeds: Sequence[str] = ()
    miscounted_feeds: Sequence[str] = ()
    versions: Mapping[str, int] = field(default_factory=dict)
    disagreements: Sequence[str] = ()
    indexed: int = 0
    dead_letters: Sequence[Record] | None = None
    """None if they could not be read."""
    followers: Sequence[Follower] = ()
    redis_forgot: Sequence[float] = ()
    suspects: Sequence[Record] = ()
    left: Sequence[Record] | None = None
    """Records that are not committed in the end; None if they could not be read."""
    checked: Mapping[int, int] = field(default_factory=dict)
    samples: Sequence[Sample] = ()
    gauges_before: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Of each role, idle before the load ..."""
    gauges_after: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """... and of each process, idle after it."""
    idle_descriptors: Mapping[str, int] = field(default_factory=dict)
    polls: Sequence[Poll] = ()
    injected: Sequence[Injected] = ()
    busy: Sequence[Busy] = ()
    """When the machine was too busy for what ran on it. Limits of time do not count it."""

    def counted(self, begun: float, ended: float) -> float:
        """The seconds between two moments, without those in which the machine was too busy."""
        return ended - begun - busy_seconds(self.busy, begun, ended)


Check = Callable[[Evidence], Verdict]
CHECKS: list[Check] = []


def checks(invariant: str, promise: str) -> Callable[[Callable[[Evidence, "Notes"], None]], Check]:
    """Make a check from a function that notes what is wrong."""

    def decorate(look: Callable[[Evidence, "Notes"], None]) -> Check:
        def check(evidence: Evidence) -> Verdict:
            notes = Notes()
            look(evidence, notes)
            outcome = Outcome.VIOLATED if notes.wrong else Outcome.HELD
            if notes.unchecked and not notes.wrong:
                outcome = Outcome.UNCHECKED
            shown = [*notes.wrong, *([notes.unchecked] if notes.unchecked else [])][:EXAMPLES]
            figures = {**notes.figures, **({"violations": len(notes.wrong)} if notes.wrong else {})}
            return Verdict(invariant, promise, outcome, figures, shown)

        check.__name__, check.__doc__ = look.__name__, look.__doc__
        CHECKS.append(check)
        return check

    return decorate


class Notes:
    """What a check found."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.figures: dict[str, Any] = {}
        self.unchecked = ""
