"""Processes of an earlier state of the code beside those of this one: what works, and that nothing is lost.

There is no earlier release yet, so commits of the history stand for one. Skipped where git or the history is
missing.
"""

import asyncio
import shutil
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from tests.conftest import Databases, as_read, installation
from tests.forked import begins_cold
from tests.load import agree
from tests.product import Api, Follower, Product, Service, Stores, create_users, eventually, metric
from workbench.embedded import EmbeddedServers, free_port
from workbench.soak.follower import version
from workbench.soak.product import SOURCES

ROOT = Path(__file__).resolve().parents[2]
SAME_SCHEMA = "57078fbd6539a90dd0af760c7d786b5052eb0947"
"""Has all migrations of today."""
BEFORE_0008 = "99d90e8"
"""The commit before the last migration."""
USERS = ("ada", "bob", "carol")


def sources_of(commit: str, folder: Path) -> Path:
    """The code of a commit."""
    if shutil.which("git") is None:
        pytest.skip("there is no git here")
    archive = ("git", "-C", str(ROOT), "archive", commit, "src", "alembic", "clients/python")
    done = subprocess.run(archive, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"the history does not have {commit}: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archived:
        archived.extractall(folder, filter="data")
    return folder / "src"


class Rolling:
    """An installation with processes of two releases."""

    def __init__(self, product: Product, old: Path) -> None:
        self.product, self._old = product, old
        self.accepted: dict[str, str] = {}
        """The users of what was accepted, by id."""
        self.kept: list[str] = []
        self.edited: dict[str, str] = {}
        self.gone: set[str] = set()

    async def start(self, role: str, *, old: bool, until: str = "ready") -> Service:
        port, count = free_port(), len(self.product.started)
        service = Service(
            f"{'old' if old else 'new'} {role} {count}",
            role,
            port,
            log=self.product.folder / f"{role}-{count}.log",
            environment={
                **self.product._environment,
                "PYTHONPATH": str(self._old if old else SOURCES),
                "BELLWIRE_PORT": str(port),
                "BELLWIRE_CONSUMER_PORT": str(port),
            },
        )
        begins_cold(service)
        self.product.started.append(service)
        await asyncio.to_thread(service.start)
        await service.healthy(until)
        return service

    async def api(self, *, old: bool) -> Api:
        service = await self.start("api", old=old)
        return Api(service, service.url, self.product)

    async def migrate(self, *, old: bool) -> None:
        environment = {**self.product._environment, "PYTHONPATH": str(self._old if old else SOURCES)}
        command = [sys.executable, "-m", "bellwire", "migrate"]
        done = await asyncio.to_thread(
            subprocess.run, command, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    async def publish(self, http: httpx.AsyncClient, message: str) -> None:
        """Plain and rich ones, an edit and a retraction, to each user."""
        for user in USERS:
            plain = {"user_id": user, "event": "comment.created", "message": message}
            rich = {
                **plain,
                "category": "social",
                "severity": "warning",
                "actor": {"name": "Eve"},
                "actions": [{"id": "yes", "label": "Yes"}],
                "collapse_key": f"thread-{message}",
                "metadata": {"n": 10**30, "\u00fc": [1.50]},
            }
            kept = await self._accepted(http, user, plain)
            edited = await self._accepted(http, user, rich)
            gone = await self._accepted(http, user, {**plain, "message": "gone"})
            place = f"/v1/users/{user}/notifications"
            edit = {**rich, "message": f"{message}, edited", "revision": 1}
            del edit["user_id"]
            changed = await http.put(f"{place}/{edited}", json=edit)
            assert changed.status_code == 202, changed.text
            taken = await http.delete(f"{place}/{gone}")
            assert taken.status_code == 200, taken.text
            self.kept.append(kept)
            self.edited[edited] = f"{message}, edited"
            self.gone.add(gone)

    async def _accepted(self, http: httpx.AsyncClient, user: str, body: Mapping[str, object]) -> str:
        answer = await http.post("/v1/notifications", json=body)
        assert answer.status_code == 202, answer.text
        identifier = str(answer.json()["id"])
        self.accepted[identifier] = user
        return identifier

    async def mark(self, http_of: Mapping[str, httpx.AsyncClient], ids: Sequence[str]) -> None:
        for identifier in ids:
            user = self.accepted[identifier]
            answer = await http_of[user].post(
                f"/v1/users/{user}/notifications/read", json={"ids": [identifier]}
            )
            assert answer.status_code == 200, answer.text


@asynccontextmanager
async def clients(api: Api) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    """A client of each user."""
    async with AsyncExitStack() as stack:
        yield {user: await stack.enter_async_context(api.client(user)) for user in USERS}


async def all_stored(rolling: Rolling, stores: Stores) -> None:
    async def stored() -> bool:
        return await stores.known(list(rolling.accepted)) == set(rolling.accepted)

    await eventually(stored, "everything that was accepted is stored")


async def whole(rolling: Rolling, devices: Sequence[Follower], stores: Stores) -> None:
    """Every device has what is stored, in order; counts and index agree."""

    async def caught_up() -> bool:
        versions, rows = await stores.versions(), {row.id: row for row in await stores.rows()}
        return (
            all(rows[one].message == message for one, message in rolling.edited.items())
            and all(rows[one].retracted for one in rolling.gone if one in rows)
            and all(device.cursor and version(device.cursor) == versions[device.user] for device in devices)
        )

    await eventually(caught_up, "edits and retractions are done, and every device is at the end")
    rows = await stores.rows()
    for device in devices:
        there = {row.id: row for row in rows if row.user == device.user}
        assert (device.holes, device.foreign, device.turned_back, device.resets) == ([], [], [], [])
        assert device.miscounted == []
        assert {one for one, item in device.items.items() if item["retracted_at"] is None} == {
            one for one, row in there.items() if not row.retracted
        }
        assert all(item["message"] == there[one].message for one, item in device.items.items())
    assert await stores.broken_feeds() == []
    await eventually(lambda: agree(stores), "the index agrees with the store")


@pytest.mark.parametrize("new_consumer", [True, False], ids=["new consumer", "old consumer"])
async def test_apis_of_both_releases_beside_a_consumer_of_one(
    product: Product, stores: Stores, tmp_path: Path, new_consumer: bool
) -> None:
    """In both directions, with the schema of the new release."""
    rolling = Rolling(product, sources_of(SAME_SCHEMA, tmp_path))
    old, new, _ = await asyncio.gather(
        rolling.api(old=True), rolling.api(old=False), rolling.start("consumer", old=not new_consumer)
    )
    async with clients(old) as at_old, clients(new) as at_new, AsyncExitStack() as stack:
        await create_users(at_old["ada"], USERS)
        devices = [await stack.enter_async_context(api.follow(user)) for api in (old, new) for user in USERS]
        await rolling.publish(at_old["ada"], "by the old one")
        await rolling.publish(at_new["ada"], "by the new one")
        await all_stored(rolling, stores)
        await rolling.mark(at_old, rolling.kept[:3])
        await rolling.mark(at_new, rolling.kept[3:])
        await unknown_header(product)
        await eventually(lambda: all_came(devices[0], "from elsewhere"), "a record of another program came")
        await whole(rolling, devices, stores)
        pages = [
            (await http[user].get(f"/v1/users/{user}/notifications?status=all")).json()
            for user in USERS
            for http in (at_old, at_new)
        ]
    assert all(
        first["items"] == second["items"] for first, second in zip(pages[::2], pages[1::2], strict=True)
    )


def all_came(device: Follower, message: str) -> bool:
    return any(item.get("message") == message for item in device.items.values())


async def unknown_header(product: Product) -> None:
    """Write a record with a header that no release knows yet."""
    producer = AIOKafkaProducer(bootstrap_servers=product.settings.kafka_bootstrap)
    await producer.start()
    try:
        value = b'{"user_id":"ada","event":"comment.created","message":"from elsewhere"}'
        headers = [("of-tomorrow", b"1")]
        await producer.send_and_wait(product.settings.kafka_topic, value, key=b"ada", headers=headers)
    finally:
        await producer.stop()


async def test_the_upgrade_step_by_step_under_traffic(
    servers: EmbeddedServers, databases: Databases, name: str, tmp_path: Path
) -> None:
    """Migration first, with both old processes running; then the consumer, then the API."""
    (code := tmp_path / "old").mkdir()
    old_code = sources_of(BEFORE_0008, code)
    url = databases.create()
    environment = installation(servers, url, name)
    product = Product(tmp_path, environment, as_read(environment))
    rolling = Rolling(product, old_code)
    try:
        await rolling.migrate(old=True)
        await key_of(product)
        await steps(rolling, product)
    finally:
        await product.stop()
        databases.drop(url)


async def key_of(product: Product) -> None:
    command = [
        sys.executable,
        "-m",
        "bellwire",
        "create-key",
        "test",
        "--scope",
        "publish",
        "--scope",
        "users",
    ]
    environment = {**product._environment, "PYTHONPATH": str(SOURCES)}
    done = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    product.api_key = done.stdout.strip()


async def waits(consumer: Service) -> bool:
    return await metric(consumer, "bellwire_store_retries_total") > 0


async def steps(rolling: Rolling, product: Product) -> None:
    old, consumer = await asyncio.gather(rolling.api(old=True), rolling.start("consumer", old=True))
    urls = [old.url]
    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(Stores.open(product.settings))
        at_old = await stack.enter_async_context(clients(old))
        await create_users(at_old["ada"], USERS)
        devices = [await stack.enter_async_context(Follower(urls, user, product.token)) for user in USERS]
        await rolling.publish(at_old["ada"], "before")
        await all_stored(rolling, stores)

        await rolling.migrate(old=False)
        await rolling.publish(at_old["ada"], "migrated")
        await eventually(lambda: waits(consumer), "the old consumer cannot store, and puts back")
        await rolling.mark(at_old, rolling.kept[:3])  # the old API goes on otherwise
        page = await at_old["ada"].get("/v1/users/ada/notifications?status=all")
        assert page.status_code == 200

        await asyncio.to_thread(consumer.stop)
        await rolling.start("consumer", old=False)
        await all_stored(rolling, stores)
        await rolling.publish(at_old["ada"], "new consumer")
        await all_stored(rolling, stores)

        new = await rolling.api(old=False)
        urls[:] = [new.url]
        await asyncio.to_thread(old.process.stop)
        at_new = await stack.enter_async_context(clients(new))
        await rolling.publish(at_new["ada"], "all new")
        await all_stored(rolling, stores)
        await rolling.mark(at_new, rolling.kept[3:])
        await whole(rolling, devices, stores)
