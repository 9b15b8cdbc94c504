"""Reads a JWK Set from a file, or from a web server that a setting names. No other address is ever asked."""

import asyncio
import ssl
from functools import partial
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import httptools

from adapters.security.public_keys import Read

_MOST_BYTES = 256 * 1024
_SECONDS = 5.0


def reader_of(where: str) -> Read:
    """A function that reads the set at this URL or path."""
    return partial(_fetch, where) if "://" in where else partial(asyncio.to_thread, _read, Path(where))


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return _bounded(file.read(_MOST_BYTES + 1))


async def _fetch(url: str) -> bytes:
    """GET a URL, within 5 s and without following redirects. Raises OSError, TimeoutError, ValueError."""
    where = urlsplit(url)
    secure = ssl.create_default_context() if where.scheme == "https" else None
    async with asyncio.timeout(_SECONDS):
        reader, writer = await asyncio.open_connection(
            where.hostname, where.port or (443 if secure else 80), ssl=secure
        )
        try:
            writer.write(_request(where))
            return await _answer(reader)
        finally:
            writer.transport.abort()  # a server that does not say goodbye is not waited for


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
