"""Record batches for one partition: what arrives while a broker answers is sent together.

aiokafka has at most one request to a broker in flight. A record that arrives meanwhile joins the batch that
is sent next, and one that arrives while nothing is in flight is sent at once.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from math import inf
from typing import TypeAlias

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import RecordMetadata

_PARTITIONER = DefaultPartitioner()


_SHARES = 32

Record: TypeAlias = tuple[bytes, bytes, Sequence[tuple[str, bytes]]]
"""A record as it is sent: its key, its value and its headers."""


class Outcomes:
    """Which records of one caller the brokers accepted."""

    def __init__(self, count: int) -> None:
        self.accepted = [False] * count
        self.complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the fate of every record is known, or when the caller no longer waits."""
        self.unknown = count
        """How many records have no fate yet."""

    def settle(self, nth: int, *, accepted: bool) -> None:
        """Note what became of a record, once."""
        self.accepted[nth] = accepted
        self.unknown -= 1
        if not self.unknown:
            self.expire()

    def expire(self) -> None:
        """Have the caller wait no longer."""
        if not self.complete.done():
            self.complete.set_result(None)


class Deadlines:
    """Has callers wait for `seconds`, or up to a 32nd less: those that begin within the same 32nd share a
    timer. To make and cancel one for each costs as much as to encode its record.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = -inf
        """When a timer of its own begins, in seconds of the event loop."""
        self._waiting: set[Outcomes] = set()

    async def completed(self, outcomes: Outcomes) -> None:
        """Return when the outcomes are complete, or at the deadline."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now >= self._until:
            self._waiting, self._until = set(), now + self._seconds / _SHARES
            loop.call_at(now + self._seconds, _expire, self._waiting)
        waiting = self._waiting
        waiting.add(outcomes)
        try:
            await outcomes.complete
        finally:
            waiting.discard(outcomes)


def _expire(waiting: set[Outcomes]) -> None:
    for outcomes in waiting:
        outcomes.expire()


@dataclass(slots=True)
class _Batch:
    builder: BatchBuilder
    places: list[tuple[Outcomes, int]] = field(default_factory=list)
    """Whose record each is."""

    def append(self, record: Record, outcomes: Outcomes, nth: int) -> bool:
        """Whether it is taken: a batch that is full or sent takes none. An empty one takes any size."""
        key, value, headers = record
        if self.builder.append(timestamp=None, key=key, value=value, headers=headers) is None:
            return False
        self.places.append((outcomes, nth))
        return True

    def settle(self, *, accepted: bool) -> None:
        for outcomes, nth in self.places:
            outcomes.settle(nth, accepted=accepted)

    @property
    def awaited(self) -> bool:
        """Whether any caller still waits for it."""
        return any(not outcomes.complete.done() for outcomes, _ in self.places)


class PartitionBatches:
    """The batches of one partition, sent in order. A caller that gives up affects no other."""

    def __init__(
        self,
        producer: AIOKafkaProducer,
        topic: str,
        partition: int,
        failed: Callable[[BaseException], None],
    ) -> None:
        """`failed` is told why a batch was not accepted."""
        self._producer = producer
        self._topic = topic
        self._partition = partition
        self._failed = failed
        self._newest: _Batch | None = None
        self._queued: deque[_Batch] = deque()
        self._sending: asyncio.Task[None] | None = None

    def put(self, record: Record, outcomes: Outcomes, nth: int) -> None:
        """Put a record behind those put before; its fate becomes the nth outcome."""
        if self._newest is None or not self._newest.append(record, outcomes, nth):
            self._newest = _Batch(self._producer.create_batch())
            self._newest.append(record, outcomes, nth)
            self._queued.append(self._newest)
            if self._sending is None or self._sending.done():
                self._sending = asyncio.create_task(self._send())

    async def handed_over(self) -> None:
        """Return once all batches are with the producer, or have failed."""
        if self._sending is not None:
            await asyncio.wait([self._sending])

    async def _send(self) -> None:
        """Hand batches to the producer. It takes one when the one before is in flight."""
        while self._queued:
            batch = self._queued.popleft()
            if not batch.awaited:  # in a long outage these would only become more
                self._end(batch)
                continue
            try:
                answer = await self._producer.send_batch(
                    batch.builder, self._topic, partition=self._partition
                )
            except Exception as error:  # noqa: BLE001 - whatever it is, these callers wait for it
                self._fail(batch, error)
            else:
                answer.add_done_callback(partial(self._answered, batch))

    def _answered(self, batch: _Batch, answer: "asyncio.Future[RecordMetadata]") -> None:
        error = answer.exception()
        if error is not None:
            self._fail(batch, error)
        else:
            self._end(batch)
            batch.settle(accepted=True)

    def _fail(self, batch: _Batch, error: BaseException) -> None:
        self._end(batch)
        if batch.awaited:
            self._failed(error)
        batch.settle(accepted=False)

    def _end(self, batch: _Batch) -> None:
        """Let no record join a batch, and do not keep it."""
        if self._newest is batch:
            self._newest = None


class TopicBatches:
    """The batches of a topic that a producer sends, by partition."""

    def __init__(
        self, producer: AIOKafkaProducer, topic: str, failed: Callable[[BaseException], None]
    ) -> None:
        """`failed` is told why a batch was not accepted."""
        self._producer = producer
        self._topic = topic
        self._failed = failed
        self._batches: dict[int, PartitionBatches] = {}
        self._known: set[int] = set()
        self._partitions: tuple[int, ...] = ()

    def knows_topic(self) -> bool:
        """Whether the partitions are known. They may change at any time."""
        known = self._producer.client.cluster.partitions_for_topic(self._topic)
        if known and known != self._known:
            self._known, self._partitions = known, tuple(sorted(known))
        return bool(known)

    async def learn_topic(self) -> None:
        """Wait until the partitions are known. Raises KafkaError if there is no such topic."""
        await self._producer.partitions_for(self._topic)
        self.knows_topic()

    def put_all(self, records: Iterable[Record], outcomes: Outcomes) -> None:
        """Put each record into its partition, in order. The topic must be known."""
        for nth, record in enumerate(records):
            self._of(_partition(record[0], self._partitions)).put(record, outcomes, nth)

    async def handed_over(self) -> None:
        """Return once all batches are with the producer, or have failed."""
        for batches in self._batches.values():
            await batches.handed_over()

    def _of(self, partition: int) -> PartitionBatches:
        batches = self._batches.get(partition)
        if batches is None:
            batches = PartitionBatches(self._producer, self._topic, partition, self._failed)
            self._batches[partition] = batches
        return batches


@lru_cache(4_096)  # the hash is computed in Python
def _partition(key: bytes, partitions: tuple[int, ...]) -> int:
    """The partition that Kafka's own Java client chooses for a key (murmur2)."""
    chosen: int = _PARTITIONER(key, partitions, partitions)
    return chosen
