"""Where processes listen: by which addresses one reaches them, and what they say if they cannot."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from unittest.mock import Mock

import pytest

from entrypoints.listening import listening_sockets
from entrypoints.settings import InvalidSettings
from tests.product import eventually
from workbench.embedded import free_port
from workbench.processes import Process

V4, V6 = "127.0.0.1", "::1"
NOWHERE = {
    "BELLWIRE_POSTGRES_URL": "postgresql://bellwire@127.0.0.1:1/bellwire",
    "BELLWIRE_REDIS_URL": "redis://127.0.0.1:1/0",
    "BELLWIRE_KAFKA_BOOTSTRAP": "127.0.0.1:1",
    "BELLWIRE_TOKEN_SECRET": "only-for-a-test-of-the-addresses",
    "BELLWIRE_LOG_FORMAT": "text",
}


def has_ipv6() -> bool:
    try:
        with socket.create_server((V6, 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
EVERYWHERE = [
    pytest.param("0.0.0.0", {V4}, id="0.0.0.0"),
    pytest.param("::", {V4, V6}, id="::", marks=needs_ipv6),
]
HOSTS = [
    pytest.param(V4, {V4}, id=V4),
    pytest.param(V6, {V6}, id=V6, marks=needs_ipv6),
    *EVERYWHERE,
]
PROCESSES = {
    "one worker": ("api", {"BELLWIRE_WORKERS": "1"}),
    "two workers": ("api", {"BELLWIRE_WORKERS": "2"}),
    "consumer": ("consumer", {}),
}


@asynccontextmanager
async def running(folder: Path, kind: str, host: str, port: int) -> AsyncIterator[Process]:
    command, chosen = PROCESSES[kind]
    own = {"BELLWIRE_HOST": host, "BELLWIRE_PORT": str(port), "BELLWIRE_CONSUMER_PORT": str(port)}
    process = Process(
        kind,
        [
            sys.executable,
            "-c",
            "import sys; from entrypoints.commands.cli import main; sys.exit(main())",
            command,
        ],
        log=folder / "log",
        environment={**NOWHERE, **own, **chosen, "PYTHONPATH": ":".join(sys.path)},
    )
    process.start()
    try:
        yield process
    finally:
        await asyncio.to_thread(process.kill)


async def status(address: str, port: int) -> bytes:
    """The status line of an answer; empty if nobody listens there."""
    try:
        reader, writer = await asyncio.open_connection(address, port)
    except OSError:
        return b""
    try:
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return await asyncio.wait_for(reader.readline(), 30)
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


@pytest.mark.parametrize(("host", "reached"), HOSTS)
async def test_a_host_is_reached_by_its_addresses(host: str, reached: set[str]) -> None:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"here\n")
        writer.close()

    port = free_port()
    with listening_sockets(host, port, "BELLWIRE_PORT") as sockets:
        servers = [await asyncio.start_server(answer, sock=one) for one in sockets]
        found = {address for address in (V4, V6) if await status(address, port)}
        for server in servers:
            server.close()

    assert found == reached


@pytest.mark.parametrize(("host", "reached"), EVERYWHERE)
@pytest.mark.parametrize("kind", PROCESSES)
async def test_every_process_is_reached_by_the_same_addresses(
    tmp_path: Path, kind: str, host: str, reached: set[str]
) -> None:
    port = free_port()
    async with running(tmp_path, kind, host, port) as process:

        async def answers() -> bool:
            assert process.running, process.log_tail()
            return (await status(min(reached), port)).startswith(b"HTTP/1.1 200 ")

        await eventually(answers, "it answers")
        for address in (V4, V6):
            assert bool(await status(address, port)) == (address in reached), address


@pytest.mark.parametrize(
    ("kind", "host", "variable"),
    [
        ("one worker", "192.0.2.1", "HOST"),
        ("one worker", V4, "PORT"),
        ("two workers", V4, "PORT"),
        ("consumer", V4, "CONSUMER_PORT"),
    ],
)
async def test_a_process_that_cannot_listen_names_the_variable_and_ends_with_status_2(
    tmp_path: Path, kind: str, host: str, variable: str
) -> None:
    with socket.create_server((V4, 0)) as taken:
        async with running(tmp_path, kind, host, taken.getsockname()[1]) as process:
            await eventually(lambda: not process.running, "it has ended")

    (line,) = process.log.read_text().splitlines()
    assert line.startswith(f"bellwire: BELLWIRE_{variable}: ")
    assert process.exit_code == 2


@pytest.mark.parametrize(
    "error", [socket.gaierror(-2, "Name or service not known"), UnicodeError("too long")]
)
def test_a_host_that_nobody_knows_is_named(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", Mock(side_effect=error))

    with (
        pytest.raises(InvalidSettings, match=r"^BELLWIRE_HOST: "),
        listening_sockets("a.name", 0, "BELLWIRE_PORT"),
    ):
        pass


def test_a_name_is_listened_to_at_each_of_its_addresses_that_the_machine_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = [(socket.AF_INET, 1, 6, "", (address, 0)) for address in ("192.0.2.1", V4, V4)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    with listening_sockets("a.name", 0, "BELLWIRE_PORT") as sockets:
        assert [one.getsockname()[0] for one in sockets] == [V4]
    assert [one.fileno() for one in sockets] == [-1]


def test_what_was_bound_before_an_address_that_is_taken_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((V4, 0)) as taken:
        port = taken.getsockname()[1]
        found = [(socket.AF_INET, 1, 6, "", ("127.0.0.2", port)), (socket.AF_INET, 1, 6, "", (V4, port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        told = r"^BELLWIRE_PORT: cannot listen on 127\.0\.0\.1:"
        with pytest.raises(InvalidSettings, match=told), listening_sockets("a.name", port, "BELLWIRE_PORT"):
            pass
