"""KafkaQueueReader: reads batches of records from Kafka, and commits offsets."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CorruptRecordException

from adapters.kafka import records
from adapters.kafka.entries import entry, make_part
from adapters.kafka.failures import FAILURES
from adapters.kafka.holes import Patience, stop_at_holes
from adapters.kafka.login import ANONYMOUS, Login
from adapters.kafka.obstacles import check, why
from adapters.kafka.records import Found, Unreadable, UnreadableBatch
from adapters.kafka.topics import METADATA_SECONDS
from application.dead_letters import UNREADABLE
from application.errors import Unavailable
from application.ports import Clock
from application.records import Batch, Entry, NotRead, Part, Undecodable

logger = logging.getLogger(__name__)

_COMMIT_SECONDS = 5.0
_LEAVE_SECONDS = 5.0
_PING_SECONDS = 2.0
# How long a read waits for a rebalance before it asks the client again.
_REBALANCE_SECONDS = 1.0


def _options(
    bootstrap: str, group: str, session_seconds: float, fetch_wait_ms: int, max_bytes: int
) -> dict[str, Any]:
    """The options of the Kafka client."""
    return {
        "bootstrap_servers": bootstrap,
        "group_id": group,
        "client_id": "bellwire-consumer",
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        # Records of aborted transactions were never sent.
        "isolation_level": "read_committed",
        "metadata_max_age_ms": METADATA_SECONDS * 1000,
        "session_timeout_ms": int(session_seconds * 1000),
        "heartbeat_interval_ms": int(session_seconds * 1000 / 5),
        # How long other members wait for one to finish its batch when the group rebalances.
        "rebalance_timeout_ms": int(session_seconds * 1000),
        "max_poll_interval_ms": 300_000,
        # A broker answers as soon as it has records. One that only checks periodically (Tansu) delays
        # them by up to a fifth of this.
        "fetch_max_wait_ms": fetch_wait_ms,
        # Prefetched per partition and broker: the defaults would hold up to 50 MB.
        "max_partition_fetch_bytes": max_bytes,
        "fetch_max_bytes": 8 * 1024 * 1024,
        "retry_backoff_ms": 100,
    }


def build_consumer(*topics: str, login: Login = ANONYMOUS, **options: Any) -> AIOKafkaConsumer:
    """Build a client that stops at holes. Must be called in a running event loop."""
    stop_at_holes()
    return AIOKafkaConsumer(*topics, **login, **options)


class KafkaQueueReader:
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
        clock: Clock,
        skipped: Collection[tuple[int, int]] = (),
        consumer: Callable[..., AIOKafkaConsumer] = build_consumer,
        read: Callable[..., Awaitable[Found]] = records.read,
        max_bytes: int = records.MAX_BYTES,
    ) -> None:
        """`skipped` are record batches, by partition and offset, that are skipped if they cannot be unpacked.
        `consumer` builds a client; `read` bypasses it, as `records.read` does. Both ask for up to `max_bytes`
        of a partition in one request.
        """
        self._topic = topic
        self._clock = clock
        self._build_consumer = consumer
        self._read_records = Patience(partial(read, max_bytes=max_bytes))
        self._options = _options(bootstrap, group, session_seconds, fetch_wait_ms, max_bytes)
        self._batch_records = batch_records
        self._skipped = frozenset(skipped)
        self._handed: dict[TopicPartition, int] = {}
        """The offset up to which each partition was handed over since it was assigned or put back."""
        self._consumer: AIOKafkaConsumer | None = None
        self._listener: _Listener | None = None

    async def start(self, revoked: Callable[[], Awaitable[None]]) -> None:
        """Join the group. `revoked` is awaited before partitions are revoked: it finishes and commits the
        work under way. Raises Unavailable.
        """
        consumer = self._build_consumer(**self._options)
        self._listener = _Listener(revoked, self._handed.clear)
        consumer.subscribe([self._topic], listener=self._listener)
        try:
            await consumer.start()
        except FAILURES as error:
            await consumer.stop()
            raise Unavailable(await why(consumer._client, error, "READ")) from error  # noqa: SLF001 - as below
        self._consumer = consumer

    async def stop(self) -> None:
        """Leave the group, so that the other members take over immediately."""
        if self._consumer is not None:
            async with asyncio.timeout(_LEAVE_SECONDS):
                await self._consumer.stop()

    async def ping(self) -> None:
        """Raise Unavailable if no broker answers or no partition is assigned. To a consumer an unavailable
        broker looks like a quiet topic.
        """
        if self._consumer is None or not self._consumer.assignment():
            raise Unavailable("No partition is assigned.")
        await check(self._consumer._client)  # noqa: SLF001 - there is no other way to ask

    async def next_batch(self, wait_seconds: float) -> Batch:
        """Return the records that have arrived, up to the size of a batch; wait at most this long for the
        first. Raises NotRead.

        Under load a batch is what arrived while the previous one was stored, so it grows with the load and
        nothing waits for it to fill.
        """
        if self._consumer is None:
            return Batch()
        try:
            found = await self._getmany(self._consumer, wait_seconds)
            self._check_fetching()
            for partition, read in found.items():
                self._check_places(partition, read)
        # Not only Kafka's errors: codecs and malformed records raise any exception.
        except Exception as error:
            raise self._undone(error) from error
        return Batch([self._part(partition, read) for partition, read in found.items() if read])

    async def read_alone(self, partition: TopicPartition, shrunk: int = 0) -> Batch:
        """Return the next records of a partition that was put back, up to the size of a batch, halved
        `shrunk` times. Raises Unavailable, and Unreadable if nothing can be unpacked: then the partition
        stays where it is.

        This bypasses aiokafka's reader, which accepts less, and whose failure would affect the other
        partitions. Unless more records follow that it would not accept, the partition is released.
        """
        if self._consumer is None:
            return Batch()
        since, put_back = self.assignments, self._handed.get(partition)

        def moved() -> bool:
            """Whether it was put back further meanwhile, or was revoked."""
            return self.rebalancing or (since, put_back) != (self.assignments, self._handed.get(partition))

        try:
            start = await self._committed(partition) if put_back is None else put_back
            found, batch = await self._read(partition, start, max(1, self._batch_records >> shrunk))
        except Unavailable:
            if moved():
                return Batch()
            raise
        if moved():
            return Batch()
        self._handed[partition] = found.end
        self._consumer.seek(partition, found.end)
        # Without a record nobody is told to come back, and what was odd is behind.
        if not found.odd or not batch.parts:
            self._consumer.resume(partition)
        return batch

    def put_back(self, partition: TopicPartition, offset: int) -> None:
        """Rewind a partition to an offset, and pause it except for reading it alone. Do nothing if it was
        revoked: its next member reads from the committed offset.
        """
        if self._consumer is not None and partition in self._consumer.assignment():
            self._consumer.pause(partition)
            self.go_to(partition, offset)

    def go_to(self, partition: TopicPartition, offset: int) -> None:
        """Read a partition from this offset on. Do nothing if it was revoked."""
        if self._consumer is not None and partition in self._consumer.assignment():
            self._consumer.seek(partition, offset)
            self._handed[partition] = offset

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """Commit offsets. Return whether that succeeded. If not, and the partitions move, their records are
        read again, which changes nothing.
        """
        if self._consumer is None:
            return False
        mine = self._consumer.assignment()
        kept = {partition: offset for partition, offset in offsets.items() if partition in mine}
        try:
            async with asyncio.timeout(_COMMIT_SECONDS):
                if kept:
                    await self._consumer.commit(kept)
        except FAILURES as error:
            logger.warning("offsets were not committed: %r", error)
            return False
        return True

    async def _getmany(self, consumer: AIOKafkaConsumer, wait_seconds: float) -> Mapping[TopicPartition, Any]:
        """Ask the client for records. While the group rebalances, it waits without a time limit; if the
        rebalance fails just before it begins to wait, it is never told. The next call raises that error.
        Nothing is lost: it takes records only after its last wait.
        """
        try:
            async with asyncio.timeout(wait_seconds + _REBALANCE_SECONDS):
                found: Mapping[TopicPartition, Any] = await consumer.getmany(
                    timeout_ms=int(wait_seconds * 1000), max_records=self._batch_records
                )
        except TimeoutError:
            return {}
        return found

    def _part(self, partition: TopicPartition, read: Sequence[Any]) -> Part:
        self._handed[partition] = read[-1].offset + 1
        return make_part(partition, [entry(record) for record in read])

    def _undone(self, error: Exception) -> NotRead:
        """Take back a read that failed. By then the client has moved on in partitions that it had read
        before, and the records that it took of them are lost.
        """
        logger.warning("reading failed: %r; reading each partition alone", error)
        undone = []
        if self._consumer is not None:
            undone = sorted(self._consumer.assignment() - self._consumer.paused())
            self._consumer.pause(*undone)
            for partition in undone:
                if partition in self._handed:  # otherwise it is read from the committed offset
                    self._consumer.seek(partition, self._handed[partition])
        return NotRead(undone, repr(error))

    def _check_fetching(self) -> None:
        """Raise the error that ended the client's fetching; otherwise it would look as if nothing arrived."""
        fetching = self._consumer._fetcher.error_future  # type: ignore[union-attr]  # noqa: SLF001
        if fetching.done():
            fetching.result()

    def _check_places(self, partition: TopicPartition, read: Sequence[Any]) -> None:
        """Raise if the offsets of records are impossible: no checksum covers the offset at which a batch
        begins.
        """
        end = self._consumer.highwater(partition)  # type: ignore[union-attr]
        if read and not read[0].offset <= read[-1].offset < end:
            raise CorruptRecordException(f"{partition} ends at {end} and has no offset {read[-1].offset}")

    async def _read(self, partition: TopicPartition, start: int, most: int) -> tuple[Found, Batch]:
        client = self._consumer._client  # type: ignore[union-attr]  # noqa: SLF001 - there is no other way
        try:
            found = await self._read_records(client, partition, start, most=most)
        except Unreadable as error:
            if (partition.partition, error.offset) not in self._skipped:
                raise
            logger.warning("partition %d: %s; skipped, as configured", partition.partition, error)
            batch = UnreadableBatch.of(partition, error, int(self._clock().timestamp() * 1000))
            entries: list[Entry] = [(batch, Undecodable(UNREADABLE, str(error)))]
            found = Found(end=error.end, odd=True)
        else:
            entries = [entry(record) for record in found.records]
        return found, Batch([make_part(partition, entries, odd=found.odd)] if entries else [])

    async def _committed(self, partition: TopicPartition) -> int:
        """The offset from which this member begins to read a partition. Raises Unavailable."""
        try:
            async with asyncio.timeout(_PING_SECONDS):
                committed = await self._consumer.committed(partition)  # type: ignore[union-attr]
                if committed is None:
                    begins = await self._consumer.beginning_offsets([partition])  # type: ignore[union-attr]
                    committed = begins[partition]
        except FAILURES as error:
            raise Unavailable(f"Kafka did not return the committed offset: {error!r}") from error
        return int(committed)

    @property
    def assignments(self) -> int:
        """How many times the group has assigned partitions to this member."""
        return 0 if self._listener is None else self._listener.assignments

    @property
    def rebalancing(self) -> bool:
        """Whether the group has revoked the partitions and not yet assigned others."""
        return self._listener is not None and not self._listener.assigned

    async def behind(self) -> Mapping[TopicPartition, int]:
        """How many records of each partition are not read yet. Raises Unavailable."""
        if self._consumer is None:
            raise Unavailable("Kafka has not been reached yet.")
        mine = sorted(self._consumer.assignment())
        try:
            async with asyncio.timeout(_PING_SECONDS):
                if not mine:  # or a group that cannot meet would look like one that is stuck
                    await self._consumer._client.fetch_all_metadata()  # noqa: SLF001 - as above
                    return {}
                ends = await self._consumer.end_offsets(mine)
                # Tansu returns an end before the last records of its last batch, which may have been read.
                return {one: max(0, ends[one] - await self._consumer.position(one)) for one in mine}
        except FAILURES as error:
            raise Unavailable("Kafka did not return the end of the topic.") from error


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, revoked: Callable[[], Awaitable[None]], gone: Callable[[], None]) -> None:
        self._revoked = revoked
        self._gone = gone
        self.assigned = False
        self.assignments = 0

    async def on_partitions_revoked(self, revoked: object) -> None:
        self.assigned = False
        if revoked:
            await self._revoked()
        self._gone()

    async def on_partitions_assigned(self, assigned: object) -> None:
        self.assigned = True
        self.assignments += 1
        logger.info("reading %d partitions", len(list(assigned)))  # type: ignore[call-overload]
