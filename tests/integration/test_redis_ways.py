"""The promises of the ports on Redis as companies run it, each way of connecting in turn."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from random import uniform
from secrets import token_hex, token_urlsafe
from time import monotonic
from typing import Literal
from urllib.parse import quote

import msgspec
import pytest
from redis import Redis as Synchronous

from adapters import clock as system
from adapters.redis.announcer import RedisAnnouncer
from adapters.redis.idempotency import RedisIdempotencyKeys
from adapters.redis.index import RedisUnreadIndex
from adapters.redis.inspection import RedisInspection
from adapters.redis.limits import RedisLogInAttempts, RedisRates
from adapters.redis.server import RedisServer, connect
from adapters.redis.stages import RedisStages
from adapters.redis.tickets import RedisTickets
from application.pages import Missing
from tests import contracts, limit_contracts
from tests.build import ADA, MACS
from tests.conftest import as_read
from tests.integration.test_limits_redis import TestRedisLogInAttempts as OnRedis
from tests.integration.test_limits_redis import attempts_on
from tests.integration.test_redis import CAPACITY, Applied, Carried, a_hub, receiving
from tests.integration.test_redis_faults import playing
from tests.product import Product, Stores
from tests.redis_servers import (
    PASSWORD,
    TlsServer,
    ValkeyServer,
    certificates,
    documented_rights,
    watched,
    without_commands,
)
from workbench import embedded
from workbench.embedded import LOOPBACK
from workbench.programs import REDIS_URL, MissingServer

Address = tuple[str, Literal["server", "sentinel"]]


class Servers:
    """Servers that are started when a test asks for them, and stopped after all tests of the file."""

    def __init__(self, folder: Path, running: ExitStack) -> None:
        self._folder = folder
        self._running = running
        self._started: dict[str, Address] = {}

    def __getitem__(self, way: str) -> Address:
        """The address of the one for this way of connecting."""
        if way not in self._started:
            folder = self._folder / way
            folder.mkdir()
            start: Callable[[Path], Address] = getattr(self, f"_{way}")
            self._started[way] = start(folder)
        return self._started[way]

    def _start(self, server: embedded.AnyServer) -> embedded.AnyServer:
        return self._running.enter_context(embedded.started(server, lambda _: None))

    def _plain(self, folder: Path) -> embedded.RedisServer:
        return self._start(embedded.RedisServer(folder))

    def _tls(self, folder: Path) -> Address:
        made = certificates(folder)
        server = self._start(TlsServer(folder, made))
        return f"rediss://{LOOPBACK}:{server.tls_port}/0?{made.parameters}", "server"

    def _account(self, folder: Path) -> Address:
        server = self._plain(folder)
        with Synchronous(port=server.port) as admin:
            rights = ["reset", "on", f">{PASSWORD}", *documented_rights("test-")]
            admin.execute_command("ACL", "SETUSER", "bellwire", *rights)
            admin.execute_command("ACL", "SETUSER", "default", "off")
        return f"redis://bellwire:{quote(PASSWORD, safe='')}@{LOOPBACK}:{server.port}/0", "server"

    def _managed(self, folder: Path) -> Address:
        return self._start(embedded.RedisServer(folder, arguments=without_commands())).url, "server"

    def _sentinel(self, folder: Path) -> Address:
        return self._running.enter_context(watched(folder, password="of-sentinels")).url, "sentinel"

    def _tls_sentinel(self, folder: Path) -> Address:
        return self._running.enter_context(watched(folder, made=certificates(folder))).url, "sentinel"

    def _valkey(self, folder: Path) -> Address:
        return self._start(ValkeyServer(folder)).url, "server"

    def _socket(self, folder: Path) -> Address:
        path = folder / "redis.sock"
        self._start(embedded.RedisServer(folder, arguments=["--unixsocket", str(path)]))
        return f"unix://{path}?db=3", "server"

    def _ipv6(self, folder: Path) -> Address:
        server = self._start(embedded.RedisServer(folder, arguments=["--bind", "::1", LOOPBACK]))
        return f"redis://[::1]:{server.port}/15", "server"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with ExitStack() as running:
        yield Servers(tmp_path_factory.mktemp("redis"), running)


WAYS = ["tls", "account", "managed", "sentinel", "valkey"]
everywhere = pytest.mark.parametrize("redis_server", WAYS, indirect=True)
"""These are tried with every promise, those that differ only in the address with some."""


@pytest.fixture(params=[*WAYS, "tls_sentinel", "socket", "ipv6"])
async def redis_server(request: pytest.FixtureRequest, started: Servers) -> AsyncIterator[RedisServer]:
    try:
        url, mode = await asyncio.to_thread(started.__getitem__, request.param)
    except MissingServer as missing:
        pytest.skip(str(missing))
    server = RedisServer(connect(url, mode=mode, now=monotonic), monotonic)
    yield server
    await server.close()


@everywhere
class TestIndex(contracts.UnreadIndexContract):
    @pytest.fixture
    def under_test(self, redis_server: RedisServer, name: str) -> Applied:
        index = RedisUnreadIndex(redis_server, name, MACS, CAPACITY, uniform, token_hex)
        return Applied(index, redis_server, name)


class TestAnnouncer(contracts.AnnouncerContract):
    """With a subscription."""

    @pytest.fixture
    async def carrier(self, redis_server: RedisServer, name: str) -> AsyncIterator[Carried]:
        hub = a_hub()
        announcer = RedisAnnouncer(redis_server, name, MACS, CAPACITY, uniform, clock=system.now)
        index = RedisUnreadIndex(redis_server, name, MACS, CAPACITY, uniform, token_hex)
        async with receiving(redis_server, name, hub):
            yield Carried(announcer, index, hub, redis_server)


@everywhere
class TestIdempotencyKeys(contracts.IdempotencyKeysContract):
    @pytest.fixture
    def keys(self, redis_server: RedisServer, name: str) -> RedisIdempotencyKeys:
        return RedisIdempotencyKeys(redis_server, name, MACS, 0)


@everywhere
class TestStages(contracts.StagesContract):
    @pytest.fixture
    def stages(self, redis_server: RedisServer, name: str) -> RedisStages:
        return RedisStages(redis_server, name)


class TestTickets(contracts.TicketsContract):
    @pytest.fixture
    def tickets(self, redis_server: RedisServer, name: str) -> RedisTickets:
        return RedisTickets(redis_server, name, MACS, token_urlsafe)


@everywhere
class TestRates(limit_contracts.RatesContract):
    @pytest.fixture
    def rates(self, redis_server: RedisServer, name: str) -> RedisRates:
        return RedisRates(redis_server, name)


@everywhere
class TestLogInAttempts(limit_contracts.LogInAttemptsContract):
    @pytest.fixture
    def attempts(self, redis_server: RedisServer, name: str) -> RedisLogInAttempts:
        return attempts_on(redis_server, name)

    pass_delay = OnRedis.pass_delay


async def test_doctor_looks_and_everything_is_forgotten(
    redis_server: RedisServer, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    index = RedisUnreadIndex(redis_server, name, MACS, CAPACITY, uniform, token_hex)
    announcer = RedisAnnouncer(redis_server, name, MACS, CAPACITY, uniform, clock=system.now)
    applied = Applied(index, redis_server, name)
    await contracts.UnreadIndexContract().load(applied, 1)

    state = await RedisInspection(redis_server, name, MACS, system.now).look()
    assert (state.entries, state.foreign) == (1, 0)
    assert await index.sample(10) == [ADA]
    await announcer.forget_everything()
    await index.erase(ADA)

    assert isinstance(await index.page(ADA, 1, None), Missing)
    await redis_server.ping()
    assert caplog.text == ""


@pytest.fixture
def address(request: pytest.FixtureRequest, started: Servers) -> Address:
    try:
        return started[request.param]
    except MissingServer as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize("address", ["tls", "managed", "valkey", "socket"], indirect=True)
async def test_what_is_published_is_stored_indexed_pushed_and_read(
    address: Address, environment: Mapping[str, str], tmp_path: Path
) -> None:
    url, mode = address
    chosen = {**environment, REDIS_URL: url, "BELLWIRE_REDIS_MODE": mode}
    product = Product(tmp_path, chosen, as_read(chosen))
    nowhere = msgspec.structs.replace(product.settings, redis_url="redis://nobody")
    try:
        await product.prepare()
        async with Stores.open(nowhere) as stores:
            stores.redis = connect(url, mode=mode, now=monotonic)
            async with playing(product, stores) as scene:
                await scene.traffic.more(30)
                assert await scene.redis_is(away=False)
            await stores.redis.aclose()
    finally:
        await product.stop()
