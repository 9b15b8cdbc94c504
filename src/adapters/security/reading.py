"""Reads a JWK Set from a file, or from a web server that a setting names. No other address is ever asked."""

import asyncio
import ssl
from base64 import b64encode
from functools import partial
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

import httptools

from adapters.security.public_keys import Read

_MOST_BYTES = 256 * 1024
_SECONDS = 5.0


def reader_of(where: str, proxy: str = "") -> Read:
    """A function that reads the set at this URL or path; an https URL through a proxy, if one is given."""
    return partial(_fetch, where, proxy) if "://" in where else partial(asyncio.to_thread, _read, Path(where))


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return _bounded(file.read(_MOST_BYTES + 1))


async def _fetch(url: str, proxy: str) -> bytes:
    """GET a URL, within 5 s and without following redirects. Raises OSError, TimeoutError, ValueError."""
    where = urlsplit(url)
    secure = ssl.create_default_context() if where.scheme == "https" else None
    async with asyncio.timeout(_SECONDS):
        if secure and proxy:
            reader, writer = await _tunnelled(where, secure, urlsplit(proxy))
        else:
            reader, writer = await asyncio.open_connection(where.hostname, _port(where), ssl=secure)
        try:
            writer.write(_request(where))
            return await _answer(reader)
        finally:
            writer.transport.abort()  # a server that does not say goodbye is not waited for


def _port(where: SplitResult) -> int:
    return where.port or (443 if where.scheme == "https" else 80)


async def _tunnelled(
    where: SplitResult, secure: ssl.SSLContext, proxy: SplitResult
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection with TLS to a server through a proxy (RFC 9110 §9.3.6)."""
    if proxy.scheme != "http":
        raise ValueError("the proxy that the environment names is none with http://")
    reader, writer = await asyncio.open_connection(proxy.hostname, _port(proxy))
    try:
        writer.write(_tunnel_request(where, proxy))
        _check_tunnel(await _head(reader))
        await writer.start_tls(secure, server_hostname=where.hostname)
    except BaseException:
        writer.transport.abort()
        raise
    return reader, writer


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise ValueError("the proxy gave no answer to CONNECT") from error


def _check_tunnel(head: bytes) -> None:
    line = head.partition(b"\r")[0]
    if line.split(b" ")[1:2] != [b"200"]:
        raise ValueError(f"the proxy answered {line[:80]!r} to CONNECT")


def _tunnel_request(where: SplitResult, proxy: SplitResult) -> bytes:
    host = f"[{where.hostname}]" if ":" in (where.hostname or "") else where.hostname
    lines = [f"CONNECT {host}:{_port(where)} HTTP/1.1", f"Host: {host}:{_port(where)}"]
    if proxy.username is not None:
        account = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        lines.append(f"Proxy-Authorization: Basic {b64encode(account.encode()).decode()}")
    return "\r\n".join([*lines, "\r\n"]).encode("ascii")


def _request(where: SplitResult) -> bytes:
    path = f"{where.path or '/'}?{where.query}".removesuffix("?")
    fields = ["Accept: application/json", "Accept-Encoding: identity", "User-Agent: bellwire"]
    head = [f"GET {path} HTTP/1.1", f"Host: {where.netloc}", *fields, "Connection: close"]
    return "\r\n".join([*head, "\r\n"]).encode("ascii")


class _Answer:
    """What the parser finds."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.complete = False

    def on_body(self, part: bytes) -> None:
        self.body += part

    def on_message_complete(self) -> None:
        self.complete = True


async def _answer(reader: asyncio.StreamReader) -> bytes:
    """The body of an answer; one that the server cuts off is not valid JSON."""
    answer, read = _Answer(), 0
    parser = httptools.HttpResponseParser(answer)
    while not answer.complete and (chunk := await reader.read(16 * 1024)):
        read += len(chunk)
        if read > _MOST_BYTES:
            break
        try:
            parser.feed_data(chunk)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise ValueError(f"the answer is not HTTP: {error!r}") from error
    if read == 0 or (status := parser.get_status_code()) != 200:
        raise ValueError(f"the answer is {status}, not 200" if read else "there is no answer")
    return _bounded(bytes(answer.body) if read <= _MOST_BYTES else b" " * read)


def _bounded(text: bytes) -> bytes:
    if len(text) > _MOST_BYTES:
        raise ValueError(f"it has more than {_MOST_BYTES} bytes")
    return text
