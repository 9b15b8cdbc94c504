"""The broker is away under load: nothing that was accepted is lost, memory stays flat, and all goes on by
itself when it is back.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.integration.conftest import Run
from tests.load import all_stored, assert_stored_once
from tests.paced import PacedLoad
from tests.product import Product, Stores, create_users, eventually
from workbench.embedded import EmbeddedServers, TansuServer, free_port, started
from workbench.local_client import local_client
from workbench.processes import Process
from workbench.programs import KAFKA_BOOTSTRAP
from workbench.soak.product import Service
from workbench.soak.proxy import Proxy

USERS = [f"user-{number}" for number in range(50)]
PER_SECOND = 250
PER_SECOND_LONG = 500
MOST_CONNECTIONS = 6_000  # a publish is answered within 8 s, or within some more on a busy machine

AWAY_SECONDS = 16.0
AWAY_SECONDS_LONG = 120.0
SETTLE_SECONDS = 240.0
GROWTH_MIB = 16
GROWTH_MIB_LONG = 32
CONNECTION_MIB = 0.04  # a client that waits for its answer
TRUTH_SECONDS = 60.0
"""Health is to be true within 10 s, on a machine that has nothing else to do: what it took is noted."""


@dataclass
class Outage:
    """A way for the broker to be away, and the address at which it is known."""

    bootstrap: str
    begin: Callable[[], Awaitable[None]]
    end: Callable[[], Awaitable[None]]


@pytest.fixture(params=["paused", "killed", "cut"])
async def outage(
    request: pytest.FixtureRequest, servers: EmbeddedServers, tmp_path: Path
) -> AsyncIterator[Outage]:
    """What runs here can be paused, and killed if it keeps what it has; one of our own can be cut off."""
    async with AsyncExitStack() as stack:
        if request.param == "cut":
            yield await _behind_proxy(servers, tmp_path, stack)
            return
        broker = servers.kafka
        if broker is None or (request.param == "killed" and not broker.durable):
            pytest.skip("only a broker that was started here, and is durable, can be killed: --servers kafka")

        async def begin() -> None:
            await asyncio.to_thread(broker.pause if request.param == "paused" else broker.kill)

        async def end() -> None:
            await asyncio.to_thread(broker.resume if request.param == "paused" else broker.start)

        stack.push_async_callback(end)
        yield Outage(servers.kafka_bootstrap, begin, end)


async def _behind_proxy(servers: EmbeddedServers, folder: Path, stack: AsyncExitStack) -> Outage:
    """A broker of its own, because one sends its clients to a single address."""
    if not isinstance(servers.kafka, TansuServer):
        pytest.skip("the same as killed")
    port = free_port()
    starting = started(TansuServer(folder, advertised=port), lambda _line: None)
    broker = await asyncio.to_thread(starting.__enter__)
    stack.push_async_callback(asyncio.to_thread, starting.__exit__, None, None, None)
    proxy = await stack.enter_async_context(Proxy.to("127.0.0.1", broker.port, port=port))

    async def begin() -> None:
        proxy.down()

    async def end() -> None:
        proxy.heal()

    return Outage(f"127.0.0.1:{port}", begin, end)


@pytest.fixture
def environment(environment: Mapping[str, str], outage: Outage) -> dict[str, str]:
    return {**environment, KAFKA_BOOTSTRAP: outage.bootstrap, "BELLWIRE_STUCK_SECONDS": "10"}


def memory(process: Process) -> float:
    """What a process holds, in MiB."""
    return float(psutil.Process(process.pid).memory_info().rss / 2**20)


async def is_ready(service: Service) -> bool:
    async with local_client(timeout=30) as client:
        response = await client.get(f"{service.url}/health/ready")
    assert (response.status_code == 200) == (response.json()["checks"]["kafka"] == "ok")
    return response.status_code == 200


async def says(service: Service, state: str) -> bool:
    """Whether the consumer says that it is in a state."""
    async with local_client(timeout=30) as client:
        text = (await client.get(f"{service.url}/metrics")).text
    return f'bellwire_consumer_state{{bellwire_consumer_state="{state}"}} 1.0' in text


@pytest.mark.timeout(900)
async def test_a_broker_that_is_away_loses_nothing_that_was_accepted(
    product: Product, stores: Stores, outage: Outage, run: Run
) -> None:
    api, consumer = await asyncio.gather(product.api(), product.consumer())
    services = (api.process, consumer)
    per_second = PER_SECOND_LONG if run.long else PER_SECOND
    async with api.client() as client:
        await create_users(client, USERS)
        load = PacedLoad(api, client, USERS, per_second=per_second, most_connections=MOST_CONNECTIONS)
        async with load:
            await load.more(3 * per_second)
            before = memory(api.process)
            await outage.begin()
            left = time.monotonic()
            for service in services:
                await eventually(lambda s=service: _not(is_ready(s)), f"{service.name} tells", TRUTH_SECONDS)  # type: ignore[misc]
            told = time.monotonic() - left
            await eventually(lambda: says(consumer, "broker_away"), "the watchdog knows why")
            await eventually(lambda: time.monotonic() - left > 10, "answers are as late as they get")
            early, few = memory(api.process), load.most_awaited
            away = AWAY_SECONDS_LONG if run.long else AWAY_SECONDS
            await eventually(lambda: time.monotonic() - left > away, "it was away for long", away + 10)
            late, many = memory(api.process), load.most_awaited
            last = load.accepted_at[-1]
            await outage.end()
            returned = time.monotonic()
            await eventually(lambda: load.accepted_at[-1] > last, "publishing works again")
            back = time.monotonic() - returned
            for service in services:
                await eventually(lambda s=service: is_ready(s), f"{service.name} tells", TRUTH_SECONDS)  # type: ignore[misc]
            told_back = time.monotonic() - returned
            await load.more(3 * per_second)
        await eventually(lambda: all_stored(stores, load), "everything is stored", SETTLE_SECONDS)
        after = memory(api.process)

    slow = sorted(load.seconds_to_refuse)
    run.note(accepted=load.total, unconfirmed=load.refused, connections_lost=load.unknown)
    run.note(
        not_sent=load.not_sent, most_awaited_at_once=many, seconds_to_503_p99=slow[int(len(slow) * 0.99)]
    )
    run.note(api_mib_before=before, early=early, late=late, after=after)
    run.note(seconds_until_publishing_worked=back)
    run.note(seconds_until_health_was_true=told, seconds_until_health_was_true_again=told_back)
    assert all(service.running for service in services)
    growth = GROWTH_MIB_LONG if run.long else GROWTH_MIB
    assert late - early < growth + (many - few) * CONNECTION_MIB
    await assert_stored_once(stores, load, in_order=False)


async def _not(condition: Awaitable[bool]) -> bool:
    return not await condition
