"""Damages records on their way from Kafka, as a bad cable, disk or release does.

Answers to Fetch requests are altered while damage is on, and only some of them: damaged records are fetched
again, and arrive whole then. Everything else passes unchanged. Only for connections without TLS and SASL.
"""

import enum
import random
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from aiokafka.protocol import fetch
from aiokafka.record.util import calc_crc32c

# https://kafka.apache.org/protocol#protocol_messages: a size, then a header, then the message.
_REQUEST = struct.Struct(">ihhi")  # size, API key, version, correlation id
_ANSWER = struct.Struct(">ii")  # size, correlation id
_SIZE = struct.Struct(">i")
_FETCH = 1
# Older versions carry older record formats; no client here asks for newer ones.
_ANSWERS = {version: getattr(fetch, f"FetchResponse_v{version}") for version in range(4, 12)}

# https://kafka.apache.org/documentation/#recordbatch
_LENGTH_AT, _BEHIND_LENGTH = 8, 12
_SUM_AT, _SUMMED_AT, _CODEC_AT = 17, 21, 22
_HEAD = 61
_UNKNOWN_CODEC = 7


class Kind(enum.StrEnum):
    """What is wrong with a record batch."""

    SUM = "a wrong checksum"
    CODEC = "an unknown codec"
    CUT = "a truncated batch"


def damage(data: bytes, kind: Kind, source: random.Random) -> bytes:
    """Damage one of the record batches of a partition, so that a check of it fails. Data without a whole
    batch of format 2 is returned unchanged.
    """
    batches = list(spans(data))
    if not batches:
        return data
    start, end = source.choice(batches)
    if kind is Kind.CUT:
        return data[: source.randrange(start + 1, end)]
    batch = bytearray(data[start:end])
    if kind is Kind.SUM:  # which does not cover the bytes before it
        batch[source.randrange(_SUM_AT, len(batch))] ^= source.randrange(1, 256)
    else:
        batch[_CODEC_AT] |= _UNKNOWN_CODEC
        batch[_SUM_AT:_SUMMED_AT] = struct.pack(">I", calc_crc32c(bytes(batch[_SUMMED_AT:])))
    return data[:start] + batch + data[end:]


def spans(data: bytes) -> Iterator[tuple[int, int]]:
    """The start and end of each whole record batch in the records of a partition."""
    start = 0
    while start + _HEAD <= len(data):
        (length,) = _SIZE.unpack_from(data, start + _LENGTH_AT)
        end = start + _BEHIND_LENGTH + length
        if end < start + _HEAD or end > len(data):
            return
        yield start, end
        start = end


class Damage:
    """Damages a share of the answers that carry records, each time in a random way."""

    def __init__(self, source: random.Random, *, share: float = 0.3) -> None:
        self.on = False
        """Whether answers that begin now may be damaged."""
        self.done: Counter[Kind] = Counter()
        """How many times each kind of damage was done."""
        self._source = source
        self._share = share

    def connection(self) -> "Connection":
        """Make the filter of a new connection; it must see the bytes from the first one on."""
        return Connection(self)

    def falls(self) -> bool:
        """Decide whether to damage the next answer."""
        return self.on and self._source.random() < self._share

    def spoil(self, answer: Any) -> None:
        """Damage the records of some partitions, at least one if there are any."""
        partitions = [
            (among, number)
            for _, among in answer.topics or ()
            for number, (*_, data) in enumerate(among)
            if data
        ]
        for among, number in self._source.sample(
            partitions, self._source.randint(min(1, len(partitions)), len(partitions))
        ):
            *fields, data = among[number]
            kind = self._source.choice(list(Kind))
            damaged = damage(data, kind, self._source)
            self.done[kind] += damaged != data
            among[number] = (*fields, damaged)


_Alter = Callable[[bytes], bytes]


class Frames:
    """One direction of a connection: frames that arrive in pieces.

    `look` gets the fields of a frame's header as soon as it has arrived. The frame passes as it arrives,
    unless `look` returns a function that alters it: then it is held until it is whole. Apart from that, only
    headers are held.
    """

    def __init__(self, head: struct.Struct, look: Callable[..., _Alter | None]) -> None:
        self._head = head
        self._look = look
        self._held = bytearray()
        self._left = 0
        """How many bytes of the frame are still to arrive, or to be passed on."""
        self._alter: _Alter | None = None

    def take(self, data: bytes) -> bytes:
        """Return the bytes to pass on now. Raises ConnectionError if they are not a frame."""
        self._held += data
        passed = bytearray()
        while self._held and (self._left or self._begun()):
            if self._alter is not None and len(self._held) < self._left:
                break
            piece = bytes(self._held[: self._left])
            del self._held[: self._left]
            self._left -= len(piece)
            if self._alter is not None:
                piece, self._alter = self._alter(piece), None
            passed += piece
        return bytes(passed)

    def rest(self) -> bytes:
        """The bytes still held when the connection ends."""
        return bytes(self._held)

    def _begun(self) -> bool:
        """Look at the next frame. Return whether its header has arrived."""
        if len(self._held) < self._head.size:
            return False
        size, *head = self._head.unpack_from(self._held)
        self._left = _SIZE.size + size
        if self._left < self._head.size:
            raise ConnectionError(f"a frame of {size} bytes")
        self._alter = self._look(*head)
        return True


class Connection:
    """The traffic between one client and its broker."""

    def __init__(self, damage: Damage) -> None:
        self.to_server = Frames(_REQUEST, self._asked)
        self.to_client = Frames(_ANSWER, self._answered)
        self._damage = damage
        self._versions: dict[int, int] = {}
        """The form of each Fetch request that was not answered yet, by correlation id."""

    def _asked(self, key: int, version: int, correlation: int) -> None:
        if key == _FETCH:
            self._versions[correlation] = version

    def _answered(self, correlation: int) -> _Alter | None:
        form = _ANSWERS.get(self._versions.pop(correlation, -1))
        return self._altering(form) if form is not None and self._damage.falls() else None

    def _altering(self, form: Any) -> _Alter:
        def altered(frame: bytes) -> bytes:
            answer = form.decode(frame[_ANSWER.size :])
            self._damage.spoil(answer)
            message: bytes = frame[_SIZE.size : _ANSWER.size] + answer.encode()
            return _SIZE.pack(len(message)) + message

        return altered
