"""Record batches byte for byte: also those that no client would write."""

import asyncio
import struct
from collections.abc import Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka import codec as codecs
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import for_code
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c, encode_varint

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
HEAD = 61

Headers = Sequence[tuple[bytes, bytes | None]]


def a_batch(
    *entries: tuple[bytes | None, bytes | None, Headers],
    first: int = 0,
    codec: str = "none",
    timestamp: int = 1_000,
    producer: int = -1,
) -> bytes:
    """Records (key, value, headers) of one batch. With a producer, they are of a transaction."""
    body = b"".join(_record(number, *one) for number, one in enumerate(entries))
    builder = DefaultRecordBatchBuilder(2, 0, producer >= 0, producer, 0, 0, 1 << 20)
    for number in range(len(entries)):
        builder.append(number, timestamp=timestamp, key=None, value=b"", headers=[])
    packed = body if codec == "none" else bytes(getattr(codecs, f"{codec}_encode")(body))
    raw = bytearray(bytes(builder.build())[:HEAD] + packed)
    raw[:8] = struct.pack(">q", first)
    raw[22] |= CODECS[codec]
    return signed(raw)


def an_abort(at: int, producer: int) -> bytes:
    """The mark that ends a transaction that was taken back."""
    raw = bytearray(a_batch((struct.pack(">hh", 0, 0), b"", ()), first=at, producer=producer))
    raw[22] |= 0x20
    return signed(raw)


def signed(raw: bytearray) -> bytes:
    """With the length and the sum that belong to it."""
    raw[8:12] = struct.pack(">i", len(raw) - 12)
    raw[17:21] = struct.pack(">I", calc_crc32c(bytes(raw[21:])))
    return bytes(raw)


def _record(delta: int, key: bytes | None, value: bytes | None, headers: Headers) -> bytes:
    fields = b"\0" + _number(0) + _number(delta) + _nullable(key) + _nullable(value) + _number(len(headers))
    fields += b"".join(_nullable(name) + _nullable(text) for name, text in headers)
    return _number(len(fields)) + fields


def _nullable(value: bytes | None) -> bytes:
    return _number(-1) if value is None else _number(len(value)) + value


def _number(value: int) -> bytes:
    written = bytearray()
    encode_varint(value, written.append)
    return bytes(written)


async def send(bootstrap: str, topic: str, partition: int, batch: bytes) -> int:
    """Hand a batch to a broker as it is; return the offset of its first record. Raises what it answers."""
    client = AIOKafkaClient(bootstrap_servers=bootstrap)
    await client.bootstrap()
    try:
        await client.set_topics([topic])
        async with asyncio.timeout(20):
            while True:
                offset = await _try(client, TopicPartition(topic, partition), batch)
                if offset is not None:
                    return offset
                await client.force_metadata_update()
                await asyncio.sleep(0.05)
    finally:
        await client.close()


async def _try(client: AIOKafkaClient, place: TopicPartition, batch: bytes) -> int | None:
    """The offset, or None while the broker does not lead the partition yet."""
    node = client.cluster.leader_for_partition(place)
    if node is None or node == -1:
        return None
    request = ProduceRequest(None, -1, 5_000, [(place.topic, [(place.partition, batch)])])
    answer: Any = await client.send(node, request)
    ((_, ((_, code, offset, *_),)),) = answer.topics
    error = for_code(code)
    if code and not error.retriable:
        raise error
    return None if code else int(offset)
