"""Reading from a real broker: whatever producers write, and whatever happens on the way."""

import asyncio
import json
import logging
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka import codec as codecs
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.consumer import fetcher
from aiokafka.errors import InvalidTimestampError
from confluent_kafka import Producer as RdKafkaProducer

from adapters.kafka import passing, records
from adapters.kafka.dead_letter_box import KafkaDeadLetterBox
from adapters.kafka.topics import Topics, ensure_topics
from application.dead_letters import ReplayDeadLetters, Selection, Skip
from application.errors import Unavailable
from application.letters import DeadLetter
from domain.identifiers import UserId
from tests import raw_records
from tests.build import ADA, BOB, a_user
from tests.memory import MemoryFeeds, MemoryUsers
from tests.product import eventually
from tests.stage import Stage
from workbench.embedded import EmbeddedServers
from workbench.soak.damage import Kind, damage, spans

PARTITIONS = 3
CODECS = ["gzip", "snappy", "lz4", "zstd"]
USERS = [UserId(f"user-{number}") for number in range(40)]


def value(user: UserId = ADA, **fields: Any) -> bytes:
    return json.dumps({"user_id": user, "event": "a.b", "message": "m", **fields}).encode()


def untold(_done: int, _total: int) -> None:
    return


class Broker:
    """A topic on a real broker, everybody who may write to it, and consumers that read it."""

    def __init__(self, servers: EmbeddedServers, name: str, producer: AIOKafkaProducer) -> None:
        self.servers = servers
        self.bootstrap = servers.kafka_bootstrap
        self.topics = Topics(name, PARTITIONS, replication=1)
        self.producer = producer
        self.session_seconds = 2 if servers.kafka else 6

    async def stage(self, *users: UserId, **more: Any) -> Stage:
        stage = Stage(self.bootstrap, self.topics, session_seconds=self.session_seconds, **more)
        for user in users or (ADA, BOB):
            await stage.users.add(a_user(user), None)
        return stage

    async def send(self, content: bytes | None, partition: int = 0, **options: Any) -> int:
        """Write a record; return its offset."""
        sent = await self.producer.send_and_wait(self.topics.name, content, partition=partition, **options)
        return int(sent.offset)

    async def send_raw(self, batch: bytes, partition: int = 0) -> int:
        """Write a batch as it is; return the offset of its first record."""
        return await raw_records.send(self.bootstrap, self.topics.name, partition, batch)

    async def send_compressed(self, codec: str, content: bytes, partition: int = 0) -> None:
        """Write a record as librdkafka does, on which most clients are built."""

        def send() -> None:
            client = RdKafkaProducer({"bootstrap.servers": self.bootstrap, "compression.type": codec})
            client.produce(self.topics.name, content + b" " * 500, partition=partition)
            assert client.flush(20) == 0

        await asyncio.to_thread(send)

    async def letters(self, count: int) -> list[DeadLetter]:
        """The dead letters, once there are so many."""
        box = KafkaDeadLetterBox(self.bootstrap, self.topics)
        await box.start()
        try:
            found: list[DeadLetter] = []

            async def there() -> bool:
                found[:] = [letter async for letter in box.read(untold)]
                return len(found) >= count

            await eventually(there, f"{count} dead letters")
            return found
        finally:
            await box.stop()

    async def committed(self) -> Mapping[int, int]:
        """Up to where the group has dealt with each partition."""
        async with AIOKafkaConsumer(bootstrap_servers=self.bootstrap, group_id=self.topics.name) as consumer:
            places = [TopicPartition(self.topics.name, number) for number in range(self.topics.partitions)]
            consumer.assign(places)
            return {place.partition: await consumer.committed(place) or 0 for place in places}

    async def is_through(self, *ends: int) -> bool:
        """Whether it has dealt with so many of each partition."""
        return list((await self.committed()).values()) == list(ends)


@pytest.fixture
async def broker(servers: EmbeddedServers, name: str) -> AsyncIterator[Broker]:
    async with AIOKafkaProducer(bootstrap_servers=servers.kafka_bootstrap) as producer:
        made = Broker(servers, name, producer)
        await ensure_topics(made.bootstrap, made.topics)
        yield made


@pytest.fixture
def apache(broker: Broker, request: pytest.FixtureRequest) -> Broker:
    if request.config.getoption("--servers") != "kafka":
        pytest.skip("only Apache Kafka has it: --servers kafka")
    return broker


# --- what producers write ---


async def test_what_any_producer_compresses_is_stored(broker: Broker) -> None:
    stage = await broker.stage()
    async with stage.working():
        for codec in CODECS:
            await broker.send_compressed(codec, value(message=codec))
        await stage.stored(len(CODECS))

    assert await broker.letters(0) == []


async def test_a_topic_that_compresses_by_itself_is_read(apache: Broker) -> None:
    apache.topics = Topics(f"{apache.topics.name}-zstd", 1, 1)
    async with administration(apache) as admin:
        await admin.create_topics(
            [NewTopic(apache.topics.name, 1, 1, topic_configs={"compression.type": "zstd"})]
        )
    await ensure_topics(apache.bootstrap, apache.topics)
    stage = await apache.stage()
    async with stage.working():
        for number in range(10):
            await apache.send(value(message=f"{number} " + "word " * 200))
        await stage.stored(10)


async def test_a_name_of_a_header_that_is_not_utf8_holds_up_nobody(broker: Broker) -> None:
    odd = [(b"n\xe4me \xff", b"\xfe")]
    await broker.send_raw(raw_records.a_batch((b"ada", value(), odd), (b"ada", b"no JSON", odd)))
    await broker.send(value(message="behind it"))
    await broker.send(value(BOB), partition=1)
    stage = await broker.stage()
    async with stage.working():
        await stage.stored(2)
        await stage.stored(1, BOB)
        (letter,) = await broker.letters(1)
        await broker.send(value(message="later"))
        await stage.stored(3)

    assert (letter.value, letter.code) == (b"no JSON", "malformed")
    assert (r"n\xe4me \xff", b"\xfe") in letter.headers


async def test_whatever_a_record_contains_it_is_stored_or_kept(broker: Broker) -> None:
    source = random.Random(1)
    sent = [0] * PARTITIONS
    for number in range(120):
        with suppress(InvalidTimestampError):  # Apache Kafka refuses times to come
            await broker.send_raw(a_fuzzed_batch(source), number % PARTITIONS)
            sent[number % PARTITIONS] += 1
    stage = await broker.stage(bad_records_limit=0)
    async with stage.working():
        await eventually(lambda: broker.is_through(*sent), "every partition is committed to its end")

    letters = await broker.letters(0)
    places = {letter.record for letter in letters}
    stored = len(stage.ids(ADA)) + len(stage.ids(BOB))
    assert (len(places), stored + len(places)) == (len(letters), sum(sent))
    assert stored > 20
    assert len(letters) > 20


def a_fuzzed_batch(source: random.Random) -> bytes:
    """One record, in which everything may be anything."""

    def some() -> bytes | None:
        return source.choice([None, b"", source.randbytes(source.randrange(40)), b"ada", "ådá".encode()])

    names = [b"traceparent", b"ce_type", b"ce_time", b"dlq-original-topic", b"dlq-attempt", b"", b"\xff"]
    headers = [(source.choice([*names, source.randbytes(5)]), some()) for _ in range(source.randrange(6))]
    good = value(message=f"{source.random()}", metadata={"a": [1, "b"]})
    mangled = bytearray(good)
    for _ in range(source.randrange(1, 4)):
        mangled[source.randrange(len(mangled))] = source.randrange(256)
    return raw_records.a_batch(
        (some(), source.choice([good, bytes(mangled), some()]), headers),
        codec=source.choice(["none", *CODECS]),
        timestamp=source.choice([-1, 0, 1_000, 1_772_000_000_000, 2**62]),
    )


async def test_what_was_taken_back_is_not_delivered(apache: Broker) -> None:
    stage = await apache.stage()
    async with (
        stage.working(),
        AIOKafkaProducer(bootstrap_servers=apache.bootstrap, transactional_id=apache.topics.name) as producer,
    ):
        for number, end in enumerate([producer.abort_transaction, producer.commit_transaction] * 2):
            await producer.begin_transaction()
            await producer.send_and_wait(apache.topics.name, value(message=f"number {number}"), partition=0)
            await end()
        await stage.stored(2)
        await apache.send(value(message="number 4"))
        await stage.stored(3)

    stored = (await stage.feeds.history(ADA, 0, 9)).notifications
    assert [item.message for item in stored] == ["number 1", "number 3", "number 4"]


# --- what cannot be unpacked ---


@pytest.fixture
async def unknown_codec(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """As if what unpacks lz4 were not installed; undone by `undo`."""
    monkeypatch.setattr(codecs, "cramjam", None)
    return monkeypatch


async def test_while_one_partition_cannot_be_unpacked_nothing_of_the_others_is_lost(
    broker: Broker, unknown_codec: pytest.MonkeyPatch
) -> None:
    await broker.send_compressed("lz4", value(message="packed"))
    await broker.send(value(message="behind it"))
    stage = await broker.stage(*USERS, ADA)
    async with stage.working():
        for number in range(240):
            user = USERS[number % len(USERS)]
            await broker.send(value(user, message=f"number {number}"), 1 + number % 2)
        await eventually(lambda: sum(len(stage.ids(user)) for user in USERS) == 240, "all others are stored")
        await eventually(lambda: stage.worker.held, "it is noticed")
        with pytest.raises(Unavailable, match=r"partition 0: offsets 0 to 0 cannot be read: .*lz4"):
            await stage.worker.check_partitions()
        await eventually(lambda: broker.is_through(0, 120, 120), "the others are committed")
        unknown_codec.undo()
        await stage.stored(2)
        await eventually(lambda: not stage.worker.held, "that is over")

    stored = (await stage.feeds.history(ADA, 0, 9)).notifications
    assert [item.message for item in stored] == ["packed", "behind it"]


async def test_a_batch_that_can_never_be_unpacked_is_given_up_when_told_to_and_kept_whole(
    broker: Broker, unknown_codec: pytest.MonkeyPatch
) -> None:
    await broker.send(value(message="before"))
    await broker.send_compressed("zstd", value(message="lost"))
    await broker.send(value(message="after"))
    stage = await broker.stage(skipped=[(0, 1), (0, 2), (1, 0)])
    async with stage.working():
        await stage.stored(2)
        (letter,) = await broker.letters(1)
        await eventually(lambda: broker.is_through(3, 0, 0), "it is passed")

    stored = (await stage.feeds.history(ADA, 0, 9)).notifications
    assert [item.message for item in stored] == ["before", "after"]
    kept = dict(letter.headers)
    assert (letter.code, letter.error_class, letter.record) == (
        "unreadable",
        "undecodable",
        (broker.topics.name, 0, 1),
    )
    assert (kept["dlq-original-offset"], kept["dlq-original-last-offset"]) == (b"1", b"1")
    unknown_codec.undo()
    place = TopicPartition(broker.topics.name, 0)
    (record,) = records.unpack(letter.value or b"", place, 1, highwater=3, most=9).records
    assert json.loads(record.value)["message"] == "lost"
    box = KafkaDeadLetterBox(broker.bootstrap, broker.topics)
    await box.start()
    try:
        plan = await ReplayDeadLetters(box=box).plan(Selection(), 5, untold)
    finally:
        await box.stop()
    assert list(plan.steps.values()) == [Skip.UNREADABLE]


async def test_a_batch_that_is_damaged_on_the_brokers_disk_holds_up_no_other(apache: Broker) -> None:
    await apache.send(value(message="before"))
    await apache.send(value(message="damaged"))
    await apache.send(value(message="after"))
    assert apache.servers.kafka is not None
    folder = Path(apache.servers.kafka._data) / f"{apache.topics.name}-0"  # type: ignore[attr-defined]
    segment = folder / "00000000000000000000.log"
    segment.write_bytes(segment.read_bytes().replace(b"damaged", b"DAMAGED"))
    await apache.send(value(BOB), partition=1)
    stage = await apache.stage()
    async with stage.working():
        await stage.stored(1)
        await stage.stored(1, BOB)
        await eventually(lambda: stage.worker.held, "it is noticed")
        with pytest.raises(Unavailable, match=r"partition 0: offsets 1 to 1 cannot be read: .*CRC"):
            await stage.worker.check_partitions()
        await apache.send(value(BOB, message="later"), partition=1)
        await stage.stored(2, BOB)
    again = await apache.stage(skipped=[(0, 1)])
    async with again.working():
        await again.stored(1)
        (letter,) = await apache.letters(1)

    assert b"DAMAGED" in (letter.value or b"")


async def test_letters_that_cannot_be_unpacked_are_listed_among_the_others(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = raw_records.a_batch((b"ada", b"packed" * 99, ()), codec="lz4")
    monkeypatch.setattr(codecs, "cramjam", None)
    dead = broker.topics.dead_letters
    letter = [("dlq-error-code", b"malformed")]
    await broker.producer.send_and_wait(dead, b"first", partition=0, headers=letter)
    await raw_records.send(broker.bootstrap, dead, 0, packed)
    await broker.producer.send_and_wait(dead, b"last", partition=0, headers=letter)

    first, unreadable, last = await broker.letters(3)

    assert (first.value, last.value) == (b"first", b"last")
    assert (unreadable.code, unreadable.record, unreadable.position.offset) == ("unreadable", None, 1)
    assert "offsets 1 to 1 cannot be read: " in unreadable.message


async def test_a_key_lies_where_javas_client_and_a_librdkafka_that_is_told_so_put_it(broker: Broker) -> None:
    told = RdKafkaProducer({"bootstrap.servers": broker.bootstrap, "partitioner": "murmur2_random"})
    landed: dict[bytes | None, int | None] = {}
    for user in USERS:
        told.produce(
            broker.topics.name,
            value(user),
            key=user,
            on_delivery=lambda _, message: landed.update({message.key(): message.partition()}),
        )
    assert await asyncio.to_thread(told.flush, 20) == 0

    for user in USERS:
        sent = await broker.producer.send_and_wait(broker.topics.name, value(user), key=user.encode())
        assert landed[user.encode()] == sent.partition
    assert set(landed.values()) == set(range(PARTITIONS))


# --- the topic changes ---


async def test_partitions_that_are_added_are_read(apache: Broker, caplog: pytest.LogCaptureFixture) -> None:
    stage = await apache.stage()
    async with stage.working():
        await apache.send(value())
        await stage.stored(1)
        caplog.set_level(logging.INFO)
        async with administration(apache) as admin:
            await admin.create_partitions({apache.topics.name: NewPartitions(total_count=PARTITIONS + 1)})
        await apache.send_raw(raw_records.a_batch((b"ada", value(message="new"), ())), PARTITIONS)
        await apache.send_raw(raw_records.a_batch((b"ada", b"bad", ())), PARTITIONS)
        await stage.stored(2)
        (letter,) = await apache.letters(1)

    assert "reading 4 partitions" in caplog.text
    # The dead-letter topic has fewer: any of its partitions does.
    assert letter.record == (apache.topics.name, PARTITIONS, 1)
    assert letter.position.partition < PARTITIONS


async def test_whoever_watches_sees_added_partitions_from_their_start_and_misses_nothing(
    apache: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passing, "_LOOK_EVERY_SECONDS", 0.0)
    await apache.send(value(message="before"))
    passage = passing.KafkaPassing(apache.bootstrap, apache.topics)
    seen: list[tuple[int, int]] = []

    async def has_seen(*places: tuple[int, int]) -> bool:
        found = await passage.next(0.1)
        seen.extend((one.position.partition, one.position.offset) for one in found)
        return sorted(seen) == list(places)

    try:
        await passage.start()
        await apache.send(value())
        async with administration(apache) as admin:
            await admin.create_partitions({apache.topics.name: NewPartitions(total_count=PARTITIONS + 1)})
        await apache.send_raw(raw_records.a_batch((b"ada", value(), ())), PARTITIONS)
        await eventually(lambda: has_seen((0, 1), (PARTITIONS, 0)), "both are seen")
        await apache.send(value())
        await eventually(lambda: has_seen((0, 1), (0, 2), (PARTITIONS, 0)), "it goes on")
    finally:
        await passage.stop()


@pytest.mark.parametrize("count", [3, 30])
async def test_a_topic_that_is_made_again_is_read_from_its_start(
    apache: Broker, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    """With fewer records than were committed, and with more."""
    caplog.set_level("INFO")  # if this fails, the log shows what the group and the client's metadata did
    stage = await apache.stage()
    async with stage.working():
        for _ in range(10):
            await apache.send(value())
        await stage.stored(10)
        await eventually(lambda: apache.is_through(10, 0, 0), "they are committed")
        async with administration(apache) as admin:
            await admin.delete_topics([apache.topics.name])
            await eventually(lambda: is_gone(admin, apache.topics.name), "the topic is gone")
        await ensure_topics(apache.bootstrap, apache.topics)
        for _ in range(count):
            await apache.send_raw(raw_records.a_batch((b"bob", value(BOB), ())), 0)
        await eventually(lambda: len(stage.ids(BOB)) == count, "the new topic is read", seconds=60)
        await eventually(lambda: apache.is_through(count, 0, 0), "they are committed")


async def test_where_the_topic_has_no_such_offset_any_more_it_is_read_from_its_start(apache: Broker) -> None:
    """As when brokers lost the end of a partition: what was read before comes again, and changes nothing."""
    for _ in range(5):
        await apache.send(value())
    stage = await apache.stage()
    async with stage.working():
        await stage.stored(5)
        await eventually(lambda: apache.is_through(5, 0, 0), "they are committed")
        stage.worker._partitions.put_back(TopicPartition(apache.topics.name, 0), 1_000, "lost")
        await eventually(lambda: not stage.worker.held, "it is read again")
        await apache.send(value(message="later"))
        await stage.stored(6)


@asynccontextmanager
async def administration(broker: Broker) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def is_gone(admin: AIOKafkaAdminClient, topic: str) -> bool:
    return topic not in await admin.list_topics()


# --- a drill ---


class Late:
    """Has a broker hold batches back from its first answers, although it returns those behind them."""

    def __init__(self, patch: pytest.MonkeyPatch, *hidden: int, answers: float) -> None:
        """It holds back the batches that begin at the `hidden` offsets from so many answers."""
        self.left = dict.fromkeys(hidden, answers)
        self._unpacked, self._unpack = fetcher.MemoryRecords, records.unpack
        patch.setattr(fetcher, "MemoryRecords", lambda data: self._unpacked(self._answer(data)))
        patch.setattr(
            records, "unpack", lambda data, *place, **more: self._unpack(self._answer(data), *place, **more)
        )

    def _answer(self, data: bytes) -> bytes:
        batches = [(int.from_bytes(data[start : start + 8]), data[start:end]) for start, end in spans(data)]
        last = max((offset for offset, _ in batches), default=0)
        return b"".join(batch for offset, batch in batches if offset == last or not self._holds_back(offset))

    def _holds_back(self, offset: int) -> bool:
        self.left[offset] = self.left.get(offset, 0) - 1
        return self.left[offset] >= 0


@pytest.mark.parametrize("answers", [1, 2, 4])
async def test_a_batch_that_can_be_read_later_than_the_one_behind_it_is_read(
    broker: Broker, answers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded broker answers like this now and then, when several producers write."""
    stage = await broker.stage()
    late = Late(monkeypatch, 0, 3, 4, answers=answers)
    for number in range(7):
        await broker.send(value(message=f"number {number}"))
    async with stage.working():
        await stage.stored(7)
        await eventually(lambda: broker.is_through(7, 0, 0), "everything is committed")

    assert [late.left[offset] < 0 for offset in (0, 3, 4)] == [True] * 3
    messages = [item.message for item in (await stage.feeds.history(ADA, 0, 99)).notifications]
    assert sorted(messages) == [f"number {number}" for number in range(7)]


async def test_offsets_that_the_broker_never_returns_hold_up_nothing_for_long(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As in a topic that is compacted."""
    stage = await broker.stage()
    Late(monkeypatch, 1, 2, answers=float("inf"))
    for number in range(5):
        await broker.send(value(message=f"number {number}"))
    async with stage.working():
        await eventually(lambda: broker.is_through(5, 0, 0), "everything is committed")

    messages = [item.message for item in (await stage.feeds.history(ADA, 0, 99)).notifications]
    assert sorted(messages) == ["number 0", "number 3", "number 4"]
    assert "partition 0 has a hole at offset 1; read on behind it" in caplog.text


class Accidents:
    """Has reads fail now and then, in every way that the read path knows; which and when a seed says."""

    def __init__(self, seed: int, patch: pytest.MonkeyPatch) -> None:
        self._source = random.Random(seed)
        self._unpacked, self._unpack = fetcher.MemoryRecords, records.unpack
        self._getall = fetcher.FetchResult.getall
        self.happened: Counter[str] = Counter()
        self._held_back: Counter[int] = Counter()
        patch.setattr(fetcher, "MemoryRecords", lambda data: self._unpacked(self._damaged(data)))
        patch.setattr(records, "unpack", self._unpack_alone)
        patch.setattr(fetcher.FetchResult, "getall", self._take_and_fail())

    def _damaged(self, data: bytes) -> bytes:
        """What a broker sent, as it comes out of a bad cable, disk or release."""
        how = self._source.choice([*Kind, *[None] * 5])
        if not data or how is None:
            return self._without_one(data)
        self.happened[how.value] += 1
        return damage(data, how, self._source)

    def _without_one(self, data: bytes) -> bytes:
        """The answer without a batch that can be read soon, but not without its last one."""
        batches = list(spans(data))[:-1]
        if not batches or self._source.random() < 0.8:
            return data
        start, end = self._source.choice(batches)
        offset = int.from_bytes(data[start : start + 8])
        self._held_back[offset] += 1
        if self._held_back[offset] > 2:
            return data
        self.happened["late"] += 1
        return data[:start] + data[end:]

    def _unpack_alone(self, data: bytes, *place: Any, **more: Any) -> records.Found:
        return self._unpack(self._damaged(data), *place, **more)

    def _take_and_fail(self) -> Any:
        """Records that were taken off are lost to the client when it fails at the next partition."""

        def getall(result: Any, *most: Any) -> Any:
            if self._source.random() < 0.1:
                self.happened["between"] += 1
                raise RuntimeError("between two partitions")
            return self._getall(result, *most)

        return getall


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_read_errors_of_every_kind_lose_nothing(
    broker: Broker, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, poison = 20_000, 97
    users = MemoryUsers()
    feeds = MemoryFeeds(users)
    for user in USERS:
        await users.add(a_user(user), None)
    accidents = Accidents(seed, monkeypatch)
    # Little at a time, so that there is much that can fail.
    stages = [
        await broker.stage(feeds=feeds, bad_records_limit=0, max_bytes=4_000) for _ in range(PARTITIONS)
    ]
    async with AsyncExitStack() as working:
        await asyncio.gather(*(working.enter_async_context(stage.working()) for stage in stages))
        ends = await write(broker, count, poison)
        await eventually(lambda: broker.is_through(*ends), "everything is committed", seconds=120)
    monkeypatch.undo()

    stored = [item.message for user in USERS for item in (await feeds.history(user, 0, count)).notifications]
    letters = await broker.letters(0)
    buried = {letter.record: letter.value for letter in letters}
    good = {f"number {number}" for number in range(count) if number % poison}
    assert len(stored) == len(good)
    assert set(stored) == good
    assert set(buried.values()) == {b"number %d" % number for number in range(count) if not number % poison}
    assert {*Kind, "between", "late"} <= set(accidents.happened)
    print(f"seed {seed}: {sum(ends)} records; accidents: {dict(accidents.happened)}")


async def write(broker: Broker, count: int, poison: int) -> list[int]:
    """Write so many records, with every codec; return how many each partition has."""
    ends = [0] * PARTITIONS
    for number, codec in enumerate([None, *CODECS]):
        async with AIOKafkaProducer(
            bootstrap_servers=broker.bootstrap, compression_type=codec, max_batch_size=4_000
        ) as producer:
            sent = []
            for n in range(number, count, len(CODECS) + 1):
                good = value(USERS[n % len(USERS)], message=f"number {n}")
                text = good if n % poison else b"number %d" % n
                ends[n % PARTITIONS] += 1
                sent.append(await producer.send(broker.topics.name, text, partition=n % PARTITIONS))
            await asyncio.gather(*sent)
    return ends
