"""KafkaInlet: batches of records out of Kafka, and offsets back."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from adapters.kafka.codec import Undecodable, decode
from application.errors import Unavailable
from domain.notification import Draft

logger = logging.getLogger(__name__)

_COMMIT_SECONDS = 5.0
_LEAVE_SECONDS = 5.0
_PING_SECONDS = 2.0


@dataclass(slots=True)
class Part:
    """What was read of one partition at once, in its order."""

    partition: TopicPartition
    entries: list[tuple[Any, Draft | Undecodable]] = field(default_factory=list)
    """The records, each with what can be made of it."""

    @property
    def first(self) -> int:
        """Where it begins."""
        return int(self.entries[0][0].offset)

    @property
    def end(self) -> int:
        """What to commit once every record of it is in one of the stores."""
        return int(self.entries[-1][0].offset) + 1


@dataclass(slots=True)
class Batch:
    """What was read at once."""

    parts: list[Part] = field(default_factory=list)

    @property
    def size(self) -> int:
        """How many records it has."""
        return sum(len(part.entries) for part in self.parts)

    @property
    def drafts(self) -> list[Draft]:
        """What can be stored."""
        return [made for part in self.parts for _, made in part.entries if isinstance(made, Draft)]

    @property
    def oldest(self) -> int:
        """Timestamp of the oldest record, in Unix milliseconds."""
        return min(int(part.entries[0][0].timestamp) for part in self.parts)


class KafkaInlet:
    """A member of the consumer group."""

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        group: str,
        *,
        session_seconds: float,
        fetch_wait_ms: int,
        batch_records: int,
    ) -> None:
        self._topic = topic
        self._options = {
            "bootstrap_servers": bootstrap,
            "group_id": group,
            "client_id": "bellwire-consumer",
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "session_timeout_ms": int(session_seconds * 1000),
            "heartbeat_interval_ms": int(session_seconds * 1000 / 5),
            # How long the others wait for a member to finish its batch when the group changes.
            "rebalance_timeout_ms": int(session_seconds * 1000),
            "max_poll_interval_ms": 300_000,
            # A broker answers as soon as it has records; one that only looks now and then (Tansu) makes
            # them wait for up to a fifth of this.
            "fetch_max_wait_ms": fetch_wait_ms,
            # Prefetched per partition and per broker: the defaults would hold up to 50 MB.
            "max_partition_fetch_bytes": 1024 * 1024,
            "fetch_max_bytes": 8 * 1024 * 1024,
            "retry_backoff_ms": 100,
        }
        self._batch_records = batch_records
        self._consumer: AIOKafkaConsumer | None = None
        self._listener: _Listener | None = None

    async def start(self, revoked: Callable[[], Awaitable[None]]) -> None:
        """Join the group. `revoked` is awaited before partitions go: it finishes and commits what is under
        way. Raises Unavailable.
        """
        consumer = AIOKafkaConsumer(**self._options)
        self._listener = _Listener(revoked)
        consumer.subscribe([self._topic], listener=self._listener)
        try:
            await consumer.start()
        except KafkaError as error:
            await consumer.stop()
            raise Unavailable(f"Kafka is out of reach: {error!r}") from error
        self._consumer = consumer

    async def stop(self) -> None:
        """Leave the group, so that the others take over at once."""
        if self._consumer is not None:
            async with asyncio.timeout(_LEAVE_SECONDS):
                await self._consumer.stop()

    async def ping(self) -> None:
        """Raise Unavailable if no broker answers, or no partition is this member's. To a consumer a broker
        that is away looks like a topic in which nothing happens.
        """
        if self._consumer is None or not self._consumer.assignment():
            raise Unavailable("No partition is assigned.")
        try:
            async with asyncio.timeout(_PING_SECONDS):
                await self._consumer._client.fetch_all_metadata()  # noqa: SLF001 - there is no other way to ask
        except (KafkaError, TimeoutError) as error:
            raise Unavailable("Kafka is out of reach.") from error

    async def next_batch(
        self, wait_seconds: float, only: TopicPartition | None = None, shrunk: int = 0
    ) -> Batch:
        """Return what has arrived, up to the size of a batch halved so many times, of all partitions or only
        of one; wait at most this long for the first.

        Under load a batch is what arrived while the one before was stored, so it grows with the load and
        nobody waits for it to fill.
        """
        if self._consumer is None:
            return Batch()
        wanted = [] if only is None else [only]
        size = max(1, self._batch_records >> shrunk)
        try:
            found = await self._consumer.getmany(
                *wanted, timeout_ms=int(wait_seconds * 1000), max_records=size
            )
        except KafkaError as error:
            # The client goes on by itself; one that never gets over it is the watchdog's to end.
            logger.warning("nothing could be read for now: %r", error)
            await asyncio.sleep(wait_seconds)
            return Batch()
        return Batch(
            [
                Part(partition, [(record, _made_of(record)) for record in records])
                for partition, records in found.items()
                if records
            ]
        )

    def put_back(self, partition: TopicPartition, offset: int) -> None:
        """Go back to an offset of a partition and do not read on before its release. Does nothing if the
        partition is another member's by now: then it reads from the committed offset.
        """
        if self._consumer is not None and partition in self._consumer.assignment():
            self._consumer.pause(partition)
            self._consumer.seek(partition, offset)

    def release(self, partition: TopicPartition) -> None:
        """Read on what was put back."""
        if self._consumer is not None and partition in self._consumer.assignment():
            self._consumer.resume(partition)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """Commit offsets; return whether that is done. If not, and the partitions move, their records come
        again, and change nothing.
        """
        if self._consumer is None:
            return False
        mine = self._consumer.assignment()
        kept = {partition: offset for partition, offset in offsets.items() if partition in mine}
        try:
            async with asyncio.timeout(_COMMIT_SECONDS):
                if kept:
                    await self._consumer.commit(kept)
        except (KafkaError, IllegalStateError, TimeoutError) as error:
            logger.warning("offsets were not committed: %r", error)
            return False
        return True

    @property
    def assignments(self) -> int:
        """How often the group has said which partitions are this member's."""
        return 0 if self._listener is None else self._listener.assignments

    @property
    def rebalancing(self) -> bool:
        """Whether the group has taken the partitions away and not yet said which are this member's."""
        return self._listener is not None and not self._listener.assigned

    async def behind(self) -> Mapping[TopicPartition, int]:
        """How many records of each partition are still to be read. Raises Unavailable."""
        if self._consumer is None:
            raise Unavailable("Kafka was never reached.")
        mine = sorted(self._consumer.assignment())
        try:
            async with asyncio.timeout(_PING_SECONDS):
                ends = await self._consumer.end_offsets(mine) if mine else {}
                # Tansu names an end before the last records of its last batch; what was read is read.
                return {one: max(0, ends[one] - await self._consumer.position(one)) for one in mine}
        except (KafkaError, IllegalStateError, TimeoutError) as error:
            raise Unavailable("Kafka does not say how far the topic goes.") from error


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, revoked: Callable[[], Awaitable[None]]) -> None:
        self._revoked = revoked
        self.assigned = False
        self.assignments = 0

    async def on_partitions_revoked(self, revoked: object) -> None:
        self.assigned = False
        if revoked:
            await self._revoked()

    async def on_partitions_assigned(self, assigned: object) -> None:
        self.assigned = True
        self.assignments += 1
        logger.info("reading %d partitions", len(list(assigned)))  # type: ignore[call-overload]


def _made_of(record: Any) -> Draft | Undecodable:
    try:
        return decode(record)
    except Undecodable as error:
        return error
