"""Apache Kafka as the tests run it keeps what it was told, also when it is killed."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from adapters.kafka.topics import Topics, ensure_topics
from application.errors import Unavailable
from tests.conftest import as_read
from tests.product import Product, create_users, eventually
from tests.whole import build
from workbench.apache_kafka import ApacheKafkaServer
from workbench.embedded import LOOPBACK, EmbeddedServers, KafkaServer
from workbench.programs import KAFKA_BOOTSTRAP


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


@pytest.fixture(scope="module")
def guarded(servers: EmbeddedServers) -> Iterator[ApacheKafkaServer]:
    """A broker on which clients log in, as in docker-compose.yml."""
    if not isinstance(servers.kafka, ApacheKafkaServer):
        pytest.skip("only Apache Kafka that was started here: --servers kafka")
    with TemporaryDirectory(prefix="bellwire-tests-") as folder:
        made = ApacheKafkaServer(Path(folder), home=servers.kafka.home, passwords={"bellwire": "secret"})
        made.start()
        yield made
        made.stop()


@pytest.fixture
def logging_in(environment: dict[str, str], guarded: ApacheKafkaServer) -> dict[str, str]:
    return environment | {
        KAFKA_BOOTSTRAP: f"{LOOPBACK}:{guarded.login_port}",
        "BELLWIRE_KAFKA_USERNAME": "bellwire",
        "BELLWIRE_KAFKA_PASSWORD": "secret",
        "BELLWIRE_KAFKA_SASL_MECHANISM": "PLAIN",
    }


async def test_every_client_logs_in(logging_in: dict[str, str], tmp_path: Path) -> None:
    product = Product(tmp_path, logging_in, as_read(logging_in))
    try:
        await product.prepare()
        api = await product.api()
        await product.consumer()
        async with api.client("ada") as client:
            await create_users(client, ["ada"])
            body = {"user_id": "ada", "event": "a.b", "message": "logged in"}
            async with api.follow("ada") as device:
                assert (await client.post("/v1/notifications", json=body)).status_code == 202
                await eventually(lambda: device.items, "it comes live")
    finally:
        await product.stop()


async def test_a_wrong_password_is_named(
    logging_in: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    settings = as_read(logging_in | {"BELLWIRE_KAFKA_PASSWORD": "wrong"})
    container = build(settings)
    try:
        with pytest.raises(
            Unavailable, match=r"Kafka is out of reach: .*refuses: Authentication failed: Invalid username"
        ):
            await container.ensure_topics()(settings.kafka_bootstrap, container.topics())
        assert "Authentication failed: Invalid username or password" in caplog.text
        assert not await container.broker_answers()()
    finally:
        await container.maintenance().close()
