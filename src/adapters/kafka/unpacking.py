"""Unpacks record batches, up to a size.

A megabyte can unpack to gigabytes, which would end every consumer of the partition, one after the other. A
batch beyond the bound counts as one that cannot be unpacked.
"""

import gzip
import io
import sys
from collections.abc import Callable
from mmap import mmap
from struct import Struct
from typing import Any, Final

import cramjam
from aiokafka import codec
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBatch

MOST_BYTES: Final = 16 * 1024 * 1024
"""What a batch may unpack to: sixteen times what a broker accepts by default."""
MOST_RECORDS: Final = 100_000
"""How many records a batch may have that is taken apart as a whole. Clients send up to 10,000."""

# https://github.com/xerial/snappy-java: what Java's clients write begins with this, then blocks with lengths.
_BLOCKS, _BLOCKS_AT, _LENGTH = b"\x82SNAPPY\0", 16, Struct(">i")


def gzip_decode(payload: Any) -> bytes:
    """Unpack. Raises CorruptRecordException beyond the bound; other errors are the codec's."""
    with gzip.GzipFile(fileobj=io.BytesIO(payload)) as packed:
        return _bounded(packed.read(MOST_BYTES + 1))


def snappy_decode(payload: Any) -> bytes:
    """Unpack, as above. The size is declared, and the codec keeps to it."""
    data, size = memoryview(payload), 0
    if bytes(data[: len(_BLOCKS)]) != _BLOCKS:
        size = cramjam.snappy.decompress_raw_len(data)
    else:
        at = _BLOCKS_AT
        while at < len(data):
            (length,) = _LENGTH.unpack_from(data, at)
            start, at = at + _LENGTH.size, at + _LENGTH.size + length
            if length <= 0:
                raise CorruptRecordException("a block without a length")
            size += cramjam.snappy.decompress_raw_len(data[start:at])
    if size > MOST_BYTES:
        raise _too_large()
    return _snappy_decode(payload)


def lz4_decode(payload: Any) -> bytes:
    """Unpack, as above."""
    return _unpack_into(cramjam.lz4.decompress_into, payload)


def zstd_decode(payload: Any) -> bytes:
    """Unpack, as above."""
    return _unpack_into(cramjam.zstd.decompress_into, payload)


def bound_the_client() -> None:
    """Have aiokafka's own readers unpack with these: it has no setting for that."""
    for reader in (DefaultRecordBatch, LegacyRecordBatch):
        module = sys.modules[reader.__module__]
        for bounded in (gzip_decode, snappy_decode, lz4_decode, zstd_decode):
            if hasattr(module, bounded.__name__):
                setattr(module, bounded.__name__, bounded)


_snappy_decode: Callable[[Any], bytes] = codec.snappy_decode


def _unpack_into(unpack: Callable[[Any, Any], int], payload: Any) -> bytes:
    # Pages of a mapping exist only once they are written: it costs as much as is unpacked.
    with mmap(-1, MOST_BYTES) as room:
        try:
            size = unpack(payload, room)
        except cramjam.DecompressionError as error:
            if "whole buffer" in str(error):
                raise _too_large() from error
            raise
        return room[:size]


def _bounded(data: bytes) -> bytes:
    if len(data) > MOST_BYTES:
        raise _too_large()
    return data


def _too_large() -> CorruptRecordException:
    return CorruptRecordException(f"it unpacks to more than {MOST_BYTES} bytes")
