"""One of three Apache Kafka brokers dies while notifications are published."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from entrypoints.lifespan import background
from tests.conftest import _kafka_home, as_read
from tests.product import Follower, Product, Stores, create_users, eventually
from workbench.apache_kafka import ApacheKafkaServer, cluster_id, require
from workbench.embedded import LOOPBACK, free_port
from workbench.programs import KAFKA_BOOTSTRAP, MissingServer

USERS = [f"user-{number}" for number in range(6)]
PACE_SECONDS = 0.05
BEFORE, AFTER = 5, 10
"""How many notifications each user is sent before the broker dies, and after."""


@pytest.fixture(scope="module")
def brokers() -> Iterator[Sequence[ApacheKafkaServer]]:
    home = _kafka_home()
    try:
        require(home)
    except MissingServer as missing:
        pytest.skip(str(missing))
    controllers = [free_port() for _ in range(3)]
    cluster = cluster_id()
    with TemporaryDirectory(prefix="bellwire-tests-") as folder, ThreadPoolExecutor() as threads:
        made = []
        for number in range(3):
            own = Path(folder) / f"{number}"
            own.mkdir()
            changed = partial(of_three, number=number, controllers=controllers)
            made.append(ApacheKafkaServer(own, home=home, changed=changed, cluster=cluster))
        try:
            list(threads.map(ApacheKafkaServer.start, made))
            yield made
        finally:
            list(threads.map(ApacheKafkaServer.kill, made))


def of_three(settings: dict[str, str], *, number: int, controllers: Sequence[int]) -> dict[str, str]:
    """The settings of one of three brokers, with the times that Kafka has by default."""
    own, *_ = settings["listeners"].split(",")
    voters = ",".join(f"{nth}@{LOOPBACK}:{port}" for nth, port in enumerate(controllers, 1))
    chosen = {
        "node.id": str(number + 1),
        "controller.quorum.voters": voters,
        "listeners": f"{own},CONTROLLER://{LOOPBACK}:{controllers[number]}",
        "offsets.topic.replication.factor": "3",
        "min.insync.replicas": "2",
    }
    left = {name: value for name, value in settings.items() if not name.startswith("broker.")}
    return left | chosen


@dataclass
class Sending:
    """Publishes to one user, one after the other, each until it is accepted, as a client does."""

    client: httpx.AsyncClient
    device: Follower
    user: str
    accepted: dict[str, float] = field(default_factory=dict)
    """When, by id."""
    refused: int = 0
    longest: float = 0.0
    """The longest time until one was accepted."""
    latest: float = 0.0
    """The longest time from there until it was live, to a twentieth of a second."""

    async def run(self, enough: Callable[[], bool]) -> None:
        for number in count():
            if enough():
                return
            begun = time.monotonic()
            body = {"user_id": self.user, "event": "a.b", "message": f"{number}"}
            identifier = await self._publish(body, {"Idempotency-Key": f"{self.user}-{number}"})
            self.accepted[identifier] = accepted_at = time.monotonic()
            self.longest = max(self.longest, accepted_at - begun)
            await asyncio.sleep(PACE_SECONDS)

    async def watch(self) -> None:
        """Note how late each is live, until cancelled."""
        known: set[str] = set()
        while True:
            for identifier in self.accepted.keys() & self.device.items.keys() - known:
                known.add(identifier)
                self.latest = max(self.latest, time.monotonic() - self.accepted[identifier])
            await asyncio.sleep(PACE_SECONDS)

    async def _publish(self, body: dict[str, str], headers: dict[str, str]) -> str:
        while True:
            answer = await self.client.post("/v1/notifications", json=body, headers=headers)
            if answer.status_code == 202:
                return str(answer.json()["id"])
            assert answer.status_code == 503, answer.text
            self.refused += 1
            await asyncio.sleep(0.1)


async def test_what_was_accepted_is_stored_once_and_delivered_when_a_broker_dies(
    brokers: Sequence[ApacheKafkaServer], environment: dict[str, str], name: str, tmp_path: Path
) -> None:
    bootstrap = ",".join(broker.bootstrap for broker in brokers)
    chosen = environment | {KAFKA_BOOTSTRAP: bootstrap, "BELLWIRE_KAFKA_REPLICATION": "3"}
    product = Product(tmp_path, chosen, as_read(chosen))
    await eventually(partial(has_brokers, bootstrap, 3), "all brokers are there")
    try:
        await product.prepare()
        api = await product.api()
        await product.consumer()
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(api.client())
            await create_users(client, USERS)
            devices = [await stack.enter_async_context(api.follow(user)) for user in USERS]
            sendings = [Sending(client, device, user) for user, device in zip(USERS, devices, strict=True)]
            for sending in sendings:
                await stack.enter_async_context(background(sending.watch()))
            died = await send_while_one_dies(sendings, brokers, coordinator_of(bootstrap, name))
            await eventually(lambda: all(map(has_all, sendings)), "all are live")
            print(told(died, sendings))
        async with Stores.open(product.settings) as stores:
            accepted = [identifier for sending in sendings for identifier in sending.accepted]
            assert sorted(await stores.ids()) == sorted(accepted)
            assert await stores.versions() == {one.user: len(one.accepted) for one in sendings}
        assert all("Traceback" not in service.log.read_text() for service in product.started)
    finally:
        await product.stop()


def has_all(sending: Sending) -> bool:
    """Whether the device has what was accepted, and counts it."""
    device = sending.device
    return device.items.keys() == sending.accepted.keys() and device.unread_count == len(device.items)


def told(died: int, sendings: Sequence[Sending]) -> str:
    """What it took, for docs/connecting.md."""
    sent, refused = sum(len(one.accepted) for one in sendings), sum(one.refused for one in sendings)
    longest, latest = max(one.longest for one in sendings), max(one.latest for one in sendings)
    return (
        f"broker {died} killed: of {sent} notifications {refused} were refused and sent again; accepted "
        f"within {longest:.1f} s, and live up to {latest:.1f} s later"
    )


async def send_while_one_dies(
    sendings: Sequence[Sending], brokers: Sequence[ApacheKafkaServer], coordinator: Awaitable[int]
) -> int:
    """Publish to all; meanwhile kill the broker that coordinates the group, which also leads a partition.
    Returns its number.
    """
    goals: dict[str, int] = {}

    def enough() -> bool:
        return bool(goals) and all(len(one.accepted) >= goals[one.user] for one in sendings)

    tasks = [asyncio.create_task(sending.run(enough)) for sending in sendings]
    await eventually(lambda: all(len(one.accepted) >= BEFORE for one in sendings), "some are sent")
    dying = await coordinator
    await asyncio.to_thread(brokers[dying - 1].kill)
    goals.update({one.user: len(one.accepted) + AFTER for one in sendings})
    await asyncio.gather(*tasks)
    return dying


async def coordinator_of(bootstrap: str, group: str) -> int:
    """The number of the broker that coordinates a group."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        return int(await admin.find_coordinator(group))
    finally:
        await admin.close()


async def has_brokers(bootstrap: str, number: int) -> bool:
    """Whether the cluster has so many."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        return len((await admin.describe_cluster())["brokers"]) == number
    finally:
        await admin.close()
