"""Dead letters on a real broker, a consumer on real stores, and the command that works with them."""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import InvalidTimestampError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from sqlalchemy import text

from adapters.kafka.codec import decode
from adapters.kafka.dead_letter_box import KafkaDeadLetterBox
from adapters.kafka.dead_letters import MESSAGE_BYTES
from adapters.kafka.topics import DEAD_LETTER_BYTES, Topics
from application.audit import Search
from application.errors import Unavailable, UnknownDeadLetter
from application.letters import DeadLetter, Position
from domain.identifiers import UserId
from domain.notification import Draft, Notification
from domain.states import Status
from entrypoints.commands import cli, dead_letters
from entrypoints.consumer.process import build_worker
from tests.build import ADA
from tests.documents import NASTY
from tests.product import eventually
from tests.whole import Container
from workbench.soak.product import SOURCES

EVE = UserId("eve")
CANARY = "canary-4711"


def value(user: str = "ada", **fields: Any) -> bytes:
    return json.dumps({"user_id": user, "event": "a.b", "message": "m", **fields}).encode()


def ignored(_done: int, _total: int) -> None:
    return


@dataclass
class Done:
    """How a command ended."""

    status: int
    out: list[str]
    err: str


@dataclass
class Record:
    """A record as a consumer hands it over."""

    value: bytes | None
    key: bytes | None = b"eve"
    headers: tuple[tuple[str, bytes | None], ...] = ()
    topic: str = "topic"
    partition: int = 0
    offset: int = 7
    timestamp: int = 1_772_000_000_000


@dataclass
class World:
    """One installation: its topics, a consumer in this process, a producer that is somebody else's."""

    container: Container
    producer: AIOKafkaProducer
    box: KafkaDeadLetterBox
    main: KafkaDeadLetterBox
    """Reads the main topic in the same way."""
    capsys: pytest.CaptureFixture[str]

    @property
    def topic(self) -> str:
        return self.container.topics().name

    async def send(self, value: bytes | None, key: bytes | None = b"eve", **options: Any) -> Any:
        """Write a record into partition 0 of the main topic; return where it is."""
        return await self.producer.send_and_wait(self.topic, value, key=key, partition=0, **options)

    async def send_bare(self) -> None:
        """Write a record with neither key nor value."""
        batch = self.producer.create_batch()
        batch.append(key=None, value=None, timestamp=None)
        await (await self.producer.send_batch(batch, self.topic, partition=0))

    @asynccontextmanager
    async def consuming(self) -> AsyncIterator[None]:
        worker = build_worker(self.container)
        await worker.join()
        running = asyncio.create_task(worker.run())
        try:
            yield
        finally:
            worker.stop()
            async with asyncio.timeout(30):
                await running
            await worker.leave()

    async def letters(self, count: int) -> list[DeadLetter]:
        """The letters, once there are so many."""
        found: list[DeadLetter] = []

        async def there() -> bool:
            found[:] = [letter async for letter in self.box.read(ignored)]
            return len(found) >= count

        await eventually(there, f"{count} dead letters")
        assert len(found) == count
        return found

    async def feed(self, count: int, user: UserId = ADA) -> list[Notification]:
        """A user's notifications, oldest first, once there are so many."""

        async def version() -> int:
            return (await self.container.feeds().feed(user)).version

        async def there() -> bool:
            return await version() >= count

        await eventually(there, f"{user} has {count} notifications")
        assert await version() == count
        page = await self.container.feeds().page(user, Status.ALL, limit=100)
        return sorted(page.notifications, key=lambda notification: notification.version)

    async def counts(self) -> tuple[int, int]:
        """How many records there are in the main topic and among the dead letters."""
        main = [record async for record in self.main.read(ignored)]
        letters = [letter async for letter in self.box.read(ignored)]
        return len(main), len(letters)

    async def dlq(self, *words: str) -> Done:
        self.capsys.readouterr()
        arguments = cli.parser().parse_args(["dlq", *words])
        status = await dead_letters.execute(arguments, self.container.settings())
        said = self.capsys.readouterr()
        return Done(status, said.out.splitlines(), said.err)


class _Main(Topics):
    @property
    def dead_letters(self) -> str:
        return self.name


@pytest.fixture
async def world(container: Container, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[World]:
    bootstrap = container.settings().kafka_bootstrap
    await container.ensure_topics()(bootstrap, container.topics())
    await container.create_user()("Ada", None, None, ADA)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, max_request_size=4 * 1024 * 1024)
    box = KafkaDeadLetterBox(bootstrap, container.topics())
    main = KafkaDeadLetterBox(bootstrap, _Main(container.topics().name, 1, 1))
    try:
        await producer.start()
        await box.start()
        await main.start()
        yield World(container, producer, box, main, capsys)
    finally:
        await main.stop()
        await box.stop()
        await producer.stop()


# --- exactly the bad ones -----------------------------------------------------------------------------

POISON: list[tuple[str, bytes | None]] = [
    ("malformed", b'{"user_id": "ada'),
    ("malformed", b'{"user_id":"ada","event":"a.b","message":"\xff"}'),
    ("invalid", rb'{"user_id":"ada","event":"a.b","message":"\u0000"}'),
    ("invalid", value(schema_version=2)),
    ("tombstone", None),
    ("invalid", b'{"user_id":"ada","event":"a.b","message":"m","metadata":{"n":1e%b}}' % (b"9" * 5_000)),
    ("malformed", b'{"user_id":"ada","event":"a.b","message":"m","metadata":{"n":%b}}' % (b"[" * 20_000)),
    ("invalid", value(expires_at="9999-12-31T23:59:59-23:59")),
    ("invalid", value(expires_at="0001-01-01T00:00:00Z")),
    ("invalid", value(created_at="0001-01-01T00:00:00Z")),
    ("invalid", value(created_at="1969-12-31T23:59:59Z")),
    ("invalid", value(created_at="9000-01-01T00:00:00Z")),
    ("invalid", value(id="ffffffff-ffff-7fff-bfff-ffffffffffff")),
]


async def test_exactly_the_poison_is_a_dead_letter_and_its_neighbours_are_stored(world: World) -> None:
    bad: dict[int, tuple[str, bytes | None, bytes | None]] = {}
    good = 0
    for key in (b"ada", None):
        for code, poison in POISON:
            await world.send(value(message=f"before {code}"), key)
            if key is None and poison is None:
                await world.send_bare()
                bad[max(bad) + 2] = (code, None, None)
            else:
                sent = await world.send(poison, key)
                bad[sent.offset] = (code, key, poison)
            good += 1
    await world.send(value(message="after all"))

    async with world.consuming():
        stored = await world.feed(good + 1)
        letters = await world.letters(len(bad))

    assert len({notification.id for notification in stored}) == good + 1
    assert {
        letter.record[2]: (letter.code, letter.key, letter.value) for letter in letters if letter.record
    } == bad


async def test_records_of_one_millisecond_are_listed_as_they_lie_also_when_they_come_again(
    world: World,
) -> None:
    moment = 1_772_000_000_000
    for nth in range(20):
        await world.send(value(message=f"{nth}"), timestamp_ms=moment + nth // 10)
    async with world.consuming():
        stored = await world.feed(20)

    assert [item.message for item in stored] == [f"{nth}" for nth in range(20)]
    assert [item.id for item in stored] == sorted(item.id for item in stored)


@pytest.mark.parametrize(("timestamp", "stored"), [(-1, True), (0, True), (253_402_300_800_000, False)])
async def test_whatever_the_timestamp_of_a_record_it_is_stored_or_a_dead_letter(
    world: World, timestamp: int, stored: bool
) -> None:
    batch = world.producer.create_batch()
    batch.append(key=b"ada", value=value(), timestamp=timestamp)
    try:
        await (await world.producer.send_batch(batch, world.topic, partition=0))
    except InvalidTimestampError:
        pytest.skip("this broker refuses times to come, as Apache Kafka does from 4 on")
    await world.send(value(message="after all"))

    async with world.consuming():
        assert len(await world.feed(2 if stored else 1)) == 2 - (not stored)
        await world.letters(not stored)


async def test_what_postgresql_refuses_is_a_dead_letter_that_repeats_nothing_of_it(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with world.container.engine().begin() as connection:
        # PostgreSQL's words about a row that breaks this have the whole row in them.
        await connection.execute(
            text("ALTER TABLE notifications ADD CONSTRAINT strict CHECK (title <> 'no')")
        )
    caplog.set_level(logging.INFO)
    for message in (value(message="before"), value(title="no", message=CANARY, metadata={CANARY: CANARY})):
        await world.send(message, b"ada")
    await world.send(value(CANARY, message=CANARY, other=CANARY), CANARY.encode())
    await world.send(value(message="after"), b"ada")

    async with world.consuming():
        await world.feed(2)
        invalid, refused = sorted(await world.letters(2), key=lambda letter: letter.error_class == "refused")

    assert (refused.code, refused.error_class) == ("23514", "refused")
    assert (invalid.code, invalid.error_class) == ("invalid", "undecodable")
    assert any("dead letter: 23514" in record.getMessage() for record in caplog.records)
    assert CANARY not in caplog.text + "".join(str(vars(record)) for record in caplog.records)
    for letter in (refused, invalid):
        assert letter.value is not None
        assert CANARY.encode() in letter.value
        assert CANARY not in str(letter.headers)


# --- headers ------------------------------------------------------------------------------------------


def letter_size(letter: DeadLetter) -> int:
    """What a producer reckons that a letter takes."""
    return int(
        DefaultRecordBatchBuilder.estimate_size_in_bytes(letter.key, letter.value, list(letter.headers))
    )


async def test_a_record_at_the_maximum_keeps_its_value_and_its_message_gives_way(world: World) -> None:
    letters = world.container.dead_letters()
    await letters.start()
    try:
        await letters.put([(Record(b"v"), "invalid", "")])
        (small,) = await world.letters(1)
        # The length of a value of two million bytes takes three bytes more than that of a value of one.
        whole = b"x" * (DEAD_LETTER_BYTES - letter_size(small) + 1 - 3)
        await letters.put([(Record(whole), "invalid", "ü" * 400)])
        await letters.put([(Record(whole[10:], offset=8), "invalid", "ü" * 400)])
        await letters.put([(Record(b"v", offset=9), "invalid", "ü" * 9_999)])
        _, largest, large, small = await world.letters(4)
    finally:
        await letters.stop()

    assert (largest.value, largest.message) == (whole, "")
    assert (large.value, set(large.message)) == (whole[10:], {"ü"})
    for letter in (largest, large):
        assert 0 <= DEAD_LETTER_BYTES - letter_size(letter) < 4
    assert small.message == "ü" * (MESSAGE_BYTES // 2)
    assert largest.record == ("topic", 0, 7)


# --- replaying ----------------------------------------------------------------------------------------


async def test_once_the_user_exists_a_replay_stores_what_would_have_been_stored_once(world: World) -> None:
    sent = await world.send(value("eve"), headers=[("trace", b"\x00\xff")])
    expected = decode(Record(value("eve"), topic=world.topic, offset=sent.offset, timestamp=sent.timestamp))
    async with world.consuming():
        await world.letters(1)
        await world.container.create_user()("Eve", None, None, EVE)

        first = await world.dlq("replay", "--error", "unknown-user", "--yes")
        (stored,) = await world.feed(1, EVE)
        again = await world.dlq("replay", "--yes")
        await world.send(value("eve", message="after all"))
        both = await world.feed(2, EVE)
        await world.letters(1)

    assert (first.status, first.err) == (0, "bellwire: 1 of 1 replayed\n")
    assert (again.status, again.err) == (0, "bellwire: 1 of 1 replayed\n")
    recorded = await world.container.audit_trail().page(Search(action="letters.replayed"), 5)
    assert [(entry.actor_kind, entry.detail) for entry in recorded] == [("cli", {"letters": 1})] * 2
    assert isinstance(expected, Draft)
    assert (stored.id, stored.created_at) == (expected.id, expected.created_at)
    assert [notification.message for notification in both] == ["m", "after all"]


async def test_metadata_comes_back_from_the_dead_letters_as_it_was_sent(world: World) -> None:
    for document in NASTY:
        await world.send(b'{"user_id":"eve","event":"a.b","message":"m","metadata":%b}' % document.encode())
    async with world.consuming():
        await world.letters(len(NASTY))
        await world.container.create_user()("Eve", None, None, EVE)

        await world.dlq("replay", "--yes")
        stored = await world.feed(len(NASTY), EVE)

    assert [notification.metadata.text for notification in stored] == NASTY


async def test_a_record_that_fails_again_counts_on_until_it_is_left_alone(world: World) -> None:
    own = [("trace", b"\x00\xff"), ("twice", b"1"), ("twice", b"2"), ("bellwire-key", b"0123456789ab")]
    await world.send(value("eve"), headers=own)
    async with world.consuming():
        (first,) = await world.letters(1)
        for attempt in (2, 3):
            replayed = await world.dlq("replay", "--yes", "--max-attempts", "2")
            assert replayed.status == 0
            letters = await world.letters(attempt)
        before = await world.counts()
        refused = await world.dlq("replay", "--yes", "--max-attempts", "2")
        after = await world.counts()

    assert [letter.attempt for letter in letters] == [1, 2, 3]
    for letter in letters:
        names = [name for name, _ in letter.headers if name.startswith("dlq-")]
        assert len(names) == len(set(names)) == 11
        assert list(letter.headers[:4]) == own
        assert (letter.key, letter.value) == (b"eve", value("eve"))
        assert (letter.record, letter.first_failed_at) == (first.record, first.first_failed_at)
    assert refused.status == 1
    assert "1 left alone: it has failed too often" in refused.err
    assert "2 left alone: a later letter" in refused.err
    assert after == before


async def test_doubles_are_replayed_once_and_a_dry_run_changes_nothing(world: World) -> None:
    record = Record(value("eve"), topic=world.topic)
    letters = world.container.dead_letters()
    await letters.start()
    for offset in (7, 7, 8):
        record.offset = offset
        await letters.put([(record, "unknown-user", "there is no such user")])
    await letters.stop()
    before = await world.counts()

    dry = await world.dlq("replay", "--dry-run")

    assert await world.counts() == before
    assert dry.status == 0
    assert dry.out == [
        "0:0  left alone: a later letter holds the same record",
        f"0:1  to {world.topic}",
        f"0:2  to {world.topic}",
    ]
    assert "2 would be replayed" in dry.err
    assert (await world.dlq("replay", "--yes")).status == 0
    assert await world.counts() == (before[0] + 2, before[1])


async def test_letters_can_be_named_one_by_one(world: World) -> None:
    for _ in range(3):
        await world.send(value("eve"))
    async with world.consuming():
        await world.letters(3)
    before = await world.counts()

    one = await world.dlq("replay", "0:1", "--yes")
    none = await world.dlq("replay", "0:7", "2:0", "--yes")

    assert await world.counts() == (before[0] + 1, before[1])
    assert one.status == 0
    assert none.status == 1
    assert "0:7 does not exist" in none.err
    assert "2:0 does not exist" in none.err


async def test_what_has_no_value_is_shown_and_left_alone(world: World) -> None:
    await world.send(None, b"ada")
    await world.send_bare()
    await world.send(b"no JSON", None)
    async with world.consuming():
        await world.letters(3)

    listed = await world.dlq("list")
    tombstone, bare, keyless = [await world.dlq("show", f"0:{offset}") for offset in range(3)]
    dry = await world.dlq("replay", "--dry-run")

    assert [row.split()[2:4] for row in listed.out] == [
        ["tombstone", "ada"],
        ["tombstone", "-"],
        ["malformed", "-"],
    ]
    assert "key      ada" in tombstone.out
    assert tombstone.out[-1] == bare.out[-1] == "value    none"
    assert "key      none" in bare.out
    assert "key      none" in keyless.out
    assert keyless.out[-2:] == ["value    7 bytes", "no JSON"]
    assert dry.status == 1
    assert dry.out[2] == f"0:2  to {world.topic}"
    assert "2 left alone: it has no value" in dry.err


# --- looking ------------------------------------------------------------------------------------------


async def test_letters_are_listed_counted_and_shown(world: World) -> None:
    await world.send(value("eve", message="hello"), headers=[("trace", b"t")])
    await world.send(b"\x1b[2J", b"key")
    await world.producer.send_and_wait(world.topic, value("eve"), key=b"eve", partition=2)
    async with world.consuming():
        await world.letters(3)

    every = await world.dlq("list")
    unknown = await world.dlq("list", "--error", "unknown-user", "--json")
    young = await world.dlq("list", "--since", "1h", "--partition", "2")
    old = await world.dlq("list", "--until", "1h")
    few = await world.dlq("list", "--limit", "1")
    counted = await world.dlq("list", "--summary")
    number = next(json.loads(row)["offset"] for row in unknown.out)
    shown = await world.dlq("show", f"0:{number}")

    assert [row.split()[0] for row in every.out] == ["0:0", "0:1", "2:0"]
    assert [json.loads(row)["user"] for row in unknown.out] == ["eve", "eve"]
    assert [row.split()[0] for row in young.out] == ["2:0"]
    assert old.out == []
    assert [row.split()[0] for row in few.out] == ["0:0"]
    assert [row.split()[:2] for row in counted.out] == [["2", "unknown-user"], ["1", "malformed"]]
    assert '  "message": "hello"' in shown.out
    assert "  trace: t" in shown.out
    assert every.status == shown.status == 0


@pytest.mark.parametrize("place", ["0:0", "0:5", "99:0"])
async def test_a_letter_that_is_not_there_is_said_to_be(world: World, place: str) -> None:
    with pytest.raises(UnknownDeadLetter):
        await world.dlq("show", place)


async def test_a_topic_that_is_not_there_is_said_to_be(container: Container) -> None:
    arguments = cli.parser().parse_args(["dlq", "list"])

    with pytest.raises(Unavailable) as caught:
        await dead_letters.execute(arguments, container.settings())

    assert f"no topic {container.topics().dead_letters}" in caught.value.detail


async def test_a_broker_that_falls_silent_is_said_to_be(world: World, servers: Any) -> None:
    if servers.kafka is None:
        pytest.skip("only a broker that was started here can be frozen")
    await world.letters(0)
    world.box._deadline_seconds = 2.0
    servers.kafka.pause()
    try:
        with pytest.raises(Unavailable):
            await world.box.get(Position(0, 0))
    finally:
        servers.kafka.resume()


# --- as a person meets it -----------------------------------------------------------------------------

Start = Callable[..., Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
async def start(environment: Mapping[str, str]) -> AsyncIterator[Start]:
    """Start the command as a process."""
    started: list[asyncio.subprocess.Process] = []

    async def start(
        *words: str, out: int = asyncio.subprocess.PIPE, **changes: str
    ) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "bellwire", "dlq", *words),
            env={**os.environ, "PYTHONPATH": str(SOURCES), **environment, **changes},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=asyncio.subprocess.PIPE,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_an_unreachable_broker_is_one_line_and_1(start: Start) -> None:
    process = await start("list", BELLWIRE_KAFKA_BOOTSTRAP="127.0.0.1:1")
    async with asyncio.timeout(60):
        out, err = await process.communicate()

    assert process.returncode == 1
    assert out == b""
    assert err.startswith(b"bellwire: Kafka is out of reach")
    assert err.count(b"\n") == 1


async def test_a_reader_may_stop_early(world: World, start: Start) -> None:
    letters = world.container.dead_letters()
    await letters.start()
    await letters.put([(Record(b"v"), "malformed", "no JSON")])
    await letters.stop()
    read, write = os.pipe()
    os.close(read)
    process = await start("list", out=write)
    os.close(write)
    async with asyncio.timeout(60):
        _, err = await process.communicate()

    assert (process.returncode, err) == (0, b"")


async def test_an_interrupt_stops_after_a_record_and_says_where_it_stood(world: World, start: Start) -> None:
    record = Record(value("eve"), topic=world.topic)
    letters = world.container.dead_letters()
    await letters.start()
    for offset in range(5):
        record.offset = offset
        await letters.put([(record, "unknown-user", "there is no such user")])
    await letters.stop()
    process = await start("replay", "--yes", "--rate", "0.01")

    async def replaying() -> bool:
        return (await world.counts())[0] == 1

    await eventually(replaying, "the first is replayed")
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(60):
        _, err = await process.communicate()

    assert process.returncode == 130
    assert err == b"bellwire: 1 of 5 replayed; the last was 0:0\n"
    assert await replaying()
