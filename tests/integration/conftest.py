"""The real adapters, each on the test's own part of the servers."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from secrets import token_hex
from time import monotonic

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.feeds import PostgresFeeds
from adapters.postgres.users import PostgresUsers
from adapters.redis.server import RedisServer, connect
from entrypoints.settings import Settings
from tests import store
from tests.conftest import Databases
from tests.product import Product, Stores
from workbench.embedded import EmbeddedServers


@pytest.fixture(scope="module")
def shared_url(databases: Databases, template: str) -> Iterator[str]:
    """A database that the tests of a module empty and use in turn: cheaper than one for each."""
    url = databases.create(template=template)
    yield url
    databases.drop(url)


@pytest.fixture
async def engine(shared_url: str) -> AsyncIterator[AsyncEngine]:
    """Connections to an empty database."""
    async with store.connected(shared_url) as engine:
        await store.empty(engine)
        yield engine


@pytest.fixture
def users(engine: AsyncEngine) -> PostgresUsers:
    return PostgresUsers(engine, token_hex)


@pytest.fixture
def feeds(engine: AsyncEngine) -> PostgresFeeds:
    return PostgresFeeds(engine)


@pytest.fixture
async def redis_server(servers: EmbeddedServers) -> AsyncIterator[RedisServer]:
    server = RedisServer(connect(servers.redis_url, now=monotonic), monotonic)
    yield server
    await server.close()


@pytest.fixture
async def product(
    tmp_path: Path, environment: Mapping[str, str], settings: Settings
) -> AsyncIterator[Product]:
    """Processes of the test's own; none is started yet."""
    made = Product(tmp_path, environment, settings)
    await made.prepare()
    yield made
    await made.stop()


@pytest.fixture
async def stores(product: Product) -> AsyncIterator[Stores]:
    async with Stores.open(product.settings) as opened:
        yield opened


class Run:
    """How long a test takes, and where its figures go."""

    def __init__(self, request: pytest.FixtureRequest, record: Callable[[str, object], None]) -> None:
        self._test = request.node.name
        self._record = record
        self.long = bool(request.config.getoption("--long"))

    def note(self, **figures: float) -> None:
        """Keep figures in the report of the run, and print them (shown with -rP)."""
        for name, value in figures.items():
            shown = round(value, 2)
            self._record(name, shown)
            print(f"{self._test}: {name} = {shown}")


@pytest.fixture
def run(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Run:
    return Run(request, record_property)
