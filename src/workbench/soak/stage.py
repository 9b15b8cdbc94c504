"""The stage of a run: the servers, a proxy before each of them, and the product's processes."""

import asyncio
import random
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from redis.asyncio import Redis

from entrypoints.settings import Settings
from workbench.embedded import LOOPBACK, EmbeddedServers, KafkaServer, free_port
from workbench.programs import KAFKA_BOOTSTRAP, POSTGRES_URL, REDIS_URL
from workbench.soak.damage import Damage
from workbench.soak.product import Api, Product, Service
from workbench.soak.proxy import Proxy

ROLES = ("api", "consumer")
PARTITIONS = 6
_WATCH_SECONDS = 0.5


@dataclass
class Stage:
    """Everything that a fault can act on."""

    servers: EmbeddedServers
    ways: Mapping[tuple[str, str], Proxy]
    """By role (`api`, `consumer`) and server (`postgres`, `redis`, `kafka`). Kafka's clients connect to the
    one address that the broker gives: both roles share one proxy.
    """
    damage: Damage
    """Damages records on their way from Kafka."""
    product: Product
    apis: list[Api] = field(default_factory=list)
    consumers: list[Service] = field(default_factory=list)
    held: set[Service] = field(default_factory=set)
    """Processes that a fault keeps down: they must not be restarted."""
    exits: list[str] = field(default_factory=list)
    """Processes that ended unexpectedly and were restarted."""
    redis_forgot: list[float] = field(default_factory=list)
    """When Redis lost its memory, on the monotonic clock."""

    @property
    def services(self) -> list[Service]:
        return [*(api.process for api in self.apis), *self.consumers]

    def proxies(self, server: str, roles: tuple[str, ...] = ROLES) -> set[Proxy]:
        return {self.ways[role, server] for role in roles}

    def heal(self) -> None:
        for proxy in self.ways.values():
            proxy.heal()

    def redis(self) -> "Redis":
        """A client that connects to the server directly."""
        return Redis.from_url(self.servers.redis_url)

    def forgot(self) -> None:
        self.redis_forgot.append(time.monotonic())

    async def supervise(self, report: Callable[[str], None]) -> None:
        """Restart processes that end unexpectedly, as a service manager would."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            for service in self.services:
                if service.exit_code is not None and service not in self.held:
                    self.exits.append(f"{service.name} ended with code {service.exit_code}")
                    report(self.exits[-1])
                    service.start()


@asynccontextmanager
async def staged(
    broker: Callable[..., KafkaServer], log_folder: Path, *, seed: int = 0, apis: int = 2
) -> AsyncIterator[Stage]:
    """Start everything in a temporary folder, of which only the logs remain. The seed decides which records
    are damaged.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bellwire-soak-")))
        kafka_port = free_port()
        start = EmbeddedServers.start(folder, broker=partial(broker, advertised=kafka_port))
        servers = await asyncio.to_thread(start.__enter__)
        stack.push_async_callback(asyncio.to_thread, start.__exit__, None, None, None)
        _hasten(servers)
        damage = Damage(random.Random(seed))
        ways = await _ways(servers, kafka_port, damage, stack)
        stage = Stage(servers, ways, damage, _product(servers, ways, log_folder))
        stack.push_async_callback(stage.product.stop)
        await stage.product.prepare(frozenset({"publish", "users", "admin"}))
        for _ in range(apis):
            stage.apis.append(await stage.product.api())
        stage.consumers.append(await stage.product.consumer())
        yield stage


def _hasten(servers: EmbeddedServers) -> None:
    """Turn off fsync: PostgreSQL's data then survives a killed server, though not a machine that loses
    power.
    """
    if servers.postgres:
        servers.postgres.sql("ALTER SYSTEM SET fsync = off")
        servers.postgres.sql("SELECT pg_reload_conf()")


async def _ways(
    servers: EmbeddedServers, kafka_port: int, damage: Damage, stack: AsyncExitStack
) -> Mapping[tuple[str, str], Proxy]:
    redis, kafka = urlsplit(servers.redis_url), urlsplit(f"//{servers.kafka_bootstrap}")
    kafka_way = Proxy.to(LOOPBACK, kafka.port or 0, port=kafka_port, filtered=damage.connection)
    ways = {("api", "kafka"): kafka_way, ("consumer", "kafka"): kafka_way}
    for role in ROLES:
        ways[role, "postgres"] = Proxy.to_file(_socket_file(servers.postgres_url))
        ways[role, "redis"] = Proxy.to(LOOPBACK, redis.port or 0)
    for proxy in set(ways.values()):
        await stack.enter_async_context(proxy)
    return ways


def _socket_file(postgres_url: str) -> Path:
    (folder,) = parse_qs(urlsplit(postgres_url).query)["host"]
    return Path(folder) / ".s.PGSQL.5432"


def _product(servers: EmbeddedServers, ways: Mapping[tuple[str, str], Proxy], log_folder: Path) -> Product:
    kafka = f"{LOOPBACK}:{ways['api', 'kafka'].port}"
    environment = {
        **servers.environment(),
        KAFKA_BOOTSTRAP: kafka,
        "BELLWIRE_KAFKA_PARTITIONS": str(PARTITIONS),
        # After this, a killed consumer's partitions go to another.
        "BELLWIRE_KAFKA_SESSION_SECONDS": "6",
        "BELLWIRE_KAFKA_FETCH_WAIT_MS": "20",
        "BELLWIRE_TOKEN_SECRET": secrets.token_hex(32),
        "BELLWIRE_OPERATOR_SECRET": secrets.token_hex(32),
        "BELLWIRE_LOG_FORMAT": "text",
        "PYTHONUNBUFFERED": "1",
    }
    database = urlsplit(servers.postgres_url).path
    roles = {
        role: {
            POSTGRES_URL: f"postgresql+asyncpg://postgres@{LOOPBACK}:{ways[role, 'postgres'].port}{database}",
            REDIS_URL: f"redis://{LOOPBACK}:{ways[role, 'redis'].port}/0",
        }
        for role in ROLES
    }
    return Product(log_folder, environment, _settings(environment), roles)


def _settings(environment: Mapping[str, Any]) -> Settings:
    prefix = "BELLWIRE_"
    given = {
        name.removeprefix(prefix).lower(): value
        for name, value in environment.items()
        if name.startswith(prefix)
    }
    return msgspec.convert(given, Settings, strict=False)
