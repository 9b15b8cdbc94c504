"""Apache Kafka as the tests run it keeps what it was told, also when it is killed."""

import asyncio
from collections.abc import Iterator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from adapters.kafka.topics import Topics, ensure_topics
from workbench.embedded import EmbeddedServers, KafkaServer


@pytest.fixture
def broker(servers: EmbeddedServers) -> Iterator[KafkaServer]:
    if servers.kafka is None or not servers.kafka.durable:
        pytest.skip("only a durable broker that was started here: --servers kafka")
    yield servers.kafka
    servers.kafka.start()  # for the tests that follow, whatever became of this one


@pytest.mark.parametrize("how", ["killed", "stopped"])
async def test_topics_records_and_offsets_outlive_it(broker: KafkaServer, name: str, how: str) -> None:
    topics = Topics(name, 2, replication=1)
    await ensure_topics(broker.bootstrap, topics)
    partition = TopicPartition(name, 1)
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        for number in range(5):
            await producer.send_and_wait(name, f"{number}".encode(), partition=1)
    async with AIOKafkaConsumer(
        bootstrap_servers=broker.bootstrap, group_id=name, enable_auto_commit=False
    ) as consumer:
        consumer.assign([partition])
        await consumer.commit({partition: 3})
    port = broker.port

    await asyncio.to_thread(broker.kill if how == "killed" else broker.stop)
    assert not broker.answers()
    await asyncio.to_thread(broker.start)

    assert broker.port == port
    # As a member of the group: others may ask while the broker still loads the group's offsets, and aiokafka
    # takes that answer for one that there are none.
    async with AIOKafkaConsumer(name, bootstrap_servers=broker.bootstrap, group_id=name) as consumer:
        async with asyncio.timeout(30):
            records = [await consumer.getone() for _ in range(2)]
    assert [record.value for record in records] == [b"3", b"4"]
    assert await _topics(broker) >= {topics.name, topics.dead_letters}


async def _topics(broker: KafkaServer) -> set[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        return set(await admin.list_topics())
    finally:
        await admin.close()


async def test_frozen_for_longer_than_its_session_it_serves_when_thawed(
    broker: KafkaServer, name: str
) -> None:
    await asyncio.to_thread(broker.pause)
    await asyncio.sleep(5)  # its session is 3 s
    await asyncio.to_thread(broker.resume)

    await ensure_topics(broker.bootstrap, Topics(name, 1, replication=1))


async def test_a_topic_that_nobody_made_is_not_made_by_writing_to_it(broker: KafkaServer, name: str) -> None:
    async with AIOKafkaConsumer(bootstrap_servers=broker.bootstrap) as consumer:
        assert consumer.partitions_for_topic(name) is None
        await consumer._client.fetch_all_metadata()

    assert name not in await _topics(broker)
