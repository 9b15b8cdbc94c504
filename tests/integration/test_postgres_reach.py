"""PostgreSQL that is out of reach or takes no writes: what is said of it, and what becomes of connections."""

import asyncio
import os
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from random import uniform
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest
from asyncpg.protocol.protocol import Protocol
from dependency_injector import providers
from sqlalchemy import event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.api_keys import PostgresApiKeys
from adapters.postgres.engine import Limits, create_engine, driver, driver_transaction, transaction
from adapters.postgres.feeds import PostgresFeeds
from adapters.postgres.maintenance import PostgresMaintenance
from adapters.postgres.migrations import upgrade
from adapters.postgres.users import PostgresUsers
from application.credentials import ApiKey
from application.errors import Refused, Unavailable
from domain.errors import UserTaken
from entrypoints.app import create_app
from entrypoints.settings import Settings
from tests.build import ADA, BOB, NOW, TestClock, a_draft, a_user, drafts
from tests.conftest import in_thread
from tests.contracts import everything
from tests.integration.conftest import Run
from tests.integration.test_postgres_faults import (
    EVERY_USER_OF_THE_POOL,
    MANY,
    Ask,
    free,
    limit,
    outcome,
    proxy_of,
    publish,
    session,
    stored,
    through,
)
from tests.product import Product, Service, Stores, create_users, eventually
from tests.whole import build
from workbench.embedded import EmbeddedServers, PostgresServer, started
from workbench.local_client import local_client
from workbench.soak.proxy import Proxy

PASSWORD = "canary-of-a-password"


@pytest.fixture
async def two(engine: AsyncEngine, shared_url: str) -> AsyncIterator[AsyncEngine]:
    """Connections, two at most, to a database with Ada and Bob in it."""
    for user in (ADA, BOB):
        await PostgresUsers(engine, token_hex).add(a_user(user), None)
    made = create_engine(shared_url, pool_size=2, application="tests", jitter=uniform)
    yield made
    await made.dispose()


@pytest.fixture
def server(servers: EmbeddedServers) -> PostgresServer:
    if servers.postgres is None:
        pytest.skip("only a PostgreSQL that runs embedded can be configured")
    return servers.postgres


async def backends(engine: AsyncEngine) -> set[int]:
    """The server's processes behind the connections of a pool of two, all of which must be free."""
    lent = [await engine.connect() for _ in range(2)]
    found: list[Any] = [(await connection.get_raw_connection()).driver_connection for connection in lent]
    for connection in lent:
        await connection.close()
    return {raw.get_server_pid() for raw in found}


async def ping(engine: AsyncEngine) -> str:
    """What readiness would say."""
    try:
        await PostgresMaintenance(engine, TestClock()).ping()
    except Unavailable as error:
        return str(error)
    return "ok"


# --- read-only --------------------------------------------------------------------------------------------

READ_ONLY = "PostgreSQL takes no writes: default_transaction_read_only is on (25006)"


@contextmanager
def read_only(server: PostgresServer, url: str, how: str) -> Iterator[Callable[[str], None]]:
    """How to turn it on and off; off in the end."""
    name = make_url(url).database

    setting = {"on": "SET default_transaction_read_only = on", "off": "RESET default_transaction_read_only"}

    def database(value: str) -> None:
        server.sql(f'ALTER DATABASE "{name}" {setting[value]}')

    def system(value: str) -> None:
        server.sql(f"ALTER SYSTEM {setting[value]}")
        server.sql("SELECT pg_reload_conf()")

    turn = {"for new sessions of the database": database, "for everybody at once": system}[how]
    try:
        yield turn
    finally:
        turn("off")


both_ways = pytest.mark.parametrize("how", ["for new sessions of the database", "for everybody at once"])


@both_ways
async def test_after_a_spell_of_read_only_the_next_write_succeeds(
    two: AsyncEngine, server: PostgresServer, shared_url: str, how: str
) -> None:
    """Connections that were opened meanwhile stay read-only for ever."""
    feeds = PostgresFeeds(two)
    with read_only(server, shared_url, how) as turn:
        turn("on")
        await eventually(lambda: refuses(two), "it is read-only")
        opened = await backends(two)
        assert (await feeds.feed(ADA)).version == 0
        turn("off")
        await eventually(lambda: writable_elsewhere(shared_url), "new sessions can write")
        limit(two, young=0)

        await feeds.append([a_draft(1)])

        assert await ping(two) == "ok"
        if how == "for new sessions of the database":
            assert not opened & await backends(two)
    assert free(two)


async def refuses(engine: AsyncEngine) -> bool:
    return await ping(engine) == READ_ONLY


async def writable_elsewhere(url: str) -> bool:
    async with session(url) as other:
        return str(await other.fetchval("SHOW transaction_read_only")) == "off"


async def test_while_it_is_read_only_a_write_does_not_cost_a_connection(
    two: AsyncEngine, server: PostgresServer, shared_url: str
) -> None:
    limit(two, young=MANY)
    feeds = PostgresFeeds(two)
    with read_only(server, shared_url, "for new sessions of the database") as turn:
        turn("on")
        opened = await backends(two)

        for number in range(20):
            with pytest.raises(Unavailable):
                await feeds.append([a_draft(number)])

        assert await backends(two) == opened


@pytest.mark.parametrize(
    "read", ["page", "histories", "known users", "revocations", "get a key", "prepare"], ids=str
)
async def test_while_it_is_read_only_what_only_reads_goes_on(
    two: AsyncEngine, server: PostgresServer, shared_url: str, read: str
) -> None:
    key = ApiKey(id="key", name="k", secret_hash=b"h", scopes=frozenset(), created_at=NOW)
    await PostgresApiKeys(two).add(key)
    await PostgresMaintenance(two, TestClock()).prepare()
    with read_only(server, shared_url, "for everybody at once") as turn:
        turn("on")
        await eventually(lambda: refuses(two), "it is read-only")

        await EVERY_USER_OF_THE_POOL[read](two)

        if read == "get a key":
            assert await PostgresApiKeys(two).get("key") == key
        turn("off")
        await eventually(lambda: is_well(two), "it can be written")


async def test_that_it_takes_no_writes_is_said_once_a_spell(
    two: AsyncEngine, server: PostgresServer, shared_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkey = PostgresFeeds(two)
    with read_only(server, shared_url, "for everybody at once") as turn:
        for spell in (1, 2):
            turn("on")
            await eventually(lambda: refuses(two), "it is read-only")
            for number in range(5):
                with pytest.raises(Unavailable):
                    await monkey.append([a_draft(number)])
                assert await ping(two) == READ_ONLY
            turn("off")
            await eventually(lambda: is_well(two), "it can be written")

            assert caplog.text.count("default_transaction_read_only is on") == spell
            assert caplog.text.count("cannot execute") == spell
            assert caplog.text.count("over: PostgreSQL takes no writes") == spell


async def is_well(engine: AsyncEngine) -> bool:
    return await ping(engine) == "ok"


async def test_after_a_spell_of_read_only_marks_storing_and_readiness_recover_by_themselves(
    product: Product, settings: Settings, server: PostgresServer, run: Run
) -> None:
    url = settings.postgres_url
    name = make_url(url).database
    api, consumer = await asyncio.gather(product.api(), product.consumer())
    how = "for new sessions of the database"
    async with api.client() as client, api.client("ada") as ada, Stores.open(settings) as stores:
        await create_users(client, ["ada"])
        accepted = [await publish(client, 0)]
        await eventually(lambda: stored(stores, 1), "the first is stored")
        with read_only(server, url, how) as turn:
            turn("on")
            server.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                f" WHERE datname = '{name}' AND application_name = 'bellwire'"
            )
            await eventually(lambda: says(api.process, READ_ONLY), "the API says why it is not ready")
            await eventually(lambda: says(consumer, READ_ONLY), "the consumer says why it is not ready")
            accepted += [await publish(client, number) for number in range(1, 20)]
            assert await mark(ada, accepted[0]) == 503
            assert (await ada.get("/v1/users/ada/notifications?status=all")).status_code == 200
            assert await stores.count() == 1
        began = time.monotonic()
        await eventually(lambda: marks(ada, accepted[0]), "marks are taken again")
        marked = time.monotonic() - began
        await eventually(lambda: stored(stores, 20), "all are stored")
        run.note(marks_after_s=marked, stored_after_s=time.monotonic() - began)
        await eventually(lambda: says(api.process, "ok"), "the API is ready")
        await eventually(lambda: says(consumer, "ok"), "the consumer is ready")

        assert sorted(await stores.ids()) == sorted(accepted)
        for process in (api.process, consumer):
            await eventually(lambda one=process: _says_each_spell_once(one), "it is over")  # type: ignore[misc]


async def _says_each_spell_once(service: Service) -> bool:
    """When one connection has written, another of that time may still be lent: that is another spell."""
    await says(service, "ok")
    log = service.log.read_text()
    over = log.count("over: PostgreSQL takes no writes")
    return 1 <= log.count("default_transaction_read_only is on") <= over


async def says(service: Service, what: str) -> bool:
    async with local_client(timeout=10) as client:
        answer = await client.get(f"{service.url}/health/ready")
    return bool(answer.json()["checks"]["postgres"] == what and (answer.status_code == 200) == (what == "ok"))


async def mark(client: httpx.AsyncClient, notification: str) -> int:
    answer = await client.post("/v1/users/ada/notifications/read", json={"ids": [notification]})
    return answer.status_code


async def marks(client: httpx.AsyncClient, notification: str) -> bool:
    return await mark(client, notification) == 200


# --- a server that is another one now ---------------------------------------------------------------------


@pytest.fixture
def pair() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """A primary with a database of ours, and its standby."""
    with TemporaryDirectory(prefix="bellwire-tests-") as folder:
        (first := Path(folder) / "first").mkdir()
        (second := Path(folder) / "second").mkdir()
        with started(PostgresServer(first), lambda _line: None) as primary:
            in_thread(lambda: upgrade(primary.url))
            standby = PostgresServer(second)
            copied(primary, standby)
            with started(standby, lambda _line: None):
                yield primary, standby


def copied(primary: PostgresServer, standby: PostgresServer) -> None:
    data = standby._data
    account = primary._run_as
    if account:
        os.chown(data.parent, account.pw_uid, account.pw_gid)
    arguments = ("-D", str(data), "--write-recovery-conf", "--no-sync", "--checkpoint=fast")
    primary._checked(primary._run("pg_basebackup", *arguments, account=account))
    for left in data.glob(".s.PGSQL.*"):
        left.unlink()


@pytest.mark.usefixtures("server")
async def test_after_a_failover_the_new_primary_is_found_and_the_old_one_no_longer_written(
    pair: tuple[PostgresServer, PostgresServer], run: Run
) -> None:
    """With several hosts in the URL, of which the first answers nothing any more."""
    old, new = pair
    async with proxy_of(old.url) as to_old, proxy_of(new.url) as to_new:
        hosts = f"host=127.0.0.1:{to_new.port}&host=127.0.0.1:{to_old.port}"
        url = f"postgresql+asyncpg://postgres@/bellwire?{hosts}&target_session_attrs=read-write"
        engine = create_engine(url, pool_size=2, application="tests", jitter=uniform)
        try:
            await PostgresUsers(engine, token_hex).add(a_user(ADA), None)
            feeds = PostgresFeeds(engine)
            await feeds.append(drafts(3))
            assert await is_well(engine)
            await eventually(lambda: has_caught_up(old), "the standby has it all")
            to_old.black_hole()
            await asyncio.to_thread(old.kill)
            began = time.monotonic()
            new.sql("SELECT pg_promote()")
            to_old.reset()

            await eventually(lambda: appends(feeds), "the new primary is written")

            run.note(written_after_s=time.monotonic() - began)
            assert await is_well(engine)
            assert len(await everything(feeds)) == 4
        finally:
            await engine.dispose()


async def has_caught_up(primary: PostgresServer) -> bool:
    same = "SELECT bool_and(replay_lsn = pg_current_wal_lsn()) FROM pg_stat_replication"
    return await asyncio.to_thread(primary.sql, same) == "t\n"


async def appends(feeds: PostgresFeeds) -> bool:
    try:
        await feeds.append([a_draft(9)])
    except Unavailable:
        return False
    return True


@pytest.mark.usefixtures("server")
async def test_on_a_standby_it_says_so_and_goes_on_when_that_is_promoted(
    pair: tuple[PostgresServer, PostgresServer],
) -> None:
    primary, standby = pair
    engine = create_engine(standby.url, pool_size=2, application="tests", jitter=uniform)
    try:
        await eventually(lambda: has_caught_up(primary), "the standby has it all")
        assert await ping(engine) == "PostgreSQL takes no writes: it is a standby (25006)"

        standby.sql("SELECT pg_promote()")

        await eventually(lambda: is_well(engine), "it is a primary now")
        await PostgresUsers(engine, token_hex).add(a_user(ADA), None)
    finally:
        await engine.dispose()


@pytest.mark.parametrize("first", ["refuses", "answers nothing"])
async def test_of_several_hosts_one_that_is_away_costs_only_its_part_of_the_time(
    shared_url: str, first: str
) -> None:
    async with proxy_of(shared_url) as gone, proxy_of(shared_url) as there:
        name = make_url(shared_url).database
        hosts = f"host=127.0.0.1:{gone.port}&host=127.0.0.1:{there.port}"
        url = f"postgresql+asyncpg://postgres@/{name}?{hosts}"
        limits = Limits(connect=MANY if first == "refuses" else 4)
        engine = create_engine(url, pool_size=2, application="tests", jitter=uniform, limits=limits)
        if first == "refuses":
            gone.down()
        else:
            gone.black_hole()
        try:
            assert await is_well(engine)
            tried = gone.accepted
            assert len(await backends(engine)) == 2
            assert gone.accepted == tried  # the one that did is asked first
            there.down()
            gone.down()
            each = "; ".join(f"127.0.0.1:{port}: Connection refused" for port in (there.port, gone.port))
            await eventually(lambda: reason_is(engine, each), "it says what is wrong with each")
        finally:
            await engine.dispose()


async def reason_is(engine: AsyncEngine, reason: str) -> bool:
    return await ping(engine) == f"PostgreSQL is out of reach: {reason}"


# --- why it is out of reach -------------------------------------------------------------------------------


SSL_REQUEST = struct.pack(">i", 80877103)


async def message(reader: asyncio.StreamReader) -> bytes:
    """One of those with which a client begins."""
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    return await reader.readexactly(size - 4)


def packet(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(">i", len(body) + 4) + body


@asynccontextmanager
async def pooler(fields: Mapping[str, str], *, late: bool = False) -> AsyncIterator[int]:
    """A server that refuses everybody, as PgBouncer does, with these fields; `late` only what is asked of it.
    Its port.
    """
    refusal = packet(b"E", b"".join(f"{key}{value}\0".encode() for key, value in fields.items()) + b"\0")
    welcome = packet(b"R", bytes(4)) + packet(b"S", b"server_version\x0018.0\0") + packet(b"Z", b"I")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await message(reader) == SSL_REQUEST:
            writer.write(b"N")
            await message(reader)
        if late:
            writer.write(welcome)
            await reader.readexactly(1)
        writer.write(refusal)
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


@pytest.fixture
def stranger(server: PostgresServer) -> Iterator[str]:
    """A user of whom the server wants a password."""
    rules = server._data / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text(f"local all stranger scram-sha-256\n{before}")
    server.sql(f"CREATE ROLE stranger LOGIN PASSWORD 'another-{PASSWORD}'")
    server.sql("SELECT pg_reload_conf()")
    try:
        yield "stranger"
    finally:
        rules.write_text(before)
        server.sql("DROP ROLE stranger")
        server.sql("SELECT pg_reload_conf()")


@pytest.fixture
async def proxy(shared_url: str) -> AsyncIterator[Proxy]:
    async with proxy_of(shared_url) as made:
        yield made


LITTLE = 0.5
"""Seconds to wait where nothing is to come."""


def a_connection(url: str, **limits: float) -> AsyncEngine:
    """With as much patience as a busy machine needs, unless less is given."""
    patience = Limits(**{"connect": MANY, **limits})
    return create_engine(url, pool_size=1, application="tests", jitter=uniform, limits=patience)


Spoil = Callable[[URL, Proxy], URL]


def silent(url: URL, proxy: Proxy) -> URL:
    proxy.black_hole()
    return url


OUT_OF_REACH: dict[str, tuple[Spoil, str]] = {
    "no such database": (
        lambda url, _: url.set(database="nowhere"),
        'database "nowhere" does not exist (3D000)',
    ),
    "no such user": (
        lambda url, _: url.set(username="nobody"),
        'role "nobody" does not exist (28000)',
    ),
    "wrong password": (
        lambda url, _: url.set(username="stranger"),
        'password authentication failed for user "stranger" (28P01)',
    ),
    "no TLS": (
        lambda url, _: url.set(query={"ssl": "require"}),
        'PostgreSQL server at "127.0.0.1:PORT" rejected SSL upgrade',
    ),
    "no such socket": (
        lambda url, _: url.set(host=None, port=None, query={"host": "/nowhere"}),
        "No such file or directory",
    ),
    "refused": (lambda url, _: url.set(port=1), "Connection refused"),
    "no answer": (silent, "no answer in time"),
}


@pytest.mark.usefixtures("stranger")
@pytest.mark.parametrize(("spoil", "reason"), OUT_OF_REACH.values(), ids=OUT_OF_REACH)
async def test_why_it_is_out_of_reach_is_said_once_and_in_readiness(
    settings: Settings, proxy: Proxy, spoil: Spoil, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = make_url(through(proxy, settings.postgres_url)).set(password=PASSWORD)
    said = "PostgreSQL is out of reach: " + reason.replace("PORT", str(proxy.port))
    spoilt = spoil(url, proxy).render_as_string(hide_password=False)

    answers = await readiness(settings, spoilt, connect=LITTLE if spoil is silent else MANY)

    assert {answer.status_code for answer in answers} == {503}
    assert {answer.json()["checks"]["postgres"] for answer in answers} == {said}
    assert caplog.text.count("PostgreSQL is out of reach") == 1
    assert said in caplog.text
    assert PASSWORD not in caplog.text + answers[0].text


async def readiness(settings: Settings, postgres_url: str, *, connect: float = MANY) -> list[httpx.Response]:
    """What a process with this URL says, three times."""
    container = build(msgspec.structs.replace(settings, postgres_url=postgres_url))
    container.engine.override(providers.Object(a_connection(postgres_url, connect=connect)))
    transport = httpx.ASGITransport(create_app(container))  # type: ignore[arg-type]
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return [await client.get("/health/ready") for _ in range(3)]
    finally:
        await container.maintenance().close()
        await container.redis_server().close()
        await container.kafka_queue().stop()


async def test_what_a_pooler_refuses_is_said_without_details(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    refusal = {
        "S": "FATAL",
        "C": "08P01",
        "M": "unsupported startup parameter: statement_timeout",
        "D": PASSWORD,
        "H": PASSWORD,
    }
    async with pooler(refusal) as port:
        answers = await readiness(settings, f"postgresql+asyncpg://bellwire:{PASSWORD}@127.0.0.1:{port}/any")

    said = "PostgreSQL is out of reach: unsupported startup parameter: statement_timeout (08P01)"
    assert answers[-1].json()["checks"]["postgres"] == said
    assert caplog.text.count(said) == 1
    assert PASSWORD not in caplog.text + answers[-1].text


async def test_what_a_pooler_without_a_server_says_is_said_once(
    shared_url: str, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    """It takes connections all the same, and refuses what is asked of them."""
    caplog.set_level("INFO")
    refusal = {"S": "FATAL", "C": "08P01", "M": "server login has been failing"}
    engine = a_connection(through(proxy, shared_url))
    assert await is_well(engine)
    to_server = proxy._connect
    async with pooler(refusal, late=True) as port:
        proxy._connect = lambda: asyncio.open_connection("127.0.0.1", port)
        proxy.reset()
        said = "server login has been failing (08P01)"
        for _ in range(5):
            await eventually(lambda: reason_is(engine, said), "it says what the pooler said")
    proxy._connect = to_server
    await eventually(lambda: is_well(engine), "it is back")
    await engine.dispose()

    assert caplog.text.count(said) == 1
    assert caplog.text.count("over: PostgreSQL is out of reach") == 1


async def test_a_reason_is_said_again_when_it_is_another_one_and_after_recovery(
    shared_url: str, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    engine = a_connection(through(proxy, shared_url))
    patience = MANY
    event.listen(engine.sync_engine, "do_connect", lambda *given: given[3].update(timeout=patience))

    async def three_times(spoil: Callable[[], None]) -> None:
        nonlocal patience
        patience = LITTLE if spoil == proxy.black_hole else MANY
        spoil()
        await asyncio.sleep(0)  # until nothing listens any more
        await asyncio.sleep(0)
        for _ in range(3):
            await eventually(lambda: is_away(engine), "it is out of reach")
        patience = MANY
        proxy.heal()

    await three_times(proxy.down)
    await three_times(proxy.black_hole)
    await three_times(proxy.down)
    assert await is_well(engine)
    await three_times(proxy.down)
    await engine.dispose()

    said = [record.message for record in caplog.records if record.name == "adapters.postgres.engine"]
    assert said == [
        "PostgreSQL is out of reach: Connection refused",
        "PostgreSQL is out of reach: no answer in time",
        "over: PostgreSQL is out of reach",
        "PostgreSQL is out of reach: Connection refused",
    ]


async def is_away(engine: AsyncEngine) -> bool:
    return (await ping(engine)).startswith("PostgreSQL is out of reach")


async def test_who_asks_for_something_else_is_not_told_why() -> None:
    """It is for those who run the service."""
    engine = create_engine(
        "postgresql+asyncpg://nobody@127.0.0.1:1/x", pool_size=1, application="tests", jitter=uniform
    )

    error = await outcome(lambda engine: PostgresFeeds(engine).feed(ADA), engine)

    assert str(error) == "The store is out of reach. Try again shortly."
    await engine.dispose()


# --- what becomes of a connection -------------------------------------------------------------------------


async def fails(engine: AsyncEngine, form: str, state: str) -> None:
    """Have the server answer a statement with this."""
    statement = f"DO $$ BEGIN RAISE EXCEPTION 'asked for' USING ERRCODE = '{state}'; END $$"
    with suppress(Unavailable, Refused):
        if form == "transaction":
            async with transaction(engine) as connection:
                await connection.execute(text(statement))
        else:
            lend = {"driver": driver, "driver_transaction": driver_transaction}[form]
            async with lend(engine) as raw:
                await raw.execute(statement)


@pytest.mark.parametrize("form", ["driver", "driver_transaction", "transaction"])
@pytest.mark.parametrize(
    ("kept", "states"),
    [
        (2, ["0A000", "22003", "23505", "28000", "3D000", "40001", "40P01", "42501", "42601", "53100"]),
        (2, ["53200", "53300", "53400", "54000", "55000", "55P03", "57014", "58030", "XX001", "XX002"]),
        (1, ["08006", "08P01", "25001", "25P02", "25P03", "26000", "34000", "40003", "42P05", "57P01"]),
        (1, ["57P02", "57P03", "57P04", "57P05", "XX000"]),
        (0, ["25006", "3F000", "42P01"]),
    ],
)
async def test_an_answer_ends_the_statement_the_connection_or_all_of_its_time(
    two: AsyncEngine, form: str, kept: int, states: list[str]
) -> None:
    limit(two, young=0)
    for state in states:
        before = await backends(two)

        await fails(two, form, state)

        assert len(before & await backends(two)) == kept, state
    assert free(two)


@pytest.mark.parametrize("lend", [driver, transaction])
async def test_a_connection_left_inside_a_transaction_is_not_lent_again(two: AsyncEngine, lend: Any) -> None:
    """The next one's statements would seem to succeed and never be committed."""

    async def leave_it() -> None:
        async with lend(two) as connection:
            raw = connection if lend is driver else await driver_of(connection)
            await raw.execute("BEGIN")
            raise LookupError

    with pytest.raises(LookupError):
        await leave_it()
    for number in (1, 2):
        async with driver(two) as connection:
            assert not connection.is_in_transaction()
        await PostgresFeeds(two).append([a_draft(number)])

    assert (await PostgresFeeds(two).feed(ADA)).version == 2


async def driver_of(connection: Any) -> Any:
    return (await connection.get_raw_connection()).driver_connection


async def test_a_commit_that_is_not_answered_ends_the_connection(shared_url: str, proxy: Proxy) -> None:
    """Nobody knows whether it was done, and what the connection would answer next."""
    engine = a_connection(through(proxy, shared_url), command=LITTLE)
    used: list[Any] = []

    async def commit_in_vain(engine: AsyncEngine) -> None:
        async with transaction(engine) as connection:
            used.append(await driver_of(connection))
            await connection.execute(text("SELECT 1"))
            proxy.black_hole()

    try:
        await outcome(commit_in_vain, engine)

        assert used[0].is_closed()
        assert free(engine)
        proxy.heal()
        assert await is_well(engine)
    finally:
        await engine.dispose()


@pytest.mark.parametrize("answers", range(8))
async def test_who_gives_up_while_a_connection_is_opened_leaves_nothing(
    shared_url: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, answers: int
) -> None:
    """The way breaks after so many answers, from the first one of the handshake to the last of the set-up."""
    engine = a_connection(through(proxy, shared_url))
    before = asyncio.all_tasks()
    left = answers
    receive = Protocol.data_received

    def received(protocol: Any, data: bytes) -> None:
        nonlocal left
        receive(protocol, data)
        left -= 1
        if left == 0:
            proxy.black_hole()

    monkeypatch.setattr(Protocol, "data_received", received)
    if not answers:
        proxy.black_hole()
    asked = asyncio.create_task(driver_lent(engine))
    await eventually(lambda: left <= 0 or asked.done(), "it is half-way")
    asked.cancel()
    for _ in range(100):  # turns of the loop, which take no time: there is nothing to wait for
        await asyncio.sleep(0)

    assert asked.done()
    assert free(engine)
    proxy.heal()
    assert await is_well(engine)
    await engine.dispose()
    proxy.reset()
    await eventually(lambda: not others(before), "no task is left")


async def driver_lent(engine: AsyncEngine) -> None:
    async with driver(engine):
        pass


def others(before: set["asyncio.Task[Any]"]) -> list[str]:
    """The code of tasks that were not there before, but for a proxy's."""
    files = [str(task.get_coro().cr_code.co_filename) for task in asyncio.all_tasks() - before]  # type: ignore[union-attr]
    return [file for file in files if not file.endswith("proxy.py")]


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    "write",
    [lambda engine: PostgresApiKeys(engine).note_uses({"key": NOW}), EVERY_USER_OF_THE_POOL["revoke"]],
    ids=["driver", "sqlalchemy"],
)
async def test_a_transaction_that_could_not_begin_spoils_no_later_one(
    shared_url: str, monkeypatch: pytest.MonkeyPatch, write: Ask
) -> None:
    """The driver would take the next one for one inside of it."""
    execute = asyncpg.Connection.execute
    refused = [True]

    async def once(connection: Any, query: str, *arguments: Any, **options: Any) -> Any:
        if query == "BEGIN;" and refused:
            refused.clear()
            raise asyncpg.QueryCanceledError("at just this moment")
        return await execute(connection, query, *arguments, **options)

    one = create_engine(shared_url, pool_size=1, application="tests", jitter=uniform)
    assert await is_well(one)
    monkeypatch.setattr(asyncpg.Connection, "execute", once)
    with pytest.raises(Unavailable):
        await write(one)

    await write(one)

    await one.dispose()


async def test_a_connection_that_could_not_be_set_up_does_not_end_others_later(
    two: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[Callable[[], None]] = []
    loop = asyncio.get_running_loop()
    later = loop.call_later

    def noted(seconds: float, call: Callable[..., None], *arguments: Any, **options: Any) -> Any:
        if seconds == Limits().in_use:
            ends.append(lambda: call(*arguments))
        return later(seconds, call, *arguments, **options)

    def broken(*_: object) -> None:
        event.remove(two.sync_engine, "connect", broken)
        raise OSError("as if the way broke")

    event.listen(two.sync_engine, "connect", broken)
    monkeypatch.setattr(loop, "call_later", noted)
    assert await ping(two) == "PostgreSQL is out of reach: as if the way broke"
    before = await backends(two)

    ends[0]()

    assert await backends(two) == before


# --- a connection that is ended under who uses it ---------------------------------------------------------


@pytest.fixture
def ended_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Have a connection ended when servers have answered so often, before who asked looks at the answer."""
    left = 0
    connected: dict[Any, Any] = {}
    receive, set_connection = Protocol.data_received, Protocol.set_connection

    def set_and_noted(protocol: Any, connection: Any) -> None:
        connected[protocol] = connection
        set_connection(protocol, connection)

    def received(protocol: Any, data: bytes) -> None:
        nonlocal left
        receive(protocol, data)
        if protocol in connected:  # what is not, nobody could end
            left -= 1
            if left == 0:
                connected[protocol].terminate()

    def after(answers: int) -> None:
        nonlocal left
        left = answers

    monkeypatch.setattr(Protocol, "set_connection", set_and_noted)
    monkeypatch.setattr(Protocol, "data_received", received)
    return after


async def forget(engine: AsyncEngine) -> None:
    """Have the driver close statements on the server, one after the other, as it does with old ones."""
    async with driver(engine) as connection:
        for number in range(3):
            await connection.fetch(f"SELECT {number}")
        connection._drop_local_statement_cache()
        await connection.fetch("SELECT 'another'")


@pytest.mark.parametrize(
    "ask", [*EVERY_USER_OF_THE_POOL.values(), forget], ids=[*EVERY_USER_OF_THE_POOL, "forget"]
)
@pytest.mark.parametrize("pooled", [True, False], ids=["pooled", "new"])
async def test_wherever_a_connection_is_ended_under_them_everybody_gets_an_answer(
    two: AsyncEngine, shared_url: str, ended_after: Callable[[int], None], ask: Ask, pooled: bool
) -> None:
    await PostgresFeeds(two).append(drafts(3))
    outcomes = [True]
    while outcomes[-1]:
        engine = create_engine(shared_url, pool_size=1, application="tests", jitter=uniform)
        if pooled:
            await PostgresUsers(engine, token_hex).known([ADA])
        ended_after(len(outcomes))
        outcomes.append(await is_unavailable(ask, engine))
        ended_after(0)
        assert free(engine)
        assert await is_well(engine)
        await engine.dispose()

    # A pooled connection answers once to one that asks a single question: there is nothing in between.
    once = pooled and ask is EVERY_USER_OF_THE_POOL["known users"]
    assert len(outcomes) > (1 if once else 2)


async def is_unavailable(ask: Ask, engine: AsyncEngine) -> bool:
    try:
        await ask(engine)
    except Unavailable:
        return True
    except (Refused, UserTaken):
        return False
    return False


async def test_a_mistake_of_ours_on_a_connection_that_is_ended_stays_a_mistake(two: AsyncEngine) -> None:
    nothing: Any = None

    async def mistaken() -> None:
        async with driver(two) as connection:
            connection.terminate()
            nothing.fetch()

    with pytest.raises(AttributeError):
        await mistaken()


async def test_a_mistake_of_the_driver_on_an_open_connection_stays_a_mistake(
    two: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def mistaken() -> None:
        async with driver(two) as connection:
            monkeypatch.setattr(type(connection), "_get_statement", None)
            await connection.fetch("SELECT 1")

    with pytest.raises(TypeError):
        await mistaken()
