"""Real servers on this machine for `bellwire dev` and the tests, from wheels, without a container engine.

PostgreSQL, Redis and a broker that speaks the Kafka protocol run as ordinary processes, listen on loopback
only (PostgreSQL only on a socket file) and keep everything in one data folder. They can be stopped, killed,
frozen and started again in the same place, as the fault tests do. Apache Kafka can run instead of the small
broker (`workbench.apache_kafka`).

Everything here blocks: from a coroutine, call it through `asyncio.to_thread`.
"""

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import struct
import subprocess
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self, TypeVar
from urllib.parse import quote

from workbench import programs
from workbench.processes import STARTUP_SECONDS, Ledger, Process, Report, ServerFailed, as_account
from workbench.programs import KAFKA_BOOTSTRAP, POSTGRES_URL, REDIS_URL

LOOPBACK = "127.0.0.1"
DATABASE = "bellwire"

# Below the ports that systems use for outgoing connections: a client that keeps connecting to a killed server
# could otherwise be given that port as its own, and hold it when the server needs it.
PORTS = range(18000, 30000)

AnyServer = TypeVar("AnyServer", bound="Server")


# --- the three servers ----------------------------------------------------------------------------------


class Server(Process, ABC):
    """A process that has started when it answers."""

    def start(self) -> None:
        super().start()
        try:
            self.wait_ready(self.answers)
        except BaseException:
            self.kill()
            raise

    @abstractmethod
    def answers(self) -> bool:
        """Whether it serves clients."""


class PostgresServer(Server):
    """PostgreSQL on a socket file that only this user can reach. Its data survives a restart."""

    stop_signal = signal.SIGINT  # ends sessions; SIGTERM would wait for clients to disconnect

    locale: Sequence[str] = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")

    def __init__(
        self,
        folder: Path,
        *,
        settings: Mapping[str, str] | None = None,
        ledger: Ledger | None = None,
        installed: Path | None = None,
    ) -> None:
        """`installed` is the folder of other programs than those of the wheel."""
        self._programs = installed or programs.postgres_programs()
        self._data = folder / "postgres"
        self._run_as = programs.account_for(self._data)
        self._sockets = programs.socket_folder(self._data, self._run_as)
        chosen = {
            "listen_addresses": "",
            "unix_socket_directories": f'"{self._sockets}"',
            "max_connections": "200",
            "max_wal_size": "2GB",  # no checkpoint in the middle of a measurement
            "timezone": "UTC",
            "log_timezone": "UTC",
            **(settings or {}),
        }
        super().__init__(
            "PostgreSQL",
            [self._programs / "postgres", "-D", self._data, *(f"--{k}={v}" for k, v in chosen.items())],
            log=folder / "postgres.log",
            account=self._run_as,
            ledger=ledger,
        )

    @property
    def url(self) -> str:
        return self.url_for(DATABASE)

    def url_for(self, database: str) -> str:
        return f"postgresql+asyncpg://postgres@/{database}?host={quote(str(self._sockets))}"

    def start(self) -> None:
        programs.let_through(self._run_as, self._data, self._programs / "postgres")
        if not self._data.exists():
            self._create()
        super().start()
        if DATABASE not in self.databases():
            self.create_database(DATABASE)

    def answers(self) -> bool:
        return self._run("pg_isready", "-q", "-t", "1").returncode == 0

    def databases(self) -> set[str]:
        return set(self.sql("SELECT datname FROM pg_database").split())

    def create_database(self, name: str, *, template: str = "template1") -> None:
        self._checked(self._run("createdb", "-T", template, name))

    def drop_database(self, name: str) -> None:
        """Drop a database, even if it is in use or does not exist."""
        self._checked(self._run("dropdb", "--if-exists", "--force", name))

    def sql(self, statement: str, *, database: str = "postgres") -> str:
        """Run a statement. Return one line per row."""
        return self._checked(self._run("psql", "-XAtqc", statement, "-d", database))

    def _create(self) -> None:
        """Create the cluster beside its place and move it there, so that an interrupted start leaves none
        half made.
        """
        unfinished = self._data.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        programs.private_folder(unfinished, self._run_as)
        options = ("--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-sync", *self.locale)
        self._checked(self._run("initdb", *options, "-D", str(unfinished), account=self._run_as))
        unfinished.rename(self._data)

    def _run(
        self, program: str, *arguments: str, account: pwd.struct_passwd | None = None
    ) -> subprocess.CompletedProcess[str]:
        # The PG… variables of a person's shell would direct these programs to another server.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        environment |= {"PGHOST": str(self._sockets), "PGUSER": "postgres"}
        return subprocess.run(
            [str(self._programs / program), *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            cwd="/",
            timeout=STARTUP_SECONDS,
            **as_account(account),
        )

    @staticmethod
    def _checked(done: subprocess.CompletedProcess[str]) -> str:
        if done.returncode:
            raise ServerFailed(f"{Path(done.args[0]).name} failed: {done.stderr.strip()}")
        return done.stdout


class RedisServer(Server):
    """Redis (or Valkey) without persistence: it starts empty, as the index may."""

    def __init__(
        self,
        folder: Path,
        *,
        arguments: Sequence[str] = (),
        program: str | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        """`arguments` are further ones of its command line; `program` is another than the usual one."""
        self.port = free_port()
        own = {"--bind": LOOPBACK, "--port": str(self.port), "--dir": str(folder)}
        persistence = {"--save": "", "--appendonly": "no"}
        words = [word for pair in (own | persistence).items() for word in pair]
        command = [program or programs.redis_program(), *words, *arguments]
        super().__init__("Redis", command, log=folder / "redis.log", ledger=ledger)

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/0"

    def answers(self) -> bool:
        return _exchange(self.port, b"PING\r\n").startswith((b"+PONG", b"-NOAUTH"))


class KafkaServer(Server):
    """A broker of the Kafka protocol, on a port that it keeps across restarts."""

    durable: ClassVar[bool]
    """Whether topics, records and committed offsets survive when the broker is stopped or killed."""

    def __init__(
        self, command: Sequence[str | Path], *, port: int, folder: Path, ledger: Ledger | None
    ) -> None:
        super().__init__("Kafka", command, log=folder / "kafka.log", ledger=ledger)
        self.port = port

    @property
    def bootstrap(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def answers(self) -> bool:
        """Whether it names a broker, which every client asks first. A broker that is still starting names
        none.
        """
        # Metadata v1 for no topic. The answer begins with 12 bytes: length, correlation id, number of
        # brokers.
        number = 7
        question = struct.pack(">hhihi", 3, 1, number, -1, 0)
        answer = _exchange(self.port, struct.pack(">i", len(question)) + question)
        if len(answer) < 12:
            return False
        _, answered, brokers = struct.unpack(">iii", answer[:12])
        return bool(answered == number and brokers > 0)


class TansuServer(KafkaServer):
    """A small broker that keeps its records in memory: when it is killed, they are lost.

    It creates unknown topics when they are written to, and has no idempotent producers.
    """

    durable = False

    def __init__(self, folder: Path, *, advertised: int | None = None, ledger: Ledger | None = None) -> None:
        """`advertised` is the port given to clients, such as a proxy's (default: the broker's own)."""
        port = free_port()
        address = f"tcp://{LOOPBACK}:{port}"
        told = f"tcp://{LOOPBACK}:{advertised or port}"
        addresses = ["--listener-url", address, "--advertised-listener-url", told]
        command = [programs.kafka_program(), "broker", *addresses, "--storage-engine", "memory://tansu/"]
        super().__init__(command, port=port, folder=folder, ledger=ledger)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedServers:
    """The addresses of the three servers, and the processes of those that run here."""

    postgres_url: str
    redis_url: str
    kafka_bootstrap: str
    postgres: PostgresServer | None
    redis: RedisServer | None
    kafka: KafkaServer | None

    @classmethod
    @contextlib.contextmanager
    def start(
        cls,
        data_dir: Path,
        *,
        broker: Callable[..., KafkaServer] = TansuServer,
        given: Mapping[str, str] | None = None,
        report: Report = lambda _line: None,
        ledger: Ledger | None = None,
    ) -> Iterator[Self]:
        """Start the servers that `given` (usually the environment) does not name; stop them at the end in
        reverse order.

        `broker` makes the Kafka server from a folder and a ledger.
        """
        folder = data_dir.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        named = {name: url for name, url in (given or {}).items() if url}
        with contextlib.ExitStack() as stack:

            def boot(kind: Callable[..., AnyServer]) -> AnyServer:
                return stack.enter_context(started(kind(folder, ledger=ledger), report))

            postgres = None if POSTGRES_URL in named else boot(PostgresServer)
            redis = None if REDIS_URL in named else boot(RedisServer)
            kafka = None if KAFKA_BOOTSTRAP in named else boot(broker)
            yield cls(
                postgres_url=postgres.url if postgres else named[POSTGRES_URL],
                redis_url=redis.url if redis else named[REDIS_URL],
                kafka_bootstrap=kafka.bootstrap if kafka else named[KAFKA_BOOTSTRAP],
                postgres=postgres,
                redis=redis,
                kafka=kafka,
            )

    @property
    def running_here(self) -> Sequence[Server]:
        return [server for server in (self.postgres, self.redis, self.kafka) if server]

    def environment(self) -> dict[str, str]:
        """The variables with which a Bellwire process finds the servers."""
        return {
            POSTGRES_URL: self.postgres_url,
            REDIS_URL: self.redis_url,
            KAFKA_BOOTSTRAP: self.kafka_bootstrap,
        }


@contextlib.contextmanager
def started(server: AnyServer, report: Report) -> Iterator[AnyServer]:
    """Start a server, and stop it at the end; report how long each took."""
    began = time.monotonic()
    server.start()
    with stopped_at_the_end(server, report):
        report(f"{server.name} runs ({time.monotonic() - began:.1f} s)")
        yield server


@contextlib.contextmanager
def stopped_at_the_end(server: Server, report: Report) -> Iterator[None]:
    """Stop a server at the end; report how long that took."""
    try:
        yield
    finally:
        began = time.monotonic()
        server.stop()
        report(f"{server.name} stopped ({time.monotonic() - began:.1f} s)")


# --- ports -------------------------------------------------------------------------------------------

_given: deque[int] = deque(maxlen=100)


def free_port() -> int:
    """A free port of loopback, outside the range of outgoing connections, which nobody was given lately: a
    server may take some time until it listens.
    """
    # Not from a seeded sequence: two processes with the same seed would choose the same port.
    for port in random.SystemRandom().sample(PORTS, 200):
        if port not in _given and port_is_free(port):
            _given.append(port)
            return port
    raise ServerFailed(f"No free port between {PORTS.start} and {PORTS.stop}.")


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as servers do: closed connections may linger
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def _exchange(port: int, question: bytes) -> bytes:
    """The first bytes that a server answers; empty if it does not answer."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1) as connection:
            connection.sendall(question)
            return connection.recv(64)
    except OSError:
        return b""
