"""The inlet on a real broker: what is put comes out as it was, once it is stored it is passed, and what
cannot be stored is kept.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from time import monotonic
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient

from adapters import clock as system
from adapters.kafka import batches as record_batches
from adapters.kafka import obstacles
from adapters.kafka.codec import decode
from adapters.kafka.dead_letters import KafkaDeadLetters
from adapters.kafka.queue import KafkaQueue
from adapters.kafka.reader import KafkaQueueReader
from adapters.kafka.records import Found
from adapters.kafka.topics import Topics, ensure_topics
from application.errors import Unavailable, Unconfirmed
from application.records import Batch, Undecodable
from common import tracing
from domain.identifiers import UserId
from domain.notification import Draft
from entrypoints.lifespan import background
from tests import contracts
from tests.build import ADA, BOB, a_draft, a_user, an_id, drafts
from tests.product import eventually
from tests.stage import Stage
from tests.stage import an_inlet as stage_inlet
from workbench.embedded import EmbeddedServers

PARTITIONS = 3
NOWHERE = "127.0.0.1:1"


@pytest.fixture
async def topics(servers: EmbeddedServers, name: str) -> Topics:
    """The test's own topics, made."""
    topics = Topics(name, PARTITIONS, replication=1)
    await ensure_topics(servers.kafka_bootstrap, topics)
    return topics


@pytest.fixture
async def queue(servers: EmbeddedServers, topics: Topics) -> AsyncIterator[KafkaQueue]:
    queue = KafkaQueue(servers.kafka_bootstrap, topics.name, monotonic)
    async with background(queue.run()):
        await eventually(lambda: _reaches(queue), "the producer is connected")
        yield queue
    await queue.stop()


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL"])
async def test_a_server_that_says_nothing_is_named(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one without TLS does, where TLS is asked for."""
    monkeypatch.setattr(obstacles, "_SECONDS", 0.2)

    async def be_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(be_silent, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    client = AIOKafkaClient(
        bootstrap_servers=f"127.0.0.1:{port}",
        security_protocol=protocol,
        ssl_context=ssl.create_default_context(),
    )
    assert await obstacles.obstacle_of(client) == f"127.0.0.1:{port} does not answer"
    server.close()


async def _reaches(queue: KafkaQueue) -> bool:
    try:
        await queue.ping()
    except Unavailable:
        return False
    return True


@pytest.fixture
async def producer(servers: EmbeddedServers) -> AsyncIterator[AIOKafkaProducer]:
    """What any other service writes with."""
    producer = AIOKafkaProducer(bootstrap_servers=servers.kafka_bootstrap)
    await producer.start()
    yield producer
    await producer.stop()


Read = Callable[[str, int], Awaitable[list[Any]]]


@pytest.fixture
def read(servers: EmbeddedServers) -> Read:
    """Read so many records of a topic from its beginning, without a group."""

    async def read(topic: str, count: int) -> list[Any]:
        consumer = AIOKafkaConsumer(bootstrap_servers=servers.kafka_bootstrap, auto_offset_reset="earliest")
        await consumer.start()
        try:
            consumer.assign([TopicPartition(topic, number) for number in range(PARTITIONS)])
            found: list[Any] = []
            async with asyncio.timeout(60):
                while len(found) < count:
                    for records in (await consumer.getmany(timeout_ms=100)).values():
                        found += records
            return found
        finally:
            await consumer.stop()

    return read


@pytest.fixture
def arrived(read: Read, topics: Topics) -> Callable[[int], Awaitable[list[Draft]]]:
    async def arrived(count: int) -> list[Draft]:
        made = [decode(record) for record in await read(topics.name, count)]
        return [draft for draft in made if isinstance(draft, Draft)]

    return arrived


def session_seconds(servers: EmbeddedServers) -> float:
    """Tansu lets members of a group wait for half of it; Apache's, of others, no less than six."""
    return 2 if servers.kafka else 6


def an_inlet(servers: EmbeddedServers, topics: Topics) -> KafkaQueueReader:
    return stage_inlet(servers.kafka_bootstrap, topics, session_seconds=session_seconds(servers))


def a_stage(servers: EmbeddedServers, topics: Topics) -> Stage:
    return Stage(servers.kafka_bootstrap, topics, session_seconds=session_seconds(servers))


async def settle() -> None:
    return


async def batches(inlet: KafkaQueueReader, size: int) -> list[Batch]:
    """Read until so many records have come."""
    found: list[Batch] = []
    async with asyncio.timeout(60):
        while sum(batch.size for batch in found) < size:
            found.append(await inlet.next_batch(0.1))
    return found


@asynccontextmanager
async def joined(inlet: KafkaQueueReader) -> AsyncIterator[KafkaQueueReader]:
    await inlet.start(settle)
    try:
        yield inlet
    finally:
        await inlet.stop()


class TestKafkaQueue(contracts.QueueContract):
    pass


# --- into it ---


async def test_a_record_is_keyed_by_user_and_carries_the_trace(
    queue: KafkaQueue, topics: Topics, read: Read
) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    token = tracing.traceparent.set(trace)
    try:
        await queue.put(replace(a_draft(), key_id="0123456789ab"))
    finally:
        tracing.traceparent.reset(token)

    (record,) = await read(topics.name, 1)

    assert record.key == b"ada"
    assert record.headers == (("traceparent", trace.encode()), ("bellwire-key", b"0123456789ab"))


async def test_what_a_limited_key_sent_says_so(queue: KafkaQueue, topics: Topics, read: Read) -> None:
    await queue.put(replace(a_draft(), key_id="0123456789ab", revision=1, own_only=True))

    (record,) = await read(topics.name, 1)

    assert record.headers == (("bellwire-key", b"0123456789ab"), ("bellwire-own-only", b"1"))
    assert decode(record) == replace(a_draft(), key_id="0123456789ab", revision=1, own_only=True)


async def test_a_record_goes_where_the_java_client_would_send_it(
    queue: KafkaQueue, topics: Topics, read: Read, producer: AIOKafkaProducer
) -> None:
    users = [UserId(f"user-{n}") for n in range(20)]
    theirs = {
        user: (await producer.send_and_wait(topics.name, b"{}", key=user.encode())).partition
        for user in users
    }

    await queue.put_all([a_draft(n, user) for n, user in enumerate(users)])

    ours = {
        record.key.decode(): record.partition
        for record in await read(topics.name, 40)
        if record.value != b"{}"
    }
    assert ours == theirs


async def test_a_record_larger_than_a_batch_keeps_its_place_among_others(
    queue: KafkaQueue, arrived: Callable[[int], Awaitable[list[Draft]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_batches, "MAX_BYTES", 2_000)
    together = [a_draft(n, message="." * (3_000 if n % 5 == 0 else 300)) for n in range(1, 31)]

    outcomes = await queue.put_all(together)

    assert outcomes == [None] * 30
    assert await arrived(30) == together


async def test_many_callers_at_once_are_answered_and_their_records_stay_in_order(
    queue: KafkaQueue, arrived: Callable[[int], Awaitable[list[Draft]]]
) -> None:
    await asyncio.gather(*(queue.put(a_draft(n, user)) for n in range(1, 301) for user in (ADA, BOB)))

    found = await arrived(600)

    for user in (ADA, BOB):
        assert [draft.id for draft in found if draft.content.user_id == user] == [
            an_id(n) for n in range(1, 301)
        ]


async def test_topics_are_made_once(servers: EmbeddedServers, topics: Topics, queue: KafkaQueue) -> None:
    await ensure_topics(servers.kafka_bootstrap, topics)

    await queue.put(a_draft())


async def test_before_it_is_connected_the_outcome_is_unknown_at_once() -> None:
    queue = KafkaQueue(NOWHERE, "nothing", monotonic)

    with pytest.raises(StopIteration) as returned:
        queue.put_all([a_draft(1), a_draft(2)]).send(None)  # waits for nothing

    outcomes: Sequence[Unconfirmed | None] = returned.value.value
    assert [outcome.notification_id for outcome in outcomes if outcome] == [an_id(1), an_id(2)]
    with pytest.raises(Unconfirmed):
        await queue.put(a_draft())
    with pytest.raises(Unavailable):
        await queue.ping()


async def test_where_no_broker_is_it_goes_on_trying_and_can_be_ended() -> None:
    queue = KafkaQueue(NOWHERE, "nothing", monotonic)
    running = asyncio.create_task(queue.run())
    done, _ = await asyncio.wait([running], timeout=1.5)
    outcome = (await queue.put_all([a_draft()]))[0]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await queue.stop()

    assert not done
    assert isinstance(outcome, Unconfirmed)


async def test_topics_cannot_be_made_where_no_broker_is() -> None:
    async with asyncio.timeout(60):
        with pytest.raises(Unavailable):
            await ensure_topics(NOWHERE, Topics("nothing", 1, 1))


async def test_a_broker_that_dies_makes_the_outcome_unknown_in_bounded_time(
    servers: EmbeddedServers, queue: KafkaQueue
) -> None:
    if servers.kafka is None:
        pytest.skip("only a broker that was started here can be frozen")
    await queue.put(a_draft(1))
    servers.kafka.pause()
    try:
        started = time.monotonic()
        outcome = (await queue.put_all([a_draft(2)]))[0]
        took = time.monotonic() - started
        with pytest.raises(Unavailable):
            await queue.ping()
    finally:
        servers.kafka.resume()

    assert isinstance(outcome, Unconfirmed)
    assert outcome.notification_id == an_id(2)
    assert took < 30  # a client of aiokafka's own patience takes longer
    async with asyncio.timeout(60):
        while (await queue.put_all([a_draft(3)]))[0] is not None:
            pass


# --- out of it ---


async def test_a_batch_sorts_out_what_can_be_made_of_its_records(
    servers: EmbeddedServers, topics: Topics, queue: KafkaQueue, producer: AIOKafkaProducer
) -> None:
    await queue.put_all(drafts(3))
    await producer.send_and_wait(topics.name, b"no JSON", key=b"x")

    async with joined(an_inlet(servers, topics)) as inlet:
        found = await batches(inlet, 4)
        await inlet.ping()

    assert sorted(draft.id for batch in found for draft in batch.arrivals) == [an_id(n) for n in (1, 2, 3)]
    entries = [entry for batch in found for part in batch.parts for entry in part.entries]
    ((record, error),) = [entry for entry in entries if isinstance(entry[1], Undecodable)]
    assert record.value == b"no JSON"
    assert isinstance(error, Undecodable)
    assert error.code == "malformed"


async def test_what_was_committed_does_not_come_again_and_the_rest_does(
    servers: EmbeddedServers, topics: Topics, queue: KafkaQueue
) -> None:
    await queue.put_all(drafts(5))
    async with joined(an_inlet(servers, topics)) as inlet:
        for batch in await batches(inlet, 5):
            await inlet.commit({part.partition: part.end for part in batch.parts})
    await queue.put_all(drafts(3, first=6))
    async with joined(an_inlet(servers, topics)) as inlet:
        await batches(inlet, 3)

    async with joined(an_inlet(servers, topics)) as inlet:
        again = await batches(inlet, 3)

    assert [draft.id for batch in again for draft in batch.arrivals] == [an_id(n) for n in (6, 7, 8)]


async def test_one_without_partitions_knows_that_the_broker_is_away(
    servers: EmbeddedServers, name: str
) -> None:
    """Or the watchdog would end it, as one that is stuck while a broker answers."""
    if servers.kafka is None:
        pytest.skip("only a broker that was started here can be frozen")
    topics = Topics(name, partitions=1, replication=1)
    await ensure_topics(servers.kafka_bootstrap, topics)
    async with (
        joined(an_inlet(servers, topics)) as one,
        background(_reading(one)),
        joined(an_inlet(servers, topics)) as other,
        background(_reading(other)),
    ):
        await eventually(lambda: _has_none(one) or _has_none(other), "the group has met")
        idle = one if _has_none(one) else other
        assert await idle.behind() == {}
        servers.kafka.pause()
        try:
            with pytest.raises(Unavailable):
                await idle.behind()
        finally:
            servers.kafka.resume()


def _has_none(inlet: KafkaQueueReader) -> bool:
    consumer: Any = inlet._consumer
    return not inlet.rebalancing and not consumer.assignment()


async def _reading(inlet: KafkaQueueReader) -> None:
    while True:
        await inlet.next_batch(0.2)


async def test_a_partition_that_was_put_back_is_read_alone_and_then_with_the_others(
    servers: EmbeddedServers, topics: Topics, queue: KafkaQueue
) -> None:
    await queue.put_all(drafts(2))
    async with joined(an_inlet(servers, topics)) as inlet:
        ((part,),) = [batch.parts for batch in await batches(inlet, 2) if batch.size]
        inlet.put_back(part.partition, part.first)

        meanwhile = await inlet.next_batch(1.0)
        alone = await inlet.read_alone(part.partition)
        await queue.put_all(drafts(1, first=3))
        after = await batches(inlet, 1)

    assert meanwhile.parts == []
    assert [draft.id for draft in alone.arrivals] == [an_id(1), an_id(2)]
    assert [draft.id for batch in after for draft in batch.arrivals] == [an_id(3)]


async def test_a_partition_in_which_only_what_was_aborted_is_odd_is_released(
    servers: EmbeddedServers, topics: Topics, queue: KafkaQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it is handed on, so nobody would ever read it again."""

    async def aborted(_client: object, _partition: object, offset: int, **_: object) -> Found:
        return Found(end=offset, odd=True)

    await queue.put_all(drafts(2))
    async with joined(an_inlet(servers, topics)) as inlet:
        ((part,),) = [batch.parts for batch in await batches(inlet, 2) if batch.size]
        inlet.put_back(part.partition, part.first)
        monkeypatch.setattr(inlet, "_read_records", aborted)

        alone = await inlet.read_alone(part.partition)
        after = await batches(inlet, 2)

    assert alone.parts == []
    assert [draft.id for batch in after for draft in batch.arrivals] == [an_id(1), an_id(2)]


async def test_a_record_without_an_id_gets_the_same_one_when_it_comes_again(
    servers: EmbeddedServers, topics: Topics, producer: AIOKafkaProducer
) -> None:
    value = b'{"user_id": "ada", "event": "a.b", "message": "no id"}'
    await producer.send_and_wait(topics.name, value, key=b"ada")

    seen = []
    for _ in range(2):
        async with joined(an_inlet(servers, topics)) as inlet:
            seen += [draft for batch in await batches(inlet, 1) for draft in batch.arrivals]

    assert seen[0] == seen[1]


async def test_one_who_was_never_started_has_nothing_to_give() -> None:
    inlet = KafkaQueueReader(
        NOWHERE,
        "t",
        "g",
        session_seconds=6,
        fetch_wait_ms=20,
        batch_records=1,
        clock=system.now,
    )

    assert (await inlet.next_batch(0)).size == 0
    with pytest.raises(Unavailable):
        await inlet.ping()
    await inlet.commit({})
    await inlet.stop()


async def test_there_is_no_joining_where_no_broker_is() -> None:
    inlet = KafkaQueueReader(
        NOWHERE,
        "t",
        "g",
        session_seconds=6,
        fetch_wait_ms=20,
        batch_records=1,
        clock=system.now,
    )

    async with asyncio.timeout(60):
        with pytest.raises(Unavailable):
            await inlet.start(settle)


# --- what cannot be stored ---


@pytest.fixture
async def stage(servers: EmbeddedServers, topics: Topics) -> Stage:
    stage = a_stage(servers, topics)
    for user in (ADA, BOB):
        await stage.users.add(a_user(user), None)
    return stage


async def test_what_cannot_be_stored_is_kept_byte_for_byte_with_the_reason(
    stage: Stage, topics: Topics, producer: AIOKafkaProducer, read: Read
) -> None:
    stage.feeds.refused = {an_id(7)}
    bad = b'\xff\x00 {"user_id": '
    sent: Sequence[tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]] = [
        (b"key \xff", bad, [("trace", b"\x00\xff"), ("twice", b"1"), ("twice", b"2"), ("none", None)]),
        (b"ada", None, []),
        (b"nobody", b'{"user_id": "nobody", "event": "a.b", "message": "m"}', []),
        (b"ada", f'{{"id": "{an_id(7)}", "user_id": "ada", "event": "a", "message": "m"}}'.encode(), []),
        (b"ada", b'{"user_id": "ada", "event": "a.b", "message": "good"}', []),
    ]
    for key, value, headers in sent:
        await producer.send_and_wait(topics.name, value, key=key, partition=1, headers=headers)

    async with stage.working():
        await stage.stored(1)
        letters = await read(topics.dead_letters, 4)

    by_offset = {int(dict(letter.headers)["dlq-original-offset"]): letter for letter in letters}
    codes = {}
    for offset, (key, value, headers) in enumerate(sent[:4]):
        letter = by_offset[offset]
        added = dict(letter.headers[len(headers) :])
        codes[offset] = added["dlq-error-code"].decode()
        assert (letter.key, letter.value, letter.partition) == (key, value, 1)
        assert list(letter.headers[: len(headers)]) == headers
        assert added["dlq-original-topic"] == topics.name.encode()
        assert added["dlq-original-partition"] == b"1"
        assert added["dlq-consumer-group"] == topics.name.encode()
        assert added["dlq-app-version"] == b"1.2.3"
        assert added["dlq-error-message"]
    assert codes == {0: "malformed", 1: "tombstone", 2: "unknown-user", 3: "22000"}


async def test_two_that_share_an_id_are_both_kept(
    stage: Stage, topics: Topics, producer: AIOKafkaProducer, read: Read
) -> None:
    values = [
        f'{{"id": "{an_id()}", "user_id": "{user}", "event": "a", "message": "m"}}'.encode()
        for user in ("no-1", "no-2")
    ]
    for value in values:
        await producer.send_and_wait(topics.name, value, key=b"k", partition=0)

    async with stage.working():
        letters = await read(topics.dead_letters, 2)

    assert sorted(letter.value for letter in letters) == values


async def test_what_was_stored_is_committed_and_what_came_again_changes_nothing(
    servers: EmbeddedServers, stage: Stage, topics: Topics, queue: KafkaQueue
) -> None:
    await queue.put_all([*drafts(20), *drafts(20, BOB)])
    async with stage.working():
        await stage.stored(20)
        await stage.stored(20, BOB)

    again = a_stage(servers, topics)
    await again.users.add(a_user(ADA), None)
    await queue.put_all(drafts(1, first=21))
    async with again.working():
        await again.stored(1)

    assert (await again.feeds.get(ADA, an_id(21))).version == 1


async def test_while_the_store_is_away_nothing_is_lost_or_passed(stage: Stage, queue: KafkaQueue) -> None:
    stage.feeds.away = True
    await queue.put_all(drafts(3))
    async with stage.working():
        await stage.tried()
        assert stage.feeds._feeds == {}
        stage.feeds.away = False
        await stage.stored(3)

    assert (await stage.feeds.feed(ADA)).unread_count == 3


async def test_told_to_stop_while_the_store_is_away_it_stops_and_the_records_come_again(
    servers: EmbeddedServers, stage: Stage, queue: KafkaQueue, topics: Topics
) -> None:
    stage.feeds.away = True
    await queue.put_all(drafts(3))
    async with stage.working():
        await stage.tried()

    again = a_stage(servers, topics)
    await again.users.add(a_user(ADA), None)
    async with again.working():
        await again.stored(3)


async def test_nothing_is_passed_while_dead_letters_cannot_be_kept() -> None:
    letters = KafkaDeadLetters(NOWHERE, "t.dlq", "g", "1", system.now)

    with pytest.raises(Unavailable):
        await letters.put([(object(), "code", "words")])
    await letters.put([])
    async with asyncio.timeout(60):
        with pytest.raises(Unavailable):
            await letters.start()
    await letters.stop()
