"""The service with no more rights than it needs: PostgreSQL rows, its own keys in Redis, a login to Kafka.

The roles and the account are those of docker-compose.yml.
"""

import re
import shlex
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import uniform
from secrets import token_hex

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import create_engine
from adapters.postgres.feeds import PostgresFeeds
from adapters.postgres.partitions import ensure_partitions
from adapters.postgres.retention import PostgresRetention
from adapters.postgres.users import PostgresUsers
from entrypoints.commands.setup import bring_up_to_date
from tests import contracts, store
from tests.build import ADA, LATER, NOW, a_user, drafts
from tests.conftest import as_read, in_thread, installation
from tests.crowd import publish
from tests.product import Product, create_users, eventually
from workbench.embedded import EmbeddedServers, RedisServer
from workbench.programs import POSTGRES_URL, REDIS_URL

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"


@dataclass(frozen=True)
class Roles:
    """A database that one role owns and another one uses."""

    owner_url: str
    service_url: str


@pytest.fixture(scope="module")
def roles(servers: EmbeddedServers) -> Iterator[Roles]:
    """As deploy/postgres-roles.sh makes them, under other names; then migrated."""
    if servers.postgres is None:
        pytest.skip("roles are made on a server that was started here")
    service = f"service_{token_hex(4)}"
    for statement in _statements(service):
        servers.postgres.sql(statement)
    url = make_url(servers.postgres.url_for(service))
    made = Roles(*(str(url.set(username=role)) for role in (f"{service}_owner", service)))
    environment = installation(servers, made.service_url, service)
    environment["BELLWIRE_MIGRATION_URL"] = made.owner_url
    for _ in range(2):  # granting again changes nothing
        in_thread(lambda: bring_up_to_date(as_read(environment)))
    yield made
    servers.postgres.drop_database(service)
    for role in (service, f"{service}_owner"):
        servers.postgres.sql(f"DROP ROLE {role}")


def _statements(service: str) -> list[str]:
    script = (ROOT / "deploy/postgres-roles.sh").read_text()
    sql = script.partition("<<'SQL'\n")[2].partition("\nSQL")[0]
    named = re.sub(r"\bbellwire", service, re.sub(r":'\w+'", "'secret'", sql))
    return [statement for statement in named.split(";") if statement.strip()]


@pytest.fixture
async def engine(roles: Roles) -> AsyncIterator[AsyncEngine]:
    """The service's connections to an empty database."""
    async with store.connected(roles.owner_url, pool_size=1) as owner:
        await store.empty(owner)
    async with store.connected(roles.service_url) as engine:
        await ensure_partitions(engine, NOW)
        yield engine


class TestFeedsOfTheService(contracts.FeedsContract):
    pass


class TestUsersOfTheService(contracts.UsersContract):
    pass


class TestApiKeysOfTheService(store.ApiKeysInPostgres):
    pass


class TestCategoriesOfTheService(store.CategoriesInPostgres):
    pass


FORBIDDEN = {
    "create a table": "CREATE TABLE mine (id int)",
    "create a temporary table": "CREATE TEMP TABLE mine (id int)",
    "create a function": "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "drop a table": "DROP TABLE users",
    "change a table": "ALTER TABLE notifications ADD COLUMN mine int",
    "empty a table": "TRUNCATE notifications",
    "rewrite the audit trail": "UPDATE audit SET actor = 'nobody'",
    "shorten the audit trail": "DELETE FROM audit",
    "move the schema's version": "UPDATE alembic_version SET version_num = '0001'",
    "read the passwords of roles": "SELECT * FROM pg_authid",
    "run a program": "COPY users TO PROGRAM 'cat'",
    "read a file": "COPY users FROM '/etc/hostname'",
    "become the owner": "SET ROLE {owner}",
}


@pytest.mark.parametrize("what", FORBIDDEN)
async def test_what_the_role_of_the_service_may_not_do(engine: AsyncEngine, roles: Roles, what: str) -> None:
    statement = FORBIDDEN[what].format(owner=make_url(roles.owner_url).username)
    with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"):
        async with engine.begin() as connection:
            await connection.execute(text(statement))


async def test_the_owner_prunes_what_the_service_has_stored(roles: Roles, engine: AsyncEngine) -> None:
    users, feeds = PostgresUsers(engine, token_hex), PostgresFeeds(engine)
    await users.add(a_user(ADA), None)
    await feeds.append(drafts(3))
    owner = create_engine(roles.owner_url, pool_size=1, application="tests", jitter=uniform)
    try:
        after = LATER.replace(year=LATER.year + 1)
        assert (await PostgresRetention(owner).prune(after, None, 100)).notifications == 3
        assert (await PostgresRetention(owner).drop(after)).dropped
    finally:
        await owner.dispose()


# --- the product, with the service's role and Compose's account of Redis ---


@pytest.fixture
def guarded_redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path, arguments=_redis_arguments())
    server.start()
    yield server
    server.stop()


def _redis_arguments() -> list[str]:
    """The command of Compose from the first account on, with a password."""
    service = COMPOSE.read_text().partition("\n  redis:\n")[2].partition("\n    environment:")[0]
    words = [shlex.split(line)[0] for line in re.findall(r"^ +- (.+)$", service, re.MULTILINE)]
    return [re.sub(r"\$\{.*\}", "secret", word) for word in words[words.index("--user") :]]


async def test_the_product_runs_with_these_rights(
    servers: EmbeddedServers, roles: Roles, guarded_redis: RedisServer, tmp_path: Path
) -> None:
    address = guarded_redis.url.replace("redis://", "redis://bellwire:secret@")
    environment = installation(servers, roles.service_url, f"rights-{token_hex(4)}") | {
        REDIS_URL: address,
        "BELLWIRE_REDIS_PREFIX": "bellwire",
    }
    product = Product(tmp_path, environment, as_read(environment))
    try:
        await product.prepare()
        await _use(product, guarded_redis, environment)
    finally:
        await product.stop()


async def _use(product: Product, server: RedisServer, environment: Mapping[str, str]) -> None:
    product._environment["BELLWIRE_CREATE_USERS"] = "publish"
    api = await product.api()
    await product.consumer()
    async with api.client("grace") as client:
        await create_users(client, ["grace"])
        await publish(client, [{"user_id": "ada", "event": "a.b", "message": "creates its user"}])
        async with api.follow("grace") as device:
            (sent,) = await publish(client, [{"user_id": "grace", "event": "a.b", "message": "few rights"}])
            await eventually(lambda: sent in device.items, "it comes live")
            assert (await device.ask(type="read", ids=[sent]))["changed"] == 1
        assert (await client.put("/v1/users/grace", json={"name": "Grace"})).status_code == 200
        assert (await client.post("/v1/users/grace/revoke-tokens")).status_code == 204
        assert (await client.get("/health/ready")).json()["checks"]["redis"] == "ok"
    assert environment[POSTGRES_URL] == product.settings.postgres_url

    account = Redis(port=server.port, username="bellwire", password="secret")
    with pytest.raises(NoPermissionError):
        await account.set("another:key", "x")
    with pytest.raises(NoPermissionError):
        await account.config_get("*")
    await account.aclose()


# --- Compose ---


def test_compose_gives_the_service_no_password_of_another_role() -> None:
    """Its processes see their own passwords; those of the owner and the superuser stay with their servers."""
    compose = COMPOSE.read_text()
    shared = compose[compose.index("x-bellwire:") : compose.index("\nservices:")]
    assert "path: .env" not in shared
    names = set(re.findall(r"\$\{([A-Z_]+_PASSWORD)", shared))
    assert names == {"SERVICE_PASSWORD", "REDIS_PASSWORD", "KAFKA_PASSWORD"}


def test_the_script_makes_every_secret_that_compose_wants() -> None:
    command = ["/bin/sh", str(ROOT / "deploy/make-env.sh")]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    given = dict(re.findall(r"^([A-Z_]+)=([0-9a-f]{48,})$", made.stdout, re.MULTILINE))
    wanted = set(re.findall(r"\$\{([A-Z_]+)(?::\?|-)", COMPOSE.read_text()))
    assert given.keys() == wanted
    assert len(set(given.values())) == len(given)
