"""PostgreSQL that is slow, stuck, cut off, full, crashed or being changed."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import uniform
from secrets import token_hex
from typing import Any

import asyncpg
import httpx
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition
from alembic.script import ScriptDirectory
from sqlalchemy import event, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters import clock as system
from adapters.postgres import engine as connections
from adapters.postgres.api_keys import PostgresApiKeys
from adapters.postgres.categories import PostgresCategories
from adapters.postgres.directory import PostgresDirectory
from adapters.postgres.engine import Limits, create_engine, driver, driver_transaction, transaction
from adapters.postgres.feeds import PostgresFeeds
from adapters.postgres.maintenance import PostgresMaintenance
from adapters.postgres.migrations import config
from adapters.postgres.partitions import count_strays, ensure_partitions
from adapters.postgres.preferences import PostgresPreferences
from adapters.postgres.retention import PostgresRetention
from adapters.postgres.users import PostgresUsers
from alembic import command
from application.delivery import StoreNotifications
from application.errors import Refused, Unavailable
from application.feeds import MarkRequest
from common import metrics
from domain.feed import Cursor
from domain.identifiers import UserId
from domain.notification import Draft
from domain.states import Mark, Status
from entrypoints.app import create_app
from entrypoints.settings import Settings
from tests.build import ADA, BOB, LATER, NOW, TestClock, a_draft, a_user, an_id, drafts
from tests.conftest import PARTITIONS, in_thread
from tests.contracts import everything
from tests.load import agree
from tests.product import Product, Stores, create_users, eventually
from tests.whole import Container
from workbench.embedded import EmbeddedServers, PostgresServer
from workbench.programs import POSTGRES_URL
from workbench.soak.proxy import Proxy

Ask = Callable[[AsyncEngine], Awaitable[Any]]

MANY = 30.0
"""Seconds that nothing here takes, unless it hangs."""

EVERY_USER_OF_THE_POOL: dict[str, Ask] = {
    "append": lambda engine: PostgresFeeds(engine).append(drafts(3, first=100)),
    "mark": lambda engine: PostgresFeeds(engine).mark(ADA, Mark.READ, [an_id()], NOW),
    "mark up to": lambda engine: PostgresFeeds(engine).mark_up_to(ADA, Mark.READ, Cursor("e1", 1), NOW),
    "mark together": lambda engine: PostgresFeeds(engine).mark_together(
        Mark.READ, [MarkRequest(user, [an_id()], NOW) for user in (ADA, BOB)]
    ),
    "page": lambda engine: PostgresFeeds(engine).page(ADA, Status.ALL, limit=1),
    "histories": lambda engine: PostgresFeeds(engine).histories([(ADA, 0), (BOB, 0)], 1),
    "add a user": lambda engine: PostgresUsers(engine, token_hex).add(a_user(UserId("cid")), None),
    "create missing users": lambda engine: PostgresDirectory(engine, token_hex).create([UserId("cid")], NOW),
    "known users": lambda engine: PostgresUsers(engine, token_hex).known([ADA]),
    "revoke": lambda engine: PostgresUsers(engine, token_hex).revoke_tokens(ADA),
    "revocations": lambda engine: PostgresUsers(engine, token_hex).revocations(None),
    "enter categories": lambda engine: PostgresCategories(engine).enter(["comment"]),
    "choose": lambda engine: PostgresPreferences(engine).choose(ADA, {"comment": False}),
    "get a key": lambda engine: PostgresApiKeys(engine).get("key"),
    "ping": lambda engine: PostgresMaintenance(engine, TestClock()).ping(),
    "prepare": lambda engine: PostgresMaintenance(engine, TestClock()).prepare(),
}
everybody = pytest.mark.parametrize("ask", EVERY_USER_OF_THE_POOL.values(), ids=EVERY_USER_OF_THE_POOL)


@pytest.fixture
async def ada(engine: AsyncEngine) -> PostgresFeeds:
    """Feeds in which Ada has three notifications and Bob none."""
    for user in (ADA, BOB):
        await PostgresUsers(engine, token_hex).add(a_user(user), None)
    feeds = PostgresFeeds(engine)
    await feeds.append(drafts(3))
    return feeds


@asynccontextmanager
async def session(url: str) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """Somebody else's connection, without any limits."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        yield connection
    finally:
        await connection.close(timeout=5)


async def waits_for_a_lock(connection: "asyncpg.Connection[Any]", count: int = 1) -> None:
    """Wait until so many others do."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    query += " AND datname = current_database()"

    async def waiting() -> bool:
        await connection.execute("SELECT pg_stat_clear_snapshot()")  # or a transaction sees the first again
        return int(await connection.fetchval(query)) >= count

    await eventually(waiting, f"{count} wait for a lock")


def free(engine: AsyncEngine) -> bool:
    """Whether every connection is back in the pool."""
    return int(engine.pool.checkedout()) == 0  # type: ignore[attr-defined]


def tasks_here() -> int:
    """How many tasks there are besides those of a proxy."""
    files = [str(task.get_coro().cr_code.co_filename) for task in asyncio.all_tasks()]  # type: ignore[union-attr]
    return sum(not file.endswith("proxy.py") for file in files)


# --- limits -----------------------------------------------------------------------------------------------


async def test_the_server_ends_what_takes_too_long(
    engine: AsyncEngine, ada: PostgresFeeds, shared_url: str
) -> None:
    async def statement() -> None:
        async with driver(engine) as connection:
            await connection.execute("SELECT pg_sleep(60)")

    async def idle() -> None:
        async with driver_transaction(engine) as connection:
            await connection.execute("SELECT 1")
            await eventually(connection.is_closed, "the idle transaction is ended")
            await connection.execute("SELECT 1")

    async with session(shared_url) as other, other.transaction():
        await other.execute("SELECT * FROM feeds WHERE user_id = 'ada' FOR UPDATE")
        async with asyncio.timeout(MANY):
            slow, locked, left = await asyncio.gather(
                statement(), ada.append(drafts(1, first=9)), idle(), return_exceptions=True
            )

    for outcome in (slow, locked, left):
        assert isinstance(outcome, Unavailable)
    assert isinstance(slow.__cause__, asyncpg.QueryCanceledError)
    assert isinstance(locked.__cause__, asyncpg.LockNotAvailableError)
    await ada.append(drafts(1, first=9))
    assert (await ada.feed(ADA)).version == 4
    assert free(engine)


async def test_with_every_connection_in_use_requests_get_503_and_it_recovers(container: Container) -> None:
    await container.users().add(a_user(ADA), None)
    engine = container.engine()
    token, _ = container.tokens().mint(ADA, container.clock()())
    path = "/v1/users/ada/notifications?status=all"
    headers = {"Authorization": f"Bearer {token}"}
    transport = httpx.ASGITransport(create_app(container))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
        held = [await engine.connect() for _ in range(container.settings().postgres_pool)]

        async with asyncio.timeout(MANY):
            answers = await asyncio.gather(*(client.get(path) for _ in range(50)))
        for connection in held:
            await connection.close()
        after = await client.get(path)

    assert {answer.status_code for answer in answers} == {503}
    assert all(answer.headers["Retry-After"] for answer in answers)
    assert all(answer.headers["Content-Type"] == "application/problem+json" for answer in answers)
    assert after.status_code == 200
    assert free(engine)


async def test_what_a_caller_leaves_behind_does_not_hold_its_locks_on(
    engine: AsyncEngine, ada: PostgresFeeds
) -> None:
    """Cut off on this side, the server would go on until its statement's time is over."""

    async def abandoned() -> None:
        async with driver_transaction(engine) as connection:
            await connection.execute("SELECT * FROM feeds WHERE user_id = 'ada' FOR UPDATE")
            held.set()
            await connection.execute("SELECT pg_sleep(60)")

    held = asyncio.Event()
    task = asyncio.create_task(abandoned())
    await held.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert task.cancelled()
    assert free(engine)
    await ada.append(drafts(1, first=9))  # within lock_timeout, which is half of a statement's time


# --- 19: a network that is cut in mid-query ---------------------------------------------------------------


@dataclass
class Way:
    """An engine whose way to the server can be spoilt."""

    proxy: Proxy
    url: str
    engine: AsyncEngine

    def __post_init__(self) -> None:
        # A second to wait where there are five and twelve; but what must succeed may take its time.
        self._patience = {"timeout": MANY, "command_timeout": 1.0}
        connecting = self.engine.sync_engine
        event.listen(connecting, "do_connect", lambda *given: given[3].update(self._patience))

    def cut(self) -> None:
        self._patience = {"timeout": 1.0, "command_timeout": 1.0}
        self.proxy.black_hole()

    def heal(self) -> None:
        self._patience = {"timeout": MANY, "command_timeout": MANY}
        self.proxy.heal()


def proxy_of(url: str) -> Proxy:
    parsed = make_url(url)
    folder = parsed.query.get("host")
    if folder:
        return Proxy.to_file(Path(str(folder)) / ".s.PGSQL.5432")
    return Proxy.to(parsed.host or "127.0.0.1", parsed.port or 5432)


def through(proxy: Proxy, url: str) -> str:
    parsed = make_url(url).set(host="127.0.0.1", port=proxy.port, query={})
    return parsed.render_as_string(hide_password=False)


@pytest.fixture
async def way(ada: PostgresFeeds, shared_url: str) -> AsyncIterator[Way]:
    """To the feeds of `ada`."""
    assert (await ada.feed(ADA)).version == 3
    async with proxy_of(shared_url) as proxy:
        url = through(proxy, shared_url)
        engine = create_engine(url, pool_size=4, application="tests", jitter=uniform)
        yield Way(proxy, url, engine)
        async with asyncio.timeout(MANY):
            await engine.dispose()


def limit(engine: AsyncEngine, **seconds: float) -> None:
    """Change how long things may take from now on, other than those that asyncpg was told."""
    watch = connections._watch_of(engine)
    watch.limits = replace(watch.limits, **seconds)


async def fill(engine: AsyncEngine) -> None:
    """Have every connection of the pool opened once."""
    held = [await engine.connect() for _ in range(4)]
    for connection in held:
        await connection.close()


async def outcome(ask: Ask, engine: AsyncEngine) -> Exception:
    async with asyncio.timeout(MANY):
        with pytest.raises(Unavailable) as caught:
            await ask(engine)
    return caught.value


@everybody
async def test_cut_off_in_mid_query_everybody_gets_an_answer_and_nothing_is_left(way: Way, ask: Ask) -> None:
    await fill(way.engine)
    before = tasks_here()
    way.cut()

    await asyncio.gather(*(outcome(ask, way.engine) for _ in range(12)))

    assert free(way.engine)
    assert tasks_here() <= before
    way.heal()
    await ask(way.engine)


@pytest.mark.parametrize("ask", [EVERY_USER_OF_THE_POOL["append"], EVERY_USER_OF_THE_POOL["add a user"]])
async def test_a_connection_is_ended_when_it_is_in_use_for_too_long(way: Way, ask: Ask) -> None:
    """However often its statements are answered in time."""
    limits = Limits(command=600)
    engine = create_engine(way.url, pool_size=1, application="tests", jitter=uniform, limits=limits)
    try:
        await PostgresUsers(engine, token_hex).known([ADA])
        limit(engine, in_use=0.5)
        way.proxy.black_hole()

        await outcome(ask, engine)

        assert free(engine)
        limit(engine, in_use=MANY)
        way.proxy.heal()
        await ask(engine)
    finally:
        await engine.dispose()


async def test_a_connection_is_ended_when_setting_it_up_hangs(way: Way) -> None:
    limits = Limits(connect=1, command=600, in_use=0.5)
    engine = create_engine(way.url, pool_size=1, application="tests", jitter=uniform, limits=limits)
    event.listen(engine.sync_engine, "connect", lambda *_: way.proxy.black_hole(), insert=True)

    await outcome(lambda engine: PostgresFeeds(engine).feed(ADA), engine)

    assert free(engine)
    await engine.dispose()


async def test_after_a_cut_no_other_connection_of_that_time_is_tried(way: Way) -> None:
    """Or each of them would cost somebody the whole wait."""
    await fill(way.engine)
    way.cut()
    await outcome(lambda engine: PostgresFeeds(engine).feed(ADA), way.engine)
    way.heal()
    opened: list[object] = []
    event.listen(way.engine.sync_engine, "connect", lambda connection, _: opened.append(connection))

    for _ in range(8):
        await PostgresFeeds(way.engine).feed(ADA)

    assert len(opened) == 4


@everybody
async def test_who_gives_up_waits_for_nothing(way: Way, ask: Ask) -> None:
    """As a health check does: neither a cancel request nor a rollback comes back from a black hole."""
    limits = Limits(connect=MANY, command=600)
    engine = create_engine(way.url, pool_size=1, application="tests", jitter=uniform, limits=limits)
    await PostgresUsers(engine, token_hex).known([ADA])
    before = tasks_here()
    way.proxy.black_hole()

    asked = asyncio.ensure_future(ask(engine))
    await asyncio.wait([asked], timeout=0.2)
    asked.cancel()
    async with asyncio.timeout(30):
        await asyncio.gather(asked, return_exceptions=True)

    assert asked.cancelled()
    assert free(engine)
    assert tasks_here() <= before
    await engine.dispose()


# --- 18: slow, locked -------------------------------------------------------------------------------------


async def test_slow_as_it_may_be_the_queue_stays_bounded_and_it_recovers(way: Way) -> None:
    await fill(way.engine)
    before = tasks_here()
    way.proxy.slow(0.6)

    async with asyncio.timeout(MANY):
        outcomes = await asyncio.gather(
            *(PostgresFeeds(way.engine).feed(ADA) for _ in range(200)), return_exceptions=True
        )

    assert all(isinstance(found, Unavailable) for found in outcomes if isinstance(found, BaseException))
    assert any(isinstance(found, Unavailable) for found in outcomes)
    way.heal()
    assert (await PostgresFeeds(way.engine).feed(ADA)).version == 3
    assert free(way.engine)
    await eventually(lambda: tasks_here() <= before, "no task is left")


async def test_while_a_feeds_row_is_locked_only_its_user_suffers(ada: PostgresFeeds, shared_url: str) -> None:
    async with session(shared_url) as other, other.transaction():
        await other.execute("SELECT * FROM feeds WHERE user_id = 'ada' FOR UPDATE")
        waiting = [
            asyncio.create_task(ada.append([a_draft(9)])),
            asyncio.create_task(ada.mark(ADA, Mark.READ, [an_id(1)], LATER)),
        ]
        await waits_for_a_lock(other, 2)

        assert (await ada.append([a_draft(1, BOB)])).added
        assert (await ada.mark(BOB, Mark.READ, [an_id(1)], LATER)).changed == 1
        assert len((await ada.page(ADA, Status.UNREAD, limit=10)).notifications) == 3
        assert not any(task.done() for task in waiting)
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(found) for found in outcomes] == [Unavailable, Unavailable]
    assert (await ada.append([a_draft(9)])).added


async def test_a_consumer_with_a_slow_store_keeps_its_place_and_loses_nothing(
    product: Product, stores: Stores, environment: Mapping[str, str], settings: Settings, tmp_path: Path
) -> None:
    async with proxy_of(settings.postgres_url) as proxy:
        slow = Product(
            tmp_path, {**environment, POSTGRES_URL: through(proxy, settings.postgres_url)}, settings
        )
        try:
            api, consumer = await asyncio.gather(product.api(), slow.consumer())
            async with api.client() as client:
                await create_users(client, ["ada"])
                accepted = [await publish(client, 0)]
                await eventually(lambda: stored(stores, 1), "the first is stored")
                proxy.slow(0.5)  # there and back: a second a statement, and several to prepare one
                accepted += [await publish(client, number) for number in range(1, 100)]
                await eventually(lambda: stored(stores, 50), "half of them are stored, slowly")
                proxy.heal()
                await eventually(lambda: stored(stores, 100), "all are stored")
            assert sorted(await stores.ids()) == sorted(accepted)
            assert consumer.log.read_text().count(f"reading {PARTITIONS} partitions") == 1
            assert await dead_letters(settings) == 0
        finally:
            await slow.stop()


# --- 17: a server that crashes ----------------------------------------------------------------------------


@pytest.fixture
def mortal(servers: EmbeddedServers) -> Iterator[PostgresServer]:
    """The session's server, which runs again afterwards."""
    if servers.postgres is None:
        pytest.skip("only a PostgreSQL that runs embedded can be killed")
    try:
        yield servers.postgres
    finally:
        servers.postgres.start()


@pytest.mark.parametrize("how", ["killed", "stopped at once", "restarted"])
async def test_after_a_crash_of_postgres_the_consumer_goes_on_and_nothing_is_dead(
    product: Product, settings: Settings, mortal: PostgresServer, how: str
) -> None:
    api, _ = await asyncio.gather(product.api(), product.consumer())
    async with api.client() as client:
        await create_users(client, ["ada"])
        accepted = [await publish(client, number) for number in range(50)]
        end = {"killed": mortal.kill, "stopped at once": lambda: immediate(mortal), "restarted": mortal.stop}
        ending = asyncio.create_task(asyncio.to_thread(end[how]))
        accepted += [await publish(client, number) for number in range(50, 100)]
        await ending
        # The recipient is known and the key was good lately: publishing goes on without PostgreSQL.
        accepted += [await publish(client, number) for number in range(100, 150)]
        await eventually(lambda: ready_is(client, 503), "the API says that the store is away")
        await asyncio.to_thread(mortal.start)
        await eventually(lambda: ready_is(client, 200), "the API says that the store is back")
        async with Stores.open(settings) as stores:
            await eventually(lambda: stored(stores, 150), "all are stored")

            assert sorted(await stores.ids()) == sorted(accepted)
            assert not await stores.broken_feeds()
            await eventually(lambda: agree(stores), "the index agrees with the store")
    assert await dead_letters(settings) == 0


def immediate(server: PostgresServer) -> None:
    """What `pg_ctl stop -m immediate` does: no checkpoint, no good-bye."""
    os.kill(server.pid, signal.SIGQUIT)
    server.stop()


async def publish(client: httpx.AsyncClient, number: int) -> str:
    body = {"user_id": "ada", "event": "test.sent", "message": f"number {number}"}
    response = await client.post("/v1/notifications", json=body)
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


async def ready_is(client: httpx.AsyncClient, status: int) -> bool:
    return (await client.get("/health/ready")).status_code == status


async def stored(stores: Stores, count: int) -> bool:
    return await stores.count() >= count


async def dead_letters(settings: Settings) -> int:
    reader = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap)
    await reader.start()
    try:
        topic = f"{settings.kafka_topic}.dlq"
        ends = await reader.end_offsets([TopicPartition(topic, number) for number in range(PARTITIONS)])
        return sum(ends.values())
    finally:
        await reader.stop()


# --- 20: a disk that is full ------------------------------------------------------------------------------


@pytest.fixture
def small_disk(servers: EmbeddedServers) -> Iterator[Path]:
    """A file system of 48 MB with a folder in it that PostgreSQL may use as a tablespace."""
    if servers.postgres is None:
        pytest.skip("only a PostgreSQL that runs embedded can be given a disk")
    disk = Path(servers.postgres.log).parent / "small-disk"
    disk.mkdir()
    try:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", disk], check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount")
    if mounted.returncode:
        disk.rmdir()
        pytest.skip("mounting a file system is not allowed here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)
        disk.rmdir()


@pytest.fixture
def small_url(servers: EmbeddedServers, template: str, small_disk: Path) -> Iterator[str]:
    """A migrated database on that disk."""
    server = servers.postgres
    assert server
    folder = small_disk / "tablespace"
    folder.mkdir()
    owner = (Path(make_url(server.url).query["host"])).stat()  # type: ignore[arg-type]
    os.chown(folder, owner.st_uid, owner.st_gid)
    server.sql(f"CREATE TABLESPACE small LOCATION '{folder}'")
    try:
        server.sql(f"CREATE DATABASE small TEMPLATE {template} TABLESPACE small STRATEGY FILE_COPY")
        yield server.url_for("small")
    finally:
        server.sql("DROP DATABASE IF EXISTS small WITH (FORCE)")
        server.sql("DROP TABLESPACE small")


async def test_a_full_disk_is_no_reason_to_refuse_anything(small_disk: Path, small_url: str) -> None:
    engine = create_engine(small_url, pool_size=2, application="tests", jitter=uniform)
    feeds = PostgresFeeds(engine)
    batch = [
        a_draft(n, message="x" * 4000, metadata={"noise": os.urandom(4000).hex()}) for n in range(1, 501)
    ]
    try:
        await PostgresUsers(engine, token_hex).add(a_user(ADA), None)
        await feeds.append([a_draft(1000)])
        filler = small_disk / "filler"
        with filler.open("wb") as file:
            while True:
                try:
                    file.write(bytes(65536))
                    file.flush()
                except OSError:
                    break

        with pytest.raises(Unavailable) as caught:
            await StoreNotifications(feeds=feeds, announcer=None, clock=system.now)(batch)  # type: ignore[arg-type]
        readable = await feeds.page(ADA, Status.ALL, limit=10)
        filler.unlink()
        appended = await feeds.append(batch)

        assert isinstance(caught.value.__cause__, asyncpg.DiskFullError)
        assert len(readable.notifications) == 1
        assert len(appended.added[0].notifications) == 500
        assert len(await everything(feeds)) == 501
    finally:
        await engine.dispose()


# --- 21: transactions that collide ------------------------------------------------------------------------


async def test_the_victim_of_a_deadlock_is_tried_again(
    ada: PostgresFeeds, shared_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Another session takes the locks in the opposite order, and is too patient to be the victim."""
    caplog.set_level("INFO")
    async with session(shared_url) as other:
        await other.execute("SET deadlock_timeout = '60s'")
        async with other.transaction():
            await other.execute("SELECT * FROM feeds WHERE user_id = 'bob' FOR UPDATE")
            appending = asyncio.create_task(ada.append([a_draft(9), a_draft(9, BOB)]))
            await waits_for_a_lock(other)
            await other.execute("SELECT * FROM feeds WHERE user_id = 'ada' FOR UPDATE")

    appended = await appending

    assert [change.feed.version for change in appended.added] == [4, 1]
    assert len(await everything(ada)) == 4
    assert "retrying PostgresFeeds.append: deadlock detected" in caplog.text


@pytest.mark.parametrize(
    ("change", "ask"),
    [
        ("INSERT ON notifications", EVERY_USER_OF_THE_POOL["append"]),
        ("UPDATE ON notifications", EVERY_USER_OF_THE_POOL["mark"]),
        ("INSERT ON feeds", EVERY_USER_OF_THE_POOL["add a user"]),
    ],
)
async def test_a_serialization_failure_is_tried_again_from_the_start(
    fresh: AsyncEngine, change: str, ask: Ask
) -> None:
    await PostgresUsers(fresh, token_hex).add(a_user(ADA), None)
    await PostgresFeeds(fresh).append(drafts(3))
    await fail_twice(fresh, change, "40001")

    await ask(fresh)

    assert len(await everything(PostgresFeeds(fresh))) in (3, 6)
    assert free(fresh)


async def test_what_goes_on_colliding_is_unavailable_in_the_end(fresh: AsyncEngine) -> None:
    await PostgresUsers(fresh, token_hex).add(a_user(ADA), None)
    await fail_twice(fresh, "INSERT ON notifications", "40001", times=100)

    with pytest.raises(Unavailable):
        await PostgresFeeds(fresh).append(drafts(3))

    assert await everything(PostgresFeeds(fresh)) == ()


async def fail_twice(engine: AsyncEngine, change: str, state: str, times: int = 2) -> None:
    """Have the first two such changes fail. A sequence counts them: it is not rolled back."""
    async with transaction(engine) as connection:
        for statement in (
            "CREATE SEQUENCE tries",
            f"""
            CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF nextval('tries') <= {times} THEN
                    RAISE EXCEPTION 'collided' USING ERRCODE = '{state}';
                END IF;
                RETURN NEW;
            END $$
            """,
            f"CREATE TRIGGER fail BEFORE {change} FOR EACH STATEMENT EXECUTE FUNCTION fail()",
        ):
            await connection.execute(text(statement))


@pytest.fixture
async def fresh(postgres_url: str) -> AsyncIterator[AsyncEngine]:
    """A database of the test's own, whose tables it may change."""
    engine = create_engine(postgres_url, pool_size=8, application="tests", jitter=uniform)
    yield engine
    await engine.dispose()


async def test_whatever_order_they_come_in_changes_never_block_each_other_for_good(
    fresh: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    """Appends to the same feeds in different orders, marks, new users, and partitions with strays to move."""
    caplog.set_level("INFO")
    feeds, users = PostgresFeeds(fresh), PostgresUsers(fresh, token_hex)
    names = [UserId(f"user-{n}") for n in range(6)]
    for user in names:
        await users.add(a_user(user), None)

    async def append(nth: int) -> None:
        at = FAR if nth % 3 == 0 else NOW
        await feeds.append([a_draft(nth, user, at=at) for user in names[nth % 6 :] + names[: nth % 6]])

    async def mark(nth: int) -> None:
        user = names[nth % 6]
        await feeds.mark_up_to(user, Mark.READ, Cursor((await feeds.feed(user)).epoch, nth), LATER)
        marks = [MarkRequest(user, [an_id(nth)], LATER) for user in names[nth % 6 :] + names[: nth % 6]]
        await feeds.mark_together(Mark.ARCHIVED, marks)

    work: list[Awaitable[Any]] = [append(nth) for nth in range(1, 31)]
    work += [mark(nth) for nth in range(30)]
    work += [
        users.add(a_user(UserId(f"new-{nth}"), email=f"{nth % 5}@example.com"), None) for nth in range(10)
    ]
    work += [ensure_partitions(fresh, FAR - timedelta(days=31 * nth)) for nth in range(4)]
    async with asyncio.timeout(60):
        outcomes = await asyncio.gather(*work, return_exceptions=True)

    assert [str(found) for found in outcomes if isinstance(found, Unavailable | Refused)] == []
    assert "deadlock" not in caplog.text
    for user in names:
        assert len(await everything(feeds, user)) == 30
    await ensure_partitions(fresh, FAR)
    assert await count_strays(fresh) == 0


# --- 31 and 32: clocks that are wrong, partitions that are missing ----------------------------------------

FAR = datetime(2031, 7, 2, 3, 4, 5, tzinfo=UTC)


async def test_ids_of_a_skewed_clock_are_stored_in_order_and_counted_as_strays(fresh: AsyncEngine) -> None:
    feeds = PostgresFeeds(fresh)
    await PostgresUsers(fresh, token_hex).add(a_user(ADA), None)
    clocks = [NOW, NOW + timedelta(hours=1), FAR, NOW - timedelta(hours=1), datetime(1999, 1, 1, tzinfo=UTC)]
    skewed = [a_draft(n, at=at) for n, at in enumerate(clocks, 1)]

    for draft in skewed:
        await feeds.append([draft])
    again = await feeds.append(skewed)
    await PostgresMaintenance(fresh, TestClock()).prepare()

    assert again.added == ()
    assert [(item.id, item.version) for item in await everything(feeds)] == [
        (draft.id, version) for version, draft in enumerate(skewed, 1)
    ]
    assert metrics.STRAYS._value.get() == 2


async def test_without_a_partition_for_now_storing_goes_on_and_the_metric_says_so(
    fresh: AsyncEngine, postgres_url: str
) -> None:
    now = system.now()
    feeds, maintenance = PostgresFeeds(fresh), PostgresMaintenance(fresh, system.now)
    await PostgresUsers(fresh, token_hex).add(a_user(ADA), None)
    async with transaction(fresh) as connection:
        await connection.execute(text(f"DROP TABLE notifications_{now.year}_{now.month:02}"))

    await feeds.append([a_draft(1, at=now)])
    async with session(postgres_url) as other, other.transaction():
        await other.execute("SELECT * FROM notifications_default")  # which holds up making partitions
        with pytest.raises(Unavailable):
            await maintenance.prepare()
        counted = metrics.STRAYS._value.get()
    await maintenance.prepare()

    assert counted == 1
    assert metrics.STRAYS._value.get() == 0
    assert [item.id for item in await everything(feeds)] == [an_id(1, now)]


async def test_without_any_partition_for_it_a_draft_waits_and_is_not_refused(fresh: AsyncEngine) -> None:
    """An operator may have detached the DEFAULT one."""
    feeds = PostgresFeeds(fresh)
    await PostgresUsers(fresh, token_hex).add(a_user(ADA), None)
    async with transaction(fresh) as connection:
        await connection.execute(text("ALTER TABLE notifications DETACH PARTITION notifications_default"))

    with pytest.raises(Unavailable):
        await feeds.append([a_draft(1, at=FAR)])


# --- 33: a schema that changes under running processes ----------------------------------------------------

LATER_RELEASES = {
    "columns": """
import sqlalchemy as sa
from alembic import op

revision = "columns"
down_revision = "HEAD"


def upgrade():
    # The running processes lock feeds first: this order deadlocks with them, sooner or later.
    op.add_column("notifications", sa.Column("colour", sa.Text()))
    op.add_column("feeds", sa.Column("colour", sa.Text(), server_default="blue", nullable=False))
    op.add_column("users", sa.Column("colour", sa.Text()))
    op.alter_column("users", "name", type_=sa.String(1000))


def downgrade():
    op.alter_column("users", "name", type_=sa.Text())
    for table in ("notifications", "feeds", "users"):
        op.drop_column(table, "colour")
""",
    "index": """
from alembic import op

revision = "index"
down_revision = "columns"
options = {"postgresql_concurrently": True}


def upgrade():
    with op.get_context().autocommit_block():
        for table in ("feeds", "notifications_default", "notifications_2026_03"):
            op.create_index(f"{table}_colours", table, ["colour"], if_not_exists=True, **options)


def downgrade():
    with op.get_context().autocommit_block():
        for table in ("feeds", "notifications_default", "notifications_2026_03"):
            op.drop_index(f"{table}_colours", table, if_exists=True, **options)
""",
}


@dataclass
class Work:
    """Appends, fetches and marks, one after the other in each of a few tasks, until told to stop."""

    feeds: PostgresFeeds
    appended: int = 0
    rounds: int = 0
    stopping: bool = False

    async def run(self, user: UserId) -> None:
        number = 0
        while not self.stopping:
            batch: list[Draft] = [a_draft(number + n, user) for n in range(1, 6)]
            number += 5
            added = await self.feeds.append(batch)
            assert len(added.added[0].notifications) == 5
            self.appended += 5
            page = await self.feeds.page(user, Status.UNREAD, limit=3)
            assert len(page.notifications) == min(3, page.feed.unread_count)
            await self.feeds.mark(user, Mark.READ, [batch[0].id], LATER)
            await self.feeds.histories([(user, page.feed.version - 3)], 10)
            self.rounds += 1

    async def more(self, rounds: int) -> None:
        goal = self.rounds + rounds
        await eventually(lambda: self.rounds >= goal, f"{rounds} more rounds")


async def test_a_migration_under_traffic_fails_nothing_and_loses_nothing(
    fresh: AsyncEngine, postgres_url: str, tmp_path: Path
) -> None:
    names = [UserId(f"user-{n}") for n in range(4)]
    users = PostgresUsers(fresh, token_hex)
    for user in names:
        await users.add(a_user(user), None)
    revisions = tmp_path / "versions"
    revisions.mkdir()
    migrations = config(postgres_url)
    head = ScriptDirectory.from_config(migrations).get_current_head() or ""
    for name, release in LATER_RELEASES.items():
        (revisions / f"{name}.py").write_text(release.replace("HEAD", head))
    own = Path(migrations.get_main_option("script_location") or "") / "versions"
    migrations.set_main_option("path_separator", "os")
    migrations.set_main_option("version_locations", f"{own}{os.pathsep}{revisions}")
    work = Work(PostgresFeeds(fresh))
    running_work = [asyncio.create_task(work.run(user)) for user in names]
    steps: list[Callable[[], None]] = [
        lambda: command.upgrade(migrations, "head"),
        lambda: command.downgrade(migrations, head),
        lambda: command.upgrade(migrations, "head"),
    ]

    for step in steps:
        await work.more(20)
        await asyncio.to_thread(in_thread, step)
        assert (await users.get(names[0])).id == names[0]
        assert not await PostgresApiKeys(fresh).all()
    await work.more(20)
    work.stopping = True
    await asyncio.gather(*running_work)

    assert sum([len(await everything(work.feeds, user)) for user in names]) == work.appended
    assert free(fresh)


async def test_a_statement_that_a_migration_outdated_is_prepared_anew_on_every_connection(
    fresh: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    """In a transaction the driver cannot do that by itself; a function does not need it."""
    caplog.set_level("INFO")
    feeds, users, retention = PostgresFeeds(fresh), PostgresUsers(fresh, token_hex), PostgresRetention(fresh)
    names = [UserId(f"user-{n}") for n in range(8)]
    for user in names:
        await users.add(a_user(user), None)
    await asyncio.gather(*(feeds.append(drafts(2, user, first=2 * nth)) for nth, user in enumerate(names, 1)))
    due = NOW + timedelta(days=62)
    await asyncio.gather(*(retention.prune(due, None, 1) for _ in names))

    async with transaction(fresh) as connection:
        await connection.execute(text("ALTER TABLE feeds ALTER unread_count TYPE integer"))
    for nth, user in enumerate(names, 1):
        await feeds.append([a_draft(100 + nth, user)])
    while (await retention.prune(due, None, 1)).last is not None:
        pass

    assert caplog.text.count("retrying PostgresRetention.prune: cached") == 1
    assert "retrying PostgresFeeds" not in caplog.text
    assert {(await feeds.feed(user)).unread_count for user in names} == {0}
