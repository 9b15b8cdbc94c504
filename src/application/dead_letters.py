"""Dead letters: selects some, and replays their records once the cause is gone."""

from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from application.letters import DeadLetter, Position, Progress
from application.ports import DeadLetterBox, Monotonic


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which letters to select. A field that is not given restricts nothing."""

    errors: frozenset[str] = frozenset()
    """Error codes and error classes."""
    since: datetime | None = None
    until: datetime | None = None
    """Exclusive."""
    partition: int | None = None
    positions: frozenset[Position] = frozenset()
    limit: int | None = None
    """At most this many, in the order of partition and offset."""

    def takes(self, letter: DeadLetter) -> bool:
        """Whether the letter is selected, apart from the limit."""
        return (
            (not self.errors or letter.code in self.errors or letter.error_class in self.errors)
            and (self.since is None or self.since <= letter.at)
            and (self.until is None or letter.at < self.until)
            and (self.partition is None or self.partition == letter.position.partition)
            and (not self.positions or letter.position in self.positions)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ListDeadLetters:
    """The letters of a selection, by partition and offset."""

    box: DeadLetterBox

    async def __call__(self, selection: Selection, progress: Progress) -> AsyncGenerator[DeadLetter, None]:
        partitions = None if selection.partition is None else {selection.partition}
        found = 0
        async with aclosing(self.box.read(progress, partitions)) as letters:
            async for letter in letters:
                if selection.takes(letter):
                    found += 1
                    yield letter
                if found == selection.limit:
                    return


UNREADABLE = "unreadable"
"""The error code of a record batch that could not be unpacked and is one letter as a whole."""


class Skip(StrEnum):
    """Why a letter is not replayed."""

    SUPERSEDED = "a later letter holds the same record"
    EXHAUSTED = "it has failed too often"
    EMPTY = "it has no value, so there is nothing to store"
    UNREADABLE = "it is a record batch that could not be unpacked, not a record"
    FOREIGN = "it is not known to come from the topic that is replayed to"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with each letter of a selection: None means replay it."""

    steps: Mapping[Position, Skip | None] = field(default_factory=dict)

    @property
    def replayed(self) -> frozenset[Position]:
        """The letters to replay."""
        return frozenset(position for position, skip in self.steps.items() if skip is None)

    @property
    def skipped(self) -> Counter[Skip]:
        """How many are not replayed, by reason."""
        return Counter(skip for skip in self.steps.values() if skip is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayDeadLetters:
    """Write the records of dead letters to the queue again.

    A record may have several letters: a consumer that dies before its commit writes one twice, and a replayed
    record that fails again has one more. Only the last of them counts. Replaying a record that is already
    stored changes nothing, because it has the same id.
    """

    box: DeadLetterBox

    async def plan(self, selection: Selection, max_attempts: int, progress: Progress) -> Plan:
        """Read all letters and decide what to do with those of the selection."""
        last: dict[tuple[str, int, int], tuple[int, datetime, Position]] = {}
        chosen: list[tuple[Position, tuple[str, int, int] | None, Skip | None]] = []
        async for letter in self.box.read(progress):
            if letter.record is not None:
                rank = (letter.attempt, letter.at, letter.position)
                last[letter.record] = max(rank, last.get(letter.record, rank))
            if selection.takes(letter):
                chosen.append((letter.position, letter.record, self._obstacle(letter, max_attempts)))
        steps: dict[Position, Skip | None] = {}
        replayed = 0
        for position, record, obstacle in chosen:
            if replayed == selection.limit:
                break
            superseded = record is not None and last[record][2] != position
            steps[position] = Skip.SUPERSEDED if superseded else obstacle
            replayed += steps[position] is None
        return Plan(steps)

    async def __call__(self, plan: Plan) -> AsyncGenerator[DeadLetter, None]:
        """Replay, and yield each letter once its record is durable. Closing the generator stops the
        replay.
        """
        left = set(plan.replayed)
        partitions = {position.partition for position in left}
        async with aclosing(self.box.read(_no_progress, partitions)) as letters:
            while left and (letter := await anext(letters, None)) is not None:
                if letter.position in left:
                    left.remove(letter.position)
                    await self.box.replay(letter)
                    yield letter

    def _obstacle(self, letter: DeadLetter, max_attempts: int) -> Skip | None:
        if letter.record is None or letter.record[0] != self.box.replays_to:
            return Skip.FOREIGN
        if letter.code == UNREADABLE:
            return Skip.UNREADABLE
        if letter.value is None:
            return Skip.EMPTY
        return Skip.EXHAUSTED if letter.attempt > max_attempts else None


def _no_progress(_done: int, _total: int) -> None:
    """The second reading reports no progress: callers count the replayed letters instead."""


class Pace:
    """A schedule of `per_second` steps. A delay is not followed by a burst."""

    def __init__(self, per_second: float, clock: Monotonic) -> None:
        self._interval = 1 / per_second
        self._clock = clock
        self._due = clock()

    def pause(self) -> float:
        """Seconds to wait before the next step."""
        now = self._clock()
        self._due = max(self._due + self._interval, now)
        return self._due - now
