"""Public keys of issuers, read from a web server."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from time import monotonic

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from adapters.security import reading
from adapters.security.public_keys import PublicKeys
from adapters.security.reading import reader_of
from adapters.security.tokens import JwtTokens
from application.errors import UnknownSigningKey
from application.revoking import claims_of
from entrypoints.settings import Settings
from tests.build import NOW
from tests.product import Product, create_users
from tests.tokens import EC, OTHER_RSA, RSA, SECRET, SET, by_key, jwk, key_set


@asynccontextmanager
async def web_server(answers: Sequence[bytes] | None) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that gives these bytes as an answer, or says nothing at all; and the requests that it got."""
    asked: list[bytes] = []
    serving: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        for answer in answers or ():
            writer.write(answer)
            await asyncio.sleep(0)
        if answers is None:
            await reader.read()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys?x=1", asked
    finally:
        server.close()
        await asyncio.gather(*filter(None, serving), return_exceptions=True)


def answer(body: bytes, head: str = "HTTP/1.1 200 OK") -> bytes:
    return f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def chunked(body: bytes) -> list[bytes]:
    parts = [body[at : at + 100] for at in range(0, len(body), 100)]
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return [head, *(b"%x\r\n%s\r\n" % (len(each), each) for each in parts), b"0\r\n\r\n"]


@pytest.mark.parametrize(
    "sent",
    [[answer(SET)], chunked(SET), [b"HTTP/1.0 200 OK\r\n\r\n", SET[:50], SET[50:]]],
    ids=["at once", "chunked", "until the end"],
)
async def test_a_set_is_read_from_a_web_server(sent: list[bytes]) -> None:
    async with web_server(sent) as (url, asked):
        assert await reader_of(url)() == SET

    assert asked[0].startswith(b"GET /keys?x=1 HTTP/1.1\r\n")


async def test_redirects_are_not_followed() -> None:
    async with web_server([answer(SET)]) as (elsewhere, asked):
        head = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere}"
        async with web_server([answer(b"", head)]) as (url, _):
            with pytest.raises(ValueError, match="302"):
                await reader_of(url)()

    assert asked == []


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ([], "no answer"),
        ([b"SSH-2.0-server\r\n"], "not HTTP"),
        ([b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"], "101|not HTTP"),
        ([answer(SET, "HTTP/1.1 500 Broken")], "500"),
        ([answer(b" " * 300_000 + SET)], "262144"),
        ([b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100_000], "262144"),
    ],
)
async def test_what_is_no_answer_is_refused(sent: list[bytes], reason: str) -> None:
    async with web_server(sent) as (url, _):
        with pytest.raises(ValueError, match=reason):
            await reader_of(url)()


async def test_an_answer_without_end_is_cut_off_by_its_size() -> None:
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        with suppress(ConnectionError):
            while True:
                writer.write(b" " * 65_536)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ValueError, match="262144"):
            await reader_of(f"http://127.0.0.1:{port}/")()


async def test_a_server_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_SECONDS", 0.05)
    async with web_server(None) as (url, _), asyncio.timeout(20):  # which would end the test, not the reading
        with pytest.raises(TimeoutError):
            await reader_of(url)()


async def test_addresses_in_a_token_are_never_asked(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(SET)
    async with web_server([answer(key_set(jwk(OTHER_RSA, "theirs")))]) as (url, asked):
        keys = PublicKeys(reader_of(str(file)), monotonic, pause_seconds=0)
        tokens = JwtTokens(SECRET, "bellwire", timedelta(hours=1), keys=keys)
        for header in ({"jku": url}, {"x5u": url}, {"jku": url, "jwk": jwk(OTHER_RSA, "theirs")}):
            await tokens.renew_keys()
            with pytest.raises(UnknownSigningKey):
                tokens.verify(by_key(OTHER_RSA, "RS256", "theirs", header), NOW)

    assert asked == []


async def test_keys_rotate_at_a_web_server() -> None:
    async with asyncio.timeout(30), rotating() as (url, sets):
        keys = PublicKeys(reader_of(url), monotonic, pause_seconds=0)
        tokens = JwtTokens(SECRET, "bellwire", timedelta(hours=1), keys=keys)
        old, new = by_key(RSA, "RS256", "old"), by_key(EC, "ES256", "new")
        for held, good, bad in (
            ([jwk(RSA, "old")], [old], [new]),
            ([jwk(RSA, "old"), jwk(EC, "new")], [old, new], []),
            ([jwk(EC, "new")], [new], [old]),
            ([], [new], [old]),  # no set: the last one stays
        ):
            sets[:] = [key_set(*held)]
            await tokens.renew_keys()
            for token in good:
                assert (await claims_of(token, tokens, lambda: NOW)).user_id == "ada"
            for token in bad:
                with pytest.raises(UnknownSigningKey):
                    await claims_of(token, tokens, lambda: NOW)


@asynccontextmanager
async def rotating() -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server with a set that can be replaced."""
    sets = [b""]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(sets[0]))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", sets


async def test_a_server_whose_certificate_nobody_trusts_is_not_believed(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ssl.SSLCertVerificationError):
            await reader_of(f"https://127.0.0.1:{port}/")()


def self_signed(folder: Path) -> Path:
    """A certificate for this machine that no authority signed, and its key, in a file."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder(name, name, EC.public_key(), 1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(EC, SHA256())
    )
    file = folder / "server.pem"
    key = EC.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(key + made.public_bytes(Encoding.PEM))
    return file


async def test_a_process_accepts_the_tokens_of_an_issuer_with_public_keys(
    tmp_path: Path, environment: dict[str, str], settings: Settings
) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(SET)
    product = Product(tmp_path, environment, settings, {"api": {"BELLWIRE_TOKEN_JWKS": str(file)}})
    now = datetime.now(UTC).timestamp()
    good = by_key(RSA, "RS256", "rsa", iat=now, exp=now + 600)
    wrong = by_key(OTHER_RSA, "RS256", "rsa", iat=now, exp=now + 600)
    unknown = by_key(RSA, "RS256", "else", iat=now, exp=now + 600)
    try:
        await product.prepare()
        api = await product.api()
        async with api.client("ada") as client:
            await create_users(client, ["ada"])
            for token, status in ((good, 200), (wrong, 401), (unknown, 401)):
                bearer = {"Authorization": f"Bearer {token}"}
                answered = await client.get("/notifications/ada", headers=bearer)
                assert answered.status_code == status
            assert (await client.get("/notifications/ada")).status_code == 200  # the shared secret
    finally:
        await product.stop()
