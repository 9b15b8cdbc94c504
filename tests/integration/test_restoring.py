"""The drill: a backup, what happens after it, the restore, and what clients and the index make of that."""

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from bellwire_client import Bellwire, LiveInbox
from tests.conftest import Databases
from tests.product import Api, Product, Stores, create_users, eventually
from workbench.embedded import EmbeddedServers
from workbench.soak.product import SOURCES


def command(environment: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of an installation."""
    return subprocess.run(
        [sys.executable, "-m", "bellwire", *words],
        env={"PATH": "", **environment, "PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        check=False,
    )


class Dumps:
    """pg_dump and pg_restore of one database."""

    def __init__(self, servers: EmbeddedServers, url: str, file: Path) -> None:
        self._folder = servers.postgres._programs if servers.postgres else None
        self._url = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._file = str(file)

    def dump(self) -> None:
        self._run("pg_dump", "--format=custom", f"--file={self._file}", self._url)

    def restore(self) -> None:
        self._run("pg_restore", "--no-owner", "--exit-on-error", f"--dbname={self._url}", self._file)

    def _run(self, program: str, *words: str) -> None:
        path = self._folder / program if self._folder else shutil.which(program)
        if path is None:
            pytest.skip(f"there is no {program} here (Debian: postgresql-client)")
        done = subprocess.run([path, *words], capture_output=True, text=True, check=False)
        if "server version mismatch" in done.stderr:
            pytest.skip(f"{program} is older than the server")
        assert done.returncode == 0, done.stderr


@pytest.fixture
def dumps(servers: EmbeddedServers, postgres_url: str, tmp_path: Path) -> Dumps:
    return Dumps(servers, postgres_url, tmp_path / "backup")


@pytest.fixture
def empty(databases: Databases, postgres_url: str) -> Callable[[], None]:
    """Lose the database, and have an empty one in its place."""

    def lose() -> None:
        name = databases.name(postgres_url)
        databases._run(f'DROP DATABASE "{name}" WITH (FORCE)')
        databases._run(f'CREATE DATABASE "{name}" STRATEGY FILE_COPY')

    return lose


async def publish(producer: Bellwire, inbox: LiveInbox, words: Sequence[str]) -> list[str]:
    """Publish to ada, until it is shown."""
    ids = [await producer.publish("ada", "drill.done", word) for word in words]
    await eventually(lambda: set(ids) <= {item.id for item in inbox.items}, "all of them came")
    return ids


def shown(inbox: LiveInbox) -> list[tuple[str, bool]]:
    """The messages, and whether they are read, newest first."""
    return [(item.message, item.read_at is not None) for item in inbox.items]


async def test_a_restored_database_is_another_life_for_clients_and_index(
    product: Product,
    dumps: Dumps,
    empty: Callable[[], None],
    environment: Mapping[str, str],
) -> None:
    api, consumer = await asyncio.gather(product.api(), product.consumer())
    async with api.client("ada") as http:
        await create_users(http, ["ada"])
        url = api.url
        producer, client = Bellwire(url, api_key=product.api_key), Bellwire(url, token=product.token("ada"))
        async with producer, client, client.inbox("ada") as inbox:
            watching = asyncio.create_task(watch(inbox))
            before = await publish(producer, inbox, ["one", "two", "three"])
            await asyncio.to_thread(dumps.dump)

            after = await publish(producer, inbox, ["four", "five"])
            marked = await http.post("/v1/users/ada/notifications/read", json={"ids": before})
            marked.raise_for_status()
            await eventually(lambda: inbox.unread_count == 2, "the marks are shown")
            lost = inbox.cursor
            assert await unread(api) == ["five", "four"]
            assert await indexed(product) == 1

            for process in (api.process, consumer):
                await asyncio.to_thread(process.stop)
            await asyncio.to_thread(empty)
            await asyncio.to_thread(dumps.restore)
            assert await indexed(product) == 1  # what it has is of a life that never was

            done = await asyncio.to_thread(command, environment, "reset-feeds", "--yes", "--json")
            assert (done.returncode, json.loads(done.stdout)) == (0, {"feeds": 1}), done.stderr
            assert await indexed(product) == 0

            await asyncio.to_thread(api.process.start)
            await api.process.healthy()
            await eventually(lambda: inbox.cursor.split(".")[0] != lost.split(".")[0], "it has reset")
            restored = [("three", False), ("two", False), ("one", False)]
            await eventually(lambda: shown(inbox) == restored, "it shows what was restored")
            assert await unread(api) == ["three", "two", "one"]

            # What Kafka still has is stored again, once; another group stands for one that was set back.
            await product.consumer(group=f"{product.settings.kafka_group}-again")
            await eventually(lambda: len(inbox.items) == 5, "the rest is shown again")
            assert {item.id for item in inbox.items} == {*before, *after}
            assert inbox.unread_count == 5  # the marks are lost
            watching.cancel()
            await asyncio.wait([watching])
    async with Stores.open(product.settings) as stores:
        assert await stores.broken_feeds() == []
        assert await stores.disagreements() == []


async def indexed(product: Product) -> int:
    """How many entries the index has."""
    async with Stores.open(product.settings) as stores:
        return await stores.indexed()


async def watch(inbox: LiveInbox) -> None:
    async for _ in inbox:
        pass


async def unread(api: Api) -> list[str]:
    async with api.client("ada") as http:
        answer = await http.get("/v1/users/ada/notifications?status=unread")
    return [item["message"] for item in answer.json()["items"]]


async def test_feeds_are_reset_while_the_service_runs(
    product: Product, stores: Stores, environment: Mapping[str, str]
) -> None:
    """Nobody should; but whoever forgets to stop it has clients that reload all the same."""
    api, _ = await asyncio.gather(product.api(), product.consumer())
    async with api.client("ada") as http:
        await create_users(http, ["ada", "bob"])
        async with api.follow("ada") as device:
            done = await asyncio.to_thread(command, environment, "reset-feeds", "--yes")
            assert done.stdout.splitlines()[0] == "2 feeds have a new epoch"
            await eventually(lambda: device.resets, "the stream is reset")
    assert device.resets[0].startswith("epoch: ")
    trail = await stores.postgres.fetch("SELECT actor_kind FROM audit WHERE action = 'feeds.reset'")
    assert [row["actor_kind"] for row in trail] == ["cli"]


def test_feeds_are_not_reset_unasked(environment: Mapping[str, str]) -> None:
    done = command(environment, "reset-feeds")
    assert (done.returncode, done.stdout) == (1, "")
    assert "confirm with --yes" in done.stderr
