"""`bellwire doctor` names each fault and its fix; `bellwire status` shows that something is wrong."""

import asyncio
import json
import os
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from dependency_injector import providers

from adapters import clock as system
from application.inspection import StoreState
from domain.identifiers import UserId
from entrypoints.commands import doctor, status
from entrypoints.commands.findings import Finding, Mark
from entrypoints.container.inspection import InspectionContainer
from entrypoints.container.parts.base import build
from entrypoints.settings import Settings
from tests.build import a_draft
from tests.conftest import Databases
from tests.integration.test_dead_letters import Record
from tests.product import Product, eventually
from tests.whole import Container
from workbench.embedded import LOOPBACK, free_port
from workbench.soak.product import SOURCES

NOWHERE = f"{LOOPBACK}:1"
ADA = UserId("ada")
SENT = {"user_id": "ada", "event": "test.sent", "message": "hello"}


@pytest.fixture
def variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Those of an installation whose processes do not run yet."""
    ports = {f"BELLWIRE_{name}": str(free_port()) for name in ("PORT", "CONSUMER_PORT")}
    return {**environment, **ports}


async def faults(given: Mapping[str, str], **options: Any) -> dict[str, Finding]:
    """The faults that are found, by their check."""
    found = [finding async for finding in doctor.examine(given, **options)]
    return {finding.check: finding for finding in found if finding.mark is Mark.FAIL}


async def topics_of(container: Container) -> None:
    await container.ensure_topics()(container.settings().kafka_bootstrap, container.topics())


@pytest.mark.parametrize(
    ("server", "variable", "url"),
    [
        ("postgres", "BELLWIRE_POSTGRES_URL", f"postgresql+asyncpg://bellwire@{NOWHERE}/bellwire"),
        ("redis", "BELLWIRE_REDIS_URL", f"redis://{NOWHERE}/0"),
        ("kafka", "BELLWIRE_KAFKA_BOOTSTRAP", NOWHERE),
    ],
)
async def test_a_server_that_is_away_is_named_with_its_setting(
    container: Container, variables: dict[str, str], server: str, variable: str, url: str
) -> None:
    await topics_of(container)

    found = await faults({**variables, variable: url})

    assert found.keys() == {server}
    assert "out of reach" in found[server].text
    assert "Try again" not in found[server].text
    assert variable in found[server].fix


async def test_a_database_that_is_not_migrated_is_named_with_the_command(
    container: Container, variables: dict[str, str], databases: Databases
) -> None:
    await topics_of(container)
    url = databases.create()
    try:
        found = await faults({**variables, "BELLWIRE_POSTGRES_URL": url})
    finally:
        databases.drop(url)

    assert found.keys() == {"migrations"}
    assert "bellwire migrate" in found["migrations"].fix


async def test_a_topic_that_does_not_exist_is_named_with_the_command(variables: dict[str, str]) -> None:
    found = await faults(variables)

    assert found.keys() == {"topics"}
    assert f"{variables['BELLWIRE_KAFKA_TOPIC']}.dlq does not exist" in found["topics"].text
    assert "bellwire migrate" in found["topics"].fix
    assert (await faults(variables)).keys() == {"topics"}  # looking has made none


@pytest.mark.parametrize("name", ["BELLWIRE_TOKEN_SECRET", "BELLWIRE_TOKEN_AUDIENCE"])
async def test_a_secret_that_the_api_does_not_have_is_named(
    product: Product, variables: dict[str, str], name: str
) -> None:
    api = await product.api()
    variables |= {"BELLWIRE_URL": api.url, name: secrets.token_hex(32)}

    found = await faults(variables)

    assert found.keys() == {"token"}
    assert "BELLWIRE_TOKEN_SECRET" in found["token"].fix


async def test_a_secret_with_which_the_index_was_not_written_is_named(
    container: Container, variables: dict[str, str]
) -> None:
    await topics_of(container)
    await container.create_user()("Ada", None, None, ADA)
    await container.feeds().append([a_draft(1, ADA)])
    await container.fetch_unread()(ADA, 10)  # loads the index

    async def there() -> bool:
        async with inspecting(container) as inspection:
            return (await inspection.cache().look()).entries == 1

    await eventually(there, "there is an entry")
    assert await faults(variables) == {}
    found = await faults({**variables, "BELLWIRE_REDIS_SECRET": secrets.token_hex(32)})

    assert found.keys() == {"index secret"}
    assert "BELLWIRE_REDIS_SECRET" in found["index secret"].fix
    assert await faults(variables) == {}  # it only looked


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A port on which another program listens, which never answers."""
    monkeypatch.setattr("entrypoints.commands.asking._ANSWER_SECONDS", 0.2)
    with socket.create_server((LOOPBACK, 0)) as listening:
        yield listening.getsockname()[1]


@pytest.mark.parametrize(
    "named", [("BELLWIRE_PORT", "API port"), ("BELLWIRE_CONSUMER_PORT", "consumer port")]
)
async def test_a_port_that_is_taken_is_named(
    container: Container,
    variables: dict[str, str],
    taken: int,
    named: tuple[str, str],
) -> None:
    variable, check = named
    await topics_of(container)

    found = await faults({**variables, variable: str(taken)})

    assert found.keys() == {check}
    assert f"another program has port {taken}" in found[check].text
    assert variable in found[check].fix


@asynccontextmanager
async def inspecting(container: Container) -> AsyncIterator[InspectionContainer]:
    made = container_of(container.settings())
    try:
        yield made
    finally:
        await made.redis_server().close()
        await made.maintenance().close()


def container_of(settings: Settings, clock: Any = system.now) -> InspectionContainer:
    made = build(InspectionContainer, settings)
    made.clock.override(providers.Object(clock))
    return made


@pytest.mark.parametrize(
    ("seconds", "words", "mark"),
    [(60, "behind", Mark.FAIL), (-60, "ahead of", Mark.FAIL), (5, "behind", Mark.WARN)],
)
async def test_a_clock_that_is_off_is_named(
    container: Container, variables: dict[str, str], seconds: int, words: str, mark: Mark
) -> None:
    await topics_of(container)

    def clock() -> datetime:
        return system.now() + timedelta(seconds=seconds)

    found = [
        finding
        async for finding in doctor.examine(variables, lambda settings: container_of(settings, clock))
        if finding.check == "clock"
    ]

    assert [finding.mark for finding in found] == [mark, mark]
    assert all(f"s {words} this machine's" in finding.text for finding in found)
    assert all("synchronise" in finding.fix for finding in found)
    assert ["PostgreSQL" in finding.text for finding in found] == [True, False]


async def test_an_origin_that_is_misspelt_is_named_and_so_is_what_else_is_wrong(
    variables: dict[str, str],
) -> None:
    wrong = {"BELLWIRE_ALLOWED_ORIGINS": "https://app.example/", "BELLWIRE_WORKERS": "none"}

    found = await faults({**variables, **wrong})

    assert found.keys() == {"origins", "settings", "topics"}
    assert "write https://app.example" in found["origins"].text
    assert found["origins"].fix == "correct BELLWIRE_ALLOWED_ORIGINS"
    assert found["settings"].text == "BELLWIRE_WORKERS: must be an integer from 1, not 'none'"


async def test_a_secret_that_can_be_guessed_is_named(variables: dict[str, str]) -> None:
    found = await faults({**variables, "BELLWIRE_TOKEN_SECRET": "changeme" * 4})

    assert found["secrets"].fix == "correct BELLWIRE_TOKEN_SECRET"


# --- the commands -----------------------------------------------------------------------------------------


@dataclass
class Ran:
    status: int
    entries: Sequence[Mapping[str, Any]]


async def bellwire(given: Mapping[str, str], *words: str) -> Ran:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bellwire", *words),
        env={**os.environ, "PYTHONPATH": str(SOURCES), **given},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert err == b""
    return Ran(process.returncode or 0, [json.loads(line) for line in out.splitlines()])


async def test_nothing_is_wrong_with_what_works_and_a_missing_process_shows(
    product: Product, variables: dict[str, str]
) -> None:
    api, consumer = await product.api(), await product.consumer()
    variables |= {
        "BELLWIRE_PORT": str(api.process.port),
        "BELLWIRE_CONSUMER_PORT": str(consumer.port),
    }

    examined = await bellwire(variables, "doctor", "--json")
    well = await bellwire(variables, "status", "--json")

    assert (examined.status, {entry["mark"] for entry in examined.entries}) <= (0, {"ok", "warn"})
    assert {"token", "clock", "partitions", "API"} <= {entry["check"] for entry in examined.entries}
    (shown,) = well.entries
    assert (well.status, shown["well"], shown["api"]["ready"], shown["consumer"]["ready"]) == (0, *[True] * 3)
    assert shown["kafka"]["topics"].keys() == {
        variables["BELLWIRE_KAFKA_TOPIC"],
        f"{variables['BELLWIRE_KAFKA_TOPIC']}.dlq",
    }

    consumer.stop()
    ill = await bellwire(variables, "status", "--json")
    assert (ill.status, ill.entries[0]["consumer"]["ready"]) == (1, False)


async def test_the_counts_are_those_of_the_servers(container: Container) -> None:
    await topics_of(container)
    await container.create_user()("Ada", None, None, ADA)
    await container.feeds().append([a_draft(1, ADA), a_draft(2, ADA)])

    found = await status.look(container_of(container.settings()), f"http://{NOWHERE}")  # which closes it

    assert isinstance(found.store.state, StoreState)
    assert (found.store.state.users, found.store.state.unread) == (1, 2)
    assert found.queue.state is not None
    assert (found.queue.state.lag, found.queue.state.dead_letters) == (None, 0)
    assert found.store.state.revision == found.store.state.newest
    assert not found.well


async def test_records_count_before_the_group_has_ever_committed(container: Container) -> None:
    await topics_of(container)
    settings = container.settings()
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap) as producer:
        await producer.send_and_wait(settings.kafka_topic, b"{}")

    async with inspecting(container) as inspection:
        assert (await inspection.kafka().look()).lag == 1


async def test_lag_and_dead_letters_are_counted(product: Product, container: Container) -> None:
    consumer = await product.consumer()
    api = await product.api()
    async with api.client() as client:
        await client.post("/v1/users", json={"id": "ada", "name": "Ada"})
        for _ in range(3):
            await client.post("/v1/notifications", json=SENT)
    letters = container.dead_letters()
    await letters.start()
    await letters.put([(Record(b"v"), "malformed", "no JSON")])
    await letters.stop()

    async def read() -> bool:
        async with inspecting(container) as inspection:
            return (await inspection.kafka().look()).lag == 0

    await eventually(read, "everything is read")
    consumer.stop()
    async with api.client() as client:
        assert (await client.post("/v1/notifications", json=SENT)).status_code == 202

    async with inspecting(container) as inspection:
        state = await inspection.kafka().look()

    assert (state.lag, state.dead_letters) == (1, 1)
