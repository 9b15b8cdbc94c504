"""A primary that sentinels name: it dies, or is cut off from them, while the product is in use."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from time import monotonic

import msgspec
import pytest
from redis.asyncio import Redis

from adapters.redis.server import RedisServer, connect
from application.errors import Unavailable
from entrypoints.settings import Settings
from tests.conftest import as_read
from tests.integration.conftest import Run
from tests.integration.test_redis_faults import Scene, playing
from tests.product import Product, Stores, eventually
from tests.redis_servers import MASTER, Watched, fail_over, watched
from workbench.embedded import LOOPBACK
from workbench.programs import REDIS_URL, MissingServer

RECOVERY_SECONDS = 60.0


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Watched]:
    try:
        with watched(tmp_path, password="of-sentinels") as made:
            yield made
    except MissingServer as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """For tests that only ask."""
    try:
        with watched(tmp_path_factory.mktemp("redis"), password="of-sentinels") as made:
            yield made
    except MissingServer as missing:
        pytest.skip(str(missing))


@pytest.fixture
def environment(environment: Mapping[str, str], watching: Watched) -> dict[str, str]:
    return {**environment, REDIS_URL: watching.url, "BELLWIRE_REDIS_MODE": "sentinel"}


@pytest.fixture
def settings(environment: Mapping[str, str]) -> Settings:
    return as_read(environment)


@pytest.fixture
async def stores(product: Product, watching: Watched) -> AsyncIterator[Stores]:
    async with Stores.open(msgspec.structs.replace(product.settings, redis_url="redis://nobody")) as opened:
        opened.redis = connect(watching.url, mode="sentinel", now=monotonic)
        yield opened
        await RedisServer(opened.redis, monotonic).close()


async def _followed(scene: Scene, watching: Watched, before: int, run: Run) -> None:
    """Wait until sentinels have promoted the replica, and the product has followed; note how long it took."""
    began = time.monotonic()
    while watching.primary() == before:
        await scene.traffic.more(2)
    run.note(seconds_until_the_sentinels_promoted=time.monotonic() - began)
    began = time.monotonic()
    await eventually(lambda: _listens(watching.primary(), scene), "it listens there", RECOVERY_SECONDS)
    run.note(seconds_until_it_listened_there=time.monotonic() - began)
    await scene.traffic.more(20)
    await eventually(scene.all_told, "all is told and indexed there", RECOVERY_SECONDS)
    run.note(seconds_until_all_was_told=time.monotonic() - began)
    await eventually(lambda: scene.redis_is(away=False), "Redis is well", RECOVERY_SECONDS)
    assert [follower.connections for follower in scene.followers.values()] == [1, 1, 1]


async def _listens(port: int, scene: Scene) -> bool:
    prefix = scene.api.product.settings.redis_prefix
    async with Redis(host=LOOPBACK, port=port) as client:
        ((_, count),) = await client.pubsub_numsub(f"{prefix}:live:control")
    return bool(count)


async def test_a_primary_that_is_killed_is_followed_without_a_restart(
    product: Product, stores: Stores, watching: Watched, run: Run
) -> None:
    async with playing(product, stores) as scene:
        before = watching.primary()
        await asyncio.to_thread(watching.server(before).kill)
        await _followed(scene, watching, before, run)


async def test_a_primary_that_is_cut_off_is_left_although_it_goes_on_serving(
    product: Product, stores: Stores, watching: Watched, run: Run
) -> None:
    """No new connection to it works, of sentinels, the replica or anybody. Those of the product stay."""
    async with playing(product, stores) as scene:
        before = watching.primary()
        async with Redis(host=LOOPBACK, port=before) as old:
            await old.config_set("requirepass", "unknown to everybody")
            for client in await old.client_list():
                if client["name"].startswith("sentinel") or "S" in client["flags"]:
                    await old.client_kill_filter(_id=client["id"])
            await _followed(scene, watching, before, run)
            await eventually(lambda: _left_alone(old, product), "nobody uses the old one")
            assert (await old.info("replication"))["role"] == "master"


async def _left_alone(old: Redis, product: Product) -> bool:
    ((_, count),) = await old.pubsub_numsub(f"{product.settings.redis_prefix}:live:control")
    return not count


async def test_a_demoted_primary_that_a_sentinel_still_names_is_refused(watching: Watched) -> None:
    primary = watching.primary()
    replica = next(server.port for server in watching.servers if server.port != primary)
    async with Redis(host=LOOPBACK, port=watching.sentinels[0].port, password=watching.password) as stale:
        await stale.execute_command("SENTINEL", "REMOVE", MASTER)  # type: ignore[no-untyped-call]
        await stale.execute_command("SENTINEL", "MONITOR", MASTER, LOOPBACK, replica, 3)  # type: ignore[no-untyped-call]
    url = f"redis://{LOOPBACK}:{watching.sentinels[0].port}?master={MASTER}&sentinel_password={watching.password}"
    server = RedisServer(connect(url, mode="sentinel", now=monotonic), monotonic)
    try:
        with pytest.raises(Unavailable, match=f"{replica}, which the sentinels name, is a replica"):
            await server.ping()
    finally:
        await server.close()


async def test_the_latest_failover_counts_that_a_majority_of_sentinels_knows(watching: Watched) -> None:
    """One of them, which was away, still names the old primary."""
    server = RedisServer(connect(watching.url, mode="sentinel", now=monotonic), monotonic)
    before = watching.primary()
    try:
        await server.ping()
        await asyncio.to_thread(watching.sentinels[0].pause)
        assert server._pool.sentinels is not None
        sentinels = server._pool.sentinels

        async def order() -> None:
            port = watching.sentinels[1].port
            async with Redis(host=LOOPBACK, port=port, password=watching.password) as client:
                await client.execute_command("SENTINEL", "FAILOVER", MASTER)  # type: ignore[no-untyped-call]

        async def moved() -> bool:
            return (await sentinels.primary())[1] != before

        await fail_over(order, moved)
        assert server.left
        await server.ping()
    finally:
        await asyncio.to_thread(watching.sentinels[0].resume)
        await server.close()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("master=another&sentinel_password=of-sentinels", "No such master with that name"),
        (f"master={MASTER}", "NOAUTH"),
        (f"master={MASTER}&sentinel_password=wrong", "WRONGPASS"),
    ],
)
async def test_readiness_says_why_no_sentinel_names_a_primary(
    undisturbed: Watched, wrong: str, said: str
) -> None:
    url = f"{undisturbed.url.partition('?')[0]}?{wrong}"
    server = RedisServer(connect(url, mode="sentinel", now=monotonic), monotonic)
    try:
        with pytest.raises(Unavailable, match=f"no sentinel names the primary of .*{said}"):
            await server.ping()
    finally:
        await server.close()


async def test_readiness_says_that_no_sentinel_answers() -> None:
    url = f"redis://{LOOPBACK}:1,{LOOPBACK}:2/0?master={MASTER}"
    server = RedisServer(connect(url, mode="sentinel", now=monotonic), monotonic)
    try:
        with pytest.raises(Unavailable, match=rf"primary of {MASTER}: .*{LOOPBACK}:1.*{LOOPBACK}:2"):
            await server.ping()
    finally:
        await server.close()
