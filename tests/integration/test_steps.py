"""Something happens to the consumer between any two of its steps: nothing is lost, nothing comes twice."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from aiokafka import AIOKafkaProducer

from tests.failpoints import STEPS
from tests.product import Follower, Product, Stores, create_users, eventually
from workbench.embedded import free_port
from workbench.local_client import local_client
from workbench.processes import Process
from workbench.soak.stores import Topic

USERS = ("ada", "bob", "cid")
BATCHES = 6
BATCH = 50


@dataclass
class Scene:
    """A product without a consumer, and what is to be consumed."""

    product: Product
    stores: Stores
    accepted: dict[str, list[str]]
    """The ids of each user, in the order in which they were accepted."""
    poison: int
    followers: Sequence[Follower]

    async def failing_consumer(self, step: str, action: str, times: int = 1) -> Process:
        return failing_consumer(self.product, step, action, times)

    async def all_stored(self) -> bool:
        return await self.stores.count() >= sum(map(len, self.accepted.values()))


def failing_consumer(product: Product, step: str, action: str, times: int = 1) -> Process:
    """Start one of tests.failpoints."""
    process = Process(
        f"consumer with {action} at {step}",
        [sys.executable, "-m", "tests.failpoints", step, action, str(times)],
        log=product.folder / "failing.log",
        environment={
            **product._environment,
            "PYTHONPATH": ":".join(sys.path),
            "BELLWIRE_CONSUMER_PORT": str(free_port()),
            "BELLWIRE_BATCH_RECORDS": str(BATCH),
            "BELLWIRE_STUCK_SECONDS": "10",
        },
    )
    process.start()
    return process


@pytest.fixture
async def scene(product: Product, stores: Stores) -> AsyncIterator[Scene]:
    api = await product.api()
    async with api.client() as client:
        await create_users(client, USERS)
        async with _followed([api.follow(user) for user in USERS]) as followers:
            accepted: dict[str, list[str]] = {user: [] for user in USERS}
            for _ in range(BATCHES):
                users = [USERS[number % len(USERS)] for number in range(BATCH)]
                items = [{"user_id": user, "event": "step.taken", "message": "m"} for user in users]
                response = await client.post("/v1/notifications/batch", json={"items": items})
                for user, result in zip(users, response.json()["results"], strict=True):
                    accepted[user].append(result["id"])
                await _poison(product)
            yield Scene(product, stores, accepted, BATCHES, followers)


@asynccontextmanager
async def _followed(followers: list[Follower]) -> AsyncIterator[list[Follower]]:
    async with followers[0], followers[1], followers[2]:
        yield followers


async def _poison(product: Product) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=product.settings.kafka_bootstrap)
    await producer.start()
    try:
        await producer.send_and_wait(product.settings.kafka_topic, b"no JSON", key=b"ada")
    finally:
        await producer.stop()


async def _whole(scene: Scene) -> None:
    """Everything is stored once and in order, in Redis as in PostgreSQL, and every follower has it."""
    await eventually(scene.all_stored, "everything is stored")
    stored = await scene.stores.ids()
    assert sorted(stored) == sorted(id_ for ids in scene.accepted.values() for id_ in ids)
    assert not await scene.stores.broken_feeds()
    for follower in scene.followers:
        ids = scene.accepted[follower.user]
        await eventually(lambda f=follower, i=ids: set(i) <= f.created.keys(), f"{follower.user} has all")  # type: ignore[misc]
        assert sorted(follower.created, key=follower.created.__getitem__) == ids
        assert not follower.holes
    await eventually(lambda: _settled(scene), "offsets and index are settled")


async def _settled(scene: Scene) -> bool:
    if await scene.stores.disagreements():
        return False
    settings = scene.product.settings
    place = settings.kafka_bootstrap, settings.kafka_topic, settings.kafka_group
    records = Topic(*place, settings.kafka_partitions)
    letters = Topic(place[0], f"{place[1]}.dlq", place[2], settings.kafka_partitions)
    left = await records.rest(await records.committed())
    kept = {
        (letter.headers["dlq-original-partition"], letter.headers["dlq-original-offset"])
        for letter in await letters.rest({})
    }
    return not left and len(kept) == scene.poison


@pytest.mark.parametrize("step", STEPS)
async def test_a_consumer_that_dies_at_a_step_loses_nothing(scene: Scene, step: str) -> None:
    failing = await scene.failing_consumer(step, "kill")
    await eventually(lambda: not failing.running, "it has died")
    assert failing.exit_code == -9, failing.log_tail()

    await scene.product.consumer()

    await _whole(scene)


async def test_an_event_loop_that_stands_still_for_longer_than_its_session_loses_nothing(
    scene: Scene,
) -> None:
    """It is put out of its group, its late commit is refused, and it joins again by itself."""
    failing = await scene.failing_consumer("buried", "block")
    try:
        await _whole(scene)
        assert failing.running, failing.log_tail()
    finally:
        await asyncio.to_thread(failing.stop)


@pytest.mark.parametrize(
    ("step", "action"),
    [
        ("before-store", "hang"),
        pytest.param("announced", "hang", marks=pytest.mark.long),
        pytest.param("buried", "hang", marks=pytest.mark.long),
        ("stored", "freeze"),
    ],
)
async def test_a_consumer_that_stands_still_for_good_ends_by_itself_and_loses_nothing(
    scene: Scene, step: str, action: str
) -> None:
    """So that its supervisor starts another."""
    failing = await scene.failing_consumer(step, action)
    try:
        await eventually(lambda: f"{action} at {step}" in failing.log.read_text(), "it stands still")
        stood = time.monotonic()
        await eventually(lambda: not failing.running, "it has ended")
        print(f"{action} at {step}: it ended after {time.monotonic() - stood:.1f} s")
        assert failing.exit_code == 1, failing.log_tail()
    finally:
        await asyncio.to_thread(failing.kill)

    await scene.product.consumer()

    await _whole(scene)


async def test_what_redis_was_not_told_is_noticed_by_what_it_is_told_next(scene: Scene) -> None:
    """Frames that were lost leave holes, which are filled; an index entry that missed a change is dropped."""
    for user in USERS:
        await _fetch(scene, user)
    failing = await scene.failing_consumer("telling", "lose", 2)
    try:
        await _whole(scene)
        assert "lose at telling" in failing.log.read_text()
    finally:
        await asyncio.to_thread(failing.stop)


async def _fetch(scene: Scene, user: str) -> None:
    """Have the index keep the user's entry."""
    headers = {"Authorization": f"Bearer {scene.product.token(user)}"}
    async with local_client(base_url=scene.followers[0].urls[0], headers=headers) as client:
        assert (await client.get(f"/notifications/{user}")).status_code == 200
