"""Reads records of one partition without aiokafka's consumer.

The consumer takes what has arrived of all partitions together. If it cannot unpack one of them it raises, and
has by then moved its positions past the records of others (`Fetcher.fetched_records`). It is also stricter
than a broker: a header's name that is not UTF-8 would block a partition forever. This module reads one
partition, moves nothing when that fails, and returns what can be read.
"""

import asyncio
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.errors import CorruptRecordException, KafkaError, OffsetOutOfRangeError, for_code
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBatch
from aiokafka.record.util import decode_varint

from adapters.kafka import unpacking
from adapters.kafka.failures import FAILURES
from adapters.kafka.holes import Consecutive, Hole
from adapters.kafka.obstacles import DENIALS, denial
from application.errors import Unavailable

MAX_BYTES = 1024 * 1024
"""The bytes asked for in one request. A single record batch that is larger arrives whole all the same
(KIP-74).
"""

_ANSWER_SECONDS = 5.0
_WAIT_MS = 50

_DECOMPRESS: dict[int, Callable[[bytes], Any]] = {
    DefaultRecordBatch.CODEC_NONE: bytes,
    DefaultRecordBatch.CODEC_GZIP: unpacking.gzip_decode,
    DefaultRecordBatch.CODEC_SNAPPY: unpacking.snappy_decode,
    DefaultRecordBatch.CODEC_LZ4: unpacking.lz4_decode,
    DefaultRecordBatch.CODEC_ZSTD: unpacking.zstd_decode,
}

# https://kafka.apache.org/documentation/#recordbatch
_START = struct.Struct(">qi")  # base offset, length of the rest
_MAGIC_AT, _SHORTEST = 16, 26
_RECORDS_AT, _COUNT = 61, struct.Struct(">i")

unpacking.bound_the_client()


class Unreadable(Unavailable):
    """A record batch cannot be unpacked: it is damaged, or its compression is unknown here."""

    def __init__(self, offset: int, end: int, raw: bytes, reason: str) -> None:
        self.offset = offset
        """The offset from which nothing could be read."""
        self.end = end
        """The offset after the record batch."""
        self.raw = raw
        """The record batch as the broker keeps it."""
        super().__init__(f"offsets {offset} to {end - 1} cannot be read: {reason}")


@dataclass(frozen=True, slots=True)
class UnreadableBatch:
    """A record batch that was skipped by an operator's decision; it replaces the records in it."""

    topic: str
    partition: int
    offset: int
    end: int
    """The offset after it."""
    timestamp: int
    """When it was skipped, in Unix milliseconds."""
    value: bytes
    """The record batch as the broker keeps it."""
    key: None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()

    @classmethod
    def of(cls, partition: TopicPartition, error: Unreadable, timestamp: int, **more: Any) -> Self:
        """Make one from the error."""
        topic, number = partition
        return cls(topic, number, error.offset, error.end, timestamp, error.raw, **more)


@dataclass(frozen=True, slots=True)
class Found:
    """The records of a partition from some offset on."""

    records: Sequence[Any] = ()
    end: int = 0
    """The next offset to read. Not every offset has a record: transactions leave gaps."""
    highwater: int = 0
    """The end of the partition."""
    odd: bool = False
    """Whether it contains anything at which aiokafka's consumer would fail."""


async def read(
    client: AIOKafkaClient,
    partition: TopicPartition,
    offset: int,
    *,
    most: int,
    max_bytes: int | None = None,
    over_holes: bool = True,
) -> Found:
    """Return up to this many committed records from an offset on, or none.

    Raises Unavailable, and Unreadable if the data at the offset cannot be unpacked. For an offset that the
    partition does not have (any more), nothing is returned: the consumer decides where to continue. A hole is
    passed over, or else it ends what is returned; Hole is raised if it is at the offset.
    """
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            code, highwater, aborted, data = await _fetch(client, partition, offset, max_bytes or MAX_BYTES)
    except FAILURES as error:
        client.force_metadata_update()
        raise Unavailable(f"Kafka is out of reach: {error!r}") from error
    error_type = for_code(code)
    if error_type is OffsetOutOfRangeError:
        return Found(end=offset, highwater=highwater)
    if issubclass(error_type, DENIALS):
        raise Unavailable(denial(client, error_type(partition.topic), "READ"))
    if code:
        client.force_metadata_update()
        raise Unavailable(f"Kafka refused the read: {error_type.__name__}")
    more: dict[str, Any] = {"aborted": aborted, "highwater": highwater, "most": most}
    return unpack(data, partition, offset, over_holes=over_holes, **more)


async def _fetch(
    client: AIOKafkaClient, partition: TopicPartition, offset: int, max_bytes: int
) -> tuple[int, int, Sequence[tuple[int, int]], bytes]:
    node = client.cluster.leader_for_partition(partition)
    if node is None or node == -1:
        raise KafkaError("the partition has no leader")
    request = FetchRequest(
        _WAIT_MS,
        1,
        max_bytes,
        READ_COMMITTED,
        [(partition.topic, [(partition.partition, offset, max_bytes)])],
    )
    answer = await client.send(node, request)
    ((_, ((_, code, highwater, *rest),)),) = answer.topics
    # From version 4 on: [last stable offset, …, aborted transactions, (the preferred replica,) records].
    aborted = rest[2 if answer.API_VERSION >= 11 else -2] if answer.API_VERSION >= 4 else ()
    return code, highwater, aborted or (), rest[-1] or b""


def unpack(
    data: bytes,
    partition: TopicPartition,
    offset: int,
    *,
    aborted: Sequence[tuple[int, int]] = (),
    highwater: int,
    most: int,
    over_holes: bool = True,
) -> Found:
    """Return the records in a broker's answer from an offset on. Raises Unreadable if not even the first can
    be unpacked; records before one that cannot are returned. For holes see `read`.
    """
    batches = _Batches(data, offset, highwater)
    # aiokafka's own: it verifies checksums, and leaves out aborted records and the markers of transactions.
    reader = PartitionRecords if over_holes else Consecutive
    unpacked = reader(partition, batches, aborted, offset, None, None, True, READ_COMMITTED)
    records: list[Any] = []
    try:
        batches.check_first()
        for record in unpacked:
            records.append(record)
            if len(records) == most:
                break
    except Hole:
        raise
    # Codecs and malformed structures raise any exception; it is reported, and nothing was skipped.
    except Exception as error:
        if unpacked.next_fetch_offset == offset:
            raise Unreadable(offset, *batches.given_up(offset), repr(error)) from error
    return Found(records, unpacked.next_fetch_offset, highwater, batches.odd)


class _Batches:
    """Replaces aiokafka's MemoryRecords: a broker's answer, one record batch at a time.

    No checksum covers the offset at which a batch begins, or its length. But each follows the one before,
    within the partition.
    """

    def __init__(self, data: bytes, offset: int, highwater: int) -> None:
        self._data = data
        self._at = 0
        self._offset = offset
        self._highwater = highwater
        self._taken = data
        self.odd = False

    def has_next(self) -> bool:
        """Whether another whole batch follows."""
        if self._at + _SHORTEST > len(self._data):
            return False
        _, length = _START.unpack_from(self._data, self._at)
        return bool(self._at + _START.size + length <= len(self._data))

    def check_first(self) -> None:
        """Raise if there are bytes, but no whole batch."""
        if self._data and not self.has_next():
            raise CorruptRecordException("the batch is truncated")

    def next_batch(self) -> Any:
        """Take the next batch."""
        _, length = _START.unpack_from(self._data, self._at)
        raw = self._taken = self._data[self._at : self._at + _START.size + max(length, 0)]
        self._at += len(raw)
        if len(raw) >= _SHORTEST and raw[_MAGIC_AT] < 2:
            return LegacyRecordBatch(raw, raw[_MAGIC_AT])
        if len(raw) < _RECORDS_AT:
            raise CorruptRecordException(f"a batch of {len(raw)} bytes")
        (count,) = _COUNT.unpack_from(raw, _RECORDS_AT - _COUNT.size)
        if count > unpacking.MOST_RECORDS:
            raise CorruptRecordException(f"a batch of {count} records")
        batch = _Batch(raw, self)
        if not self._offset < batch.next_offset <= self._highwater:
            raise CorruptRecordException(f"a batch that ends at offset {batch.next_offset}")
        self._offset = batch.next_offset
        return batch

    def given_up(self, offset: int) -> tuple[int, bytes]:
        """The offset after the batch that was taken last, in which nothing could be read from this offset on,
        as far as it is known; and the bytes of the batch.
        """
        whole = self._sound(self._taken)
        if whole is not None and offset < whole.next_offset <= self._highwater:
            return whole.next_offset, self._taken
        following = self._sound(self._data[self._at :]) if self.has_next() else None
        if following is not None and offset < following.base_offset <= self._highwater:
            return following.base_offset, self._taken
        return offset + 1, self._taken

    @staticmethod
    def _sound(data: bytes) -> Any:
        """The batch at the start of these bytes, if its checksum is right."""
        if len(data) < _RECORDS_AT or data[_MAGIC_AT] < 2:
            return None
        _, length = _START.unpack_from(data)
        batch = DefaultRecordBatch(data[: _START.size + length])
        return batch if length >= _RECORDS_AT - _START.size and batch.validate_crc() else None


class _Batch:
    """A batch of format 2 that is read leniently where aiokafka's reader fails."""

    def __init__(self, raw: bytes, among: _Batches) -> None:
        self._raw = raw
        self._among = among
        self._strict = DefaultRecordBatch(raw)
        self.validate_crc = self._strict.validate_crc
        self.base_offset = self._strict.base_offset
        self.next_offset = self._strict.next_offset
        self.producer_id = self._strict.producer_id
        self.is_transactional = self._strict.is_transactional
        self.is_control_batch = self._strict.is_control_batch

    def __next__(self) -> Any:
        """The record of a control batch."""
        return next(self._strict)

    def __iter__(self) -> Iterator[Any]:
        try:
            return iter(list(self._strict))
        except UnicodeDecodeError:
            self._among.odd = True
            return iter(list(self._leniently()))

    def _leniently(self) -> "Iterator[_Record]":
        strict = self._strict
        reader = _Reader(_DECOMPRESS[strict.compression_type](self._raw[_RECORDS_AT:]))
        (count,) = _COUNT.unpack_from(self._raw, _RECORDS_AT - _COUNT.size)
        for _ in range(count):
            reader.number()  # its length: the checksum of the batch was right
            reader.take(1)  # attributes: none are in use
            since, delta = reader.number(), reader.number()
            when = strict.max_timestamp if strict.timestamp_type else strict.first_timestamp + since
            key, value = reader.nullable(), reader.nullable()
            headers: list[tuple[str, bytes | None]]
            headers = [(_name(reader.nullable()), reader.nullable()) for _ in range(reader.number())]
            yield _Record(strict.base_offset + delta, when, strict.timestamp_type, key, value, headers)


@dataclass(frozen=True, slots=True)
class _Record:
    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)
    checksum: None = None


class _Reader:
    """Reads the fields of records in order."""

    def __init__(self, data: Any) -> None:
        self._data = bytearray(data)
        self._at = 0

    def number(self) -> int:
        value, self._at = decode_varint(self._data, self._at)
        return int(value)

    def take(self, count: int) -> bytes:
        start, self._at = self._at, self._at + count
        if count < 0 or self._at > len(self._data):
            raise CorruptRecordException("a record that ends too early")
        return bytes(self._data[start : self._at])

    def nullable(self) -> bytes | None:
        count = self.number()
        return None if count < 0 else self.take(count)


def _name(raw: bytes | None) -> str:
    """A header's name. Bytes that are not UTF-8 are kept as Python keeps those in file names (PEP 383)."""
    return (raw or b"").decode(errors="surrogateescape")
