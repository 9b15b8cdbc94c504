"""Brokers that are away, without a leader, or that answer with an error: the mock cluster of librdkafka.

Recovery times that are noted are bounded by what the queue and the group wait for at most, not by chance.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import IllegalGenerationError, for_code
from aiokafka.partitioner import DefaultPartitioner

from adapters.kafka import queue as queue_module
from adapters.kafka.codec import decode
from adapters.kafka.probe import broker_answers
from adapters.kafka.producer import REQUEST_SECONDS
from adapters.kafka.queue import KafkaQueue
from adapters.kafka.topics import Topics
from application.errors import Stuck, Unavailable, Unconfirmed
from application.feeds import Appended
from common import metrics
from domain.identifiers import NotificationId, UserId
from entrypoints.consumer.watchdog import Watchdog
from entrypoints.lifespan import background
from tests.build import a_draft, a_user
from tests.integration.conftest import Run
from tests.mock_cluster import Api, MockCluster
from tests.product import eventually
from tests.stage import Stage

PARTITIONS = 3
TOPICS = Topics("notifications", PARTITIONS, replication=1)

ANSWER_SECONDS = 30.0
"""More than a publish waits for an answer, on a machine that has other work too."""
RECOVERY_SECONDS = 60.0
SESSION_SECONDS = 1


def user_of(partition: int) -> UserId:
    """Somebody whose records go to a partition."""
    numbers = list(range(PARTITIONS))
    names = (f"user-{n}" for n in range(1000))
    return next(UserId(n) for n in names if DefaultPartitioner()(n.encode(), numbers, numbers) == partition)


USERS = [user_of(partition) for partition in range(PARTITIONS)]


@pytest.fixture
def cluster() -> Iterator[MockCluster]:
    with MockCluster.running() as cluster:
        for name in (TOPICS.name, TOPICS.dead_letters):
            cluster.create_topic(name, PARTITIONS)
        yield cluster


@pytest.fixture
async def queue(cluster: MockCluster) -> AsyncIterator[KafkaQueue]:
    queue = KafkaQueue(cluster.bootstrap, TOPICS.name, monotonic)
    async with background(queue.run()):
        await eventually(lambda: queue._producer is not None, "the producer is connected")
        yield queue
        await asyncio.wait_for(queue.stop(), ANSWER_SECONDS)


async def read(cluster: MockCluster, topic: str = TOPICS.name) -> list[Any]:
    """Everything that is on the log."""
    consumer = AIOKafkaConsumer(bootstrap_servers=cluster.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found = []
        async with asyncio.timeout(60):
            while any([await consumer.position(one) < ends[one] for one in partitions]):
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    found += records
        return found
    finally:
        await consumer.stop()


@dataclass
class Publishing:
    """Publishes by schedule, whatever the answers do, and keeps what became of each."""

    queue: KafkaQueue
    per_second: int = 500
    accepted: dict[NotificationId, UserId] = field(default_factory=dict)
    unconfirmed: set[NotificationId] = field(default_factory=set)
    slowest: float = 0.0
    most_in_flight: int = 0
    number: int = 0
    under_way: set["asyncio.Task[None]"] = field(default_factory=set)

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Until the block is left; every publish is answered then."""
        sending = asyncio.create_task(self._send())
        try:
            yield
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            async with asyncio.timeout(ANSWER_SECONDS):
                await asyncio.gather(*self.under_way)

    async def one(self, user: UserId | None = None) -> bool:
        """Publish one; return whether it was accepted."""
        self.number += 1
        draft = a_draft(self.number, user or USERS[self.number % PARTITIONS])
        started = time.monotonic()
        (outcome,) = await self.queue.put_all([draft])
        self.slowest = max(self.slowest, time.monotonic() - started)
        if outcome is None:
            self.accepted[draft.id] = draft.content.user_id
        else:
            assert outcome.notification_id == draft.id
            self.unconfirmed.add(draft.id)
        return outcome is None

    async def first_success(self) -> float:
        """Publish until something is accepted; return after how many seconds."""
        started = time.monotonic()
        async with asyncio.timeout(RECOVERY_SECONDS):
            while not await self.one():
                continue
        return time.monotonic() - started

    async def check(self, cluster: MockCluster) -> None:
        """What was accepted is on the log, and nothing that nobody sent."""
        found = {decode(record).id for record in await read(cluster)}
        assert self.accepted.keys() <= found
        assert found <= self.accepted.keys() | self.unconfirmed

    async def _send(self) -> None:
        started, sent = time.monotonic(), 0
        while True:
            while sent < (time.monotonic() - started) * self.per_second:
                sent += 1
                task = asyncio.create_task(self._one())
                self.under_way.add(task)
                task.add_done_callback(self.under_way.discard)
            self.most_in_flight = max(self.most_in_flight, self.queue._in_flight)
            await asyncio.sleep(0.01)

    async def _one(self) -> None:
        await self.one()


@pytest.fixture
def publishing(queue: KafkaQueue) -> Publishing:
    return Publishing(queue)


def memory() -> float:
    """What this process holds, in MiB."""
    return float(psutil.Process().memory_info().rss / 2**20)


def silent(cluster: MockCluster) -> None:
    cluster.answer_after(600)


def heard(cluster: MockCluster) -> None:
    cluster.answer_after(0)


Turn = Callable[[MockCluster], None]
WAYS: Mapping[str, tuple[Turn, Turn]] = {
    "down": (MockCluster.down, MockCluster.up),
    "silent": (silent, heard),
}


# --- publishing while brokers are away ---


@pytest.mark.parametrize("how", WAYS)
async def test_while_all_brokers_are_away_each_publish_is_answered_and_then_all_is_well(
    cluster: MockCluster, publishing: Publishing, run: Run, how: str
) -> None:
    leave, come_back = WAYS[how]
    seconds = 60.0 if run.long else 14.0
    async with publishing.going_on():
        await eventually(lambda: len(publishing.accepted) > 500, "publishing works")
        leave(cluster)
        left = time.monotonic()
        await eventually(lambda: len(publishing.unconfirmed) > 500, "publishes are answered")
        before = memory()
        await eventually(lambda: time.monotonic() - left > seconds, "it is away", seconds + 10)
        after = memory()
        accepted = len(publishing.accepted)
        come_back(cluster)
        returned = time.monotonic()
        await eventually(lambda: len(publishing.accepted) > accepted, "publishing works", RECOVERY_SECONDS)
        back = time.monotonic() - returned
        await eventually(lambda: len(publishing.accepted) > accepted + 500, "publishing goes on")

    run.note(accepted=len(publishing.accepted), unconfirmed=len(publishing.unconfirmed))
    run.note(slowest_answer_seconds=publishing.slowest, most_in_flight=publishing.most_in_flight)
    run.note(mib_grown_while_away=after - before, seconds_until_publishing_worked=back)
    assert publishing.slowest < ANSWER_SECONDS
    assert publishing.most_in_flight <= publishing.per_second * ANSWER_SECONDS
    assert publishing.queue._in_flight == 0
    assert after - before < 32
    await publishing.check(cluster)


async def test_more_than_it_can_hold_is_answered_at_once(
    cluster: MockCluster, queue: KafkaQueue, publishing: Publishing
) -> None:
    silent(cluster)
    batches = [[a_draft(n) for n in range(start, start + 1000)] for start in range(0, 30_000, 1000)]
    attempts = [asyncio.create_task(queue.put_all(batch)) for batch in batches]
    await eventually(lambda: sum(attempt.done() for attempt in attempts) >= 10, "some are answered")
    at_once, held = [attempt for attempt in attempts if attempt.done()], queue._in_flight
    outcomes = await asyncio.gather(*attempts)

    assert len(at_once) == 10
    assert held == queue_module._IN_FLIGHT
    for batch, outcome in zip(batches, outcomes, strict=True):
        assert [each and each.notification_id for each in outcome] == [draft.id for draft in batch]
    heard(cluster)
    await publishing.first_success()
    assert queue._in_flight == 0


@pytest.mark.parametrize("how", WAYS)
async def test_it_is_stopped_in_bounded_time_while_brokers_are_away(cluster: MockCluster, how: str) -> None:
    queue = KafkaQueue(cluster.bootstrap, TOPICS.name, monotonic)
    async with background(queue.run()):
        await eventually(lambda: queue._producer is not None, "the producer is connected")
        WAYS[how][0](cluster)
        publishes = [asyncio.create_task(queue.put_all([a_draft(n)])) for n in range(100)]
        await eventually(lambda: queue._in_flight == 100, "they are under way")
        async with asyncio.timeout(ANSWER_SECONDS):
            # It gives up by itself, or has told everybody by then.
            with contextlib.suppress(TimeoutError):
                await queue.stop()
        outcomes = await asyncio.gather(*publishes)

    assert all(isinstance(outcome, Unconfirmed) for (outcome,) in outcomes)


async def test_a_leader_that_is_missing_for_longer_than_a_request_waits_is_got_over(
    cluster: MockCluster, publishing: Publishing, run: Run
) -> None:
    """With idempotence on this could wedge the partition for good (aiokafka#1017)."""
    orphan, *others = USERS
    assert await publishing.one(orphan)
    cluster.lead(TOPICS.name, 0, None)
    left = time.monotonic()
    while time.monotonic() - left < 2 * REQUEST_SECONDS:
        orphaned, *rest = await asyncio.gather(publishing.one(orphan), *map(publishing.one, others))
        assert not orphaned
        assert all(rest)

    cluster.lead(TOPICS.name, 0, 2)
    started = time.monotonic()
    async with asyncio.timeout(RECOVERY_SECONDS):
        while not await publishing.one(orphan):
            pass
    run.note(slowest_answer_seconds=publishing.slowest)
    run.note(seconds_until_publishing_worked=time.monotonic() - started)
    assert all([await publishing.one(orphan) for _ in range(20)])
    await publishing.check(cluster)


# --- brokers that refuse ---

RETRIED = {"not-leader": 6, "timed-out": 7, "not-enough-replicas": 19, "not-enough-after-append": 20}
FINAL = {"out-of-order": 45, "unknown-producer": 59, "too-large": 10}


@pytest.mark.parametrize("code", RETRIED.values(), ids=RETRIED)
async def test_an_error_that_passes_is_not_noticed(
    cluster: MockCluster, publishing: Publishing, code: int
) -> None:
    assert await publishing.one()
    cluster.fail(Api.PRODUCE, [code] * 3)
    before = cluster.requests(Api.PRODUCE)

    assert await publishing.one()

    assert cluster.requests(Api.PRODUCE) == before + 4
    await publishing.check(cluster)


@pytest.mark.parametrize("code", RETRIED.values(), ids=RETRIED)
async def test_an_error_that_stays_makes_the_outcome_unknown(
    cluster: MockCluster, publishing: Publishing, run: Run, code: int
) -> None:
    assert await publishing.one()
    cluster.fail(Api.PRODUCE, [code] * 1000)

    assert not await publishing.one()
    assert publishing.slowest < ANSWER_SECONDS

    cluster.forgive(Api.PRODUCE)
    run.note(seconds_until_publishing_worked=await publishing.first_success())
    await publishing.check(cluster)


@pytest.mark.parametrize("code", FINAL.values(), ids=FINAL)
async def test_an_error_that_no_retry_helps_is_told_and_the_next_publish_works(
    cluster: MockCluster, publishing: Publishing, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    assert await publishing.one()
    cluster.fail(Api.PRODUCE, [code])

    assert not await publishing.one()

    assert for_code(code).__name__ in caplog.text
    assert all([await publishing.one() for _ in range(10)])
    await publishing.check(cluster)


# --- records that are sent together ---


async def on_log(cluster: MockCluster, user: UserId) -> list[NotificationId]:
    """A user's notifications, in the order of the log."""
    return [decode(record).id for record in await read(cluster) if record.key == user.encode()]


async def test_records_that_arrive_while_a_broker_answers_are_sent_together_and_in_order(
    cluster: MockCluster, publishing: Publishing
) -> None:
    user = USERS[0]
    assert await publishing.one(user)
    before = cluster.requests(Api.PRODUCE)
    cluster.answer_after(0.5)

    first = asyncio.create_task(publishing.one(user))
    await eventually(lambda: cluster.requests(Api.PRODUCE) > before, "the first is on its way")
    others = [publishing.one(user) for _ in range(50)]
    assert all(await asyncio.gather(first, *others))

    assert cluster.requests(Api.PRODUCE) == before + 2
    cluster.answer_after(0)
    assert await on_log(cluster, user) == list(publishing.accepted)


async def test_a_caller_that_gives_up_takes_nobody_along(
    cluster: MockCluster, queue: KafkaQueue, publishing: Publishing
) -> None:
    user = USERS[0]
    assert await publishing.one(user)
    before = cluster.requests(Api.PRODUCE)
    cluster.answer_after(0.5)
    callers = [asyncio.create_task(queue.put_all([a_draft(n, user)])) for n in (101, 102, 103)]
    await eventually(lambda: cluster.requests(Api.PRODUCE) > before, "they are on their way")

    callers[1].cancel()
    found = await asyncio.gather(*callers, return_exceptions=True)

    assert found[0] == found[2] == [None]
    assert isinstance(found[1], asyncio.CancelledError)
    assert queue._in_flight == 0
    assert cluster.requests(Api.PRODUCE) == before + 1


async def test_of_one_call_only_the_records_that_fail_are_unconfirmed(
    cluster: MockCluster, queue: KafkaQueue, publishing: Publishing
) -> None:
    assert all([await publishing.one(user) for user in USERS])
    cluster.lead(TOPICS.name, 0, None)
    drafts = [a_draft(n, USERS[n % PARTITIONS]) for n in range(101, 131)]

    outcomes = await queue.put_all(drafts)

    failed = [outcome.notification_id for outcome in outcomes if outcome]
    assert failed == [draft.id for draft in drafts if draft.content.user_id == USERS[0]]
    cluster.lead(TOPICS.name, 0, 1)
    assert {draft.id for draft in drafts} - set(failed) <= {decode(one).id for one in await read(cluster)}


# --- a producer that is lost ---


async def test_a_producer_that_can_never_succeed_again_is_replaced(
    cluster: MockCluster,
    queue: KafkaQueue,
    publishing: Publishing,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert all([await publishing.one(user) for user in USERS])
    lost = queue._producer
    assert lost is not None
    monkeypatch.setattr(lost.client.cluster, "update_metadata", lambda _: None)

    await _until_replaced(cluster, queue, publishing, run)


async def test_a_producer_that_learns_of_no_leader_is_replaced_although_it_succeeds_elsewhere(  # noqa: PLR0917
    cluster: MockCluster,
    queue: KafkaQueue,
    publishing: Publishing,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(*_: Any) -> None:
        raise RuntimeError("the handler is closed")  # as uvloop says

    assert all([await publishing.one(user) for user in USERS])
    lost = queue._producer
    assert lost is not None
    connections = [*lost.client._conns.values()]
    monkeypatch.setattr(lost.client, "_metadata_update", fail)
    lost.client.force_metadata_update()

    await _until_replaced(cluster, queue, publishing, run, [0])
    assert "learned of no leader any more: RuntimeError('the handler is closed')" in caplog.text
    assert connections
    assert not any(connection.connected() for connection in connections)


async def _until_replaced(
    cluster: MockCluster,
    queue: KafkaQueue,
    publishing: Publishing,
    run: Run,
    moved: Sequence[int] = range(PARTITIONS),
) -> None:
    """Move leaders, and publish until their new ones are found, by another producer."""
    lost, replaced = queue._producer, metrics.PRODUCERS_REPLACED._value.get()
    assert lost is not None
    for partition in moved:
        cluster.lead(TOPICS.name, partition, lost._leaders[partition] % PARTITIONS + 1)
    started = time.monotonic()

    async with publishing.going_on():

        async def published() -> bool:
            return all([await publishing.one(USERS[partition]) for partition in moved])

        await eventually(published, "publishing works again", RECOVERY_SECONDS)
        run.note(seconds_until_publishing_worked=time.monotonic() - started)

    assert queue._producer is not lost
    assert metrics.PRODUCERS_REPLACED._value.get() == replaced + 1
    await eventually(lambda: not queue._abandoned, "the old one is closed")
    await publishing.check(cluster)


async def test_leaders_that_move_while_notifications_are_published_lose_none(
    cluster: MockCluster, publishing: Publishing
) -> None:
    async with publishing.going_on():
        for turn in range(5):
            accepted = len(publishing.accepted)
            for partition in range(PARTITIONS):
                cluster.lead(TOPICS.name, partition, (partition + turn) % PARTITIONS + 1)
            await eventually(
                lambda least=accepted + 500: len(publishing.accepted) > least,  # type: ignore[misc]
                "publishing goes on",
            )

    assert not publishing.unconfirmed
    await publishing.check(cluster)


# --- reading: group calls that fail, and dead letters that cannot be written ---


@pytest.fixture
async def stage(cluster: MockCluster) -> Stage:
    stage = Stage(cluster.bootstrap, TOPICS, session_seconds=SESSION_SECONDS)
    for user in USERS:
        await stage.users.add(a_user(user), None)
    return stage


def has_all(stage: Stage, publishing: Publishing, users: Sequence[UserId] = USERS) -> bool:
    """Whether everything that was accepted for these users is stored."""
    wanted = {notification for notification, user in publishing.accepted.items() if user in users}
    return wanted <= set().union(*map(stage.ids, users))


class Group:
    """What the brokers know of the group."""

    def __init__(self, cluster: MockCluster) -> None:
        self._bootstrap = cluster.bootstrap
        self._partitions = [TopicPartition(TOPICS.name, number) for number in range(PARTITIONS)]

    async def committed(self) -> Sequence[int]:
        """How far it has come in each partition."""
        async with self._outsider() as consumer:
            return [await consumer.committed(one) or 0 for one in self._partitions]

    async def is_through(self) -> bool:
        """Whether it has committed everything."""
        async with self._outsider() as consumer:
            ends = await consumer.end_offsets(self._partitions)
        return [ends[one] for one in self._partitions] == await self.committed()

    def _outsider(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap, group_id=TOPICS.name, enable_auto_commit=False
        )
        consumer.assign(self._partitions)
        return consumer


@pytest.fixture
def group(cluster: MockCluster) -> Group:
    return Group(cluster)


GROUP_ERRORS = {
    "coordinator-not-available": 15,
    "not-coordinator": 16,
    "illegal-generation": 22,
    "unknown-member": 25,
    "rebalance-in-progress": 27,
}


GROUP_CALLS = {
    "heartbeat": Api.HEARTBEAT,
    "commit": Api.OFFSET_COMMIT,
    "join": Api.JOIN_GROUP,
    "sync": Api.SYNC_GROUP,
}


@pytest.mark.parametrize("code", GROUP_ERRORS.values(), ids=GROUP_ERRORS)
@pytest.mark.parametrize("api", GROUP_CALLS.values(), ids=GROUP_CALLS)
async def test_a_group_call_that_fails_loses_nothing(
    cluster: MockCluster, stage: Stage, group: Group, publishing: Publishing, *, run: Run, api: Api, code: int
) -> None:
    publishing.per_second = 100
    async with stage.working():
        async with publishing.going_on():
            await eventually(lambda: len(stage.ids(USERS[0])) > 10, "it reads")
            asked = cluster.requests(api)
            cluster.fail(api, [code] * 3)
            if api in (Api.JOIN_GROUP, Api.SYNC_GROUP):
                cluster.fail(Api.HEARTBEAT, [GROUP_ERRORS["rebalance-in-progress"]])
            failed = time.monotonic()
            await eventually(lambda: cluster.requests(api) > asked + 3, "it was tried again")
            passed = await group.committed()
            assert all(offset <= len(stage.ids(user)) for user, offset in zip(USERS, passed, strict=True))
        await eventually(lambda: has_all(stage, publishing), "all is stored")
        run.note(seconds_until_all_was_stored=time.monotonic() - failed)
        for user in USERS:
            assert await publishing.one(user)
        await eventually(lambda: has_all(stage, publishing), "the rest is stored")
    assert await group.is_through()
    assert not publishing.unconfirmed


async def test_an_error_of_the_group_that_comes_between_two_waits_ends_the_read(
    stage: Stage, publishing: Publishing
) -> None:
    async with stage.working():
        assert await publishing.one()
        await eventually(lambda: has_all(stage, publishing), "it reads")
        client: Any = stage.inlet._consumer
        fetcher = client._fetcher
        await eventually(
            lambda: any(not one.done() for one in fetcher._fetch_waiters), "it waits for records"
        )
        # In one turn of the loop: records arrive, the group rebalances, and that fails. The read that waits
        # for records wakes up and waits for an assignment, and is not told that there will be none.
        for waiter in fetcher._fetch_waiters:
            if not waiter.done():
                waiter.set_result(None)
        client._subscription.begin_reassignment()
        read = client._coordinator._push_error_to_user(IllegalGenerationError())
        assert client._coordinator._pending_exception is not None

        try:
            await eventually(lambda: client._coordinator._pending_exception is None, "the reader is told")
        finally:
            read.close()


def lose_letter_leaders(cluster: MockCluster) -> None:
    for number in range(PARTITIONS):
        cluster.lead(TOPICS.dead_letters, number, None)


def find_letter_leaders(cluster: MockCluster) -> None:
    for number in range(PARTITIONS):
        cluster.lead(TOPICS.dead_letters, number, 1)


LETTER_FAULTS: Mapping[str, tuple[Turn, Turn]] = {
    "no-leader": (lose_letter_leaders, find_letter_leaders),
    "no-topic": (
        lambda cluster: cluster.lose_topic(TOPICS.dead_letters),
        lambda cluster: cluster.find_topic(TOPICS.dead_letters),
    ),
}


@pytest.mark.parametrize("fault", LETTER_FAULTS)
async def test_while_dead_letters_cannot_be_written_only_their_partition_waits(
    cluster: MockCluster, stage: Stage, group: Group, publishing: Publishing, *, run: Run, fault: str
) -> None:
    lose, find = LETTER_FAULTS[fault]
    held, *others = USERS
    lose(cluster)
    async with stage.working():
        assert all([await publishing.one() for _ in range(30)])
        await eventually(lambda: has_all(stage, publishing), "it reads")
        async with AIOKafkaProducer(bootstrap_servers=cluster.bootstrap) as producer:
            poison = (await producer.send_and_wait(TOPICS.name, b"no JSON", partition=0)).offset
        await eventually(lambda: stage.worker.held, "the partition is held")
        with pytest.raises(Unavailable, match="partition 0: The dead-letter topic"):
            await stage.worker.check_partitions()
        assert all([await publishing.one(held) for _ in range(5)])

        started = time.monotonic()
        for user in others * 10:
            assert await publishing.one(user)
            await eventually(lambda: has_all(stage, publishing, others), "others go on")
        run.note(seconds_for_ten_rounds_of_others=time.monotonic() - started)
        assert (await group.committed())[0] <= poison

        find(cluster)
        back = time.monotonic()
        await eventually(lambda: has_all(stage, publishing), "the partition goes on")
        run.note(seconds_until_the_partition_went_on=time.monotonic() - back)
        await eventually(group.is_through, "all offsets are committed")
        await stage.worker.check_partitions()
    letters = await read(cluster, TOPICS.dead_letters)
    assert {letter.value for letter in letters} == {b"no JSON"}


# --- what the watchdog sees ---


async def test_the_watchdog_tells_a_broker_that_is_away_from_a_worker_that_is_stuck(
    cluster: MockCluster, stage: Stage, publishing: Publishing, monkeypatch: pytest.MonkeyPatch
) -> None:
    watchdog = Watchdog(
        stage.worker,
        stage.inlet,
        partial(broker_answers, cluster.bootstrap),
        patience_seconds=3,
        now=time.monotonic,
    )

    async def sees(state: str) -> bool:
        return await watchdog.look() == state

    async with stage.working():
        assert await publishing.one()
        await eventually(lambda: sees("reading"), "it reads")
        await eventually(lambda: sees("idle"), "there is nothing to read")
        cluster.down()
        await eventually(lambda: sees("broker_away"), "the broker is away")
        left = time.monotonic()
        while time.monotonic() - left < 6:
            assert await watchdog.look() == "broker_away"
        cluster.up()
        await publishing.first_success()
        await eventually(lambda: has_all(stage, publishing), "it reads again")

        released = asyncio.Event()
        append = stage.feeds.append

        async def held(*arrivals: Any) -> Appended:
            await released.wait()
            return await append(*arrivals)

        monkeypatch.setattr(stage.feeds, "append", held)
        assert await publishing.one()
        await eventually(lambda: sees("behind"), "a record waits")
        with pytest.raises(Stuck):
            await eventually(lambda: sees("idle"), "never")
        released.set()
        await eventually(lambda: has_all(stage, publishing), "it goes on")
