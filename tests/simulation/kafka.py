"""Kafka, in memory, with aiokafka's ways of using it.

The real inlet, queue and dead letters run on `Consumer`, `ProducingClient` and `Producer`, which stand in for
aiokafka's classes and behave as its 0.14 does where it matters: partitions are revoked before a member joins
again, a member that was evicted learns it late, `getmany` waits for an assignment, a commit goes out under
the generation of the moment, offsets are asked for anew and pauses are forgotten with every assignment.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    CorruptRecordException,
    IllegalStateError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NotEnoughReplicasAfterAppendError,
    NotEnoughReplicasError,
    RequestTimedOutError,
)
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.record.memory_records import MemoryRecords

from adapters.kafka.codec import decode
from adapters.kafka.produce_request import ProduceRequest
from adapters.kafka.records import Found, Unreadable
from application.errors import Unavailable
from application.records import Undecodable
from domain.arrivals import Arrival
from domain.identifiers import NotificationId, UserId
from domain.notification import Draft, Retraction
from tests.simulation.loop import PROCESS, Process
from tests.simulation.postgres import REFUSED, Postgres, step_of
from tests.simulation.world import Server, World

logger = logging.getLogger(__name__)

TOPIC = "bellwire.notifications"
DEAD_LETTERS = f"{TOPIC}.dlq"
SESSION_SECONDS = 3.0

Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(slots=True)
class Record:
    """A record as the log keeps it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers

    @property
    def place(self) -> tuple[int, int]:
        """Where it is."""
        return self.partition, self.offset


class Kafka:
    """The brokers: the log, the dead letters, the group."""

    def __init__(self, world: World, postgres: Postgres, partitions: int) -> None:
        self.world = world
        self.postgres = postgres
        self.server = Server("Kafka", patience=3.0)
        self.dead_letters_away = False
        self.log: list[list[Record]] = [[] for _ in range(partitions)]
        self.drafts: dict[tuple[int, int], Arrival | None] = {}
        """What each record says, by its place; None if nothing."""
        self.dead_places: dict[tuple[int, int], int] = {}
        self.dead_ids: set[tuple[UserId, NotificationId]] = set()
        self.announced: Callable[[UserId, int], bool] = lambda *_: True
        """Whether Redis was told of this version, or will be."""
        self.settled = [0] * partitions
        """Up to where every record is known to be in one of the stores."""
        self.damaged: dict[tuple[int, int], float] = {}
        """When a record can be unpacked again, by its place; aiokafka's consumer never can."""
        self.group = Group(self)
        self.consumers: list[Consumer] = []
        self._news: list[asyncio.Future[None]] = []

    def died(self, process: Process) -> None:
        """A process was killed: the group notices in time."""
        for consumer in self.consumers:
            if consumer.process is process:
                self.world.soon(SESSION_SECONDS, self.group.remove, consumer.member)

    # --- the log ---

    def append(self, partition: int, key: bytes | None, value: bytes | None, headers: Headers = ()) -> Record:
        """Keep a record."""
        log = self.log[partition]
        now = int(self.world.clock().timestamp() * 1000)
        record = Record(TOPIC, partition, len(log), now, key, value, headers)
        log.append(record)
        if self.world.chance(self.world.weather.damages):
            until = self.world.loop.time() + self.world.source.choice([0.0, 0.5, 5.0])
            self.damaged[record.place] = until
        try:
            draft = decode(record)
        except Undecodable:
            self.drafts[record.place] = None
        else:
            self.drafts[record.place] = draft
            self.postgres.take_note(draft)
        self.world.note(f"Kafka: {partition}/{record.offset} holds {_words(self.drafts[record.place])}")
        news, self._news = self._news, []
        for waiter in news:
            _ring(waiter)
        return record

    def partition_of(self, key: bytes) -> int:
        """Where records with this key go."""
        numbers = list(range(len(self.log)))
        number: int = DefaultPartitioner()(key, numbers, numbers)
        return number

    async def news(self, seconds: float) -> None:
        """Wait for a record, or so long."""
        waiter = self.world.loop.create_future()
        timer = self.world.loop.call_later(seconds, _ring, waiter)
        self._news.append(waiter)
        try:
            await waiter
        finally:
            timer.cancel()

    # --- the dead letters ---

    def bury(self, value: bytes | None, headers: Mapping[str, bytes]) -> None:
        """Keep a dead letter. Only what can never be stored may become one."""
        place = int(headers["dlq-original-partition"]), int(headers["dlq-original-offset"])
        record = self.log[place[0]][place[1]]
        self.world.check((record.value or b"") == (value or b""), f"a dead letter of {place} was changed")
        self.world.check(
            self.doomed(self.drafts[place]), f"I1: {place} is a dead letter, but could be stored"
        )
        self.dead_places[place] = self.dead_places.get(place, 0) + 1
        draft = self.drafts[place]
        if draft is not None:
            self.dead_ids.add(_name(draft))
        self.world.note(f"Kafka: dead letter of {place}")

    def doomed(self, draft: Arrival | None) -> bool:
        """Whether no number of tries would store it."""
        if draft is None or draft.user_id not in self.postgres.history:
            return True
        return isinstance(draft, Draft) and draft.content.message == REFUSED

    def is_settled(self, record: Record) -> bool:
        """Whether the record is in one of the stores."""
        draft = self.drafts[record.place]
        if draft is None:
            return record.place in self.dead_places
        dead = _name(draft) in self.dead_ids or record.place in self.dead_places
        return self.postgres.obeyed(draft) or dead

    def committed(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Take committed offsets. None may pass a record that is in neither store."""
        for name, offset in offsets.items():
            partition = name.partition
            self.world.note(f"Kafka: {partition} is committed up to {offset}")
            self.world.check(
                0 <= offset <= len(self.log[partition]),
                f"I7: {partition}/{offset} is past the end of the log",
            )
            for record in self.log[partition][self.settled[partition] : offset]:
                self.world.check(
                    self.is_settled(record),
                    f"I7: {partition} is committed up to {offset}, but {record.offset}"
                    f" ({_words(self.drafts[record.place])}) is in neither store",
                )
                draft = self.drafts[record.place]
                version = 0 if draft is None else self.postgres.stored_at.get(step_of(draft), 0)
                self.world.check(
                    draft is None or self.announced(draft.user_id, version),
                    f"I3: {partition} is committed up to {offset}, but {record.offset} was not announced",
                )
            self.settled[partition] = max(self.settled[partition], offset)
            self.group.offsets[partition] = offset


def _ring(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)


def _name(draft: Arrival) -> tuple[UserId, NotificationId]:
    return draft.user_id, draft.id


def _words(draft: Arrival | None) -> str:
    if draft is None:
        return "no notification"
    words = f"{str(draft.id)[-6:]} for {draft.user_id}"
    if isinstance(draft, Retraction):
        return f"the retraction of {words}"
    return f"{words}, revision {draft.revision}" + (
        ", which is refused" if draft.content.message == REFUSED else ""
    )


# --- the group ------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Member:
    """A consumer as the coordinator knows it."""

    consumer: "Consumer"
    generation: int = -1
    joining: "asyncio.Future[Collection[int] | None] | None" = None


class Group:
    """The coordinator: who reads which partition, and from where."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._world = kafka.world
        self.offsets = [0] * len(kafka.log)
        self.members: list[Member] = []
        self._generation = 0
        self._preparing = 0
        """Which rebalance is under way, counted; 0 if none is."""
        self._rebalances = 0

    def join(self, member: Member) -> "asyncio.Future[Collection[int] | None]":
        """Take a place. The answer comes once everybody else is there, or late."""
        waiting = member.joining = self._world.loop.create_future()
        if not member.consumer.there:
            self._world.soon(SESSION_SECONDS, self.remove, member)  # no heartbeat will come
        if member not in self.members:
            self.members.append(member)
        if not self._preparing:
            self._prepare()
        self._complete()
        return waiting

    def remove(self, member: Member) -> None:
        """A member left, or was not heard of for too long, or is taken to be dead."""
        if member not in self.members:
            return
        self._world.note(f"Kafka: {member.consumer.name} is no member any more")
        self.members.remove(member)
        member.generation = -1
        if member.joining is not None and not member.joining.done():
            member.joining.set_result(None)
        if self.members and not self._preparing:
            self._prepare()
        self._complete()

    def accepts(self, member: Member, generation: int) -> bool:
        """Whether a commit is one of a member in good standing."""
        return member in self.members and member.generation == generation

    def _prepare(self) -> None:
        self._rebalances += 1
        self._preparing = self._rebalances
        for member in self.members:
            if member.joining is None:
                # It learns of it with its next heartbeat.
                self._world.soon(SESSION_SECONDS / 5 * self._world.source.random(), member.consumer.rejoin)
        self._world.soon(SESSION_SECONDS, self._give_up, self._preparing)

    def _give_up(self, rebalance: int) -> None:
        if self._preparing == rebalance:
            for member in [member for member in self.members if member.joining is None]:
                self.remove(member)

    def _complete(self) -> None:
        if not self._preparing or any(member.joining is None for member in self.members):
            return
        self._preparing = 0
        self._generation += 1
        shares: list[list[int]] = [[] for _ in self.members]
        first = self._world.source.randrange(len(self.members)) if self.members else 0
        for partition in range(len(self._kafka.log)):
            if self.members:
                shares[(first + partition) % len(self.members)].append(partition)
        for member, share in zip(self.members, shares, strict=True):
            member.generation = self._generation
            joining, member.joining = member.joining, None
            self._world.note(f"Kafka: {member.consumer.name} reads {share}")
            if joining is not None and not joining.done():
                joining.set_result(share)


async def read(
    client: "Consumer", partition: TopicPartition, offset: int, *, most: int, **_bounds: int
) -> Found:
    """Stands in for records.read."""
    try:
        return await client.read(partition, offset, most)
    except KafkaError as error:
        raise Unavailable from error


class Client:
    """What consumers and producers have of the client below them."""

    hosts: Sequence[tuple[str, int, int]] = ()
    """No server could say why it is out of reach."""


class Consumer(Client):
    """Stands in for AIOKafkaConsumer."""

    def __init__(self, kafka: Kafka, **options: Any) -> None:
        self._kafka = kafka
        self._world = kafka.world
        self.process = _process()
        self.name = self.process.name
        self._member = Member(self)
        self._listener: Any = None
        self._positions: dict[TopicPartition, int] = {}
        self._paused: dict[TopicPartition, None] = {}
        self._assigned: asyncio.Future[None] = self._world.loop.create_future()
        self._rejoin = asyncio.Event()
        self._coordination: asyncio.Task[None] | None = None
        self._closed = False
        self._client = self
        self._fetcher = SimpleNamespace(error_future=self._world.loop.create_future())
        kafka.consumers.append(self)

    def subscribe(self, topics: Iterable[str], listener: Any) -> None:
        self._listener = listener

    async def start(self) -> None:
        await self._ask("connect", lambda: None)
        self._coordination = asyncio.create_task(self._coordinate())
        await self._assigned

    async def stop(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._rejoin.set()
        if self._coordination is not None:
            await asyncio.wait([self._coordination])
        try:
            await self._ask("leave the group", lambda: self._kafka.group.remove(self._member))
        except KafkaError:  # the group notices in time
            self._world.soon(SESSION_SECONDS, self._kafka.group.remove, self._member)

    def rejoin(self) -> None:
        """The member learns that the group changes, or that it is out of it."""
        if self.process.alive:
            self.process.context.run(self._rejoin.set)

    def evict(self) -> None:
        """The group takes it to be dead; it learns so a while later."""
        self._kafka.group.remove(self._member)
        self._world.soon(SESSION_SECONDS * self._world.source.random(), self.rejoin)

    @property
    def member(self) -> Member:
        """How the group knows it."""
        return self._member

    @property
    def there(self) -> bool:
        """Whether it sends heartbeats."""
        return self.process.alive and not self._closed

    # --- partitions ---

    def assignment(self) -> Any:
        return dict.fromkeys(self._positions).keys()

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._mine(partition)
        self._world.note(f"{self.name} reads {partition.partition} from {offset} again")
        self._positions[partition] = offset

    def pause(self, *partitions: TopicPartition) -> None:
        for partition in partitions:
            self._mine(partition)
            self._paused[partition] = None

    def resume(self, *partitions: TopicPartition) -> None:
        for partition in partitions:
            self._mine(partition)
            self._paused.pop(partition, None)

    def paused(self) -> Any:
        return dict.fromkeys(self._paused).keys()

    def highwater(self, partition: TopicPartition) -> int:
        return len(self._kafka.log[partition.partition])

    async def fetch_all_metadata(self) -> None:
        await self._ask("ask for all metadata", lambda: None)

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        log = self._kafka.log
        ends: dict[TopicPartition, int] = await self._ask(
            "ask for ends", lambda: {name: len(log[name.partition]) for name in partitions}
        )
        return ends

    async def position(self, partition: TopicPartition) -> int:
        self._mine(partition)
        return self._positions[partition]

    async def getmany(
        self, *only: TopicPartition, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[Record]]:
        if self._closed:
            raise IllegalStateError("the consumer is closed")
        end = self._world.loop.time() + timeout_ms / 1000
        while True:
            if not self._assigned.done():
                await asyncio.shield(self._assigned)
                continue
            drained = self._drain(only, max_records)
            left = end - self._world.loop.time()
            if drained or left <= 0:
                return drained
            await self._kafka.news(left)

    def _drain(self, only: Collection[TopicPartition], most: int) -> dict[TopicPartition, list[Record]]:
        drained: dict[TopicPartition, list[Record]] = {}
        if self._kafka.server.away:
            return drained
        names = [name for name in self._positions if not only or name in only]
        self._world.source.shuffle(names)
        for name in names:
            found = self._kafka.log[name.partition][self._positions[name] :][:most]
            if name in self._paused or not found or self._world.chance(self._world.weather.restless):
                continue
            if any(record.place in self._kafka.damaged for record in found):
                self._world.note(f"cannot unpack what lies in {name.partition}, after {len(drained)} others")
                raise CorruptRecordException(name)  # the positions of the others have moved
            drained[name] = found
            self._positions[name] = found[-1].offset + 1
            most -= len(found)
            if most == 0:
                break
        if drained:
            read = [
                f"{name.partition}/{found[0].offset}-{found[-1].offset}" for name, found in drained.items()
            ]
            self._world.note(f"reads {', '.join(read)}")
        return drained

    async def committed(self, partition: TopicPartition) -> int | None:
        offsets: list[int] = await self._ask("ask for offsets", lambda: list(self._kafka.group.offsets))
        return offsets[partition.partition] or None

    async def beginning_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    async def read(self, partition: TopicPartition, offset: int, most: int) -> Found:
        """Stands in for records.read: one partition, past the consumer's own positions."""
        log, damaged = self._kafka.log[partition.partition], self._kafka.damaged
        found: list[Record] = await self._ask("fetch", lambda: log[offset:][:most])
        now = self._world.loop.time()
        readable = list(takewhile(lambda record: damaged.get(record.place, 0.0) <= now, found))
        if found and not readable:
            raise Unreadable(offset, offset + 1, b"", "damaged")
        odd = any(record.place in damaged for record in readable)
        return Found(readable, offset + len(readable), len(log), odd)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        for partition in offsets:
            self._mine(partition)
        while True:
            commit = partial(self._commit, self._member.generation, offsets)
            try:
                await self._ask(f"commit {_offsets(offsets)}", commit)
            except CommitFailedError:
                self._rejoin.set()
                raise
            except KafkaError:
                await asyncio.sleep(0.1)
            else:
                return

    def _commit(self, generation: int, offsets: Mapping[TopicPartition, int]) -> None:
        if not self._kafka.group.accepts(self._member, generation):
            raise CommitFailedError
        self._kafka.committed(offsets)

    def _mine(self, partition: TopicPartition) -> None:
        if partition not in self._positions:
            raise IllegalStateError(f"{partition} is not assigned")

    # --- the group ---

    async def _coordinate(self) -> None:
        while not self._closed:
            if self._assigned.done():
                self._assigned = self._world.loop.create_future()
            try:
                await self._listener.on_partitions_revoked(self.assignment())
            except Exception:
                logger.exception("the listener failed")
            self._rejoin.clear()
            share = await self._joined()
            while share is None:
                if not self.there:
                    return
                share = await self._joined()
            offsets = await self._insist("ask for offsets", lambda: list(self._kafka.group.offsets))
            self._positions = {TopicPartition(TOPIC, number): offsets[number] for number in share}
            self._paused = {}
            if not self._assigned.done():
                self._assigned.set_result(None)
            try:
                await self._listener.on_partitions_assigned(self.assignment())
            except Exception:
                logger.exception("the listener failed")
            await self._rejoin.wait()

    async def _joined(self) -> Collection[int] | None:
        waiting = await self._insist("join", lambda: self._kafka.group.join(self._member))
        found: Collection[int] | None = await waiting
        return found

    async def _insist(self, what: str, operation: Callable[[], Any]) -> Any:
        while True:
            try:
                return await self._ask(what, operation)
            except KafkaError:
                if self._closed:
                    raise
                await asyncio.sleep(0.1)

    async def _ask(self, what: str, operation: Callable[[], Any]) -> Any:
        kafka = self._kafka
        return (await self._world.ask(kafka.server, what, [operation], _out_of_reach))[0]


def _offsets(offsets: Mapping[TopicPartition, int]) -> str:
    return ", ".join(f"{name.partition}/{offset}" for name, offset in offsets.items())


def _out_of_reach() -> Exception:
    error: Exception = KafkaConnectionError("out of reach")
    return error


def _process() -> Process:
    process = PROCESS.get()
    assert process is not None, "only processes use Kafka"
    return process


# --- producers ------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Producer(Client):
    """Stands in for AIOKafkaProducer with `acks=all` and without idempotence, for dead letters."""

    kafka: Kafka
    process: Process = field(default_factory=_process)
    arrives_at: float = 0.0
    """When the last letter arrives."""

    async def start(self) -> None:
        await self.kafka.world.ask(self.kafka.server, "connect", [lambda: None], _out_of_reach)

    async def stop(self) -> None:
        """What is queued is on its way already."""

    @property
    def client(self) -> "Producer":
        return self

    async def partitions_for(self, topic: str) -> Collection[int]:
        return set(range(len(self.kafka.log)))

    async def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None,
        partition: int | None = None,
        headers: Iterable[tuple[str, bytes | None]] | None = None,
    ) -> "asyncio.Future[object]":
        """Send a dead letter. They arrive in order."""
        named = {name: text or b"" for name, text in headers or ()}
        world = self.kafka.world
        sent: asyncio.Future[object] = world.loop.create_future()
        self.arrives_at = max(self.arrives_at, world.loop.time() + world.delay())
        world.soon(self.arrives_at - world.loop.time(), self._arrive, sent, value, named)
        return sent

    def _arrive(
        self, sent: "asyncio.Future[object]", value: bytes | None, headers: Mapping[str, bytes]
    ) -> None:
        world = self.kafka.world
        if not self.process.alive and world.chance(0.5):
            return  # it died with the record in its buffer
        late = KafkaTimeoutError("not acknowledged in time")
        if self.kafka.server.away or self.kafka.dead_letters_away or world.chance(world.weather.fails / 2):
            world.note(f"Kafka: a dead letter of {self.process.name} does not arrive")
            world.soon(world.source.choice([0.01, 5.0]), _answer, sent, late)
            return
        self.kafka.bury(value, headers)
        world.may_crash(self.process)
        if world.chance(world.weather.fails / 2):
            world.soon(5.0, _answer, sent, late)
        else:
            world.soon(world.delay(), _answer, sent, None)


@dataclass(eq=False)
class ProducingClient(Client):
    """Stands in for the AIOKafkaClient of the queue. One broker leads all partitions."""

    _sync_task = None
    kafka: Kafka
    process: Process = field(default_factory=_process)

    @property
    def cluster(self) -> "ProducingClient":
        return self

    def add_listener(self, listener: Callable[["ProducingClient"], None]) -> None:
        listener(self)

    def partitions_for_topic(self, topic: str) -> set[int]:
        return set(range(len(self.kafka.log)))

    def leader_for_partition(self, partition: TopicPartition) -> int:
        return 1

    def force_metadata_update(self) -> None:
        """There is nothing new."""

    async def bootstrap(self) -> None:
        await self.kafka.world.ask(self.kafka.server, "connect", [lambda: None], _out_of_reach)

    async def close(self) -> None:
        """What was sent is on its way already."""

    async def send(self, broker: int, request: ProduceRequest) -> Mapping[int, int]:
        """Have batches appended. What is not answered may have been obeyed."""
        world = self.kafka.world
        answer: asyncio.Future[Mapping[int, int]] = world.loop.create_future()
        world.soon(world.delay(), self._arrive, answer, request.batches)
        world.soon(5.0, _answer, answer, RequestTimedOutError())
        return await answer

    def _arrive(self, answer: "asyncio.Future[Mapping[int, int]]", batches: Mapping[int, bytes]) -> None:
        world = self.kafka.world
        if not self.process.alive and world.chance(0.5):
            return  # it died with the request in its buffer
        if self.kafka.server.away or world.chance(world.weather.fails / 2):
            world.note(f"Kafka: what {self.process.name} publishes does not arrive")
            if world.chance(0.5):
                world.soon(0.01, _answer, answer, KafkaConnectionError("closed"))
            return
        codes = {partition: self._keep(partition, bytes(batch)) for partition, batch in batches.items()}
        world.may_crash(self.process)
        if not world.chance(world.weather.fails / 2):
            world.soon(world.delay(), _answer, answer, codes)

    def _keep(self, partition: int, batch: bytes) -> int:
        """Append a batch, unless there are too few replicas; that may show only afterwards. It may arrive
        again later. Return the number of the error, or 0.
        """
        world = self.kafka.world
        refused = world.chance(world.weather.fails / 4)
        if refused and world.chance(0.5):
            return int(NotEnoughReplicasError.errno)
        self._append(partition, batch)
        if world.chance(world.weather.duplicates):
            world.soon(world.delay(), self._append_again, partition, batch)
        return int(NotEnoughReplicasAfterAppendError.errno) if refused else 0

    def _append(self, partition: int, batch: bytes) -> None:
        for record in MemoryRecords(batch).next_batch():
            self.kafka.append(partition, record.key, record.value, tuple(record.headers))

    def _append_again(self, partition: int, batch: bytes) -> None:
        if not self.kafka.server.away:
            self._append(partition, batch)


def _answer(future: "asyncio.Future[Any]", answer: object) -> None:
    if future.done():
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
        future.exception()
    else:
        future.set_result(answer)
