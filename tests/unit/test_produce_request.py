"""Our produce requests are those of aiokafka, byte for byte, and its connections carry them."""

import asyncio
import struct
from collections.abc import Mapping
from io import BytesIO
from types import SimpleNamespace

import pytest
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol import produce

from adapters.kafka.produce_request import ProduceRequest

BATCHES: Mapping[int, bytes | bytearray] = {3: b"three", 11: bytearray(b"eleven"), 0: b""}
ERRORS = {3: 0, 11: 10, 0: -1}
VERSIONS = [3, 4, 5, 6, 7]
PRODUCE, API_VERSIONS = 0, 18


def ours() -> ProduceRequest:
    return ProduceRequest("têpic", BATCHES, 5_000)


def an_answer(version: int) -> bytes:
    """As aiokafka reads it."""
    fields = (-1, -1) if version < 5 else (-1, -1, 0)
    partitions = [(partition, code, *fields) for partition, code in ERRORS.items()]
    written: bytes = getattr(produce, f"ProduceResponse_v{version}")([("têpic", partitions)], 7).encode()
    return written


@pytest.mark.parametrize("version", VERSIONS)
def test_a_request_is_written_as_aiokafka_writes_it(version: int) -> None:
    batches = [(partition, bytes(batch)) for partition, batch in BATCHES.items()]
    theirs = produce.ProduceRequest(None, -1, 5_000, [("têpic", batches)]).prepare({PRODUCE: (0, version)})
    prepared = ours().prepare({PRODUCE: (0, version)})

    assert prepared.encode() == theirs.encode()
    header, their_header = (each.build_request_header(17, "bellwire") for each in (prepared, theirs))
    assert header.encode() == their_header.encode()


@pytest.mark.parametrize("version", VERSIONS)
def test_an_answer_is_read_as_aiokafka_reads_it(version: int) -> None:
    prepared = ours().prepare({PRODUCE: (version, version)})
    answer = BytesIO(struct.pack(">i", 17) + an_answer(version))

    assert prepared.parse_response_header(answer).correlation_id == 17
    assert prepared.RESPONSE_TYPE.decode(answer) == ERRORS


@pytest.mark.parametrize(("offered", "chosen"), [((0, 13), 7), ((3, 3), 3), ((0, 5), 5)])
def test_the_newest_version_is_chosen_that_both_know(offered: tuple[int, int], chosen: int) -> None:
    version = ours().prepare({PRODUCE: offered}).API_VERSION

    assert version == chosen


@pytest.mark.parametrize("offered", [{PRODUCE: (0, 2)}, {PRODUCE: (8, 13)}, {API_VERSIONS: (0, 3)}])
def test_a_broker_with_which_no_version_is_shared_is_refused(offered: dict[int, tuple[int, int]]) -> None:
    with pytest.raises(IncompatibleBrokerVersion):
        ours().prepare(offered)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_connection_of_aiokafka_sends_it_and_hands_on_the_answer(version: int) -> None:
    written: list[bytes] = []
    connection = AIOKafkaConnection("nowhere", 9092)
    connection._versions = {PRODUCE: (0, version)}
    connection._writer = SimpleNamespace(write=written.append)

    answered = asyncio.ensure_future(connection.send(ours()))
    connection._handle_frame(written[0][8:12] + an_answer(version))

    assert await answered == ERRORS
    size, kind, chosen = struct.unpack_from(">ihh", written[0])
    assert (size, kind, chosen) == (len(written[0]) - 4, PRODUCE, version)
    assert written[0].endswith(ours().prepare({PRODUCE: (0, version)}).encode())
