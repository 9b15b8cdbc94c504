"""Redis that forgets, dies, freezes, runs full or is cut off: nothing that a user sees is wrong or lost.

Each outage is short in the normal suite; with --long it takes what the fault matrix says.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from redis.asyncio import Redis

from entrypoints.settings import Settings
from tests.conftest import PARTITIONS
from tests.integration.conftest import Run
from tests.load import Load, Traffic, agree, all_stored, assert_stored_once, fetches_are_whole, settled, timed
from tests.product import Api, Follower, Product, Service, Stores, create_users, eventually, metric
from workbench.embedded import LOOPBACK, EmbeddedServers, RedisServer
from workbench.programs import REDIS_URL
from workbench.soak.proxy import Proxy
from workbench.soak.stores import Topic

USERS = ["ada", "bob", "cid"]
CROWD = [f"user-{number}" for number in range(40)]
RECOVERY_SECONDS = 60.0


@dataclass
class Scene:
    """A product with one API process and one consumer, users who follow, and traffic to them."""

    api: Api
    consumer: Any
    client: httpx.AsyncClient
    followers: dict[str, Follower]
    traffic: Traffic
    stores: Stores

    async def during(self, seconds: float) -> None:
        """Publish and fetch for so long; everything goes on, and every page is true in itself."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await self.traffic.more(5)
            await fetches_are_whole(self.api, list(self.followers))

    async def all_told(self) -> bool:
        """Whether every follower has what was accepted until now, and the index agrees with the store."""
        told = all(set(self.traffic.accepted[user]) <= set(f.created) for user, f in self.followers.items())
        return told and await agree(self.stores)

    async def recovered(self, run: Run, **figures: float) -> None:
        """Wait for it; note how long it took from now."""
        goal = {user: list(ids) for user, ids in self.traffic.accepted.items()}
        told = await timed(
            lambda: all(set(goal[user]) <= set(f.created) for user, f in self.followers.items()),
            "the followers have what was accepted before Redis was back",
            RECOVERY_SECONDS,
        )
        run.note(seconds_until_the_followers_had_all=told, **figures)

    async def carrier_lost(self) -> float:
        return await metric(self.api.process, "bellwire_carrier_lost_total")

    async def redis_is(self, *, away: bool) -> bool:
        """What readiness says. It is ready without Redis too."""
        response = await self.client.get("/health/ready")
        assert response.status_code == 200, response.text
        return bool((response.json()["checks"]["redis"] != "ok") == away)


@asynccontextmanager
async def playing(product: Product, stores: Stores, users: Sequence[str] = USERS) -> AsyncIterator[Scene]:
    """The scene, with the first notifications on their way and the index in use."""
    api, consumer = await asyncio.gather(product.api(), product.consumer())
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(api.client())
        await create_users(client, users)
        followers = {user: await stack.enter_async_context(api.follow(user)) for user in users}
        traffic = Traffic(client, list(users))
        scene = Scene(api, consumer, client, followers, traffic, stores)
        async with traffic:
            await traffic.more(30)
            await fetches_are_whole(api, list(users))
            yield scene
        await eventually(lambda: agree(stores), "the index agrees with the store")
        await settled(api, traffic, followers, stores)


@pytest.fixture
def redis(servers: EmbeddedServers) -> RedisServer:
    if servers.redis is None:
        pytest.skip("only a Redis that runs embedded can be killed and frozen")
    return servers.redis


# --- it forgets -------------------------------------------------------------------------------------------


async def test_flushall_changes_nothing_that_a_user_sees(product: Product, stores: Stores) -> None:
    """Fault 12: FLUSHALL under load."""
    async with playing(product, stores) as scene:
        for _ in range(4):
            await scene.traffic.more(30)
            await fetches_are_whole(scene.api, USERS)
            await stores.redis.flushall()
        await scene.traffic.more(30)
    assert [follower.connections for follower in scene.followers.values()] == [1, 1, 1]


@pytest.fixture
async def configure(stores: Stores) -> AsyncIterator[Callable[..., Any]]:
    """Change settings of Redis; in the end they are what they were."""
    before: dict[str, str] = {}

    async def change(**settings: object) -> None:
        for name, value in ((name.replace("_", "-"), value) for name, value in settings.items()):
            before.setdefault(name, str((await stores.redis.config_get(name))[name]))
            await stores.redis.config_set(name, str(value))

    yield change
    for name, value in before.items():
        await stores.redis.config_set(name, value)


async def test_redis_that_evicts_changes_nothing_that_a_user_sees(
    product: Product, stores: Stores, configure: Callable[..., Any], run: Run
) -> None:
    """Fault 12: eviction under load, of whole entries and of halves."""
    async with _fetched_under_load(product) as (api, load, device):
        memory = await stores.redis.info("memory")
        await configure(maxmemory_policy="allkeys-random", maxmemory=memory["used_memory"] + 300_000)
        before = await _evicted(stores)
        for _ in range(20 if run.long else 5):
            await load.more(100)
            await _fetch_all(api, device)
        evicted = await _evicted(stores) - before
        run.note(accepted=load.total, evicted_keys=evicted)
        assert evicted > len(CROWD)
        await _whole_again(api, load, device, stores, configure)


async def test_redis_that_is_full_and_may_not_evict_changes_nothing_that_a_user_sees(
    product: Product, stores: Stores, configure: Callable[..., Any], run: Run, name: str
) -> None:
    """Fault 12: Redis refuses what needs memory."""
    async with _fetched_under_load(product) as (api, load, device):
        await configure(maxmemory_policy="noeviction", maxmemory=1)
        for _ in range(20 if run.long else 5):
            await load.more(100)
            await stores.redis.delete(*(f"{name}:feed:{{{user}}}" for user in CROWD[::2]))
            await _fetch_all(api, device)
        refused = await metric(api.process, "bellwire_index_total", outcome="away")
        run.note(accepted=load.total, fetches_that_redis_refused=refused)
        assert refused > 0
        await _whole_again(api, load, device, stores, configure)


@asynccontextmanager
async def _fetched_under_load(product: Product) -> AsyncIterator[tuple[Api, Load, Follower]]:
    """Entries of many users in the index, load that changes them, and a device that one of them follows."""
    api, _ = await asyncio.gather(product.api(), product.consumer())
    async with api.client() as client, AsyncExitStack() as stack:
        await create_users(client, CROWD)
        device = await stack.enter_async_context(api.follow(CROWD[0]))
        load = await stack.enter_async_context(Load(client, CROWD, size=100, pause=0.5, filler=800))
        await load.more(800)
        await _fetch_all(api, device)
        yield api, load, device


async def _whole_again(
    api: Api, load: Load, device: Follower, stores: Stores, configure: Callable[..., Any]
) -> None:
    await load.end()
    await configure(maxmemory=0)
    await eventually(lambda: all_stored(stores, load), "everything is stored")
    await eventually(lambda: set(load.accepted[device.user]) <= device.created.keys(), "the device has all")
    assert not device.holes
    # Of an entry that was evicted by half the rest stays until it is asked for.
    await _fetch_all(api, device)
    await assert_stored_once(stores, load)


async def _evicted(stores: Stores) -> int:
    return int((await stores.redis.info("stats"))["evicted_keys"])


async def _fetch_all(api: Api, device: Follower) -> None:
    """Every page is true in itself, and not older than what a device of the user has been told."""
    for user in CROWD:
        told = device.cursor if user == device.user else None
        async with api.client(user) as client:
            response = await client.get(f"/notifications/{user}", params={"limit": 100})
        assert response.status_code == 200, response.text
        page = response.json()
        assert len(page["items"]) == min(page["unread_count"], 100)
        assert {item["user_id"] for item in page["items"]} <= {user}
        if told is not None:
            assert _version(page["cursor"]) >= _version(told)


def _version(cursor: str) -> int:
    return int(cursor.rpartition(".")[2])


async def test_what_redis_forgot_is_read_again_by_one_at_a_time(product: Product, stores: Stores) -> None:
    """Fault 12: of many that ask at once, on two nodes, one rebuilds the user's entry."""
    one, other, _ = await asyncio.gather(product.api(), product.api(), product.consumer())
    async with one.client("ada") as client, other.client("ada") as elsewhere:
        await create_users(client, ["ada"])
        load = Load(client, ["ada"], size=300)
        await load.batch()
        await eventually(lambda: all_stored(stores, load), "everything is stored")
        for _ in range(5):
            await stores.redis.flushall()
            before = await _loads(stores)
            answers = await asyncio.gather(
                *(node.get("/notifications/ada", params={"limit": 100}) for node in [client, elsewhere] * 25)
            )
            assert {answer.status_code for answer in answers} == {200}
            assert {answer.content for answer in answers} == {answers[0].content}
            assert answers[0].json()["unread_count"] == 300
            assert await _loads(stores) == before + 1


async def _loads(stores: Stores) -> int:
    """How often an entry was made: nothing else writes a feed's hash while nothing changes."""
    statistics = await stores.redis.info("commandstats")
    return int(statistics.get("cmdstat_hset", {"calls": 0})["calls"])


# --- it is away -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [1, 15, 120])
async def test_redis_that_dies_and_starts_empty_changes_nothing_but_speed(
    product: Product, stores: Stores, redis: RedisServer, *, run: Run, seconds: int
) -> None:
    """Fault 13: Redis is restarted after so many seconds."""
    if seconds > 15 and not run.long:
        pytest.skip("two minutes without Redis: --long")
    async with playing(product, stores) as scene:
        lost, stored = await scene.carrier_lost(), await stores.count()
        await asyncio.to_thread(redis.kill)
        try:
            noticed = await timed(lambda: scene.redis_is(away=True), "readiness says so", RECOVERY_SECONDS)
            await scene.during(seconds - noticed)
            await eventually(lambda: _rises(scene, lost), "the subscription is missed")
            await eventually(lambda: _more_than(stores, stored + 5), "storing goes on")
        finally:
            await asyncio.to_thread(redis.start)
        healthy = await timed(lambda: scene.redis_is(away=False), "readiness says so", RECOVERY_SECONDS)
        await scene.recovered(run, seconds_until_away=noticed, seconds_until_ready=healthy)
        await scene.traffic.more(30)
    assert [follower.connections for follower in scene.followers.values()] == [1, 1, 1]


async def test_redis_that_freezes_is_noticed_by_a_heartbeat_that_does_not_come_back(
    product: Product, stores: Stores, redis: RedisServer, *, run: Run
) -> None:
    """Fault 14: Redis half-open: its connections stand, and nothing comes."""
    async with playing(product, stores) as scene:
        lost, stored = await scene.carrier_lost(), await stores.count()
        await asyncio.to_thread(redis.pause)
        try:
            frozen = time.monotonic()
            noticed = await timed(lambda: _rises(scene, lost), "the heartbeat is missed", RECOVERY_SECONDS)
            unready = await timed(lambda: scene.redis_is(away=True), "readiness says so", RECOVERY_SECONDS)
            await scene.during((60 if run.long else 10) - (time.monotonic() - frozen))
            await eventually(lambda: _more_than(stores, stored + 5), "storing goes on")
        finally:
            await asyncio.to_thread(redis.resume)
        await scene.recovered(run, seconds_until_noticed=noticed, seconds_until_away=noticed + unready)
        await scene.traffic.more(30)
    assert [follower.connections for follower in scene.followers.values()] == [1, 1, 1]


async def _rises(scene: Scene, before: float) -> bool:
    return await scene.carrier_lost() > before


async def _more_than(stores: Stores, number: int) -> bool:
    return await stores.count() > number


# --- it is there, and not for us --------------------------------------------------------------------------


@pytest.fixture
async def successor(tmp_path: Path, redis: RedisServer) -> AsyncIterator[RedisServer]:
    """A replica of the servers' Redis."""
    (tmp_path / "successor").mkdir()
    made = RedisServer(tmp_path / "successor")
    await asyncio.to_thread(made.start)
    try:
        await _replicates(made, redis)
        yield made
    finally:
        async with Redis.from_url(redis.url) as admin:
            await admin.execute_command("REPLICAOF", "NO", "ONE")  # type: ignore[no-untyped-call]
        await asyncio.to_thread(made.stop)


async def _replicates(replica: RedisServer, primary: RedisServer) -> None:
    async with Redis.from_url(primary.url) as source, Redis.from_url(replica.url) as admin:
        await source.config_set("repl-diskless-sync-delay", "0")
        await admin.execute_command("REPLICAOF", LOOPBACK, primary.port)  # type: ignore[no-untyped-call]

        async def linked() -> bool:
            return bool((await admin.info("replication"))["master_link_status"] == "up")

        await eventually(linked, "the replica has caught up")


class TestFailover:
    """Every process goes to Redis by one address."""

    @pytest.fixture
    async def ways(self, redis: RedisServer, successor: RedisServer) -> AsyncIterator[list[RedisServer]]:
        """The address leads to the first of these."""
        order = [redis, successor]
        async with Proxy(lambda: asyncio.open_connection(LOOPBACK, order[0].port)) as way:
            self.url = f"redis://{LOOPBACK}:{way.port}/0"
            yield order

    @pytest.fixture
    async def product(
        self,
        tmp_path: Path,
        environment: Mapping[str, str],
        settings: Settings,
        ways: list[RedisServer],
    ) -> AsyncIterator[Product]:
        made = Product(tmp_path, {**environment, REDIS_URL: self.url}, settings)
        await made.prepare()
        yield made
        await made.stop()

    async def test_a_failover_with_the_old_primary_alive_needs_no_restart(
        self, product: Product, stores: Stores, ways: list[RedisServer], run: Run
    ) -> None:
        """The old one goes on as a replica, with every connection, and refuses what is written."""
        async with playing(product, stores) as scene:
            lost = await scene.carrier_lost()
            await create_users(scene.client, ["dan"])
            async with scene.api.client("ada") as ada:
                async with Redis.from_url(ways[1].url) as admin:
                    await admin.execute_command("REPLICAOF", "NO", "ONE")  # type: ignore[no-untyped-call]
                ways.reverse()
                await _replicates(ways[1], ways[0])
                refused, began = 0, time.monotonic()
                async with asyncio.timeout(RECOVERY_SECONDS):
                    while await scene.carrier_lost() == lost:
                        refused += (await ada.post("/v1/stream-tickets")).status_code != 201
                        refused += await _keyed(scene.client, f"key {time.monotonic()}") != 202
                moved = time.monotonic() - began
                for number in range(20):
                    assert (await ada.post("/v1/stream-tickets")).status_code == 201
                    assert await _keyed(scene.client, f"key {number}") == 202
                await eventually(lambda: scene.redis_is(away=False), "readiness says so")
            await scene.recovered(run, seconds_until_streams_moved=moved, refused=refused)
            await scene.traffic.more(30)
            assert refused == 0
        assert [follower.connections for follower in scene.followers.values()] == [1, 1, 1]


async def _keyed(client: httpx.AsyncClient, key: str) -> int:
    body = {"user_id": "dan", "event": "tick", "message": "with a key"}
    response = await client.post("/v1/notifications", json=body, headers={"Idempotency-Key": key})
    return response.status_code


async def test_a_redis_that_refuses_the_login_is_named_in_readiness_and_once_in_the_log(
    tmp_path: Path, environment: Mapping[str, str], settings: Settings, redis: RedisServer
) -> None:
    url = f"redis://nobody:hunter2@{LOOPBACK}:{redis.port}/0"
    product = Product(tmp_path, {**environment, REDIS_URL: url}, settings)
    await product.prepare()
    try:
        api = await product.api()
        async with api.client() as client:
            await create_users(client, ["ada"])
            for _ in range(3):
                response = await client.get("/health/ready")
                assert (response.status_code, response.json()["status"]) == (200, "ok")
                assert "WRONGPASS" in response.json()["checks"]["redis"]
                assert "hunter2" not in response.text
            assert (await client.get("/metrics")).status_code == 200
        refused = "the live subscription is interrupted: WRONGPASS"
        await eventually(lambda: refused in api.process.log.read_text(), "the subscription is refused too")
        log = api.process.log.read_text()
    finally:
        await product.stop()
    assert log.count("Redis is out of reach: WRONGPASS") == 1
    assert log.count(refused) == 1
    assert "hunter2" not in log


# --- one role cannot reach it -----------------------------------------------------------------------------


class TestCut:
    """Each role goes to Redis its own way."""

    @pytest.fixture
    async def ways(self, servers: EmbeddedServers) -> AsyncIterator[Mapping[str, Proxy]]:
        redis = urlsplit(servers.redis_url)
        async with (
            Proxy.to(redis.hostname or LOOPBACK, redis.port or 6379) as api,
            Proxy.to(redis.hostname or LOOPBACK, redis.port or 6379) as consumer,
        ):
            yield {"api": api, "consumer": consumer}

    @pytest.fixture
    async def product(
        self,
        tmp_path: Path,
        environment: Mapping[str, str],
        settings: Settings,
        ways: Mapping[str, Proxy],
    ) -> AsyncIterator[Product]:
        roles = {role: {REDIS_URL: f"redis://{LOOPBACK}:{way.port}/0"} for role, way in ways.items()}
        made = Product(tmp_path, environment, settings, roles)
        await made.prepare()
        yield made
        await made.stop()

    @pytest.mark.parametrize("how", ["down", "black hole"])
    @pytest.mark.parametrize("role", ["api", "consumer"])
    async def test_a_role_that_is_cut_off_from_redis_catches_up(
        self, product: Product, stores: Stores, ways: Mapping[str, Proxy], *, run: Run, role: str, how: str
    ) -> None:
        """Fault 15: only the API, or only the consumer, cannot reach Redis."""
        async with playing(product, stores) as scene:
            lost = await scene.carrier_lost()
            (ways[role].down if how == "down" else ways[role].black_hole)()
            try:
                await scene.during(30 if run.long else 10)
                if role == "api":
                    await eventually(lambda: _rises(scene, lost), "the subscription is missed")
            finally:
                ways[role].heal()
            assert (await scene.carrier_lost() > lost) is (role == "api")
            await scene.recovered(run)
            await scene.traffic.more(30)

    async def test_connections_may_be_reset_again_and_again(
        self, product: Product, stores: Stores, ways: Mapping[str, Proxy]
    ) -> None:
        """As by a firewall that restarts. uvloop raises its own kind of error for it."""
        async with playing(product, stores) as scene:
            for _ in range(30):
                for way in ways.values():
                    way.reset()
                await scene.traffic.more(1)
                await fetches_are_whole(scene.api, USERS)
            await scene.traffic.more(30)

    async def test_a_consumer_that_dies_while_it_is_cut_off_leaves_nothing_wrong_for_long(
        self, product: Product, stores: Stores, ways: Mapping[str, Proxy], run: Run
    ) -> None:
        """Fault 15: what the consumer still had to tell Redis dies with it, and nothing else happens to the
        user that would show it.
        """
        api, consumer = await asyncio.gather(product.api(), product.consumer())
        async with api.client("ada") as client:
            await create_users(client, ["ada"])
            traffic = Traffic(client, ["ada"])
            await traffic.send("ada")
            await eventually(lambda: _more_than(stores, 0), "it is stored")
            await fetches_are_whole(api, ["ada"])
            async with api.follow("ada") as device:
                ways["consumer"].down()
                await traffic.send("ada")
                # Committed, it does not come again: nobody else will tell Redis.
                await eventually(lambda: _committed(product, 2), "its offset is committed")
                await asyncio.to_thread(consumer.kill)
                ways["consumer"].heal()
                successor = await product.consumer(until="live")

                agreed = await timed(
                    lambda: agree(stores), "the index agrees with the store", RECOVERY_SECONDS
                )
                told = await timed(lambda: device.created, "the device has it", RECOVERY_SECONDS)
                run.note(
                    seconds_until_the_index_agreed=agreed, seconds_until_the_follower_had_it=agreed + told
                )
                # The entry is repaired first and counted then.
                await eventually(lambda: _stale_entries(successor), "the successor has counted it")
                assert await _stale_entries(successor) == 1
        assert not device.holes


async def _stale_entries(consumer: Service) -> float:
    return await metric(consumer, "bellwire_index_mismatches_total", kind="stale")


async def _committed(product: Product, count: int) -> bool:
    settings = product.settings
    topic = Topic(settings.kafka_bootstrap, settings.kafka_topic, settings.kafka_group, PARTITIONS)
    return sum((await topic.committed()).values()) == count


# --- a subscriber is slow ---------------------------------------------------------------------------------


class TestSlowSubscriber:
    @pytest.fixture
    def environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        return {**environment, "BELLWIRE_BATCH_RECORDS": "50"}

    async def test_a_node_that_redis_gave_up_on_subscribes_again_and_fills_the_gap(
        self, product: Product, stores: Stores, configure: Callable[..., Any], run: Run
    ) -> None:
        """Fault 16: a subscriber that does not read passes the limit of its output buffer."""
        slow, other, _ = await asyncio.gather(product.api(), product.api(), product.consumer())
        await configure(client_output_buffer_limit="pubsub 2097152 0 0")
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(other.client())
            await create_users(client, [*USERS, *CROWD])
            followers = {user: await stack.enter_async_context(slow.follow(user)) for user in USERS}
            for user in CROWD:  # or Redis would not send it what the load is for
                await stack.enter_async_context(slow.follow(user))
            traffic, load = Traffic(client, USERS), Load(client, CROWD, size=100, filler=8_000)
            lost = await metric(slow.process, "bellwire_carrier_lost_total")
            await stack.enter_async_context(traffic)
            await traffic.more(10)
            await asyncio.to_thread(slow.process.pause)
            try:
                before = await _cut_for_slowness(stores)
                while await _cut_for_slowness(stores) == before and load.total < 20_000:
                    await load.batch()
                assert await _cut_for_slowness(stores) > before
            finally:
                await asyncio.to_thread(slow.process.resume)
            goal = {user: list(ids) for user, ids in traffic.accepted.items()}
            seconds = await timed(
                lambda: all(set(goal[user]) <= set(f.created) for user, f in followers.items()),
                "the followers have what they missed",
                RECOVERY_SECONDS,
            )
            run.note(published_until_cut=load.total, seconds_until_the_followers_had_all=seconds)
            assert await metric(slow.process, "bellwire_carrier_lost_total") > lost
            await traffic.more(10)
            await traffic.end()
            await eventually(lambda: all_stored(stores, load), "everything is stored")
            await eventually(lambda: agree(stores), "the index agrees with the store")
            await settled(other, traffic, followers, stores)


async def _cut_for_slowness(stores: Stores) -> int:
    return int((await stores.redis.info("stats"))["client_output_buffer_limit_disconnections"])
