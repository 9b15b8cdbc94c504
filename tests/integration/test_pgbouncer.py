"""Behind PgBouncer: the product, and the contracts of what it keeps in PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import uniform
from secrets import token_hex
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import create_engine, driver
from adapters.postgres.errors import explained
from adapters.postgres.feeds import PostgresFeeds
from adapters.postgres.migrations import upgrade
from application.errors import Unavailable
from entrypoints.commands import doctor
from entrypoints.commands.findings import Mark
from tests import contracts, store
from tests.build import ADA
from tests.conftest import as_read, in_thread, installation, on_own_loop
from tests.postgres_servers import PgBouncer, TcpPostgres, goes_the_whole_way, running
from tests.product import Product
from workbench.embedded import EmbeddedServers, started


@pytest.fixture(scope="module")
def server() -> Iterator[TcpPostgres]:
    with running() as found:
        in_thread(lambda: upgrade(found.url))
        on_own_loop(lambda: store.with_partitions(found.url))
        yield found


@pytest.fixture(scope="module", params=["session", "transaction"])
def bouncer(request: pytest.FixtureRequest, server: TcpPostgres) -> Iterator[PgBouncer]:
    """Of few connections to the server, so that a transaction rarely finds the one of the last."""
    with TemporaryDirectory(prefix="bellwire-tests-") as folder:
        size = 24 if request.param == "session" else 3
        with started(PgBouncer(Path(folder), server, request.param, size=size), lambda _line: None) as found:
            yield found


@pytest.fixture
async def engine(bouncer: PgBouncer) -> AsyncIterator[AsyncEngine]:
    async with store.connected(bouncer.url(), bouncer.mode, pool_size=8) as made:
        await store.empty(made)
        yield made


in_transactions = pytest.mark.parametrize("bouncer", ["transaction"], indirect=True)


@in_transactions
class TestFeedsBehindPgBouncer(contracts.FeedsContract):
    pass


@in_transactions
class TestUsersBehindPgBouncer(contracts.UsersContract):
    pass


async def test_statements_of_many_connections_are_not_mixed_up(engine: AsyncEngine) -> None:
    async def ask(number: int) -> None:
        for turn in range(30):
            async with driver(engine) as connection:
                wanted = number * 1000 + turn
                assert await connection.fetchval(f"SELECT $1::int + {number}", wanted) == wanted + number

    await asyncio.gather(*(ask(number) for number in range(8)))


async def test_the_limits_of_a_session_are_set(engine: AsyncEngine, bouncer: PgBouncer) -> None:
    async with driver(engine) as connection:
        found = await connection.fetchval("SELECT current_setting('statement_timeout')")

    assert found == {"session": "10s", "transaction": "0"}[bouncer.mode]


async def test_the_product_runs_behind_it(
    bouncer: PgBouncer, server: TcpPostgres, servers: EmbeddedServers, tmp_path: Path
) -> None:
    server.sql("CREATE DATABASE product")
    environment = installation(servers, bouncer.url("product"), f"pooled-{token_hex(4)}")
    environment["BELLWIRE_POSTGRES_POOLER"] = bouncer.mode
    product = Product(tmp_path, environment, as_read(environment))
    try:
        await product.prepare()
        await goes_the_whole_way(product)
        found = {finding.check: finding async for finding in doctor.examine(environment)}
    finally:
        await product.stop()
        server.drop_database("product")
    assert found["postgres"].mark is Mark.OK
    assert found["migrations"].mark is Mark.OK
    assert ("time limits" in found) == (bouncer.mode == "transaction")


async def test_without_the_setting_it_is_named(bouncer: PgBouncer, servers: EmbeddedServers) -> None:
    found = [each async for each in doctor.examine(installation(servers, bouncer.url(), "nobody"))]

    (fault,) = (each for each in found if each.check == "postgres")
    assert "unsupported startup parameter" in fault.text
    assert "BELLWIRE_POSTGRES_POOLER" in fault.fix
    engine = create_engine(bouncer.url(), pool_size=1, application="tests", jitter=uniform)
    try:
        with pytest.raises(Unavailable) as refused:
            await PostgresFeeds(engine).feed(ADA)
        assert "unsupported startup parameter" in explained(refused.value).detail
    finally:
        await engine.dispose()
