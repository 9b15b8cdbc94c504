"""Processes that die under load."""

import httpx

from tests.product import Product, Stores, create_users, eventually


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
    await eventually(lambda: _at_least(stores, 2_000), "the consumer is in the middle of it")
    consumer.kill()
    stored_at_kill = await stores.count()
    assert stored_at_kill < 20_000

    await product.consumer()
    await eventually(lambda: _at_least(stores, 20_000), "the rest is stored")

    stored = await stores.ids()
    assert len(stored) == len(set(stored)) == 20_000
    assert set(stored) == set(accepted)
    assert not await stores.broken_feeds()
    assert not await stores.disagreements()


async def _at_least(stores: Stores, count: int) -> bool:
    return await stores.count() >= count
