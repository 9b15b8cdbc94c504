"""Other versions of PostgreSQL than the wheel's, and a schema other than public.

Debian's version is tried wherever it is installed, those of tests/postgres/fetch with --long.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from secrets import token_hex

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.migrations import downgrade, upgrade
from entrypoints.commands import doctor
from tests import contracts, store
from tests.conftest import as_read, in_thread, installation, on_own_loop
from tests.postgres_servers import TcpPostgres, goes_the_whole_way, installed_versions, running
from tests.product import Product
from workbench.embedded import EmbeddedServers, PostgresServer

VERSIONS = [15, *(pytest.param(version, marks=pytest.mark.long) for version in (16, 17, 18))]


@pytest.fixture(scope="module", params=VERSIONS)
def server(request: pytest.FixtureRequest) -> Iterator[TcpPostgres]:
    installed = installed_versions().get(request.param)
    if installed is None:
        pytest.skip(
            f"PostgreSQL {request.param}: apt install postgresql-{request.param}, or tests/postgres/fetch"
        )
    with running(installed=installed) as found:
        assert found.sql("SHOW server_version").startswith(f"{request.param}.")
        in_thread(lambda: upgrade(found.url))
        on_own_loop(lambda: store.with_partitions(found.url))
        yield found


@pytest.fixture
async def engine(server: TcpPostgres) -> AsyncIterator[AsyncEngine]:
    async with store.connected(server.url) as made:
        await store.empty(made)
        yield made


class TestFeedsOfAVersion(contracts.FeedsContract):
    pass


class TestUsersOfAVersion(contracts.UsersContract):
    pass


class TestApiKeysOfAVersion(store.ApiKeysInPostgres):
    pass


class TestCategoriesOfAVersion(store.CategoriesInPostgres):
    pass


async def test_the_product_runs_on_a_version(
    server: TcpPostgres, servers: EmbeddedServers, tmp_path: Path
) -> None:
    server.create_database("product")
    await runs(servers, server.url_for("product"), tmp_path)


async def runs(servers: EmbeddedServers, url: str, folder: Path, migration_url: str = "") -> None:
    environment = installation(servers, url, f"way-{token_hex(4)}")
    environment["BELLWIRE_MIGRATION_URL"] = migration_url
    product = Product(folder, environment, as_read(environment))
    try:
        await product.prepare()
        await goes_the_whole_way(product)
        found = {finding.check: finding.text async for finding in doctor.examine(environment)}
        assert found["migrations"].endswith("the newest")
        assert "exist" in found["partitions"]
    finally:
        await product.stop()


# --- a schema ---------------------------------------------------------------------------------------------


@pytest.fixture
def local(servers: EmbeddedServers) -> PostgresServer:
    return servers.postgres or pytest.skip("only a PostgreSQL that runs embedded can be configured")


@pytest.fixture
def database(local: PostgresServer) -> Iterator[str]:
    """A database in which nobody may use public, with roles of an owner and of the service."""
    name = f"schema_{token_hex(4)}"
    local.create_database(name)
    for statement in (
        f"CREATE ROLE {name}_owner LOGIN",
        f"CREATE ROLE {name} LOGIN",
        "DROP SCHEMA public",
        f'CREATE SCHEMA "An app" AUTHORIZATION {name}_owner',
    ):
        local.sql(statement, database=name)
    yield name
    local.drop_database(name)
    for role in (name, f"{name}_owner"):
        local.sql(f"DROP ROLE {role}")


async def test_everything_is_in_the_schema_of_search_path(
    servers: EmbeddedServers, local: PostgresServer, database: str, tmp_path: Path
) -> None:
    """As one role makes it and another uses it."""
    path = "options=-csearch_path%3D%22An%5C%20app%22"
    url = local.url_for(database).replace("postgres@", f"{database}@") + f"&{path}"

    await runs(servers, url, tmp_path, url.replace(f"{database}@", f"{database}_owner@"))

    where = "SELECT DISTINCT relnamespace::regnamespace FROM pg_class WHERE relname LIKE '%notifications%'"
    assert local.sql(where, database=database) == '"An app"\n'
    functions = "SELECT DISTINCT pronamespace::regnamespace FROM pg_proc WHERE proname LIKE 'bellwire%'"
    assert local.sql(functions, database=database) == '"An app"\n'


def test_a_schema_that_is_not_there_is_named_and_one_can_be_emptied(
    local: PostgresServer, database: str
) -> None:
    url = local.url_for(database) + "&options=-csearch_path%3D"
    with pytest.raises(Exception, match="no schema has been selected"):
        upgrade(f"{url}nowhere")

    local.sql("CREATE SCHEMA second", database=database)
    upgrade(f"{url}second")
    downgrade(f"{url}second", "base")

    left = "SELECT count(*) FROM pg_class WHERE relnamespace = 'second'::regnamespace"
    assert local.sql(left, database=database) == "2\n"  # of alembic
