"""The whole product on Redis Cluster: slots that move and masters that die lose nothing."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from functools import partial

import pytest

from tests.integration.conftest import Run
from tests.integration.test_redis_faults import RECOVERY_SECONDS, Scene, playing
from tests.load import timed
from tests.product import Product, Stores, create_users, eventually, metric
from tests.redis_cluster import Cluster, cluster, slot_of
from workbench.programs import REDIS_URL

USERS = ["ada", "bob", "dan", "eve", "fay", "gus"]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture
def environment(environment: Mapping[str, str], nodes: Cluster) -> dict[str, str]:
    return {**environment, REDIS_URL: nodes.url, "BELLWIRE_REDIS_MODE": "cluster"}


def slot(user: str) -> int:
    return slot_of(f"{{{user}}}")


async def test_a_master_that_is_killed_under_load_loses_nothing(
    product: Product, stores: Stores, nodes: Cluster, run: Run
) -> None:
    """Every stream stays open; requests with a key are refused at most until the replica is promoted."""
    victim = nodes.owner(slot("ada"))
    assert {nodes.owner(slot(user)) for user in USERS} > {victim}
    async with playing(product, stores, USERS) as scene:
        await create_users(scene.client, ["kim"])
        await asyncio.to_thread(victim.kill)
        began = time.monotonic()
        try:
            await eventually(partial(scene.redis_is, away=True), "readiness says so")
            accepted, refused = await _with_keys(scene)
            ready = await timed(partial(scene.redis_is, away=False), "readiness says so", RECOVERY_SECONDS)
            run.note(seconds_until_ready=time.monotonic() - began, refused=refused)
            await scene.recovered(run, seconds_after_the_last_refusal=ready)
            await scene.traffic.more(30)
            await scene.during(1)
        finally:
            await asyncio.to_thread(victim.start)
            await eventually(partial(asyncio.to_thread, nodes.well), "the cluster is whole again")
        await scene.traffic.more(30)
        await eventually(partial(_all_stored, stores, accepted), "what was accepted with a key is stored")
    assert {follower.connections for follower in scene.followers.values()} == {1}


async def _all_stored(stores: Stores, accepted: list[str]) -> bool:
    return set(accepted) <= set(await stores.ids())


async def _with_keys(scene: Scene) -> tuple[list[str], int]:
    """Publish with idempotency keys until fifty in a row are taken. What was accepted, and how many requests
    were refused.
    """
    accepted: list[str] = []
    refused = taken = 0
    async with asyncio.timeout(RECOVERY_SECONDS):
        while taken < 50:
            headers = {"Idempotency-Key": f"key {refused} {taken}"}
            body = {"user_id": "kim", "event": "tick", "message": "with a key"}
            response = await scene.client.post("/v1/notifications", json=body, headers=headers)
            assert response.status_code in {202, 503}, response.text
            if response.status_code == 202:
                accepted.append(response.json()["id"])
                taken += 1
            else:
                refused, taken = refused + 1, 0
    return accepted, refused


async def test_slots_that_move_under_load_lose_nothing(
    product: Product, stores: Stores, nodes: Cluster
) -> None:
    async with playing(product, stores, USERS) as scene:
        for user in USERS:
            source = nodes.owner(slot(user))
            for target in (nodes.other(source), source):
                await asyncio.to_thread(nodes.move, slot(user), target)
                await scene.traffic.more(20)
                await scene.during(0.2)
        assert await scene.carrier_lost() == 0
        assert await metric(scene.api.process, "bellwire_index_total", outcome="hit") > 0
    assert {follower.connections for follower in scene.followers.values()} == {1}
