"""What HTTP_PROXY and its kin change: requests to others pass the proxy, those to this machine do not."""

import asyncio
import ssl
import subprocess
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from adapters.security.reading import reader_of
from bellwire_client import Bellwire, Connected, Unreachable
from entrypoints.outgoing import proxy_for
from tests.build import ADA
from tests.reverse_proxies import certificate
from tests.serving import Served, served
from tests.wiring import Service

NOBODY = "http://127.0.0.1:1"
NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "WS_PROXY", "NO_PROXY")
BODY = b'{"keys":[]}'


@pytest.fixture(autouse=True)
def none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(params=[str.upper, str.lower], ids=["upper", "lower"])
def everything_proxied(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a proxy that is not there."""
    for name in NAMES[:3]:
        monkeypatch.setenv(request.param(name), NOBODY)


@asynccontextmanager
async def here() -> AsyncIterator[tuple[Service, Served]]:
    async with Service.run() as service:
        await service.add(ADA)
        async with served(service.app, service.container) as server:
            yield service, server


# --- to this machine --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("everything_proxied")
async def test_the_python_client_reaches_this_machine_directly() -> None:
    async with here() as (service, server):
        url = f"http://{server.address}"
        async with (
            Bellwire(url, token=service.token(), api_key=service.key, patience=0) as client,
            client.stream("ada") as stream,
        ):
            assert await client.publish("ada", event="a.b", message="hello")
            assert isinstance(await anext(stream), Connected)


@pytest.mark.usefixtures("everything_proxied")
async def test_the_python_client_obeys_the_environment_for_others() -> None:
    async with Bellwire("http://bell.example", api_key="x", patience=0) as client:
        with pytest.raises(Unreachable, match=r"connection attempts failed|refused"):
            await client.publish("ada", event="a.b", message="hello")


@pytest.mark.parametrize(
    "command",
    ["health", "health --ready", "health --consumer", "publish ada --message hello", "inbox ada"],
)
async def test_commands_reach_this_machine_directly(command: str, tmp_path: Path) -> None:
    async with here() as (service, server):
        port = server.address.rpartition(":")[2]
        environment = {
            **dict.fromkeys([*NAMES[:3], *map(str.lower, NAMES[:3])], NOBODY),
            "BELLWIRE_URL": f"http://{server.address}",
            "BELLWIRE_PORT": port,
            "BELLWIRE_CONSUMER_PORT": port,
            "BELLWIRE_API_KEY": service.key,
            "BELLWIRE_TOKEN": service.token(),
            "BELLWIRE_DATA": str(tmp_path),
            "PYTHONPATH": ":".join(sys.path),
        }
        status, said = await asyncio.to_thread(_run, command, environment)

    assert status == 0, said


def _run(command: str, environment: Mapping[str, str]) -> tuple[int, str]:
    words = [sys.executable, "-m", "bellwire", *command.split()]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, done.stdout + done.stderr


def test_what_a_health_check_does_not_find_is_said(tmp_path: Path) -> None:
    environment = {"BELLWIRE_DATA": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    closed = {**environment, "BELLWIRE_PORT": NOBODY.rpartition(":")[2]}

    assert _run("health", closed) == (1, f"bellwire: {NOBODY}: Connection refused\n")
    missing = {**environment, "BELLWIRE_UNIX_SOCKET": f"{tmp_path}/none.sock"}
    assert _run("health", missing) == (1, f"bellwire: unix:{tmp_path}/none.sock: No such file or directory\n")


def test_a_proxy_of_a_kind_that_a_library_cannot_use_is_one_line(tmp_path: Path) -> None:
    environment = {
        "ALL_PROXY": "socks5://127.0.0.1:1",
        "BELLWIRE_URL": "http://bell.example",
        "BELLWIRE_API_KEY": "x",
        "BELLWIRE_DATA": str(tmp_path),
        "PYTHONPATH": ":".join(sys.path),
    }

    status, said = _run("publish ada --message hello", environment)

    assert status == 1
    (line,) = said.splitlines()
    assert "SOCKS" in line


# --- the keys of an issuer --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "environment", "proxy"),
    [
        ("https://id.example/keys", {}, ""),
        ("https://id.example/keys", {"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ("https://id.example/keys", {"https_proxy": "http://p:1"}, "http://p:1"),
        ("https://id.example/keys", {"ALL_PROXY": "http://p:1"}, "http://p:1"),
        ("https://id.example/keys", {"HTTP_PROXY": "http://p:1"}, ""),
        ("https://id.example/keys", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".example"}, ""),
        ("https://id.example/keys", {"HTTPS_PROXY": "http://p:1", "no_proxy": "*"}, ""),
        ("https://id.example:8443/keys", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "id.example:8443"}, ""),
        ("https://127.0.0.1/keys", {"HTTPS_PROXY": "http://p:1"}, ""),
        ("http://localhost/keys", {"HTTP_PROXY": "http://p:1", "ALL_PROXY": "http://p:1"}, ""),
        ("/etc/keys.json", {"ALL_PROXY": "http://p:1"}, ""),
    ],
)
def test_which_proxy_is_asked_for_the_keys(
    monkeypatch: pytest.MonkeyPatch, url: str, environment: Mapping[str, str], proxy: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert proxy_for(url) == proxy


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(serve: Serve, **options: Any) -> AsyncIterator[int]:
    """A server on a port, which in the end has closed every connection."""
    tasks: list[asyncio.Task[None] | None] = []

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())
        try:
            await serve(reader, writer)
        finally:
            await _closed(writer)

    server = await asyncio.start_server(one, "127.0.0.1", 0, **options)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.gather(*filter(None, tasks), return_exceptions=True)


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


@asynccontextmanager
async def issuer(folder: Path) -> AsyncIterator[int]:
    """An issuer's web server, with TLS; its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate(folder)
    context.load_cert_chain(folder / "server.pem")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY))
        await reader.read()

    async with serving(serve, ssl=context) as port:
        yield port


@asynccontextmanager
async def tunnels(
    to: int, answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n"
) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A proxy that answers CONNECT, then connects with a port; and what it was asked."""
    asked: list[bytes] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                writer.write(data)
        await _closed(writer)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        if b" 200 " in answer:
            beyond = await asyncio.open_connection("127.0.0.1", to)
            await asyncio.gather(pump(reader, beyond[1]), pump(beyond[0], writer))

    async with serving(serve) as port:
        yield f"http://ada:s%40crt@127.0.0.1:{port}", asked


async def test_the_keys_of_an_issuer_are_read_through_the_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS is with the issuer, by the name in the URL, which only the proxy can resolve."""
    async with issuer(tmp_path) as port, tunnels(port) as (proxy, asked):
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        assert await reader_of("https://bell.example/keys", proxy)() == BODY
        with pytest.raises(ssl.SSLCertVerificationError):
            await reader_of("https://another.example/keys", proxy)()

    lines = asked[0].decode().split("\r\n")
    assert lines[0] == "CONNECT bell.example:443 HTTP/1.1"
    assert f"Proxy-Authorization: Basic {b64encode(b'ada:s@crt').decode()}" in lines


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", b"SSH-2.0\r\n", b"x" * 100_000, b""]
)
async def test_what_is_no_tunnel_is_an_error_that_names_no_password(answer: bytes) -> None:
    async with tunnels(0, answer) as (proxy, _):
        with pytest.raises((ValueError, ConnectionError)) as refused:
            await reader_of("https://bell.example/keys", proxy)()

    assert "crt" not in str(refused.value)


async def test_a_proxy_of_another_kind_is_named_as_such() -> None:
    with pytest.raises(ValueError, match="none with http://"):
        await reader_of("https://bell.example/keys", "socks5://127.0.0.1:1")()
