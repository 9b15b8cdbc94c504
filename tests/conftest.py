"""Which servers the tests use, and what each test gets of them for itself.

Nothing starts before a test asks for it: unit tests run without any server.

    --servers embedded    real servers from wheels, started here (the default)
    --servers kafka       the same with Apache Kafka as the broker, which `make kafka` fetches
    --servers docker      PostgreSQL 18, Redis 8 and Apache Kafka 4 in containers
    --servers external    the servers named by BELLWIRE_POSTGRES_URL, BELLWIRE_REDIS_URL and
                          BELLWIRE_KAFKA_BOOTSTRAP; the account needs CREATEDB

    --long                faults that last minutes, loads to match, and schedules of a random seed
    -n 4                  in so many processes, each with servers of its own: see tests/parallel.py
"""

import asyncio
import os
import secrets
import signal
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from random import uniform
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from xdist.remote import Producer

from adapters import clock as system
from adapters.postgres.engine import create_engine
from adapters.postgres.migrations import upgrade
from adapters.postgres.partitions import ensure_partitions
from entrypoints.settings import Settings
from tests import parallel
from tests.build import NOW
from tests.forked import Forking
from tests.whole import Container, build
from workbench import apache_kafka
from workbench.embedded import EmbeddedServers, KafkaServer, TansuServer
from workbench.processes import Process
from workbench.programs import KAFKA_BOOTSTRAP, POSTGRES_URL, REDIS_URL, MissingServer

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background by a shell without job control: the commands that tests interrupt, which
    # inherit it, would go on.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A failing assertion in there is shown with its values, as in a test module.
pytest.register_assert_rewrite(
    "tests.contracts",
    "tests.store",
    "tests.limit_contracts",
    "tests.wiring",
    "tests.product",
    "tests.load",
    "tests.crowd",
    "tests.browser.device",
    "tests.browser.stage",
)

PARTITIONS = 3
SCHEDULES, SCHEDULES_LONG = 400, 10_000
"""As many as it takes to notice each weakness of tests/simulation/weakened.py; and many."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--servers", choices=["embedded", "kafka", "docker", "external"], default="embedded")
    parser.addoption("--long", action="store_true", help="durations as the fault matrix has them")
    parser.addoption("--schedules", type=int, help=f"how many are simulated: {SCHEDULES} ({SCHEDULES_LONG})")
    parser.addoption("--seed", type=int, help="the first of their seeds: 0 (a random one)")


def pytest_configure(config: pytest.Config) -> None:
    """End at once without the broker that was asked for: tests that were skipped would look like success.

    BELLWIRE_… variables of the shell, such as those of `bellwire dev`, are removed, and OTEL_….
    """
    # Otherwise asyncio makes a loop when something asks for the current one before a test has set one. Nobody
    # closes it, and the warning fails the test during which it is collected.
    asyncio.set_event_loop(None)
    for variable in [name for name in os.environ if name.startswith(("BELLWIRE_", "OTEL_"))]:
        if variable not in (POSTGRES_URL, REDIS_URL, KAFKA_BOOTSTRAP):
            del os.environ[variable]
    os.environ["BELLWIRE_DATA"] = os.devnull  # nor those of one that runs in this checkout
    if config.getoption("--servers") == "kafka":
        try:
            apache_kafka.require(_kafka_home())
        except MissingServer as missing:
            raise pytest.UsageError(f"--servers kafka: {missing}") from None

    if config.getoption("--servers") == "external" and config.option.numprocesses:
        raise pytest.UsageError("--servers external: the tests fill and empty them, so only in one process")
    long = config.getoption("--long")
    if config.option.schedules is None:
        config.option.schedules = SCHEDULES_LONG if long else SCHEDULES
    if config.option.seed is None:
        config.option.seed = secrets.randbelow(10**9) if long else 0
    if (worker := getattr(config, "workerinput", None)) is not None:
        parallel.keep_to_own_ports(worker["workerid"], worker["workercount"])


def pytest_report_header(config: pytest.Config) -> str:
    return f"simulation: --schedules {config.option.schedules} --seed {config.option.seed}"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--long"):
        left_out = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    parallel.in_order(items)
    if hasattr(config, "workerinput"):
        parallel.longest_first(items)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> parallel.Schedule:
    config.option.loadscopereorder = False  # the order of collection is the better one
    return parallel.Schedule(config, log)


def _kafka_home() -> Path:
    """Where `make kafka` puts it, unless an installed one is named."""
    return Path(os.environ.get("KAFKA_HOME") or Path(__file__).resolve().parents[1] / ".bellwire" / "kafka")


@pytest.fixture(scope="session", autouse=True)
def forking() -> Iterator[None]:
    """Have processes of ours begin where their imports end; see tests/forked.py."""
    interpreter, usual = Forking(), Process.spawn
    Process.spawn = staticmethod(interpreter.start)
    yield
    Process.spawn = staticmethod(usual)
    interpreter.stop()


# --- the servers, once a session --------------------------------------------------------------------------


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Iterator[EmbeddedServers]:
    """Where the servers are; `.postgres`, `.redis` and `.kafka` can be killed where they run here."""
    kinds: Mapping[str, Callable[[], AbstractContextManager[EmbeddedServers]]] = {
        "embedded": partial(_started_here, TansuServer),
        "kafka": partial(_started_here, partial(apache_kafka.ApacheKafkaServer, home=_kafka_home())),
        "docker": _containers,
        "external": _external,
    }
    try:
        with kinds[request.config.getoption("--servers")]() as started:
            yield started
    except MissingServer as missing:
        pytest.skip(str(missing))


@contextmanager
def _started_here(broker: Callable[..., KafkaServer]) -> Iterator[EmbeddedServers]:
    # Not below pytest's own folder: every run of pytest closes that to other accounts, and for root
    # PostgreSQL runs as one.
    with (
        TemporaryDirectory(prefix="bellwire-tests-") as folder,
        EmbeddedServers.start(Path(folder), broker=broker) as started,
    ):
        if started.postgres:
            # Several times faster. What was written outlives a killed server, only not a killed machine.
            started.postgres.sql("ALTER SYSTEM SET fsync = off")
            started.postgres.sql("SELECT pg_reload_conf()")
        yield started


@contextmanager
def _external() -> Iterator[EmbeddedServers]:
    names = (POSTGRES_URL, REDIS_URL, KAFKA_BOOTSTRAP)
    if missing := [name for name in names if not os.environ.get(name)]:
        pytest.fail(f"--servers external needs {', '.join(missing)}")
    yield _given(*(os.environ[name] for name in names))


@contextmanager
def _containers() -> Iterator[EmbeddedServers]:
    from testcontainers.community.postgres import PostgresContainer
    from testcontainers.community.redis import RedisContainer

    with (
        PostgresContainer("postgres:18", driver="asyncpg") as postgres,
        RedisContainer("redis:8") as redis,
        _apache_kafka() as bootstrap,
    ):
        redis_url = f"redis://{redis.get_container_host_ip()}:{redis.get_exposed_port(6379)}/0"
        yield _given(postgres.get_connection_url(), redis_url, bootstrap)


@contextmanager
def _apache_kafka() -> Iterator[str]:
    """One broker of Apache's own image.

    testcontainers' KafkaContainer is made for Confluent's. Clients are sent to the address that the broker
    advertises, so it must be told, before it starts, the port that it will have outside: we choose one.
    """
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    from workbench.embedded import free_port

    port = free_port()
    broker = DockerContainer("apache/kafka:4.1.0").with_bind_ports(9092, port)
    address = f"{broker.get_docker_client().host()}:{port}"
    for name, value in {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9094",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENERS": "OUTSIDE://:9092,INSIDE://:9093,CONTROLLER://:9094",
        "KAFKA_ADVERTISED_LISTENERS": f"OUTSIDE://{address},INSIDE://localhost:9093",
        "KAFKA_INTER_BROKER_LISTENER_NAME": "INSIDE",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": ("OUTSIDE:PLAINTEXT,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT"),
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    }.items():
        broker.with_env(name, value)
    broker.waiting_for(LogMessageWaitStrategy("Kafka Server started"))
    with broker:
        yield address


def _given(postgres_url: str, redis_url: str, kafka_bootstrap: str) -> EmbeddedServers:
    """Servers that are somebody else's: they cannot be killed."""
    return EmbeddedServers(
        postgres_url=postgres_url,
        redis_url=redis_url,
        kafka_bootstrap=kafka_bootstrap,
        postgres=None,
        redis=None,
        kafka=None,
    )


# --- what a test gets for itself --------------------------------------------------------------------------


class Databases:
    """Makes and drops databases next to the one that a URL names."""

    def __init__(self, url: str) -> None:
        self._url = url

    def create(self, *, template: str = "template1") -> str:
        """Make a database; return its URL."""
        name = f"bellwire_test_{secrets.token_hex(6)}"
        self._run(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
        return make_url(self._url).set(database=name).render_as_string(hide_password=False)

    def drop(self, url: str) -> None:
        self._run(f'DROP DATABASE IF EXISTS "{self.name(url)}" WITH (FORCE)')

    @staticmethod
    def name(url: str) -> str:
        return make_url(url).database or ""

    def _run(self, statement: str) -> None:
        async def run() -> None:
            engine = create_async_engine(self._url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
            try:
                async with engine.connect() as connection:
                    await connection.execute(text(statement))
            finally:
                await engine.dispose()

        on_own_loop(run)


def on_own_loop(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine from where a loop may run already, or another's is set."""
    in_thread(lambda: asyncio.run(work()))


def in_thread(work: Callable[[], None]) -> None:
    """Run something that brings an event loop of its own."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


@pytest.fixture(scope="session")
def databases(servers: EmbeddedServers) -> Databases:
    return Databases(servers.postgres_url)


@pytest.fixture(scope="session")
def template(databases: Databases) -> Iterator[str]:
    """A migrated database with the partitions of the tests' month and of this one. Nobody connects to it."""

    async def prepare() -> None:
        engine = create_engine(url, pool_size=1, application="tests", jitter=uniform)
        try:
            await ensure_partitions(engine, NOW)
            await ensure_partitions(engine, system.now())
        finally:
            await engine.dispose()

    url = databases.create()
    try:
        in_thread(lambda: upgrade(url))
        on_own_loop(prepare)
        yield databases.name(url)
    finally:
        databases.drop(url)


@pytest.fixture
def postgres_url(databases: Databases, template: str) -> Iterator[str]:
    """An empty, migrated database of the test's own."""
    url = databases.create(template=template)
    yield url
    databases.drop(url)


@pytest.fixture
def name() -> str:
    """What keys in Redis and topics of this test begin with: no other test has it.

    What is left in Redis expires; topics of an external broker stay until somebody removes them.
    """
    return f"test-{secrets.token_hex(6)}"


@pytest.fixture
def environment(servers: EmbeddedServers, postgres_url: str, name: str) -> dict[str, str]:
    """The variables with which processes of this test are started."""
    return installation(servers, postgres_url, name)


def installation(servers: EmbeddedServers, postgres_url: str, name: str) -> dict[str, str]:
    """The variables with which processes are started that have a database and a name of their own."""
    return {
        POSTGRES_URL: postgres_url,
        REDIS_URL: servers.redis_url,
        KAFKA_BOOTSTRAP: servers.kafka_bootstrap,
        "BELLWIRE_REDIS_PREFIX": name,
        "BELLWIRE_KAFKA_TOPIC": name,
        "BELLWIRE_KAFKA_PARTITIONS": str(PARTITIONS),
        "BELLWIRE_KAFKA_GROUP": name,
        # The embedded broker makes a group wait for half of this whenever a member joins; a broker of others
        # takes no session shorter than 6 s ...
        "BELLWIRE_KAFKA_SESSION_SECONDS": "3" if servers.kafka else "6",
        # ... and a record for up to a fifth of this.
        "BELLWIRE_KAFKA_FETCH_WAIT_MS": "20",
        "BELLWIRE_TOKEN_SECRET": secrets.token_hex(32),
        "BELLWIRE_OPERATOR_SECRET": secrets.token_hex(32),
        "BELLWIRE_LOG_FORMAT": "text",
    }


@pytest.fixture
def settings(environment: Mapping[str, str]) -> Settings:
    """The same, as the processes read it."""
    return as_read(environment)


def as_read(environment: Mapping[str, str]) -> Settings:
    """What a process makes of its variables."""
    given = {name.removeprefix("BELLWIRE_").lower(): value for name, value in environment.items()}
    return msgspec.convert(given, Settings, strict=False)


@pytest.fixture
async def container(settings: Settings) -> AsyncIterator[Container]:
    """Everything wired for the test's own database, prefix and topic; the topic is not made yet."""
    built = build(settings)
    yield built
    await built.kafka_queue().stop()
    await built.redis_server().close()
    await built.maintenance().close()
    await built.engine().dispose()  # also where a test gave the rest another one
