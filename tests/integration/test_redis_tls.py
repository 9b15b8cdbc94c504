"""Redis with TLS: what is refused, how that reads, and certificates that are replaced."""

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from time import monotonic
from urllib.parse import quote

import pytest

from adapters.redis.server import RedisServer, connect
from application.errors import Unavailable
from entrypoints.settings import InvalidSettings, Settings
from tests.redis_servers import Certificates, TlsServer, certificates
from workbench import embedded
from workbench.embedded import LOOPBACK
from workbench.programs import MissingServer

UNUSABLE = "its certificates or the key cannot be used: "


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server(made: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    with ExitStack() as running:
        yield _start(running, tmp_path_factory.mktemp("redis"), made, "server")


@pytest.fixture(scope="module")
def elsewhere(made: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    """With the certificate of another host."""
    with ExitStack() as running:
        yield _start(running, tmp_path_factory.mktemp("elsewhere"), made, "elsewhere")


def _start(running: ExitStack, folder: Path, made: Certificates, name: str) -> TlsServer:
    try:
        return running.enter_context(embedded.started(TlsServer(folder, made, name=name), lambda _: None))
    except MissingServer as missing:
        pytest.skip(str(missing))


def _url(port: int, **parameters: object) -> str:
    given = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in parameters.items())
    return f"rediss://{LOOPBACK}:{port}/0?{given}"


def _mine(made: Certificates) -> dict[str, object]:
    return {"ssl_certfile": made["client"], "ssl_keyfile": made["client.key"]}


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[RedisServer]:
    server = RedisServer(connect(url, now=monotonic), monotonic)
    try:
        yield server
    finally:
        await server.close()


async def _refusal(url: str) -> str:
    async with _connected(url) as server:
        with pytest.raises(Unavailable) as raised:
            await server.ping()
    return raised.value.detail


async def test_a_server_that_another_authority_signed_is_refused(
    server: TlsServer, made: Certificates
) -> None:
    said = await _refusal(_url(server.tls_port, ssl_ca_certs=made["other-ca"], **_mine(made)))
    assert "CERTIFICATE_VERIFY_FAILED" in said


async def test_a_server_of_an_authority_that_the_machine_does_not_know_is_refused(
    server: TlsServer, made: Certificates
) -> None:
    assert "CERTIFICATE_VERIFY_FAILED" in await _refusal(_url(server.tls_port, **_mine(made)))


async def test_a_server_with_the_certificate_of_another_host_is_refused_unless_that_is_wanted(
    elsewhere: TlsServer, made: Certificates
) -> None:
    known = {"ssl_ca_certs": made.ca, **_mine(made)}

    assert "IP address mismatch" in await _refusal(_url(elsewhere.tls_port, **known))
    for wanted in ({"ssl_check_hostname": "no"}, {"ssl_cert_reqs": "none"}):
        async with _connected(_url(elsewhere.tls_port, **known, **wanted)) as connected:
            await connected.ping()


async def test_a_client_without_a_certificate_reads_that_one_may_be_required(
    server: TlsServer, made: Certificates
) -> None:
    assert "may require a client certificate" in await _refusal(_url(server.tls_port, ssl_ca_certs=made.ca))


async def test_tls_and_no_tls_do_not_meet(server: TlsServer, made: Certificates) -> None:
    assert "may not speak TLS" in await _refusal(_url(server.port, ssl_ca_certs=made.ca, **_mine(made)))
    assert "Redis is out of reach: " in await _refusal(f"redis://{LOOPBACK}:{server.tls_port}/0")


@pytest.fixture
def contexts(monkeypatch: pytest.MonkeyPatch) -> list[ssl.SSLContext]:
    """Those that are made."""
    found: list[ssl.SSLContext] = []
    make: Callable[..., ssl.SSLContext] = ssl.create_default_context

    def counted(*words: object, **named: object) -> ssl.SSLContext:
        found.append(make(*words, **named))
        return found[-1]

    monkeypatch.setattr(ssl, "create_default_context", counted)
    return found


async def test_connections_share_one_context_until_a_file_is_replaced(
    server: TlsServer, made: Certificates, tmp_path: Path, contexts: list[ssl.SSLContext]
) -> None:
    """One takes 50 ms to make, in which a process does nothing else."""
    mine = Certificates(tmp_path)
    for file in ("ca", "client", "client.key", "other-ca"):
        shutil.copy(made[file], mine[file])
    async with _connected(_url(server.tls_port, ssl_ca_certs=mine.ca, **_mine(mine))) as connected:
        slow = "for i = 1, 20000 do redis.call('PING') end"
        await asyncio.gather(*(connected.client.eval(slow, 0) for _ in range(8)))
        assert len(connected._pool._available_connections) > 1
        assert len(contexts) == 1

        shutil.copy(mine["other-ca"], mine.ca)
        await connected.leave()
        with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
            await connected.ping()
        assert len(contexts) == 2

        shutil.copy(made.ca, mine.ca)
        mine["client.key"].write_text("half of a key")
        connected._away_until = 0.0
        with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
            await connected.ping()  # the certificate and its key do not match yet: the last context goes on
        shutil.copy(made["client.key"], mine["client.key"])
        connected._away_until = 0.0
        await connected.ping()


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"ssl_ca_certs": "/no.pem"}, "ssl_ca_certs names /no.pem, which cannot be read: No such file"),
        ({"ssl_certfile": "/no.pem"}, "ssl_certfile names /no.pem, which cannot be read"),
        ({"ssl_certfile": "client", "ssl_keyfile": "/"}, "ssl_keyfile names /, which cannot be read: Is a d"),
        ({"ssl_certfile": "client", "ssl_keyfile": "server.key"}, f"{UNUSABLE}KEY_VALUES_MISMATCH"),
        ({"ssl_certfile": "client"}, UNUSABLE),
        ({"ssl_ca_certs": "server.key"}, f"{UNUSABLE}NO_CERTIFICATE_OR_CRL_FOUND"),
        (
            {"ssl_certfile": "encrypted", "ssl_keyfile": "encrypted.key"},
            "encrypted, and there is no ssl_pass",
        ),
        (
            {"ssl_certfile": "encrypted", "ssl_keyfile": "encrypted.key", "ssl_password": "hunter2"},
            UNUSABLE,
        ),
    ],
)
def test_files_that_cannot_be_used_are_one_line_at_the_start(
    made: Certificates, parameters: dict[str, str], said: str
) -> None:
    named = {
        name: value if value.startswith("/") or name == "ssl_password" else made[value]
        for name, value in parameters.items()
    }
    settings = Settings.read({"BELLWIRE_REDIS_URL": _url(6379, **named)})

    with pytest.raises(InvalidSettings) as raised:
        settings.check_files()

    assert str(raised.value).startswith("BELLWIRE_REDIS_URL: ")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_files_that_can_be_used_are_accepted(made: Certificates) -> None:
    encrypted = {
        "ssl_certfile": made["encrypted"],
        "ssl_keyfile": made["encrypted.key"],
        "ssl_password": "secret",
    }
    for known in ({}, {"ssl_ca_certs": made.ca}, _mine(made), encrypted):
        Settings.read({"BELLWIRE_REDIS_URL": _url(6379, **known)}).check_files()
