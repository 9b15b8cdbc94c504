"""A post that a thousand people like is one notification, for who was there and for who was not."""

import asyncio
import json
from typing import Any

import httpx
from aiokafka import AIOKafkaProducer

from tests.product import Follower, Product, Stores, create_users, eventually

LIKES, LIKERS = 1_000, 250


async def test_a_thousand_likes_of_a_post_are_one_notification(product: Product, stores: Stores) -> None:
    api, _ = await asyncio.gather(product.api(), product.consumer())
    async with api.client("ada") as client:
        await create_users(client, ["ada"])
        async with api.follow("ada") as left:
            pass
        async with api.follow("ada") as online:
            first = await _like(product, 0, 10)
            await eventually(lambda: online.items, "the first ones come live")
            rest = await _like(product, 10, LIKES)
            await eventually(lambda: _all_counted(client), "all are counted")
            page = await _page(client)
            await eventually(lambda: online.cursor == page["cursor"], "who was there has heard of all")
            away = api.follow("ada")
            away.cursor = left.cursor
            async with away:
                await away.seen(lambda frame: frame["type"] == "replayed", "the end of the replay")

    assert len(first) + len(rest) == LIKES
    (item,) = page["items"]
    assert (page["unread_count"], page["unseen_count"], page["unread_in"]) == (1, 1, {"post": 1})
    assert (item["count"], item["actor_count"], item["actors_more"]) == (LIKES, 100, True)
    assert len(item["actors"]) == 3
    for reader in (online, away):
        _check(reader, item)
    assert not await stores.broken_feeds()
    await eventually(lambda: _agrees(stores), "Redis and PostgreSQL agree")


async def _like(product: Product, start: int, end: int) -> list[int]:
    """Write likes to the topic as fast as it takes them."""
    settings = product.settings
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap, linger_ms=5)
    await producer.start()
    try:
        sent = [
            await producer.send(settings.kafka_topic, json.dumps(_record(number)).encode(), key=b"ada")
            for number in range(start, end)
        ]
        return [(await one).offset for one in sent]
    finally:
        await producer.stop()


def _record(number: int) -> dict[str, Any]:
    return {
        "user_id": "ada",
        "event": "post.liked",
        "message": "liked your post",
        "collapse_key": "post:7:likes",
        "actor": {"id": f"u{number % LIKERS}", "name": f"User {number % LIKERS}"},
    }


async def _page(client: httpx.AsyncClient) -> dict[str, Any]:
    page: dict[str, Any] = (await client.get("/v1/users/ada/notifications")).json()
    return page


async def _all_counted(client: httpx.AsyncClient) -> bool:
    return [item.get("count") for item in (await _page(client))["items"]] == [LIKES]


def _check(reader: Follower, item: dict[str, Any]) -> None:
    """They see one, and it is that one; and they have missed nothing on the way."""
    shown = [one for one, state in reader.items.items() if state["retracted_at"] is None]
    assert shown == [item["id"]]
    assert reader.unread_count == 1
    assert not reader.holes
    assert not reader.resets
    newest = [one for frame in reader.frames for one in frame.get("items", ()) if one["id"] == item["id"]][-1]
    assert (newest["count"], newest["actors"]) == (LIKES, item["actors"])


async def _agrees(stores: Stores) -> bool:
    return not await stores.disagreements()
