"""Many notifications: read as JSON, and published in batches."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import IO, Any, NamedTuple, TypeAlias

import msgspec

from application.ports import Monotonic
from bellwire_client import Bellwire, Problem
from entrypoints.commands.live_line import LiveLine
from entrypoints.commands.output import Output, status

Item: TypeAlias = dict[str, Any]
"""A notification as the HTTP API takes it."""

MOST = 1_000
MOST_BYTES = 1024 * 1024 - 1024
"""What a batch may have, less what is around its items."""

_ATTEMPTS = 10
_AGAIN_SECONDS = 1.0
_NO_OBJECT = Problem(422, {"title": "It is not a JSON object", "type": "urn:bellwire:problem:malformed"})

_Fields: TypeAlias = dict[str, msgspec.Raw]
# Raw, so that numbers in metadata stay as they were written.
_decode_one = msgspec.json.Decoder(_Fields).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
encoded = msgspec.json.encode


class Entry(NamedTuple):
    """An item of a file."""

    number: int
    """From 1."""
    text: bytes | None
    """JSON; None where there is no JSON object."""


# --- reading ------------------------------------------------------------------------------------------


def entries_in(file: IO[bytes], defaults: Item) -> Iterator[Entry]:
    """The items of a list, the object on each line, or the only object, with these defaults."""
    raw = {name: msgspec.Raw(encoded(value)) for name, value in defaults.items()}
    for number, text in enumerate(_texts(file), 1):
        yield Entry(number, _with(raw, text))


def _texts(file: IO[bytes]) -> Iterator[bytes]:
    lines = (line for line in file if line.strip())
    first = next(lines, b"")
    if first.lstrip().startswith(b"["):
        return _listed(first + file.read())
    if not first or _fields(first) is not None:
        return chain([first] if first else [], lines)
    rest = file.read()
    if _fields(first + rest) is not None:  # an object over several lines
        return iter([first + rest])
    return chain([first], (line for line in rest.splitlines() if line.strip()))


def _listed(text: bytes) -> Iterator[bytes]:
    try:
        return iter([bytes(item) for item in _decode_list(text)])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return iter([text])


def _with(defaults: Mapping[str, msgspec.Raw], text: bytes) -> bytes | None:
    fields = _fields(text)
    return None if fields is None else encoded({**defaults, **fields})


def _fields(text: bytes) -> _Fields | None:
    try:
        return _decode_one(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def chunks(entries: Iterable[Entry]) -> Iterator[Sequence[Entry]]:
    """As many together as a batch may have: the same for the same entries."""
    chunk: list[Entry] = []
    size = 0
    for entry in entries:
        length = len(entry.text or b"") + 1
        if chunk and (len(chunk) == MOST or size + length > MOST_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(entry)
        size += length
    if chunk:
        yield chunk


# --- publishing ---------------------------------------------------------------------------------------


async def published(client: Bellwire, texts: Sequence[bytes], key: str) -> Sequence[str | Problem]:
    """The id of each, or why it was refused. While the service asks to wait, or does not know the outcome of
    one, all are sent again, which the key makes safe. Raises Problem, Unreachable.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            results = await client.publish_batch(texts, idempotency_key=key)
        except Problem as problem:
            if problem.status != 429 or attempt == _ATTEMPTS:
                raise
            await asyncio.sleep(max(problem.retry_after, _AGAIN_SECONDS))
            continue
        if attempt == _ATTEMPTS or not any(map(_is_temporary, results)):
            return results
        await asyncio.sleep(_AGAIN_SECONDS)
    raise AssertionError("unreachable")


def _is_temporary(result: str | Problem) -> bool:
    return isinstance(result, Problem) and result.status == 503


class Many:
    """Publishes entries batch by batch, and says how far it is."""

    def __init__(self, out: Output, key: str, now: Monotonic) -> None:
        """Under an idempotency key of its own for each batch, made of `key`."""
        self._out = out
        self._key = key
        self._now = now
        self._began = now()
        self._line = LiveLine()
        self._published = self._refused = 0

    async def __call__(self, client: Bellwire, entries: Iterable[Entry]) -> int:
        """Returns the exit status: 1 if any was refused. Raises Problem, Unreachable."""
        try:
            for number, chunk in enumerate(chunks(entries)):
                await self._send(client, chunk, f"{self._key}:{number}")
        except BaseException:
            self._line.clear()
            status(f"{self._published:,} were published, {self._refused:,} refused; the rest were not sent")
            raise
        self._line.clear()
        if not self._out.as_json:
            self._out.value(f"{self._published} published, {self._refused} refused", None)
        return 1 if self._refused else 0

    async def _send(self, client: Bellwire, chunk: Sequence[Entry], key: str) -> None:
        texts = [entry.text for entry in chunk if entry.text is not None]
        results = iter(await published(client, texts, key) if texts else ())
        for entry in chunk:
            self._tell(entry.number, _NO_OBJECT if entry.text is None else next(results))
        rate = self._published / max(self._now() - self._began, 0.001)
        self._line.show(f"{self._published:,} published, {self._refused:,} refused, {rate:,.0f}/s")

    def _tell(self, number: int, result: str | Problem) -> None:
        if isinstance(result, str):
            self._published += 1
            if self._out.as_json:
                self._out.line((), {"item": number, "id": result, "status": "accepted"})
            return
        self._refused += 1
        why = result.detail or result.title
        if self._out.as_json:
            self._out.line((), {"item": number, "status": "refused", "kind": result.kind, "detail": why})
        else:
            self._line.clear()
            status(f"item {number} was refused: {why}")
