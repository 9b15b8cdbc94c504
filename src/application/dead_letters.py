"""Dead letters: choosing some, and sending their records back once the cause is gone."""

from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from application.letters import DeadLetter, Position, Progress
from application.ports import DeadLetterBox, Monotonic


def printable(text: str) -> str:
    """Text that may come from anybody, with everything escaped that a terminal or a log would act on."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which letters are meant. What is not given restricts nothing."""

    errors: frozenset[str] = frozenset()
    """Codes and classes of errors."""
    since: datetime | None = None
    until: datetime | None = None
    """This moment itself is outside."""
    partition: int | None = None
    positions: frozenset[Position] = frozenset()
    limit: int | None = None
    """Only the first so many, by partition and offset."""

    def takes(self, letter: DeadLetter) -> bool:
        """Whether the letter is meant; the limit aside."""
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
"""The code of a batch of records that could not be unpacked and was given up as a whole."""


class Skip(StrEnum):
    """Why a letter is not replayed."""

    SUPERSEDED = "a later letter is of the same record"
    EXHAUSTED = "it was tried too often"
    EMPTY = "it has no value, so there is nothing to store"
    UNREADABLE = "it is a batch that nobody could unpack, not a record"
    FOREIGN = "it does not say that it comes from the topic that is replayed to"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a replay would do with each letter of a selection: None is replay it."""

    steps: Mapping[Position, Skip | None] = field(default_factory=dict)

    @property
    def replayed(self) -> frozenset[Position]:
        """The letters to replay."""
        return frozenset(position for position, skip in self.steps.items() if skip is None)

    @property
    def skipped(self) -> Counter[Skip]:
        """How many are not replayed, by why."""
        return Counter(skip for skip in self.steps.values() if skip is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayDeadLetters:
    """Send the records of dead letters back to their topic.

    A record may have several letters: a consumer that died before its commit wrote one twice, and a replayed
    record that failed again has one more. Only the last of them counts. Replaying a record that was stored
    meanwhile changes nothing, because it has the same id.
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
        """Replay; yields each letter when its record is durable. Whoever stops asking stops it."""
        left = set(plan.replayed)
        partitions = {position.partition for position in left}
        async with aclosing(self.box.read(_untold, partitions)) as letters:
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


def _untold(_done: int, _total: int) -> None:
    """Progress of the second reading: what counts by then is what was replayed."""


class Pace:
    """A schedule of so many a second. What came late is not made up for by a burst."""

    def __init__(self, per_second: float, clock: Monotonic) -> None:
        self._interval = 1 / per_second
        self._clock = clock
        self._due = clock()

    def pause(self) -> float:
        """Seconds to wait before the next."""
        now = self._clock()
        self._due = max(self._due + self._interval, now)
        return self._due - now
