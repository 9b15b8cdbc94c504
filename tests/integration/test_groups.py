"""The consumer group while its members come and go, and its broker too: nothing lost, nothing twice.

In the normal suite a fault lasts seconds; with --long it lasts as long as it is feared to.
"""

import asyncio
import contextlib
import random
import signal
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from itertools import chain
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from tests.conftest import PARTITIONS
from tests.integration.conftest import Run
from tests.load import Load, all_stored, assert_stored_once, read_states, timed
from tests.product import Product, Service, Stores, create_users, eventually
from workbench.embedded import EmbeddedServers, KafkaServer, TansuServer
from workbench.processes import Process

SEED = 20_261_122
USERS = [f"user-{number}" for number in range(50)]

STORM_SECONDS = 20.0
STORM_SECONDS_LONG = 120.0
AWAY_SECONDS = 0.0
AWAY_SECONDS_LONG = 30.0
BACKLOG = 10_000
BACKLOG_LONG = 100_000
KILL_EVERY_SECONDS = 3.0
END_SECONDS = 60.0
DRAIN_SECONDS = 600.0


@pytest.fixture(autouse=True)
def _groups(servers: EmbeddedServers) -> None:
    if isinstance(servers.kafka, TansuServer):
        pytest.skip("Tansu settles groups in its own slow way, and forgets all when it dies: --servers kafka")


@pytest.fixture
def broker(servers: EmbeddedServers) -> Iterator[KafkaServer]:
    if servers.kafka is None:
        pytest.skip("only a broker that was started here can be killed: --servers kafka")
    yield servers.kafka
    servers.kafka.start()  # for the tests that follow, whatever became of this one


class Group:
    """What the broker knows of a group."""

    def __init__(self, bootstrap: str, group: str, topic: str) -> None:
        self._bootstrap = bootstrap
        self._group = group
        self._partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]

    async def committed(self) -> int:
        """How many records its offsets have passed."""
        async with self._outsider() as consumer:
            offsets = [await consumer.committed(partition) for partition in self._partitions]
            return sum(offset or 0 for offset in offsets)

    async def is_through(self) -> bool:
        """Whether its offsets have passed every record."""
        async with self._outsider() as consumer:
            ends = await consumer.end_offsets(self._partitions)
        return bool(sum(ends.values()) == await self.committed())

    async def dead_letters(self) -> int:
        """How many records could not be stored, in the topic's life."""
        partitions = [TopicPartition(f"{each.topic}.dlq", each.partition) for each in self._partitions]
        async with self._outsider() as consumer:
            return sum((await consumer.end_offsets(partitions)).values())

    async def begin_again(self) -> None:
        """Put its offsets to the first records; possible while it has no members."""
        async with self._outsider() as consumer:
            await consumer.commit(dict.fromkeys(self._partitions, 0))

    async def members(self) -> int:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap)
        await admin.start()
        try:
            (response,) = await admin.describe_consumer_groups([self._group])
            ((_error, _name, _state, _kind, _protocol, members, *_),) = response.groups
            return len(members)
        finally:
            await admin.close()

    def _outsider(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap, group_id=self._group, enable_auto_commit=False
        )
        consumer.assign(self._partitions)
        return consumer


@pytest.fixture
def group(servers: EmbeddedServers, name: str) -> Group:
    return Group(servers.kafka_bootstrap, name, name)


async def end(process: Process, how: signal.Signals) -> None:
    """End a consumer. Asked for it, one goes with no complaint, whatever it is in the middle of."""
    if how is signal.SIGKILL:
        await asyncio.to_thread(process.kill)
        return
    await asyncio.to_thread(process.stop, END_SECONDS)
    assert process.exit_code == 0, process.log_tail()


async def come_and_go(product: Product, seed: int, stay: tuple[float, float]) -> None:
    """A consumer that joins, and after some seconds leaves or dies, again and again."""
    rng = random.Random(seed)
    while True:
        process = await product.consumer(until="live")
        await asyncio.sleep(rng.uniform(*stay))
        await end(process, rng.choice([signal.SIGTERM, signal.SIGKILL]))


async def die_and_come_back(product: Product) -> None:
    """A consumer that is killed again and again, and started at once as a supervisor does."""
    while True:
        process = await product.consumer(until="live")
        await asyncio.sleep(KILL_EVERY_SECONDS)
        await end(process, signal.SIGKILL)


def _rebalanced(process: Service) -> int:
    """How often it was given partitions; the first time is its own joining."""
    return process.log.read_text().count("reading ")


@contextlib.asynccontextmanager
async def meanwhile(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Endless works beside the block, ended with it; what one failed with is raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        if not isinstance(outcome, asyncio.CancelledError):
            raise outcome or RuntimeError("it ended by itself")


async def test_members_that_come_and_go_lose_nothing(
    product: Product, stores: Stores, group: Group, run: Run
) -> None:
    api, resident = await asyncio.gather(product.api(), product.consumer())
    async with api.client() as client:
        await create_users(client, USERS)
        async with (
            Load(client, USERS, size=100, pause=0.1) as load,
            meanwhile(come_and_go(product, SEED, (0, 3))),
        ):
            await asyncio.sleep(STORM_SECONDS_LONG if run.long else STORM_SECONDS)
            await eventually(lambda: _rebalanced(resident) > 1, "the group has changed")
            await eventually(stores.count, "something is stored meanwhile")
            stored_meanwhile = await stores.count()
    settling = await timed(lambda: all_stored(stores, load), "everything is stored")

    rebalances = _rebalanced(resident)
    run.note(published=load.total, stored_meanwhile=stored_meanwhile, rebalances=rebalances)
    run.note(seconds_until_the_rest_was_stored=settling)
    assert resident.running
    assert load.refused == 0
    await assert_stored_once(stores, load)
    assert await group.dead_letters() == 0
    await eventually(group.is_through, "all offsets are committed")


@pytest.mark.parametrize("how", ["stopped", "killed"])
async def test_the_broker_may_be_restarted_under_load(
    product: Product, stores: Stores, group: Group, *, broker: KafkaServer, run: Run, how: str
) -> None:
    api, *consumers = await asyncio.gather(product.api(), product.consumer(), product.consumer())
    async with api.client() as client:
        await create_users(client, USERS)
        async with Load(client, USERS, size=100, pause=0.1) as load:
            await load.more(500)
            await asyncio.to_thread(broker.kill if how == "killed" else broker.stop)
            await asyncio.sleep(AWAY_SECONDS_LONG if run.long else AWAY_SECONDS)
            accepted, stored = load.total, await stores.count()
            starting = time.monotonic()
            await asyncio.to_thread(broker.start)
            back = time.monotonic()
            publishing, storing = await asyncio.gather(
                timed(lambda: load.total > accepted, "publishing works again"),
                timed(lambda: _more_than(stores, stored), "storing works again"),
            )
            await load.more(500)
    await eventually(lambda: all_stored(stores, load), "everything is stored", DRAIN_SECONDS)

    run.note(accepted=load.total, refused=load.refused, seconds_the_broker_took_to_start=back - starting)
    run.note(seconds_until_publishing_worked=publishing, seconds_until_storing_worked=storing)
    assert all(process.running for process in (api.process, *consumers))
    await assert_stored_once(stores, load, in_order=False)
    assert await group.dead_letters() == 0
    await eventually(group.is_through, "all offsets are committed")


async def _more_than(stores: Stores, number: int) -> bool:
    return await stores.count() > number


async def test_what_is_read_again_changes_nothing(
    product: Product, stores: Stores, servers: EmbeddedServers, group: Group, name: str
) -> None:
    api, consumer = await asyncio.gather(product.api(), product.consumer())
    ada, *others = USERS[:3]
    other = Group(servers.kafka_bootstrap, f"{name}-other", name)
    async with api.client(ada) as client:
        await create_users(client, [ada, *others])
        async with api.follow(ada) as device:
            load = Load(client, [ada, *others], size=300)
            await load.batch()
            await eventually(lambda: len(device.created) == 100, "the device has all")
            ids = load.accepted[ada][:60]
            response = await client.post(f"/v1/users/{ada}/notifications/read", json={"ids": ids})
            assert response.json()["changed"] == 60
            await asyncio.to_thread(consumer.stop)
            before = await read_states(stores)

            await group.begin_again()
            await asyncio.gather(product.consumer(), product.consumer(group=f"{name}-other"))
            await eventually(group.is_through, "the group is through again")
            await eventually(other.is_through, "the other group is through")

            assert await read_states(stores) == before
            await load.batch()
            await eventually(lambda: len(device.created) == 200, "the device has the next")
            assert list(device.created) == load.accepted[ada]
            assert not device.holes
        page = (await client.get(f"/notifications/{ada}")).json()
        assert page["unread_count"] == 140
    await eventually(lambda: all_stored(stores, load), "the others have theirs")
    assert sorted(await stores.ids()) == sorted(chain(*load.accepted.values()))
    assert not await stores.broken_feeds()
    assert await group.dead_letters() == 0


class TestSmallBatches:
    """There is time to disturb the work on a backlog."""

    @pytest.fixture
    def environment(
        self, environment: Mapping[str, str], servers: EmbeddedServers, run: Run
    ) -> dict[str, str]:
        # A group waits for a dead member until its session is over, and may give it partitions before that.
        # A broker of others takes no session shorter than 6 s.
        session = 2 if servers.kafka and not run.long else 6
        return {
            **environment,
            "BELLWIRE_BATCH_RECORDS": "20",
            "BELLWIRE_KAFKA_SESSION_SECONDS": str(session),
        }

    async def test_a_batch_under_way_is_finished_and_committed_when_told_to_stop(
        self, product: Product, stores: Stores, group: Group, run: Run
    ) -> None:
        load = await self.backlog(product, BACKLOG)
        consumer = await product.consumer()
        await eventually(lambda: _more_than(stores, 100), "the consumer is in the middle of it")

        asked = time.monotonic()
        await end(consumer, signal.SIGTERM)
        stopping = time.monotonic() - asked

        stored = await stores.count()
        run.note(seconds_to_stop=stopping, stored_when_stopped=stored)
        assert consumer.exit_code == 0, consumer.log_tail()
        assert stored < BACKLOG
        assert stored == await group.committed()
        assert await group.members() == 0
        await product.consumer()
        await eventually(lambda: all_stored(stores, load), "the rest is stored")
        await assert_stored_once(stores, load)

    @pytest.mark.timeout(DRAIN_SECONDS + 300)
    async def test_a_backlog_is_stored_though_consumers_die_join_and_leave(
        self, product: Product, stores: Stores, group: Group, run: Run
    ) -> None:
        load = await self.backlog(product, BACKLOG_LONG if run.long else BACKLOG)
        async with meanwhile(
            die_and_come_back(product),
            come_and_go(product, SEED + 1, (3, 8)),
            come_and_go(product, SEED + 2, (3, 8)),
        ):
            draining = await timed(lambda: all_stored(stores, load), "the backlog is stored")

        run.note(backlog=load.total, seconds_to_drain=draining)
        await assert_stored_once(stores, load)
        assert await group.dead_letters() == 0
        await product.consumer(until="live")  # those above may have all partitions, or be gone
        await eventually(group.is_through, "all offsets are committed")

    async def backlog(self, product: Product, size: int) -> Load:
        api = await product.api()
        async with api.client() as client:
            await create_users(client, USERS)
            load = Load(client, USERS, size=1000)
            while load.total < size:
                await load.batch()
        return load
