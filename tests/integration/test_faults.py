"""Processes and servers that die under load."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import httpx
import pytest

from entrypoints.embedded import REDIS_URL, EmbeddedServers
from entrypoints.settings import Settings
from entrypoints.soak.proxy import Proxy
from tests.product import Api, Follower, Product, Stores, create_users, eventually


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


class Traffic:
    """A steady trickle of notifications to a few users, with the ids that were accepted."""

    def __init__(self, client: httpx.AsyncClient, users: list[str]) -> None:
        self._client = client
        self._users = users
        self.accepted: dict[str, list[str]] = {user: [] for user in users}
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._send())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let the request that is under way end: what it publishes counts too."""
        assert self._task is not None
        self._stopping = True
        await self._task

    async def more(self, count: int) -> None:
        """Wait until this many more were accepted."""
        goal = self.total + count
        await eventually(lambda: self.total >= goal, f"{count} more are accepted")
        assert self._task is not None
        assert not self._task.done()

    @property
    def total(self) -> int:
        return sum(map(len, self.accepted.values()))

    async def _send(self) -> None:
        number = 0
        while not self._stopping:
            user = self._users[number % len(self._users)]
            number += 1
            body = {"user_id": user, "event": "tick", "message": f"tick {number}"}
            response = await self._client.post("/v1/notifications", json=body)
            assert response.status_code == 202, response.text
            self.accepted[user].append(response.json()["id"])


async def _settled(api: Api, traffic: Traffic, followers: dict[str, Follower], stores: Stores) -> None:
    """Everybody has everything, once and in order, and all agree."""
    for user, follower in followers.items():
        ids = traffic.accepted[user]
        await eventually(lambda f=follower, i=ids: set(i) <= set(f.created), f"{user} has all")  # type: ignore[misc]
        assert not follower.holes
        assert list(dict(sorted(follower.created.items(), key=lambda entry: entry[1]))) == ids
        async with api.client(user) as client:
            response = (await client.get(f"/notifications/{user}", params={"limit": 100})).json()
        assert response["unread_count"] == len(ids)
        assert [item["id"] for item in response["items"]] == ids[::-1][:100]
    await eventually(lambda: _agree(stores), "the index agrees with the store")
    assert not await stores.broken_feeds()


async def _agree(stores: Stores) -> bool:
    return not await stores.disagreements()


async def test_flushall_changes_nothing_that_a_user_sees(product: Product, stores: Stores) -> None:
    users = ["ada", "bob", "cid"]
    api, _ = await asyncio.gather(product.api(), product.consumer())
    async with api.client() as client:
        await create_users(client, users)
        async with api.follow("ada") as ada, api.follow("bob") as bob, api.follow("cid") as cid:
            followers = {"ada": ada, "bob": bob, "cid": cid}
            async with Traffic(client, users) as traffic:
                for _ in range(4):
                    await traffic.more(30)
                    await _fetches_are_whole(api, users)
                    await stores.redis.flushall()
                await traffic.more(30)
            await _settled(api, traffic, followers, stores)
            assert [follower.connections for follower in followers.values()] == [1, 1, 1]


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_redis_away_for_ten_seconds_changes_nothing_but_speed(
    product: Product, stores: Stores, servers: EmbeddedServers, how: str
) -> None:
    redis = servers.redis
    if redis is None:
        pytest.skip("only a Redis that runs embedded can be killed and frozen")
    users = ["ada", "bob"]
    api, _ = await asyncio.gather(product.api(), product.consumer())
    async with api.client() as client:
        await create_users(client, users)
        async with api.follow("ada") as ada, api.follow("bob") as bob:
            async with Traffic(client, users) as traffic:
                await traffic.more(30)
                await _fetches_are_whole(api, users)
                (redis.kill if how == "killed" else redis.pause)()
                away = asyncio.get_running_loop().time()
                while asyncio.get_running_loop().time() - away < 10:
                    await traffic.more(10)
                    await _fetches_are_whole(api, users)
                await asyncio.to_thread(redis.start if how == "killed" else redis.resume)
                await traffic.more(30)
            await _settled(api, traffic, {"ada": ada, "bob": bob}, stores)


async def test_connections_to_redis_may_be_reset_again_and_again(
    tmp_path: Path, environment: Mapping[str, str], settings: Settings, servers: EmbeddedServers
) -> None:
    users = ["ada", "bob"]
    redis = urlsplit(servers.redis_url)
    async with Proxy.to(redis.hostname or "", redis.port or 0) as proxy, Stores.open(settings) as stores:
        through = {REDIS_URL: f"redis://127.0.0.1:{proxy.port}{redis.path}"}
        product = Product(tmp_path, environment, settings, {"api": through, "consumer": through})
        try:
            await product.prepare()
            api, _ = await asyncio.gather(product.api(), product.consumer())
            async with api.client() as client:
                await create_users(client, users)
                async with api.follow("ada") as ada, api.follow("bob") as bob:
                    async with Traffic(client, users) as traffic:
                        for _ in range(30):
                            proxy.reset()
                            await traffic.more(1)
                            await _fetches_are_whole(api, users)
                        await traffic.more(30)
                    await _settled(api, traffic, {"ada": ada, "bob": bob}, stores)
        finally:
            await product.stop()


async def _fetches_are_whole(api: Api, users: list[str]) -> None:
    """REST goes on answering, each answer true in itself."""
    for user in users:
        async with api.client(user) as client:
            response = await client.get(f"/notifications/{user}", params={"limit": 100})
        assert response.status_code == 200, response.text
        page = response.json()
        assert len(page["items"]) == min(page["unread_count"], 100)
