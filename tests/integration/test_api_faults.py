"""API processes that die, clients that vanish, and clocks that are wrong."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import jwt
import psutil
import pytest

from entrypoints.settings import Settings
from tests.integration.conftest import Run
from tests.load import Traffic, agree, timed
from tests.product import (
    PING_SECONDS,
    PONG_SECONDS,
    Api,
    Follower,
    Product,
    Service,
    Stores,
    altered,
    create_users,
    eventually,
    metric,
)
from workbench.embedded import LOOPBACK
from workbench.soak.proxy import Proxy

USERS = ["ada", "bob", "cid"]
HOUR = 3600
RECOVERY_SECONDS = 60.0


async def test_who_followed_a_node_that_is_killed_resumes_on_another(
    product: Product, stores: Stores, run: Run
) -> None:
    """Fault 28: an API process is killed with live sockets on it; then the other one, when it is back."""
    one, other, _ = await asyncio.gather(product.api(), product.api(), product.consumer())
    nodes = [one, other]
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(node.client()) for node in nodes]
        await create_users(clients[0], USERS)
        followers = [
            await stack.enter_async_context(Follower([one.url, other.url], user, product.token))
            for user in USERS
            for _ in range(10)
        ]
        accepted: dict[str, list[str]] = {user: [] for user in USERS}
        for round_, (dies, stays) in enumerate([(0, 1), (1, 0)]):
            async with Traffic(clients[stays], USERS) as traffic:
                await traffic.more(30)
                await asyncio.to_thread(nodes[dies].process.kill)
                away = await timed(
                    lambda n=round_ + 2: all(follower.connections >= n for follower in followers),  # type: ignore[misc]
                    "all follow the other node",
                    RECOVERY_SECONDS,
                )
                await traffic.more(30)
            for user, ids in traffic.accepted.items():
                accepted[user] += ids
            told = await timed(lambda: _told(followers, accepted), "all have all", RECOVERY_SECONDS)
            run.note(seconds_until_all_followed_again=away, seconds_until_all_had_all=told)
            await asyncio.to_thread(nodes[dies].process.start)
            await nodes[dies].process.healthy()
        for follower in followers:
            assert not follower.holes
            assert not follower.resets
            assert sorted(follower.created, key=follower.created.__getitem__) == accepted[follower.user]
    await eventually(lambda: agree(stores), "the index agrees with the store")
    assert not await stores.broken_feeds()


def _told(followers: list[Follower], accepted: dict[str, list[str]]) -> bool:
    return all(set(accepted[follower.user]) <= follower.created.keys() for follower in followers)


async def test_a_client_that_vanishes_is_noticed_and_leaves_nothing_behind(
    product: Product, run: Run
) -> None:
    """Fault 30: no FIN, no RST: the way to the client swallows everything."""
    # The client that stays must answer in time, also on a busy machine.
    ping, pong = (PING_SECONDS, PONG_SECONDS) if run.long else (2, 8)
    api, _ = await asyncio.gather(altered(product, "api", ping=ping, pong=pong), product.consumer())
    node = Api(api, api.url, product)
    async with node.client() as client:
        await create_users(client, USERS)
    before = await _in_use(api)
    async with Proxy.to(LOOPBACK, api.port) as way, node.follow("bob") as stays:
        vanishing = Follower([f"http://{LOOPBACK}:{way.port}"], "ada", product.token)
        async with vanishing:
            await eventually(lambda: _sockets(api, 2), "both are there")
            way.black_hole()
            closed = await timed(lambda: _closed(api), "it is closed", ping + pong + 15)
            await eventually(lambda: _sockets(api, 1), "one is left")
            freed = await timed(lambda: _is_in_use(api, before + 1), "its connection is gone", 60)
            run.note(seconds_until_closed=closed, seconds_until_the_connection_was_gone=closed + freed)
            assert stays.connections == 1

            way.heal()
            way.reset()
            await eventually(lambda: vanishing.connections >= 2, "it is back")
            await eventually(lambda: _sockets(api, 2), "both are there")
    await eventually(lambda: _is_in_use(api, before), "nothing is left")


async def _closed(api: Service) -> bool:
    return await metric(api, "bellwire_closes_total", code="4001") == 1


async def _sockets(api: Service, count: int) -> bool:
    return await metric(api, "bellwire_sockets") == count


async def _in_use(api: Service) -> int:
    """How many connections of clients the process holds."""
    connections = await asyncio.to_thread(psutil.Process(api.pid).net_connections, "tcp")
    return sum(one.status == "ESTABLISHED" and one.laddr.port == api.port for one in connections)


async def _is_in_use(api: Service, count: int) -> bool:
    return await _in_use(api) <= count


@pytest.fixture
def lasting(settings: Settings) -> Callable[[str], str]:
    """Makes tokens that were issued before, and are good after, whatever the clock."""

    def token(user: str) -> str:
        now = datetime.now(UTC)
        claims = {"sub": user, "iat": now - timedelta(hours=3), "exp": now + timedelta(hours=3)}
        return jwt.encode({**claims, "aud": settings.token_audience}, settings.token_secret, "HS256")

    return token


@pytest.mark.parametrize(("api_clock", "consumer_clock"), [(HOUR, -HOUR), (-HOUR, HOUR)])
async def test_clocks_that_are_wrong_by_an_hour_lose_and_mix_up_nothing(
    product: Product, stores: Stores, lasting: Callable[[str], str], *, api_clock: int, consumer_clock: int
) -> None:
    """Fault 31: one node and the consumer are an hour off, in opposite directions; another node is right."""
    product.token = lasting  # type: ignore[method-assign, assignment]
    wrong, right, _ = await asyncio.gather(
        altered(product, "api", clock=api_clock),
        product.api(),
        altered(product, "consumer", clock=consumer_clock),
    )
    nodes = [Api(wrong, wrong.url, product), right]
    accepted: dict[str, list[str]] = {user: [] for user in USERS}
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(node.client()) for node in nodes]
        await create_users(clients[0], USERS)
        followers = {user: await stack.enter_async_context(nodes[0].follow(user)) for user in USERS}
        for number in range(60):
            user = USERS[number % 3]
            body = {"user_id": user, "event": "tick", "message": f"tick {number}"}
            response = await clients[number // 3 % 2].post("/v1/notifications", json=body)
            assert response.status_code == 202, response.text
            accepted[user].append(response.json()["id"])
        for user, follower in followers.items():
            await eventually(lambda f=follower: len(f.created) == 20, f"{user} has all")  # type: ignore[misc]
            # What came first is first, whatever the time in its id.
            assert sorted(follower.created, key=follower.created.__getitem__) == accepted[user]
            assert not follower.holes
        for node in nodes:
            await _pages_are_whole(node, accepted)
    everything = sorted(identifier for ids in accepted.values() for identifier in ids)
    assert len(set(everything)) == 60
    assert sorted(await stores.ids()) == everything
    assert not await stores.broken_feeds()
    await eventually(lambda: agree(stores), "the index agrees with the store")


async def _pages_are_whole(node: Api, accepted: dict[str, list[str]]) -> None:
    """Small pages, one after another: no notification is missing, none comes twice."""
    for user, ids in accepted.items():
        found: list[str] = []
        async with node.client(user) as client:
            cursor = None
            while True:
                given = {"limit": "7", "status": "all"} | ({"cursor": cursor} if cursor else {})
                page = (await client.get(f"/notifications/{user}", params=given)).json()
                found += [item["id"] for item in page["items"]]
                cursor = page["next_cursor"]
                if cursor is None:
                    break
            first = await client.patch(f"/notifications/{user}/{ids[0]}/read")
            again = await client.patch(f"/notifications/{user}/{ids[0]}/read")
        assert sorted(found, reverse=True) == found
        assert sorted(found) == sorted(ids)
        assert first.status_code == again.status_code == 200
        assert first.json() == again.json()


@pytest.mark.parametrize(("clock", "status"), [(HOUR - 60, 200), (HOUR + 60, 401), (-HOUR, 401)])
async def test_a_token_is_good_by_the_clock_of_the_node_that_is_asked(
    product: Product, clock: int, status: int
) -> None:
    """Fault 31: one of an hour, made now. A node that is behind takes it for one from the future."""
    node, right = await asyncio.gather(altered(product, "api", clock=clock), product.api())
    async with right.client("ada") as client:
        await create_users(client, ["ada"])
    async with Api(node, node.url, product).client("ada") as client:
        assert (await client.get("/notifications/ada")).status_code == status
