"""KafkaInspection: the topics, how far the group is behind, and how many dead letters there are."""

import asyncio
from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from adapters.kafka import records
from adapters.kafka.failures import FAILURES
from adapters.kafka.login import ANONYMOUS, Login
from adapters.kafka.obstacles import why
from adapters.kafka.records import Unreadable
from adapters.kafka.topics import Topics
from application.errors import Unavailable
from application.inspection import QueueState, TopicState

_CLIENT_ID = "bellwire-inspection"
_DEADLINE_SECONDS = 15.0
_REQUEST_TIMEOUT_MS = 5_000


class KafkaInspection:
    """Reads only. It is in no group, and creates no topic."""

    def __init__(self, bootstrap: str, topics: Topics, group: str, login: Login = ANONYMOUS) -> None:
        self._topics = topics
        self._group = group
        self._bootstrap = bootstrap
        self._options = {
            **login,
            "bootstrap_servers": bootstrap,
            "client_id": _CLIENT_ID,
            "request_timeout_ms": _REQUEST_TIMEOUT_MS,
        }

    async def look(self) -> QueueState:
        """The state of the queue. Raises Unavailable."""
        consumer = AIOKafkaConsumer(**self._options, group_id=None, enable_auto_commit=False)
        admin = AIOKafkaAdminClient(**self._options)
        client = consumer._client  # noqa: SLF001 - there is no other way
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                await consumer.start()
                await admin.start()
                return await self._look(consumer, admin)
        # A cluster that is starting names no controller: aiokafka then fails on None.
        except (*FAILURES, AttributeError) as error:
            raise Unavailable(await why(client, error, "DESCRIBE")) from error
        finally:
            await consumer.stop()
            await admin.close()

    async def _look(self, consumer: AIOKafkaConsumer, admin: AIOKafkaAdminClient) -> QueueState:
        cluster = await consumer._client.fetch_all_metadata()  # noqa: SLF001 - there is no other way
        names = [
            name
            for name in (self._topics.name, self._topics.dead_letters)
            if cluster.partitions_for_topic(name)
        ]
        if names:  # asking for a missing topic makes some brokers create it
            await consumer._client.set_topics(names)  # noqa: SLF001 - as above
        begins, ends = await _bounds(consumer, cluster, names)
        return QueueState(
            brokers=len(cluster.brokers()),
            topics={name: _topic(cluster, name) for name in names},
            lag=await self._lag(admin, begins, ends),
            dead_letters=sum(
                end - begins[part] for part, end in ends.items() if part.topic == self._topics.dead_letters
            ),
        )

    async def _lag(
        self,
        admin: AIOKafkaAdminClient,
        begins: Mapping[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
    ) -> int | None:
        """What a group has not committed yet. A partition without a commit is read from its beginning."""
        queue = {part: end for part, end in ends.items() if part.topic == self._topics.name}
        try:
            committed = await admin.list_consumer_group_offsets(self._group, partitions=list(queue))
        except GroupCoordinatorNotAvailableError:
            return None  # in a new cluster: brokers create the topic of offsets when they are first asked
        offsets = {part: at.offset for part, at in committed.items() if at.offset >= 0}
        behind = sum(max(0, end - offsets.get(part, begins[part])) for part, end in queue.items())
        return behind if offsets or behind else None


async def _bounds(
    consumer: AIOKafkaConsumer, cluster: Any, names: list[str]
) -> tuple[Mapping[TopicPartition, int], Mapping[TopicPartition, int]]:
    parts = [TopicPartition(name, number) for name in names for number in cluster.partitions_for_topic(name)]
    if not parts:
        return {}, {}
    begins = await consumer.beginning_offsets(parts)
    listed = await consumer.end_offsets(parts)

    async def end(part: TopicPartition) -> int:
        """The embedded broker counts its last batch as one record when it lists ends."""
        last: int = listed[part]
        if begins[part] >= last:
            return last
        client = consumer._client  # noqa: SLF001 - there is no other way
        try:
            found = await records.read(client, part, last - 1, most=1, max_bytes=1)
        except Unreadable as error:
            return max(last, error.end)
        return max(last, found.highwater)

    return begins, dict(zip(parts, await asyncio.gather(*map(end, parts)), strict=True))


def _topic(cluster: Any, name: str) -> TopicState:
    parts = [cluster._partitions[name][number] for number in cluster.partitions_for_topic(name)]  # noqa: SLF001 - there is no other way to the replicas
    return TopicState(
        partitions=len(parts),
        replication=min(len(part.replicas) for part in parts),
        without_leader=sum(part.leader == -1 for part in parts),
    )
