"""Processes that die under load, and records that come again."""

from collections.abc import Sequence

import httpx
import msgspec
from aiokafka import AIOKafkaProducer

from tests.load import agree
from tests.product import Product, Stores, create_users, eventually
from tests.whole import build


async def publish_batch(client: httpx.AsyncClient, items: list[dict[str, str]]) -> list[str]:
    response = await client.post("/v1/notifications/batch", json={"items": items})
    assert response.status_code == 202, response.text
    return [result["id"] for result in response.json()["results"]]


async def test_a_consumer_killed_while_storing_leaves_everything_stored_once(
    product: Product, stores: Stores
) -> None:
    users = [f"user-{n}" for n in range(50)]
    api = await product.api()
    async with api.client(users[0]) as client:
        await create_users(client, users)
        accepted: list[str] = []
        for start in range(0, 20_000, 1_000):
            items = [
                {"user_id": users[n % 50], "event": "load.sent", "message": f"number {n}"}
                for n in range(start, start + 1_000)
            ]
            accepted += await publish_batch(client, items)
    consumer = await product.consumer()
    await eventually(lambda: _at_least(stores, 1), "the consumer is in the middle of it")
    consumer.kill()
    stored_at_kill = await stores.count()
    assert stored_at_kill < 20_000

    await product.consumer()
    await eventually(lambda: _at_least(stores, 20_000), "the rest is stored")

    stored = await stores.ids()
    assert len(stored) == len(set(stored)) == 20_000
    assert set(stored) == set(accepted)
    assert not await stores.broken_feeds()
    await eventually(lambda: agree(stores), "the index agrees with the store")


async def _at_least(stores: Stores, count: int) -> bool:
    return await stores.count() >= count


async def test_records_that_come_three_times_are_stored_and_told_once(
    product: Product, stores: Stores
) -> None:
    """Fault 9: the same records by their ids, in one batch and in a later one, after one of them was read."""
    api = await product.api()
    await product.consumer()
    new_id = build(product.settings).new_id()
    ids = [str(new_id()) for _ in range(6)]
    async with api.client("ada") as client:
        await create_users(client, ["ada"])
    async with api.client("ada") as client, api.follow("ada") as device:
        await _put(product, [*ids[:5], *ids[:5]])
        await eventually(lambda: len(device.created) == 5, "the device has all")
        read = (await client.patch(f"/notifications/ada/{ids[0]}/read")).json()
        await _put(product, ids)
        await eventually(lambda: ids[5] in device.created, "the device has what came after them")

        page = (await client.get("/notifications/ada", params={"status": "all"})).json()
        assert [item["id"] for item in page["items"]] == ids[::-1]
        assert page["items"][-1] == read
        assert page["unread_count"] == 5
        frames = [frame for frame in device.frames if frame["type"] == "notifications"]
        assert [item["id"] for frame in frames for item in frame["items"]] == ids
    assert not device.holes
    assert not device.revived
    assert not await stores.broken_feeds()
    assert not await stores.disagreements()


async def _put(product: Product, ids: Sequence[str]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=product.settings.kafka_bootstrap)
    await producer.start()
    try:
        for identifier in ids:
            value = {"id": identifier, "user_id": "ada", "event": "test.sent", "message": identifier}
            await producer.send(product.settings.kafka_topic, msgspec.json.encode(value), key=b"ada")
        await producer.flush()
    finally:
        await producer.stop()
