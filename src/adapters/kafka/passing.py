"""KafkaPassing: reads the queue and the dead letters from now on, without a group."""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from adapters.kafka import headers, records
from adapters.kafka.codec import cloud_event, time_of
from adapters.kafka.dead_letter_box import letter_of
from adapters.kafka.entries import entry
from adapters.kafka.failures import translated
from adapters.kafka.login import ANONYMOUS, Login
from adapters.kafka.obstacles import reaching
from adapters.kafka.records import Unreadable
from adapters.kafka.topics import METADATA_SECONDS, Topics
from application.errors import Unavailable
from application.letters import DeadLetter, Position
from application.passing import Kind, Passing, Seen
from application.records import Undecodable
from domain.notification import Draft

_CLIENT_ID = "bellwire-tail"
_DEADLINE_SECONDS = 15.0
_REQUEST_TIMEOUT_MS = 10_000
_LOOK_EVERY_SECONDS = 5.0
_LOOK_SECONDS = 2.0


class KafkaPassing:
    """Reads what is written after `start`. Nobody notices: it is in no group and commits nothing."""

    def __init__(self, bootstrap: str, topics: Topics, login: Login = ANONYMOUS) -> None:
        self._bootstrap = bootstrap
        self._login = login
        self._topics = topics
        self._consumer: AIOKafkaConsumer | None = None
        self._looked_at = 0.0

    async def start(self) -> None:
        """Connect, and go to the ends of both topics as they are now. Raises Unavailable. It must be stopped
        even then.
        """
        self._consumer = consumer = AIOKafkaConsumer(
            **self._login,
            bootstrap_servers=self._bootstrap,
            client_id=_CLIENT_ID,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="latest",
            isolation_level="read_committed",
            metadata_max_age_ms=METADATA_SECONDS * 1000,
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
        )
        async with reaching(consumer._client, "READ"):  # noqa: SLF001 - there is no other way
            async with asyncio.timeout(_DEADLINE_SECONDS):
                await consumer.start()
                partitions = await self._partitions(consumer)
                consumer.assign(partitions)
                for partition, end in (await _ends(consumer, partitions)).items():
                    consumer.seek(partition, end)

    async def stop(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                await self._consumer.stop()

    async def next(self, wait_seconds: float) -> Sequence[Seen]:
        """See Passage."""
        if self._consumer is None:
            raise Unavailable("Not connected to the queue.")
        await self._look(self._consumer)
        try:
            found = await self._consumer.getmany(timeout_ms=int(wait_seconds * 1000))
        # Codecs and malformed records raise any exception. The consumer of the service reads each partition
        # alone then; here it is enough to go on behind them.
        except Exception as error:
            await self._skip()
            raise Unavailable(f"Some records cannot be read: {error!r}") from error
        seen = (one for part in found.values() for one in self._seen(part))
        # A letter after its record, where both come together.
        return sorted(seen, key=lambda one: isinstance(one, DeadLetter))

    async def _partitions(self, consumer: AIOKafkaConsumer) -> Collection[TopicPartition]:
        """The partitions of both topics. Raises Unavailable if the queue does not exist."""
        client = consumer._client  # noqa: SLF001 - there is no other way
        cluster = await client.fetch_all_metadata()
        found = [
            TopicPartition(topic, number)
            for topic in (self._topics.name, self._topics.dead_letters)
            for number in cluster.partitions_for_topic(topic) or ()
        ]
        if not any(topic == self._topics.name for topic, _ in found):
            raise Unavailable(f"There is no topic {self._topics.name}; bellwire migrate makes it.")
        # Asking for a missing topic makes some brokers create it.
        await client.set_topics({topic for topic, _ in found})
        return found

    async def _look(self, consumer: AIOKafkaConsumer) -> None:
        """Ask the brokers for the partitions, now and then, and read those that were added. Brokers that are
        away look to a consumer like a quiet topic. Raises Unavailable.
        """
        now = asyncio.get_running_loop().time()
        if now - self._looked_at < _LOOK_EVERY_SECONDS:
            return
        self._looked_at = now
        with translated():
            async with asyncio.timeout(_LOOK_SECONDS):
                await _add(consumer, await self._partitions(consumer))

    async def _skip(self) -> None:
        if self._consumer is not None:
            with translated():
                await self._consumer.seek_to_end()

    def _seen(self, part: Sequence[Any]) -> Iterator[Seen]:
        for record in part:
            yield letter_of(record) if record.topic == self._topics.dead_letters else _passing(record)


async def _add(consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition]) -> None:
    """Read those of them that are new from their start, and go on with the others."""
    known = consumer.assignment()
    if known.issuperset(partitions):
        return
    # Another assignment forgets where the partitions of this one were.
    places = dict.fromkeys(partitions, 0) | {each: await consumer.position(each) for each in known}
    consumer.assign(list(places))
    for partition, offset in places.items():
        consumer.seek(partition, offset)


async def _ends(
    consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition]
) -> Mapping[TopicPartition, int]:
    begins = await consumer.beginning_offsets(partitions)
    ends = await consumer.end_offsets(partitions)

    async def end(partition: TopicPartition) -> int:
        listed: int = ends[partition]
        if begins[partition] >= listed:
            return listed
        # The embedded broker counts its last batch as one record when it lists ends.
        try:
            client = consumer._client  # noqa: SLF001 - there is no other way
            found = await records.read(client, partition, listed - 1, most=1, max_bytes=1)
        except Unreadable as error:
            return max(listed, error.end)
        return max(listed, found.highwater)

    return dict(zip(partitions, await asyncio.gather(*map(end, partitions)), strict=True))


def _passing(record: Any) -> Passing:
    read, made = entry(record)
    kind: Kind = "retraction"
    event = category = error = ""
    if isinstance(made, Undecodable):
        kind, user, error = "unreadable", made.user, made.code
    elif isinstance(made, Draft):
        kind, user = "edit" if made.revision else "new", made.content.user_id
        event, category = made.content.event, made.content.category
    else:
        user = made.user_id
    return Passing(
        position=Position(read.partition, read.offset),
        at=time_of(read.timestamp),
        kind=kind,
        user=user,
        event=event,
        category=category,
        source=_source(read.headers),
        size=len(read.key or b"") + len(read.value or b""),
        error=error,
    )


def _source(found: headers.Headers) -> str:
    if key := headers.key_id(found):
        return f"key:{key}"
    return cloud_event(found).get("ce_source") or "kafka"
