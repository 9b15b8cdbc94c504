"""PostgreSQL as it is found elsewhere: other versions, TLS, a pooler before it, a standby beside it."""

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from adapters.postgres.pooling import Pooler
from tests.crowd import publish
from tests.product import Product, create_users, eventually
from workbench import programs
from workbench.embedded import LOOPBACK, PostgresServer, Server, free_port, started

ROOT = Path(__file__).resolve().parents[1]


class TcpPostgres(PostgresServer):
    """A server that listens on a port too. `installed` is the folder of its programs: by default the
    wheel's.
    """

    def __init__(
        self, folder: Path, *, settings: Mapping[str, str] | None = None, installed: Path | None = None
    ) -> None:
        self.port = free_port()
        if installed:
            self.locale = ("--locale=C",)  # before 17 there was no other provider that needs no library
        listening = {"listen_addresses": LOOPBACK, "port": str(self.port)}
        super().__init__(folder, settings={**listening, **(settings or {})}, installed=installed)

    def url_for(self, database: str) -> str:
        return f"postgresql://postgres@{LOOPBACK}:{self.port}/{database}"

    def at_socket(self, database: str = "bellwire", user: str = "postgres") -> str:
        return f"postgresql://{user}@/{database}?host={self._sockets}&port={self.port}"

    def rules(self, *lines: str) -> None:
        """Who may log in, and how, before what the cluster was made with."""
        file = self._data / "pg_hba.conf"
        file.write_text("\n".join((*lines, "local all all trust", "local replication all trust", "")))
        self.sql("SELECT pg_reload_conf()")

    def _run(
        self, program: str, *arguments: str, account: pwd.struct_passwd | None = None
    ) -> "subprocess.CompletedProcess[str]":
        os.environ.pop("PGPORT", None)
        given = () if program in {"initdb", "pg_basebackup"} else ("-p", str(self.port))
        if not (self._programs / program).exists():  # the packages of some versions have the server alone
            own, self._programs = self._programs, programs.postgres_programs()
            try:
                return super()._run(program, *given, *arguments, account=account)
            finally:
                self._programs = own
        return super()._run(program, *given, *arguments, account=account)


@contextmanager
def running(
    settings: Mapping[str, str] | None = None, *, installed: Path | None = None
) -> Iterator[TcpPostgres]:
    """A server in a folder of its own: not in pytest's, which it closes to other accounts."""
    with (
        TemporaryDirectory(prefix="bellwire-tests-") as folder,
        started(
            TcpPostgres(Path(folder), settings=settings, installed=installed), lambda _line: None
        ) as server,
    ):
        server.sql("ALTER SYSTEM SET fsync = off")
        server.sql("SELECT pg_reload_conf()")
        yield server


def installed_versions() -> Mapping[int, Path]:
    """The programs of other versions than the wheel's, as Debian installs them or tests/postgres/fetch."""
    places = {
        version: (Path(f"/usr/lib/postgresql/{version}/bin"), ROOT / f".bellwire/postgres/{version}/bin")
        for version in (15, 16, 17, 18)
    }
    return {
        version: folder
        for version, folders in places.items()
        for folder in reversed(folders)
        if (folder / "postgres").exists()
    }


# --- PgBouncer --------------------------------------------------------------------------------------------


class PgBouncer(Server):
    """PgBouncer before a server, with so many connections to it for each database."""

    def __init__(self, folder: Path, server: TcpPostgres, mode: Pooler, *, size: int) -> None:
        self.mode = mode
        self.port = free_port()
        account = programs.account_for(folder / "nothing")
        configured = folder / "pgbouncer.ini"
        configured.write_text(
            f"[databases]\n* = host={LOOPBACK} port={server.port} user=postgres\n[pgbouncer]\n"
            f"listen_addr = {LOOPBACK}\nlisten_port = {self.port}\nunix_socket_dir =\nauth_type = any\n"
            f"pool_mode = {mode}\ndefault_pool_size = {size}\nserver_login_retry = 0.2\n"
        )
        for path in (folder, configured):
            path.chmod(0o755)
        programs.let_through(account, configured)
        command: list[str | Path] = [program("pgbouncer", "pgbouncer"), configured]
        super().__init__("PgBouncer", command, log=folder / "pgbouncer.log", account=account)

    def url(self, database: str = "bellwire") -> str:
        return f"postgresql://postgres@{LOOPBACK}:{self.port}/{database}"

    def answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((LOOPBACK, self.port)) == 0


def program(name: str, package: str) -> str:
    """Where a program is. Skips the test if it is not installed, and says which package of Debian has it."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    found = shutil.which(name, path=path)
    if found is None:
        pytest.skip(f"{name} is not installed: apt install {package}")
    return found


# --- the product ------------------------------------------------------------------------------------------


async def goes_the_whole_way(product: Product) -> None:
    """One notification is published, stored, indexed, pushed, listed and read."""
    api = await product.api()
    consumer = await product.consumer()
    async with api.client("ada") as client:
        await create_users(client, ["ada"])
        async with api.follow("ada") as device:
            sent = await publish(
                client, [{"user_id": "ada", "event": "a.b", "message": f"number {n}"} for n in range(30)]
            )
            await eventually(lambda: set(sent) <= set(device.items), "all come live")
            page = (await client.get("/v1/users/ada/notifications?limit=100")).json()
            assert [item["id"] for item in page["items"]] == sorted(sent, reverse=True)
            assert (await device.ask(type="read", ids=sent[:10]))["changed"] == 10
        everything = (await client.get("/v1/users/ada/notifications?status=all&limit=100")).json()
        assert len(everything["items"]) == 30
        assert everything["unread_count"] == 20
        assert (await client.get("/health/ready")).json()["checks"]["postgres"] == "ok"
    for process in (api.process, consumer):
        log = process.log.read_text()
        assert "ERROR" not in log
        assert "PostgreSQL answered" not in log
