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
from domain.identifiers import NotificationId, UserId
from domain.notification import Draft

logger = logging.getLogger(__name__)

_COMMIT_SECONDS = 5.0
_LEAVE_SECONDS = 5.0
_PING_SECONDS = 2.0


@dataclass(slots=True)
class Batch:
    """What was read at once, by what can be made of it."""

    drafts: list[Draft] = field(default_factory=list)
    records: dict[tuple[UserId, NotificationId], Any] = field(default_factory=dict)
    """The records of the drafts, by whom they are for and their ids."""
    undecodable: list[tuple[Any, Undecodable]] = field(default_factory=list)
    offsets: dict[TopicPartition, int] = field(default_factory=dict)
    """What to commit once every record of the batch is in one of the stores."""
    oldest: int | None = None
    """Timestamp of the oldest record, in Unix milliseconds."""

    @property
    def size(self) -> int:
        """How many records it has."""
        return len(self.drafts) + len(self.undecodable)


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

    async def start(self, settle: Callable[[], Awaitable[None]]) -> None:
        """Join the group. `settle` is awaited before partitions go: it finishes and commits what is under
        way. Raises Unavailable.
        """
        consumer = AIOKafkaConsumer(**self._options)
        consumer.subscribe([self._topic], listener=_Listener(settle))
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

    async def next_batch(self, wait_seconds: float) -> Batch:
        """Return what has arrived, up to the size of a batch; wait at most this long for the first.

        Under load a batch is what arrived while the one before was stored, so it grows with the load and
        nobody waits for it to fill.
        """
        if self._consumer is None:
            return Batch()
        found = await self._consumer.getmany(
            timeout_ms=int(wait_seconds * 1000), max_records=self._batch_records
        )
        return _sorted_out(found)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit offsets. One that fails is not an error: the records come again, and change nothing."""
        if self._consumer is None:
            return
        mine = self._consumer.assignment()
        kept = {partition: offset for partition, offset in offsets.items() if partition in mine}
        try:
            async with asyncio.timeout(_COMMIT_SECONDS):
                if kept:
                    await self._consumer.commit(kept)
        except (KafkaError, IllegalStateError, TimeoutError) as error:
            logger.warning("offsets were not committed, the records will come again: %r", error)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, settle: Callable[[], Awaitable[None]]) -> None:
        self._settle = settle

    async def on_partitions_revoked(self, revoked: object) -> None:
        if revoked:
            await self._settle()

    async def on_partitions_assigned(self, assigned: object) -> None:
        logger.info("reading %d partitions", len(list(assigned)))  # type: ignore[call-overload]


def _sorted_out(found: Mapping[TopicPartition, list[Any]]) -> Batch:
    batch = Batch()
    for partition, records in found.items():
        for record in records:
            try:
                draft = decode(record)
            except Undecodable as error:
                batch.undecodable.append((record, error))
            else:
                batch.drafts.append(draft)
                batch.records[draft.content.user_id, draft.id] = record
        if records:
            batch.offsets[partition] = records[-1].offset + 1
            batch.oldest = min(batch.oldest or records[0].timestamp, records[0].timestamp)
    return batch
