"""The worker: what it may commit, and when; what it puts back, and what it stops at."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from itertools import count
from random import uniform
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.kafka.records import Unreadable
from application.delivery import StoreNotifications
from application.errors import Stuck, Unavailable
from application.feeds import Appended
from application.records import Batch, Blame, Entry, Failure, NotRead, Part, Partition, Undecodable
from domain.arrivals import Arrival
from domain.feed import FeedChange
from domain.identifiers import NotificationId, UserId
from domain.notification import BEFORE_ALL, Draft
from entrypoints.consumer.floods import LOOK_AGAIN_SECONDS, Floods
from entrypoints.consumer.holds import RETRY_SECONDS, Holds
from entrypoints.consumer.partitions import Partitions
from entrypoints.consumer.watchdog import Watchdog
from entrypoints.consumer.worker import Worker
from tests.build import ADA, BOB, a_draft, a_user
from tests.memory import MemoryFeeds
from tests.wiring import Memory

P0, P1 = Partition("t", 0), Partition("t", 1)

Made = Draft | Undecodable


class Log:
    """A topic in memory, read as a member of a group reads it."""

    def __init__(self, **records: Sequence[Made]) -> None:
        self.records = {Partition("t", int(name[1:])): list(made) for name, made in records.items()}
        self.position = dict.fromkeys(self.records, 0)
        self.paused: set[Partition] = set()
        self.committed = dict.fromkeys(self.records, 0)
        self.commits: list[Mapping[Partition, int]] = []
        self.batch_records = 1_000
        self.refusals = 0
        self.damaged: dict[Partition, int] = {}
        """From which offset on nothing can be unpacked."""
        self.odd: set[Partition] = set()
        self.alone: list[Partition] = []
        """What was read alone."""
        self.on_commit: Callable[[Mapping[Partition, int]], None] = lambda _offsets: None
        self.commit_gate = asyncio.Event()
        """Closed while the queue does not answer to commits."""
        self.commit_gate.set()
        self.begin = dict.fromkeys(self.records, 0)
        """What retention has deleted up to."""
        self.reads: Counter[tuple[Partition, int]] = Counter()

    async def next_batch(self, _seconds: float) -> Batch:
        """As aiokafka reads: what fails on the way has moved the positions of what was looked at before."""
        await asyncio.sleep(0)
        reading = [partition for partition in self.records if partition not in self.paused]
        before = dict(self.position)
        try:
            parts = [self._part(partition, self.batch_records) for partition in reading]
        except Unavailable as error:
            self.position = before
            self.paused.update(reading)
            raise NotRead(reading, str(error)) from error
        return Batch([part for part in parts if part.entries])

    async def read_alone(self, partition: Partition, shrunk: int = 0) -> Batch:
        await asyncio.sleep(0)
        self.alone.append(partition)
        part = self._part(partition, max(1, self.batch_records >> shrunk))
        if not part.odd or not part.entries:
            self.paused.discard(partition)
        return Batch([part] if part.entries else [])

    def _part(self, partition: Partition, size: int) -> Part:
        position = max(self.position[partition], self.begin[partition])
        made = self.records[partition][position : position + size]
        damaged = self.damaged.get(partition, position + size)
        if damaged < position + size:
            if damaged == position or partition not in self.paused:
                raise Unreadable(damaged, damaged + 1, b"", "the batch is damaged")
            made = made[: damaged - position]
        self.position[partition] = position + len(made)
        self.reads.update((partition, position + nth) for nth in range(len(made)))
        entries: list[Entry] = [(_record(partition, position + nth), one) for nth, one in enumerate(made)]
        return Part(partition, position + len(made), entries, odd=partition in self.odd)

    def put_back(self, partition: Partition, offset: int) -> None:
        self.go_to(partition, offset)
        self.paused.add(partition)

    def go_to(self, partition: Partition, offset: int) -> None:
        self.position[partition] = offset

    async def commit(self, offsets: Mapping[Partition, int]) -> bool:
        await self.commit_gate.wait()
        if self.refusals:
            self.refusals -= 1
            return False
        self.commits.append(dict(offsets))
        if offsets:
            self.on_commit(offsets)
        self.committed |= offsets
        return True


def _record(partition: Partition, offset: int) -> Any:
    return SimpleNamespace(partition=partition.partition, offset=offset, timestamp=0)


class Letters:
    def __init__(self) -> None:
        self.away = False
        self.tried = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.held: list[Failure] = []

    async def put(self, letters: Iterable[Failure]) -> None:
        found = list(letters)
        await self.gate.wait()
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

    most = 10_000

    async def append(self, arrivals: Sequence[Arrival], now: datetime = BEFORE_ALL) -> Appended:
        if len(arrivals) > self.most or any(arrival.user_id in self.locked for arrival in arrivals):
            raise Unavailable("a lock was not given")
        return await super().append(arrivals, now)


class Stage:
    def __init__(
        self,
        log: Log,
        *,
        limit: int = 50,
        retry_seconds: float = RETRY_SECONDS,
        look_again_seconds: float = LOOK_AGAIN_SECONDS,
    ) -> None:
        self.memory = Memory()
        self.feeds = LockedFeeds(self.memory.users)
        self.log, self.letters = log, Letters()
        self.partitions = Partitions(
            log,  # type: ignore[arg-type]
            Holds(monotonic, uniform, retry_seconds),
            Floods(limit, monotonic, look_again_seconds),
        )
        self.worker = Worker(
            log,  # type: ignore[arg-type]
            StoreNotifications(feeds=self.feeds, announcer=self.memory.announcer, clock=self.memory.clock),
            self.letters,  # type: ignore[arg-type]
            self.partitions,
            self.memory.clock,
            charge_refused=self._charge,  # type: ignore[arg-type]
        )
        self.charged: Counter[str] = Counter()

    async def _charge(self, key_ids: Iterable[str]) -> None:
        self.charged.update(key_ids)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        running = asyncio.create_task(self.worker.run())
        try:
            yield
        finally:
            self.worker.stop()
            async with asyncio.timeout(30):
                await running

    async def version(self, user: UserId) -> int:
        return (await self.feeds.feed(user)).version


async def on_stage(log: Log, **options: Any) -> Stage:
    stage = Stage(log, **options)
    for user in (ADA, BOB):
        await stage.memory.users.add(a_user(user), None)
    return stage


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - in a moment
            await asyncio.sleep(0.001)


_number = count()


def poison(user: str | None = None, key: str | None = None, code: str = "malformed") -> Undecodable:
    """A bad record, of a user of its own if nothing else is said."""
    made = Undecodable(code, "no JSON")
    made.user = f"user {next(_number)}" if user is None else user
    made.key_id = key
    return made


async def stored_ids(stage: Stage, user: UserId = ADA) -> list[NotificationId]:
    return [item.id for item in (await stage.feeds.history(user, 0, 1_000)).notifications]


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
    stage.feeds.locked = {ADA}

    async with stage.working():
        await until(lambda: log.committed[P1] == 2)
        log.records[P1] += good(2, BOB, first=3)
        await until(lambda: log.committed[P1] == 4)
        assert log.committed[P0] == 0
        stage.feeds.locked = set()
        await until(lambda: log.committed[P0] == 3)

    assert [item.version for item in (await stage.feeds.history(ADA, 0, 9)).notifications] == [1, 2, 3]


async def test_no_later_batch_commits_past_a_dead_letter_that_was_not_kept() -> None:
    log = Log(p0=[poison(), *good(3)])
    log.batch_records = 1
    stage = await on_stage(log)
    stage.letters.away = True

    async with stage.working():
        await until(stage.letters.tried.is_set)
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


# --- what no batch waits for ---


async def test_while_offsets_are_committed_later_batches_are_stored_and_announced() -> None:
    log = Log(p0=good(5))
    log.batch_records = 1
    log.commit_gate.clear()
    stage = await on_stage(log)

    async with stage.working():
        await until(lambda: len(stage.memory.announcer.announced) == stage.worker.turns == 5)
        assert log.committed[P0] == 0
        log.commit_gate.set()
        await until(lambda: log.committed[P0] == 5)

    assert log.commits == [{P0: 1}, {P0: 5}]


async def test_partitions_move_only_after_the_commit_that_is_under_way() -> None:
    log = Log(p0=good(2))
    log.batch_records = 1
    log.commit_gate.clear()
    stage = await on_stage(log)

    async with stage.working():
        await until(lambda: len(stage.memory.announcer.announced) == 2)
        settling = asyncio.create_task(stage.worker.settle())
        for _ in range(100):
            await asyncio.sleep(0)
        assert not settling.done()
        log.commit_gate.set()
        await settling
        assert log.committed[P0] == 2


async def test_the_worker_ends_only_after_the_last_commit() -> None:
    log = Log(p0=good(2))
    log.commit_gate.clear()
    stage = await on_stage(log)

    running = asyncio.create_task(stage.worker.run())
    await until(lambda: len(stage.memory.announcer.announced) == 1)
    stage.worker.stop()
    for _ in range(100):
        await asyncio.sleep(0)
    assert not running.done()
    log.commit_gate.set()
    await running

    assert log.committed[P0] == 2


async def test_a_batch_is_announced_although_the_one_before_it_still_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = Log(p0=good(1), p1=good(1, BOB))
    log.paused.add(P1)
    stage = await on_stage(log)
    begun: list[FeedChange] = []
    gate = asyncio.Event()

    async def announce(changes: Sequence[FeedChange]) -> None:
        begun.extend(changes)
        await gate.wait()

    monkeypatch.setattr(stage.memory.announcer, "announce", announce)

    async with stage.working():
        await until(lambda: len(begun) == 1)
        log.paused.clear()
        await until(lambda: len(begun) == 2)
        assert [change.feed.user_id for change in begun] == [ADA, BOB]
        assert log.commits == []
        gate.set()
        await until(lambda: log.committed == {P0: 1, P1: 1})


async def test_a_defect_in_a_commit_ends_the_worker() -> None:
    log = Log(p0=good(5))
    log.batch_records = 1

    def fail(_offsets: Mapping[Partition, int]) -> None:
        raise RuntimeError("a defect")

    log.on_commit = fail
    stage = await on_stage(log)

    with pytest.raises(RuntimeError, match="a defect"):
        async with asyncio.timeout(60):
            await stage.worker.run()


# --- what cannot be read ---


async def test_a_partition_that_cannot_be_unpacked_holds_up_no_other_and_says_so() -> None:
    log = Log(p0=good(5), p1=good(3, BOB))
    log.damaged[P0] = 2
    stage = await on_stage(log)

    async with stage.working():
        await until(lambda: log.committed == {P0: 2, P1: 3})
        log.records[P1] += good(2, BOB, first=4)
        await until(lambda: log.committed[P1] == 5)
        await until(lambda: stage.worker.held)
        with pytest.raises(Unavailable, match="partition 0: offsets 2 to 2 cannot be read: the batch is dam"):
            await stage.worker.check_partitions()
        log.damaged.clear()
        await until(lambda: log.committed[P0] == 5)
        await stage.worker.check_partitions()

    assert (await stage.version(ADA), await stage.version(BOB)) == (5, 5)


async def test_readiness_says_all_the_time_that_a_partition_stands_still_and_the_log_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = Log(p0=good(5))
    log.damaged[P0] = 0
    stage = await on_stage(log, retry_seconds=0.001)

    async with stage.working():
        await until(lambda: stage.worker.held)
        tries = len(log.alone)
        while len(log.alone) < tries + 5:
            await asyncio.sleep(0)
            assert stage.worker.held
    assert caplog.text.count("partition 0 was not read") == 1


async def test_what_only_one_reader_stumbles_over_is_read_alone_as_long_as_it_comes() -> None:
    log = Log(p0=good(5), p1=good(3, BOB))
    log.damaged[P0], log.odd = 2, {P0}
    stage = await on_stage(log)

    async with stage.working():
        await until(lambda: log.committed == {P0: 2, P1: 3})
        log.damaged.clear()
        log.batch_records = 1
        await until(lambda: log.committed[P0] == 5)
        await until(lambda: P0 not in log.paused)
        await stage.worker.check_partitions()

    assert log.alone.count(P0) >= 5  # all that is odd, and once more
    assert log.reads[P0, 4] == 1


# --- a flood of bad records ---


async def test_a_flood_with_nothing_good_behind_it_stops_its_partition_and_says_so() -> None:
    log = Log(p0=[poison() for _ in range(200)])
    stage = await on_stage(log)

    async with stage.working():
        await until(lambda: log.position[P0] == 200 and log.committed[P0] == 49)
        with pytest.raises(Unavailable, match="partition 0: stopped at offset 49 by too many bad records"):
            await stage.worker.check_partitions()
        assert stage.worker.held
        assert stage.letters.offsets == list(range(49))

    assert log.committed == {P0: 49}


async def test_what_is_good_behind_a_flood_is_stored_in_order_and_proves_that_it_is_a_producers() -> None:
    log = Log(p0=[*(poison() for _ in range(200)), *good(3), poison(), *good(3, first=4)])
    log.batch_records = 10
    stage = await on_stage(log)

    async with stage.working():
        await until(lambda: log.committed[P0] == 207)
        await stage.worker.check_partitions()

    assert [item.version for item in (await stage.feeds.history(ADA, 0, 9)).notifications] == list(
        range(1, 7)
    )
    assert await stored_ids(stage) == [one.id for one in good(6) if isinstance(one, Draft)]
    assert stage.letters.offsets == [*range(200), 203]


async def test_behind_a_flood_everything_is_stored_before_the_bad_ones_are_buried() -> None:
    log = Log(p0=[*(poison() for _ in range(200)), *good(3)])
    log.batch_records = 10
    stage = await on_stage(log)
    stage.letters.away = True

    async with stage.working():
        await until(stage.letters.tried.is_set)
        assert log.committed == {P0: 0}
        stage.letters.away = False
        await until(lambda: log.committed[P0] == 203)

    assert stage.letters.offsets == list(range(200))


async def test_what_is_stored_of_another_partition_proves_that_a_flood_is_a_producers() -> None:
    log = Log(p0=[poison() for _ in range(200)], p1=[])
    log.batch_records = 30
    stage = await on_stage(log)

    async with stage.working():
        await until(lambda: log.position[P0] == 200)
        assert log.committed[P0] == 49
        log.records[P1] += good(1, BOB)
        await until(lambda: log.committed == {P0: 200, P1: 1})
        await stage.worker.check_partitions()

    assert stage.letters.offsets == list(range(200))


async def test_while_others_are_stored_no_flood_stops_a_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(p0=[poison() for _ in range(200)], p1=good(200, BOB))
    log.batch_records = 10
    stage = await on_stage(log)
    stops: list[object] = []
    monkeypatch.setattr(stage.partitions.floods, "stop", lambda *stop: stops.append(stop))

    async with stage.working():
        await until(lambda: log.committed == {P0: 200, P1: 200})

    assert stops == []
    assert stage.letters.offsets == list(range(200))


async def test_with_everything_bad_every_partition_stops() -> None:
    """As when a release can read nothing: only so many become dead letters, however much there is."""
    log = Log(p0=[poison() for _ in range(2_000)], p1=[poison() for _ in range(2_000)])
    log.batch_records = 100
    stage = await on_stage(log)

    async with stage.working():
        await until(lambda: log.position == {P0: 2_000, P1: 2_000})
        await until(lambda: log.committed == {P0: 49, P1: 49})
        with pytest.raises(Unavailable, match=r"partition 0: stopped .*partition 1: stopped "):
            await stage.worker.check_partitions()

    assert stage.letters.offsets == [*range(49), *range(49)]


async def test_what_a_flood_stopped_goes_on_once_the_records_can_be_stored() -> None:
    late = [UserId(f"late{nth}") for nth in range(8)]
    log = Log(p0=[a_draft(1, user) for user in late])
    stage = await on_stage(log, limit=3, look_again_seconds=0.01)

    async with stage.working():
        await until(lambda: log.committed[P0] == 2)
        for user in late:
            await stage.memory.users.add(a_user(user), None)
        await until(lambda: log.committed[P0] == 8)
        await stage.worker.check_partitions()

    assert stage.letters.offsets == [0, 1]
    assert [await stage.version(user) for user in late] == [0, 0, *[1] * 6]


async def test_a_flood_is_read_once_and_only_where_it_stopped_looked_at_again() -> None:
    log = Log(p0=[poison() for _ in range(1_000)])
    log.batch_records = 10
    stage = await on_stage(log, look_again_seconds=0.01)

    async with stage.working():
        await until(lambda: log.reads[P0, 49] > 5)

    assert all(log.reads[P0, offset] <= 2 for offset in range(70, 1_000))
    assert stage.letters.offsets == list(range(49))


async def test_while_the_store_is_away_a_stopped_partition_loses_nothing() -> None:
    log = Log(p0=[*(poison() for _ in range(100)), *good(5)])
    log.batch_records = 10
    stage = await on_stage(log)
    stage.feeds.away = True

    async with stage.working():
        await until(lambda: P0 in log.paused)
        assert log.committed == {P0: 49}
        assert stage.partitions.floods.ahead == 0  # it will be read from its stop
        stage.feeds.away = False
        await until(lambda: log.committed[P0] == 105)

    assert stage.letters.offsets == list(range(100))
    assert await stage.version(ADA) == 5


async def test_what_was_put_back_behind_a_stop_is_read_ahead_and_takes_no_offset_along() -> None:
    """The store went away for what comes next just while the flood before it was dealt with."""
    log = Log(p0=[*(poison() for _ in range(60)), *good(5)])
    log.batch_records = 60
    stage = await on_stage(log)
    stage.feeds.away = True
    stage.letters.gate.clear()
    not_buried: list[int] = []
    log.on_commit = lambda offsets: not_buried.append(offsets[P0] - len(stage.letters.offsets))

    async with stage.working():
        await until(lambda: P0 in log.paused)
        stage.letters.gate.set()
        await until(lambda: log.committed[P0] == 49)
        stage.feeds.away = False
        await until(lambda: log.committed[P0] == 65)

    assert stage.letters.offsets == list(range(60))
    assert set(not_buried) <= {0, 5}  # of what an offset passed: nothing, or the good ones


async def test_what_retention_deleted_while_a_partition_stood_still_does_not_hold_it_up() -> None:
    log = Log(p0=[poison() for _ in range(100)])
    stage = await on_stage(log)

    async with stage.working():
        await until(lambda: log.committed[P0] == 49)
        log.begin[P0] = 120
        log.records[P0] += [*(poison() for _ in range(30)), *good(2)]
        await until(lambda: log.committed[P0] == 132)
        await stage.worker.check_partitions()

    assert await stage.version(ADA) == 2


async def test_a_rebalance_forgets_what_was_stopped_but_not_that_nothing_was_proven() -> None:
    log = Log(p0=[poison() for _ in range(100)])
    stage = await on_stage(log)

    async with stage.working():
        await until(lambda: log.committed[P0] == 49)
        await stage.worker.settle()
        await stage.worker.check_partitions()
        log.position = dict(log.committed)
        await until(lambda: stage.worker.held)

    assert log.committed == {P0: 49}
    assert stage.letters.offsets == list(range(49))


@pytest.mark.parametrize("how", ["its time had come", "it was put back"])
def test_what_is_read_from_its_stop_already_does_not_go_back_once_more(how: str) -> None:
    """It would be read, and buried, twice."""
    now = 0.0
    floods = Floods(10, lambda: now)
    floods.judge(P0, row(0, [True] * 20), proven=False)
    floods.stop(P0, 9, 20, "why")
    if how == "it was put back":
        floods.returned(P0)
    else:
        now = 15.0
        assert floods.due() == {P0: 9}

    floods.prove()

    assert floods.due() == {}


async def test_without_a_limit_every_bad_record_becomes_a_dead_letter() -> None:
    log = Log(p0=[poison() for _ in range(200)])
    stage = await on_stage(log, limit=0)

    async with stage.working():
        await until(lambda: log.committed[P0] == 200)

    assert stage.letters.offsets == list(range(200))


def row(first: int, bad: Iterable[bool]) -> Iterable[tuple[int, Blame | None]]:
    """Each of another sender."""
    return (
        (offset, Blame("malformed", None, f"user {offset}") if one else None)
        for offset, one in enumerate(bad, first)
    )


def blamed(blames: Iterable[Blame | None]) -> Iterable[tuple[int, Blame | None]]:
    return enumerate(blames)


@pytest.mark.parametrize(
    ("bad", "stops_at"),
    [
        ([True] * 49, None),
        ([True] * 50, 49),
        ([True] * 500, 49),
    ],
)
def test_a_flood_is_so_many_in_a_row(bad: list[bool], stops_at: int | None) -> None:
    assert Floods(50, monotonic).judge(P0, row(0, bad), proven=False) == stops_at


@pytest.mark.parametrize("keyed", [True, False])
@pytest.mark.parametrize(("senders", "stops_at"), [(1, None), (4, None), (5, 49), (50, 49)])
def test_only_what_fails_for_many_senders_is_the_release(
    keyed: bool, senders: int, stops_at: int | None
) -> None:
    floods = Floods(50, monotonic)
    floods.prove()
    blames = [
        Blame("23514", f"key{nth % senders}", f"user {nth}")
        if keyed
        else Blame("23514", None, f"user {nth % senders}")
        for nth in range(5_000)
    ]

    assert floods.judge(P0, blamed(blames), proven=False) == stops_at


def test_a_sender_of_many_bad_records_does_not_make_the_few_of_others_a_flood() -> None:
    floods = Floods(50, monotonic)
    hostile = [Blame("unknown-user", "hostile", "x")] * 1_000
    others = [Blame("unknown-user", f"key{nth}", "y") for nth in range(39)]

    assert floods.judge(P0, blamed([*hostile, *others]), proven=False) is None
    assert floods.judge(P0, enumerate([Blame("unknown-user", "last", "y")], 1_039), proven=False) == 1_039


def test_what_fails_in_many_ways_is_not_one_defect() -> None:
    blames = [Blame(f"{nth % 50:05}", None, f"user {nth}") for nth in range(3_000)]

    assert Floods(50, monotonic).judge(P0, blamed(blames), proven=False) == 49 * 50


@pytest.mark.parametrize(("stored", "stops_at"), [(False, 49), (True, None)])
def test_until_anything_is_stored_many_users_of_one_key_are_the_release(
    stored: bool, stops_at: int | None
) -> None:
    floods = Floods(50, monotonic)
    if stored:
        floods.prove()

    blames = [Blame("23514", "only", f"user {nth}") for nth in range(500)]

    assert floods.judge(P0, blamed(blames), proven=False) == stops_at


async def test_one_sender_stops_no_partition_and_is_charged_with_every_dead_letter() -> None:
    """Nothing else arrives at all."""
    log = Log(p0=[*good(1), *(poison("x", "hostile") for _ in range(2_000))], p1=[poison("y") for _ in "abc"])
    log.batch_records = 100
    stage = await on_stage(log)

    async with stage.working():
        await until(lambda: log.committed == {P0: 2_001, P1: 3})
        await stage.worker.check_partitions()

    assert stage.letters.offsets.count(1) == 2  # one of each partition
    assert stage.charged == {"hostile": 2_000}


async def test_a_release_that_can_store_nothing_stops_though_only_one_key_sends() -> None:
    log = Log(p0=[poison(key="only") for _ in range(500)])
    stage = await on_stage(log)

    async with stage.working():
        await until(lambda: stage.worker.held)
        await until(lambda: log.position[P0] == 500)

    assert stage.letters.offsets == list(range(49))
    assert stage.charged == {"only": 49}


async def test_a_draft_that_is_refused_is_charged_to_the_key_that_sent_it() -> None:
    keyed = replace(a_draft(1, UserId("nobody")), key_id="k1")
    log = Log(p0=[*good(1), keyed, a_draft(2, UserId("nobody"))])
    stage = await on_stage(log)

    async with stage.working():
        await until(lambda: log.committed == {P0: 3})

    assert stage.letters.offsets == [1, 2]
    assert stage.charged == {"k1": 1}


def test_what_is_stored_with_bad_records_proves_that_they_are_a_producers() -> None:
    floods = Floods(10, monotonic)

    assert floods.judge(P0, row(0, [True] * 9), proven=False) is None
    assert floods.judge(P0, row(9, [True] * 50 + [False]), proven=True) is None
    assert floods.judge(P0, row(60, [True]), proven=False) == 60
    floods.prove()
    assert floods.judge(P0, row(60, [True] * 9), proven=False) is None
    assert floods.judge(P0, row(69, [True]), proven=False) == 69


def test_a_flood_is_seen_across_batches_and_in_each_partition_for_itself() -> None:
    floods = Floods(10, monotonic)

    assert floods.judge(P0, row(0, [True] * 9), proven=False) is None
    assert floods.judge(P1, row(0, [True] * 9), proven=False) is None
    assert floods.judge(P0, row(9, [True]), proven=False) == 9


def test_what_comes_again_is_not_counted_again() -> None:
    floods = Floods(10, monotonic)

    assert floods.judge(P0, row(0, [True] * 9), proven=False) is None
    assert floods.judge(P0, row(0, [True] * 9), proven=False) is None
    assert floods.judge(P0, row(3, [True] * 7), proven=False) == 9


def test_after_proof_nothing_stops_a_partition_up_to_where_it_was_read_ahead() -> None:
    floods = Floods(10, monotonic)
    assert floods.judge(P0, row(0, [True] * 20), proven=False) == 9
    assert floods.stop(P0, 9, 20, "why") == 20
    floods.read_ahead(P0, 500)
    assert (floods.ahead, floods.reasons) == (491, {P0: "why"})

    floods.prove()

    assert (floods.ahead, floods.reasons) == (0, {})
    assert (floods.due(), floods.due()) == ({P0: 9}, {})
    assert floods.judge(P0, row(9, [True] * 491), proven=False) is None
    assert floods.judge(P0, row(500, [True] * 10), proven=False) == 509


def test_where_it_stopped_is_looked_at_again_now_and_then_and_not_what_is_behind() -> None:
    now = 0.0
    floods = Floods(10, lambda: now)
    floods.judge(P0, row(0, [True] * 20), proven=False)
    floods.stop(P0, 9, 20, "why")
    floods.read_ahead(P0, 500)
    assert floods.due() == {}
    now = 15.0
    assert (floods.due(), floods.due()) == ({P0: 9}, {})
    assert floods.reasons == {P0: "why"}

    assert floods.judge(P0, row(9, [True] * 11), proven=False) == 9
    assert floods.stop(P0, 9, 20, "why") == 500

    assert floods.due() == {}
    now = 30.0
    assert floods.due() == {P0: 9}


# --- when to try again ---


def test_a_partition_is_tried_later_each_time_up_to_a_limit() -> None:
    now = 0.0
    holds = Holds(lambda: now, uniform)
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
    holds = Holds(lambda: 0.0, uniform)
    for partition in (P0, P1):
        holds.hold(partition, "away")
    assert holds.due() is None

    holds.succeeded([P0])

    assert [holds.due(), holds.due(), holds.due()] == [P1, None, None]


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
    def __init__(self) -> None:
        self.now, self.broker, self.watched = 0.0, True, Watched()
        self.dog = Watchdog(
            self.watched,  # type: ignore[arg-type]
            self.watched,  # type: ignore[arg-type]
            self._answers,
            patience_seconds=60,
            now=lambda: self.now,
        )

    async def _answers(self) -> bool:
        return self.broker

    async def looks(self, seconds: float, **state: Any) -> str:
        for name, value in state.items():
            setattr(self.watched, name, value)
        self.now += seconds
        return await self.dog.look()


@pytest.fixture
def dog() -> Dog:
    return Dog()


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


async def test_a_worker_that_makes_progress_is_not_stuck(dog: Dog) -> None:
    for turn in range(1, 5):
        assert await dog.looks(50, records=7) == "behind"
        assert await dog.looks(5, turns=turn) == "reading"
    for assignment in range(1, 5):
        assert await dog.looks(50, rebalancing=True) == "behind"
        assert await dog.looks(5, assignments=assignment) == "reading"
