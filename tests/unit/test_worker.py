"""The worker: what it may commit, and when; what it puts back, and what it stops at."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from adapters.kafka.codec import Undecodable
from adapters.kafka.holds import BadRecords, Holds
from adapters.kafka.inlet import Batch, Part
from adapters.kafka.watchdog import Watchdog
from adapters.kafka.worker import Failure, Worker
from application.delivery import StoreNotifications
from application.errors import Stuck, Unavailable
from application.ports import Appended
from domain.identifiers import UserId
from domain.notification import Draft
from tests.build import ADA, BOB, a_draft, a_user
from tests.memory import MemoryFeeds
from tests.wiring import Memory

P0, P1 = TopicPartition("t", 0), TopicPartition("t", 1)

Made = Draft | Undecodable


class Log:
    """A topic in memory, read as a member of a group reads it."""

    def __init__(self, **records: Sequence[Made]) -> None:
        self.records = {TopicPartition("t", int(name[1:])): list(made) for name, made in records.items()}
        self.position = dict.fromkeys(self.records, 0)
        self.paused: set[TopicPartition] = set()
        self.committed = dict.fromkeys(self.records, 0)
        self.commits: list[Mapping[TopicPartition, int]] = []
        self.batch_records = 1_000
        self.refusals = 0

    async def next_batch(self, _seconds: float, only: TopicPartition | None = None, shrunk: int = 0) -> Batch:
        await asyncio.sleep(0)
        batch = Batch()
        for partition, records in self.records.items():
            position = self.position[partition]
            made = records[position : position + max(1, self.batch_records >> shrunk)]
            if made and partition not in self.paused and only in (None, partition):
                entries = [(_record(partition, position + nth), one) for nth, one in enumerate(made)]
                batch.parts.append(Part(partition, entries))
                self.position[partition] += len(made)
        return batch

    def put_back(self, partition: TopicPartition, offset: int) -> None:
        self.position[partition] = offset
        self.paused.add(partition)

    def release(self, partition: TopicPartition) -> None:
        self.paused.discard(partition)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> bool:
        if self.refusals:
            self.refusals -= 1
            return False
        self.commits.append(dict(offsets))
        self.committed |= offsets
        return True


def _record(partition: TopicPartition, offset: int) -> Any:
    return SimpleNamespace(partition=partition.partition, offset=offset, timestamp=0)


class Letters:
    def __init__(self) -> None:
        self.away = False
        self.tried = asyncio.Event()
        self.held: list[Failure] = []

    async def put(self, letters: Iterable[Failure]) -> None:
        found = list(letters)
        if found:
            self.tried.set()
            if self.away:
                raise Unavailable("The dead-letter topic is out of reach.")
        self.held += found

    @property
    def offsets(self) -> list[int]:
        return [record.offset for record, _, _ in self.held]


class LockedFeeds(MemoryFeeds):
    """A store in which some feeds are locked, and which is too slow for many drafts."""

    locked: frozenset[UserId] = frozenset()
    most = 10_000

    async def append(self, drafts: Sequence[Draft]) -> Appended:
        if len(drafts) > self.most or any(draft.content.user_id in self.locked for draft in drafts):
            raise Unavailable("a lock was not given")
        return await super().append(drafts)


class Stage:
    def __init__(self, log: Log, *, limit: int = 50) -> None:
        self.memory = Memory()
        self.feeds = LockedFeeds(self.memory.users)
        self.log, self.letters = log, Letters()
        self.worker = Worker(
            log,  # type: ignore[arg-type]
            StoreNotifications(feeds=self.feeds, announcer=self.memory.announcer, clock=self.memory.clock),
            self.letters,  # type: ignore[arg-type]
            bad_records_limit=limit,
        )

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        running = asyncio.create_task(self.worker.run())
        try:
            yield
        finally:
            self.worker.stop()
            async with asyncio.timeout(5):
                await running

    async def version(self, user: UserId) -> int:
        return (await self.feeds.feed(user)).version


async def on_stage(log: Log, **options: Any) -> Stage:
    stage = Stage(log, **options)
    for user in (ADA, BOB):
        await stage.memory.users.add(a_user(user), None)
    return stage


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - in a moment
            await asyncio.sleep(0.001)


def poison() -> Undecodable:
    return Undecodable("malformed", "no JSON")


def good(count: int, user: UserId = ADA, first: int = 1) -> list[Made]:
    return [a_draft(first + nth, user) for nth in range(count)]


# --- what is put back ---


async def test_what_was_stored_is_committed() -> None:
    stage = await on_stage(Log(p0=good(3), p1=good(2, BOB)))

    async with stage.working():
        await until(lambda: stage.log.committed == {P0: 3, P1: 2})

    assert await stage.version(ADA) == 3


async def test_while_the_store_is_away_nothing_is_committed_and_then_everything() -> None:
    stage = await on_stage(Log(p0=good(3), p1=good(2, BOB)))
    stage.feeds.away = True

    async with stage.working():
        await until(lambda: stage.log.paused == {P0, P1})
        with pytest.raises(Unavailable, match=r"partition 0: .*partition 1: "):
            await stage.worker.check_partitions()
        assert stage.log.commits == []
        stage.feeds.away = False
        await until(lambda: stage.log.committed == {P0: 3, P1: 2})
        await stage.worker.check_partitions()

    assert (await stage.version(ADA), await stage.version(BOB)) == (3, 2)


async def test_a_partition_that_cannot_go_on_does_not_hold_up_the_others() -> None:
    log = Log(p0=good(3), p1=good(2, BOB))
    stage = await on_stage(log)
    stage.feeds.locked = frozenset({ADA})

    async with stage.working():
        await until(lambda: log.committed[P1] == 2)
        log.records[P1] += good(2, BOB, first=3)
        await until(lambda: log.committed[P1] == 4)
        assert log.committed[P0] == 0
        stage.feeds.locked = frozenset()
        await until(lambda: log.committed[P0] == 3)

    assert [item.version for item in (await stage.feeds.history(ADA, 0, 9)).notifications] == [1, 2, 3]


async def test_no_later_batch_commits_past_a_dead_letter_that_was_not_kept() -> None:
    log = Log(p0=[poison(), *good(3)])
    log.batch_records = 1
    stage = await on_stage(log)
    stage.letters.away = True

    async with stage.working():
        await stage.letters.tried.wait()
        await until(lambda: (stage.feeds._feeds.get(ADA) or SimpleNamespace(version=0)).version > 0)

    assert log.committed == {P0: 0}


async def test_a_dead_letter_that_was_not_kept_is_tried_again_and_then_passed() -> None:
    log = Log(p0=[*good(1), poison(), *good(2, first=2)], p1=good(2, BOB))
    stage = await on_stage(log)
    stage.letters.away = True

    async with stage.working():
        await until(lambda: log.committed[P1] == 2)
        assert log.committed[P0] == 0
        stage.letters.away = False
        await until(lambda: log.committed[P0] == 4)

    assert stage.letters.offsets == [1]
    assert await stage.version(ADA) == 3


async def test_a_batch_that_is_too_much_becomes_smaller_until_it_can_be_stored() -> None:
    log = Log(p0=good(40))
    log.batch_records = 40
    stage = await on_stage(log)
    stage.feeds.most = 12

    async with stage.working():
        await until(lambda: log.committed[P0] == 40)

    assert await stage.version(ADA) == 40


async def test_a_rebalance_forgets_what_was_put_back() -> None:
    log = Log(p0=good(3))
    stage = await on_stage(log)
    stage.feeds.away = True
    async with stage.working():
        await until(lambda: P0 in log.paused)
        stage.feeds.away = False
        await stage.worker.settle()
        log.paused.clear()
        log.position = dict(log.committed)
        await until(lambda: log.committed[P0] == 3)
        await stage.worker.check_partitions()


async def test_an_offset_that_was_not_taken_is_committed_again_though_nothing_new_arrives() -> None:
    log = Log(p0=good(3))
    log.refusals = 3
    stage = await on_stage(log)

    async with stage.working():
        await until(lambda: log.committed[P0] == 3)

    assert log.commits == [{P0: 3}]


# --- a flood of bad records ---


async def test_a_flood_of_bad_records_stops_its_partition_and_no_other() -> None:
    log = Log(p0=[*good(2), *(poison() for _ in range(200)), *good(1, first=3)], p1=good(2, BOB))
    stage = await on_stage(log)

    async with stage.working():
        await until(lambda: log.committed == {P0: 2 + 49, P1: 2})
        log.records[P1] += good(2, BOB, first=3)
        await until(lambda: log.committed[P1] == 4)
        with pytest.raises(Unavailable, match="partition 0: stopped at offset 51 by too many bad records"):
            await stage.worker.check_partitions()

    assert stage.letters.offsets == list(range(2, 51))


async def test_what_a_flood_stopped_goes_on_once_the_records_can_be_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("adapters.kafka.worker._STOPPED_SECONDS", 0.01)
    late = UserId("late")
    log = Log(p0=good(8, late))
    stage = await on_stage(log, limit=3)

    async with stage.working():
        await until(lambda: log.committed[P0] == 2)
        await stage.memory.users.add(a_user(late), None)
        await until(lambda: log.committed[P0] == 8)
        await stage.worker.check_partitions()

    assert stage.letters.offsets == [0, 1]
    assert await stage.version(late) == 6


async def test_without_a_limit_every_bad_record_becomes_a_dead_letter() -> None:
    log = Log(p0=[poison() for _ in range(200)])
    stage = await on_stage(log, limit=0)

    async with stage.working():
        await until(lambda: log.committed[P0] == 200)

    assert stage.letters.offsets == list(range(200))


@pytest.mark.parametrize(
    ("bad", "stops_at"),
    [
        ([True] * 49 + [False], None),
        ([True] * 50, 49),
        ([False] * 1_000 + [True] * 50, 1_049),
        (([True] + [False] * 9) * 1_000, None),
        (([True] + [False] * 19) * 1_000, None),
    ],
)
def test_a_flood_is_so_many_in_a_row(bad: list[bool], stops_at: int | None) -> None:
    assert BadRecords(50).flood(P0, bad) == stops_at


def test_a_flood_is_also_more_than_one_in_ten_for_long() -> None:
    position = BadRecords(50).flood(P0, ([True] + [False] * 4) * 1_000)

    assert position is not None
    assert position < 500


def test_a_flood_is_seen_across_batches_and_its_end_too() -> None:
    gauge = BadRecords(10)

    assert gauge.flood(P0, [True] * 9) is None
    assert gauge.flood(P1, [True] * 9) is None
    assert gauge.flood(P0, [True, False]) == 0
    assert gauge.flood(P0, [True]) == 0
    assert gauge.flood(P0, [False] * 9) is None
    assert gauge.flood(P0, [True]) is None


# --- when to try again ---


def test_a_partition_is_tried_later_each_time_up_to_a_limit() -> None:
    now = 0.0
    holds = Holds(lambda: now)
    waits = []
    for _ in range(12):
        holds.hold(P0, "away")
        began = now
        while holds.due() is None:
            now += 0.01
        waits.append(now - began)

    assert waits[0] <= 0.12
    assert all(wait <= 5.02 for wait in waits)
    assert waits[-1] > 2


def test_when_one_succeeds_what_failed_is_tried_at_once() -> None:
    holds = Holds(lambda: 0.0)
    for partition in (P0, P1):
        holds.hold(partition, "away")
    assert holds.due() is None

    holds.succeeded([P0])

    assert [holds.due(), holds.due(), holds.due()] == [P1, None, None]


def test_when_one_succeeds_what_was_stopped_stays_stopped() -> None:
    now = 0.0
    holds = Holds(lambda: now)
    holds.hold(P0, "flood", 15)
    holds.hold(P1, "away")
    now = 1.0
    assert holds.due() == P1

    holds.succeeded([P1])

    assert holds.due() is None
    assert holds.reasons == {P0: "flood"}


# --- the watchdog ---


class Watched:
    """A worker and its inlet, as the watchdog sees them."""

    def __init__(self) -> None:
        self.turns = self.assignments = 0
        self.held = self.under_way = self.rebalancing = self.unreachable = False
        self.records = 0

    async def waiting(self) -> int:
        if self.unreachable:
            raise Unavailable
        return self.records


class Dog:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.broker, self.watched = 0.0, True, Watched()
        monkeypatch.setattr("adapters.kafka.watchdog.monotonic", lambda: self.now)
        monkeypatch.setattr("adapters.kafka.watchdog.broker_answers", self._answers)
        self.dog = Watchdog(self.watched, self.watched, "nowhere", patience_seconds=60)  # type: ignore[arg-type]

    async def _answers(self, bootstrap: str) -> bool:
        return self.broker

    async def looks(self, seconds: float, **state: Any) -> str:
        for name, value in state.items():
            setattr(self.watched, name, value)
        self.now += seconds
        return await self.dog.look()


@pytest.fixture
def dog(monkeypatch: pytest.MonkeyPatch) -> Dog:
    return Dog(monkeypatch)


async def test_no_records_is_not_a_broker_that_is_away(dog: Dog) -> None:
    assert await dog.looks(1_000) == "idle"
    dog.broker = False
    assert await dog.looks(1_000, unreachable=True) == "broker_away"
    assert await dog.looks(1_000) == "broker_away"
    assert await dog.looks(1_000, unreachable=False) == "idle"


async def test_waiting_for_a_server_is_not_being_stuck(dog: Dog) -> None:
    assert await dog.looks(1_000, held=True) == "held"
    assert await dog.looks(1_000) == "held"


@pytest.mark.parametrize(
    "state", [{"records": 7}, {"under_way": True}, {"rebalancing": True}, {"unreachable": True}]
)
async def test_standing_still_with_work_and_everything_in_reach_is(dog: Dog, state: dict[str, Any]) -> None:
    assert await dog.looks(1, **state) == "behind"
    assert await dog.looks(58) == "behind"
    with pytest.raises(Stuck):
        await dog.looks(2)


async def test_whoever_gets_on_is_not_stuck(dog: Dog) -> None:
    for turn in range(1, 5):
        assert await dog.looks(50, records=7) == "behind"
        assert await dog.looks(5, turns=turn) == "reading"
    for assignment in range(1, 5):
        assert await dog.looks(50, rebalancing=True) == "behind"
        assert await dog.looks(5, assignments=assignment) == "reading"
