"""Many bad records: they hold up nobody, and with nothing else their partition stops and says so."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import count
from threading import Event

import pytest
from aiokafka import AIOKafkaProducer

from application.credentials import Scope
from entrypoints.settings import Settings
from tests.drills import DELAY_SECONDS, Honest, Measured, judge
from tests.integration.conftest import Run
from tests.load import Load, all_stored, assert_stored_once
from tests.product import Api, Product, Stores, create_users, eventually
from tests.whole import build
from workbench.local_client import local_client
from workbench.soak.product import Service
from workbench.soak.stores import Topic

USERS = [f"user-{number}" for number in range(30)]
FLOODED = 0
FLOOD = 300
LARGE_FLOOD = 2_000
HONEST = 60
SENDERS = 10
LIMIT = 50


@pytest.fixture
def environment(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        **environment,
        "BELLWIRE_BAD_RECORDS_LIMIT": str(LIMIT),
        "BELLWIRE_LIMIT_REFUSED": f"{LARGE_FLOOD}/h",
    }


@pytest.fixture
async def producer(product: Product) -> AsyncIterator[AIOKafkaProducer]:
    async with AIOKafkaProducer(bootstrap_servers=product.settings.kafka_bootstrap) as producer:
        yield producer


class Letters:
    """What the dead-letter topic has, and how far the group has come."""

    def __init__(self, product: Product) -> None:
        settings = product.settings
        self._letters = _topic(settings, f"{settings.kafka_topic}.dlq")
        self._records = _topic(settings, settings.kafka_topic)

    async def offsets(self) -> list[int]:
        """Which records of the flooded partition are there, as often as they are."""
        letters = await self._letters.rest({})
        assert {letter.headers["dlq-original-partition"] for letter in letters} == {str(FLOODED)}
        return sorted(int(letter.headers["dlq-original-offset"]) for letter in letters)

    async def committed(self) -> int:
        return (await self._records.committed())[FLOODED]


def _topic(settings: Settings, name: str) -> Topic:
    return Topic(settings.kafka_bootstrap, name, settings.kafka_group, settings.kafka_partitions)


async def told(service: Service) -> str:
    """What the consumer says of its partitions."""
    async with local_client(timeout=30) as client:
        response = await client.get(f"{service.url}/health/ready")
    partitions: str = response.json()["checks"]["partitions"]
    assert partitions == "ok" or response.status_code == 503
    return partitions


async def without_limit(product: Product) -> Service:
    """The consumer as an operator starts it who wants all of them in the dead letters."""
    return await product._start("consumer", "BELLWIRE_CONSUMER_PORT", {"BELLWIRE_BAD_RECORDS_LIMIT": "0"})


async def flood(
    product: Product,
    producer: AIOKafkaProducer,
    size: int,
    *,
    users: int = SENDERS,
    headers: Sequence[tuple[str, bytes]] = (),
) -> tuple[int, int]:
    """So many bad records for so many users, at once. Return the first and the last offset."""
    sent = [
        await producer.send(
            product.settings.kafka_topic,
            b"no JSON",
            key=f"user {number % users}".encode(),
            partition=FLOODED,
            headers=headers,
        )
        for number in range(size)
    ]
    first, *_, last = [metadata.offset for metadata in await asyncio.gather(*sent)]
    return first, last


async def test_honest_notifications_behind_a_flood_of_one_producer_arrive(
    product: Product, stores: Stores, producer: AIOKafkaProducer, run: Run
) -> None:
    """Nothing else arrives meanwhile, in any partition."""
    api, consumer = await asyncio.gather(product.api(), product.consumer())
    letters = Letters(product)
    async with api.client() as client:
        await create_users(client, USERS)

    first, last = await flood(product, producer, LARGE_FLOOD)
    measured = Measured(consumer)
    with measured.other():
        honest = [
            await producer.send(
                product.settings.kafka_topic,
                json.dumps({"user_id": USERS[nth % 3], "event": "a.b", "message": f"{nth}"}).encode(),
                partition=FLOODED,
            )
            for nth in range(HONEST)
        ]
        await asyncio.gather(*honest)
        await eventually(lambda: _more(stores, HONEST - 1), "what is behind the flood is stored")
    await eventually(lambda: _passed(letters, last + HONEST), "the flood is through")
    run.note(seconds_behind_the_flood=measured.others[0])
    assert measured.others[0] < DELAY_SECONDS

    assert await told(consumer) == "ok"
    assert await letters.offsets() == list(range(first, last + 1))
    rows = sorted(await stores.rows(), key=lambda row: row.version)
    for number, user in enumerate(USERS[:3]):
        mine = [row for row in rows if row.user == user]
        assert [int(row.message) for row in mine] == list(range(number, HONEST, 3))
        assert [row.id for row in mine] == sorted(row.id for row in mine)


async def test_a_flood_with_nothing_else_stops_its_partition_until_anything_is_stored(
    product: Product, stores: Stores, producer: AIOKafkaProducer, run: Run
) -> None:
    api, consumer = await asyncio.gather(product.api(), product.consumer())
    letters = Letters(product)
    async with api.client() as client:
        await create_users(client, USERS)
        load = Load(client, USERS, size=30)
        await load.batch()
        await eventually(lambda: all_stored(stores, load), "the consumer works")

        first, last = await flood(product, producer, FLOOD)
        flooded = time.monotonic()
        await eventually(lambda: _stopped(consumer), "it says so")
        run.note(seconds_until_it_said_so=time.monotonic() - flooded)
        stopped = await told(consumer)
        assert stopped.startswith(
            f"partition {FLOODED}: stopped at offset {first + LIMIT - 1} by too many bad"
        )
        assert consumer.running
        assert await letters.offsets() == list(range(first, first + LIMIT - 1))
        assert await letters.committed() <= first + LIMIT - 1

        await load.batch()
        await eventually(lambda: all_stored(stores, load), "everything is stored")
        await eventually(lambda: _passed(letters, last), "the flood is through")
        assert await told(consumer) == "ok"
    assert await letters.offsets() == list(range(first, last + 1))
    await assert_stored_once(stores, load)


async def test_a_flood_with_nothing_else_stops_its_partition_until_somebody_decides(
    product: Product, producer: AIOKafkaProducer, run: Run
) -> None:
    consumer = await product.consumer()
    letters = Letters(product)
    first, last = await flood(product, producer, FLOOD)
    await eventually(lambda: _stopped(consumer), "it says so")
    assert await letters.offsets() == list(range(first, first + LIMIT - 1))

    await asyncio.to_thread(consumer.stop)
    started = time.monotonic()
    consumer = await without_limit(product)
    await eventually(lambda: _passed(letters, last), "the flood is through")
    run.note(seconds_until_all_was_through=time.monotonic() - started)

    assert await told(consumer) == "ok"
    assert await letters.offsets() == list(range(first, last + 1))


async def test_a_hostile_key_stops_no_partition_delays_nobody_and_may_soon_publish_no_more(
    product: Product, stores: Stores, producer: AIOKafkaProducer, run: Run
) -> None:
    """Its records go straight to the topic, as the API would refuse them: wave after wave, to many users."""
    api, consumer = await asyncio.gather(product.api(), product.consumer())
    hostile = await _another_key(product)
    header = ("bellwire-key", hostile.split("_")[2].encode())
    async with api.client() as client:
        await create_users(client, USERS)
    await _honest(producer, product, stores, 0)  # the release works
    assert await _publish(api, hostile) == 202

    last, delays = 0, Measured(consumer)

    async def attack(enough: Event) -> None:
        nonlocal last
        for wave in count(1):
            _, last = await flood(product, producer, LARGE_FLOOD, users=500, headers=[header])
            with delays.other():
                await _honest(producer, product, stores, wave)
            assert await told(consumer) == "ok"
            if wave >= 4 and enough.is_set():
                return

    async with Honest.of(api, USERS[1]) as honest:
        attacked = await honest.during(attack)
    judge(run, honest.resting, attacked, behind_the_flood=max(delays.others))
    letters = Letters(product)
    await eventually(lambda: _passed(letters, last), "the flood is through")
    _, last = await flood(product, producer, 4 * LIMIT, users=500, headers=[header])
    await eventually(lambda: _passed(letters, last), "so it is with nothing else behind it")
    assert await told(consumer) == "ok"
    assert "stopped at offset" not in consumer.log.read_text()
    assert max(delays.others) < DELAY_SECONDS

    await eventually(lambda: _refused(api, hostile), "the key may not publish any more")
    assert await _publish(api, product.api_key) == 202


async def test_a_release_that_can_store_nothing_stops_and_goes_on_once_it_can(
    product: Product, stores: Stores, producer: AIOKafkaProducer
) -> None:
    """PostgreSQL refuses every record of every key in one way."""
    api = await product.api()
    async with api.client() as client:
        await create_users(client, USERS)
    await stores.postgres.execute("ALTER TABLE notifications ADD CONSTRAINT broken CHECK (message <> 'm')")
    consumer = await product.consumer()
    letters = Letters(product)
    sent = [
        await producer.send(
            product.settings.kafka_topic,
            json.dumps({"user_id": USERS[0], "event": "a.b", "message": "m"}).encode(),
            partition=FLOODED,
            headers=[("bellwire-key", b"key%d" % (number % SENDERS))],
        )
        for number in range(FLOOD)
    ]
    first, *_, last = [metadata.offset for metadata in await asyncio.gather(*sent)]
    await eventually(lambda: _stopped(consumer), "it says so")
    assert await letters.offsets() == list(range(first, first + LIMIT - 1))

    await stores.postgres.execute("ALTER TABLE notifications DROP CONSTRAINT broken")
    await _honest(producer, product, stores, 0)
    await eventually(lambda: _passed(letters, last), "it goes on")
    assert await told(consumer) == "ok"
    assert len([row for row in await stores.rows() if row.message == "m"]) == FLOOD - (LIMIT - 1)


async def _another_key(product: Product) -> str:
    container = build(product.settings)
    try:
        return (await container.create_api_key()("hostile", frozenset({Scope.PUBLISH})))[1]
    finally:
        await container.maintenance().close()


async def _publish(api: Api, key: str) -> int:
    async with local_client(base_url=api.url, headers={"X-API-Key": key}, timeout=30) as client:
        body = {"user_id": USERS[0], "event": "a.b", "message": "by the API"}
        return (await client.post("/v1/notifications", json=body)).status_code


async def _refused(api: Api, key: str) -> bool:
    return await _publish(api, key) == 429


async def _honest(producer: AIOKafkaProducer, product: Product, stores: Stores, number: int) -> None:
    """Send a good record behind all others, and wait until it is stored."""
    value = {"user_id": USERS[0], "event": "a.b", "message": f"honest {number}"}
    await producer.send_and_wait(product.settings.kafka_topic, json.dumps(value).encode(), partition=FLOODED)
    await eventually(lambda: _there(stores, value["message"]), "an honest record is stored")


async def _there(stores: Stores, message: str) -> bool:
    return message in {row.message for row in await stores.rows()}


async def _stopped(consumer: Service) -> bool:
    return "stopped at offset" in await told(consumer)


async def _more(stores: Stores, before: int) -> bool:
    return await stores.count() > before


async def _passed(letters: Letters, offset: int) -> bool:
    return await letters.committed() > offset
