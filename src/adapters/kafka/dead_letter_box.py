"""KafkaDeadLetterBox: reads the dead-letter topic without a group, and replays records from it."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from adapters.kafka import headers, records
from adapters.kafka.codec import addressee, time_of
from adapters.kafka.dead_letters import build_producer
from adapters.kafka.failures import translated
from adapters.kafka.login import ANONYMOUS, Login
from adapters.kafka.obstacles import reaching
from adapters.kafka.records import Unreadable, UnreadableBatch
from adapters.kafka.topics import DEAD_LETTER_BYTES, Topics
from application.dead_letters import UNREADABLE
from application.errors import Unavailable, UnknownDeadLetter
from application.letters import DeadLetter, Position, Progress

_CLIENT_ID = "bellwire-dlq"
_DEADLINE_SECONDS = 15.0
_REQUEST_TIMEOUT_MS = 10_000
_AGAIN_SECONDS = 0.2
_AT_ONCE = 1_000


class KafkaDeadLetterBox:
    """Reads up to the end that the topic has when the read begins, and commits nothing."""

    def __init__(
        self,
        bootstrap: str,
        topics: Topics,
        login: Login = ANONYMOUS,
        *,
        deadline_seconds: float = _DEADLINE_SECONDS,
    ) -> None:
        self._bootstrap = bootstrap
        self._login = login
        self._deadline_seconds = deadline_seconds
        self._topics = topics
        self._partitions: Collection[int] = frozenset()
        self._consumer: AIOKafkaConsumer | None = None
        self._producer: AIOKafkaProducer | None = None

    @property
    def replays_to(self) -> str:
        """The queue's topic."""
        return self._topics.name

    async def start(self) -> None:
        """Connect. Raises Unavailable, also if the topic does not exist. It must be stopped even then."""
        self._consumer = consumer = AIOKafkaConsumer(
            **self._login,
            bootstrap_servers=self._bootstrap,
            client_id=_CLIENT_ID,
            group_id=None,
            enable_auto_commit=False,
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
        )
        client = consumer._client  # noqa: SLF001 - there is no other way
        async with reaching(client, "READ"):
            async with asyncio.timeout(self._deadline_seconds):
                await consumer.start()
                cluster = await client.fetch_all_metadata()
                self._partitions = cluster.partitions_for_topic(self._topics.dead_letters) or frozenset()
                if self._partitions:  # asking for a missing topic makes some brokers create it
                    await client.set_topics([self._topics.dead_letters])
        if not self._partitions:
            raise Unavailable(f"There is no topic {self._topics.dead_letters}; bellwire migrate makes it.")

    async def stop(self) -> None:
        """Disconnect."""
        for client in (self._consumer, self._producer):
            if client is not None:
                async with asyncio.timeout(self._deadline_seconds):
                    await client.stop()

    async def read(
        self, progress: Progress, partitions: Collection[int] | None = None
    ) -> AsyncGenerator[DeadLetter, None]:
        """See DeadLetterBox. Raises Unavailable when the broker stops answering."""
        bounds = await self._bounds(partitions)
        total = sum(end - begin for begin, end in bounds.values())
        done = 0
        for partition, (begin, end) in sorted(bounds.items()):
            async for record in self._records(partition, begin, end):
                yield letter_of(record)
                progress(done + record.offset + 1 - begin, total)
            done += end - begin

    async def get(self, position: Position) -> DeadLetter:
        """See DeadLetterBox."""
        for partition, (begin, end) in (await self._bounds({position.partition})).items():
            if begin <= position.offset < end:
                async for record in self._records(partition, position.offset, position.offset + 1):
                    return letter_of(record)
        raise UnknownDeadLetter(f"There is no dead letter at {position}.")

    async def replay(self, letter: DeadLetter) -> None:
        """See DeadLetterBox."""
        if letter.record is None or letter.value is None:
            raise ValueError("a letter without record or value cannot be replayed")
        with translated():
            async with asyncio.timeout(self._deadline_seconds):
                producer = await self._connected_producer()
                partitions = await producer.partitions_for(self._topics.name)
                await producer.send_and_wait(
                    self._topics.name,
                    letter.value,
                    key=letter.key,
                    partition=letter.record[1] if letter.record[1] in partitions else None,
                    headers=headers.of_replay(letter.headers),
                )

    async def _connected_producer(self) -> AIOKafkaProducer:
        if self._producer is None:
            self._producer = build_producer(self._bootstrap, _CLIENT_ID, self._login)
            await self._producer.start()
        return self._producer

    async def _bounds(self, partitions: Collection[int] | None) -> Mapping[TopicPartition, tuple[int, int]]:
        """The offsets of the existing letters, from the first to the end, by partition."""
        consumer = self._connected()
        topic = self._topics.dead_letters
        wanted = [
            TopicPartition(topic, number)
            for number in self._partitions
            if partitions is None or number in partitions
        ]
        if not wanted:
            return {}
        with translated():
            async with asyncio.timeout(self._deadline_seconds):
                begins = await consumer.beginning_offsets(wanted)
                ends = await consumer.end_offsets(wanted)
        return {
            partition: (begins[partition], await self._end(partition, begins[partition], ends[partition]))
            for partition in wanted
        }

    async def _end(self, partition: TopicPartition, begin: int, listed: int) -> int:
        """The end of a partition. The embedded broker counts its last batch as one record when it lists ends;
        the end that it returns with records is right.
        """
        if begin >= listed:
            return listed
        return max(listed, (await self._read(partition, listed - 1)).highwater)

    async def _records(self, partition: TopicPartition, begin: int, end: int) -> AsyncGenerator[Any, None]:
        """The records of a partition from one offset up to another."""
        position = begin
        # Not every offset has a record: the position says when the end is reached.
        while position < end:
            found = await self._read(partition, position)
            position = found.end
            for record in found.records:
                if begin <= record.offset < end:
                    yield record

    async def _read(self, partition: TopicPartition, position: int) -> records.Found:
        """Read the next records, and wait until the broker has them. Raises Unavailable."""
        consumer = self._connected()
        with translated():
            async with asyncio.timeout(self._deadline_seconds):
                while True:
                    try:
                        found = await records.read(
                            consumer._client,  # noqa: SLF001 - there is no other way
                            partition,
                            position,
                            most=_AT_ONCE,
                            max_bytes=4 * DEAD_LETTER_BYTES,
                        )
                    except Unreadable as error:
                        return records.Found([_unreadable(partition, error)], error.end)
                    except Unavailable:
                        await asyncio.sleep(_AGAIN_SECONDS)
                        continue
                    if found.end > position:
                        return found
                    # Retention may have deleted the records that come next.
                    begins = await consumer.beginning_offsets([partition])
                    position = max(position, begins[partition])

    def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise Unavailable("Not connected to the dead-letter topic.")
        return self._consumer


def letter_of(record: Any) -> DeadLetter:
    """A record of the dead-letter topic as a letter."""
    text = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
    replayed = headers.origin_in(record.headers)
    at = time_of(record.timestamp)
    code = text.get(headers.ERROR_CODE, "")
    # It was written with an empty value, because a producer accepts no record without key and value.
    bare = code == "tombstone" and record.key is None
    return DeadLetter(
        position=Position(record.partition, record.offset),
        at=at,
        key=record.key,
        value=None if bare else record.value,
        headers=record.headers,
        user=addressee(record.key, record.value, record.headers),
        error_class=text.get(headers.ERROR_CLASS) or headers.error_class(code),
        code=code,
        message=text.get(headers.ERROR_MESSAGE, ""),
        attempt=replayed.attempts if replayed else 1,
        first_failed_at=(replayed and replayed.first_failed_at) or at,
        record=(replayed.topic, replayed.partition, replayed.offset) if replayed else None,
    )


def _unreadable(partition: TopicPartition, error: Unreadable) -> UnreadableBatch:
    """A record batch of letters that cannot be unpacked becomes one letter, which cannot be replayed."""
    reason = (headers.ERROR_CODE, UNREADABLE.encode()), (headers.ERROR_MESSAGE, str(error).encode())
    return UnreadableBatch.of(partition, error, 0, headers=reason)
