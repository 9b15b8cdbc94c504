"""The filter that damages records: what it lets pass, what it alters, and that what it does is noticed."""

import random
import struct
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.protocol import fetch
from aiokafka.protocol.metadata import MetadataRequest_v1, MetadataResponse_v1
from aiokafka.record.default_records import DefaultRecordBatch

from adapters.kafka.records import Unreadable, unpack
from tests.raw_records import CODECS, a_batch
from workbench.soak.damage import Connection, Damage, Kind, damage

PLACE = TopicPartition("topic", 0)
VERSIONS = range(4, 12)


def batches(codec: str = "none") -> bytes:
    """Three with two records each."""
    return b"".join(
        a_batch((b"k", b"%d" % first, ()), (b"k", b"%d" % (first + 1), ()), first=first, codec=codec)
        for first in (0, 2, 4)
    )


def values(data: bytes) -> list[bytes]:
    return [record.value for record in unpack(data, PLACE, 0, highwater=99, most=99).records]


def framed(head: bytes, body: bytes) -> bytes:
    return struct.pack(">i", len(head) + len(body)) + head + body


def request(struct_: Any, correlation: int) -> bytes:
    return framed(struct_.build_request_header(correlation, "client").encode(), struct_.encode())


def ask(version: int, correlation: int) -> bytes:
    """A Fetch request; its body matters to nobody here."""
    return framed(struct.pack(">hhih", 1, version, correlation, -1), b"whatever")


def answer(correlation: int, message: Any) -> bytes:
    return framed(struct.pack(">i", correlation), message.encode())


def fetched(version: int, *data: bytes) -> Any:
    """What a broker answers: so much of each partition."""
    form = getattr(fetch, f"FetchResponse_v{version}")
    between = {4: (9, [(7, 1)]), **dict.fromkeys(range(5, 11), (9, 0, None)), 11: (9, 0, [], -1)}[version]
    partitions = [(number, 0, 10, *between, some) for number, some in enumerate(data)]
    first = (0,) if version < 7 else (0, 0, 0)
    return form(*first, [("topic", partitions), ("other", [])])


METADATA = MetadataResponse_v1([(0, "host", 9092, None)], 0, [(0, "topic", False, [])])
REQUESTS = ask(4, 1) + request(MetadataRequest_v1([]), 2) + ask(11, 3) + ask(4, 4)
ANSWERS = [
    answer(1, fetched(4, batches())),
    answer(2, METADATA),
    answer(3, fetched(11, b"", batches("gzip"), batches()[:80])),
    answer(4, fetched(4, b"")),
]


def a_connection(*, on: bool = True, seed: int = 1) -> tuple[Damage, Connection]:
    made = Damage(random.Random(seed), share=1.0)
    made.on = on
    return made, made.connection()


def in_two(data: bytes, at: int) -> list[bytes]:
    return [piece for piece in (data[:at], data[at:]) if piece]


def records_of(frame: bytes, version: int) -> list[bytes]:
    """What is in each partition of an answer."""
    assert struct.unpack_from(">i", frame) == (len(frame) - 4,)
    message = getattr(fetch, f"FetchResponse_v{version}").decode(frame[8:])
    return [partition[-1] for _, partitions in message.topics for partition in partitions]


# --- what passes ---


def test_without_the_fault_bytes_pass_untouched_wherever_they_are_split() -> None:
    answers = b"".join(ANSWERS)
    for at in range(max(len(REQUESTS), len(answers)) + 1):
        _, connection = a_connection(on=False)
        assert b"".join(map(connection.to_server.take, in_two(REQUESTS, at))) == REQUESTS
        assert b"".join(map(connection.to_client.take, in_two(answers, at))) == answers
        assert connection.to_server.rest() == connection.to_client.rest() == b""


def test_with_the_fault_only_records_change_and_in_the_same_way_wherever_they_are_split() -> None:
    answers = b"".join(ANSWERS)
    seen = set()
    for at in range(len(answers) + 1):
        _, connection = a_connection()
        assert b"".join(map(connection.to_server.take, in_two(REQUESTS, min(at, len(REQUESTS))))) == REQUESTS
        seen.add(b"".join(map(connection.to_client.take, in_two(answers, at))))

    (damaged,) = seen
    first, metadata, second, empty = split(damaged)
    assert (metadata, empty) == (ANSWERS[1], ANSWERS[3])
    assert records_of(first, 4) != [batches()]
    assert records_of(second, 11)[0] == b""


def split(stream: bytes) -> list[bytes]:
    frames = []
    while stream:
        end = 4 + struct.unpack_from(">i", stream)[0]
        frames.append(stream[:end])
        stream = stream[end:]
    return frames


def test_byte_by_byte_nothing_waits_but_heads_and_one_answer_that_is_altered() -> None:
    _, connection = a_connection()
    waiting = [
        len(connection.to_server.rest()) for one in REQUESTS if not connection.to_server.take(bytes([one]))
    ]
    assert max(waiting) < 12

    for nth, frame in enumerate(ANSWERS):
        limit = 8 if nth == 1 else len(frame)
        for byte in frame:
            connection.to_client.take(bytes([byte]))
            assert len(connection.to_client.rest()) < limit
        assert connection.to_client.rest() == b""


def test_a_small_frame_passes_at_once_also_behind_one_that_is_altered() -> None:
    _, connection = a_connection()
    connection.to_server.take(REQUESTS)
    for frame in ANSWERS:
        assert connection.to_client.take(frame)[4:8] == frame[4:8]


@pytest.mark.parametrize("version", VERSIONS)
def test_answers_of_every_version_are_damaged(version: int) -> None:
    made, connection = a_connection()
    connection.to_server.take(ask(version, 7))
    message = fetched(version, batches(), batches())
    frame = connection.to_client.take(answer(7, message))

    form = type(message)
    was, is_now = form.decode(message.encode()), form.decode(frame[8:])
    assert [name for name, _ in is_now.topics] == ["topic", "other"]
    for before, after in zip(was.topics[0][1], is_now.topics[0][1], strict=True):
        assert before[:-1] == after[:-1]
    changed = [data for data in records_of(frame, version) if data != batches()]
    assert len(changed) == made.done.total() > 0


@pytest.mark.parametrize("version", [3, 12])
def test_an_answer_of_another_form_passes_as_it_is(version: int) -> None:
    _, connection = a_connection()
    connection.to_server.take(ask(version, 7))
    frame = answer(7, fetched(4, batches()))

    assert connection.to_client.take(frame) == frame


def test_an_answer_to_something_else_passes_as_it_is() -> None:
    _, connection = a_connection()
    connection.to_server.take(ask(4, 7))
    frame = answer(8, fetched(4, batches()))

    assert connection.to_client.take(frame) == frame


def test_only_a_share_of_the_answers_is_damaged_and_none_when_it_is_over() -> None:
    made = Damage(random.Random(1), share=0.3)
    connection = made.connection()
    whole = answer(1, fetched(4, batches()))

    def altered() -> int:
        times = 0
        for _ in range(200):
            connection.to_server.take(ask(4, 1))
            times += connection.to_client.take(whole) != whole
        return times

    assert altered() == 0
    made.on = True
    assert 30 < altered() < 90
    assert set(made.done) == set(Kind)
    made.on = False
    assert altered() == 0


def test_what_is_no_frame_ends_the_connection() -> None:
    _, connection = a_connection()
    with pytest.raises(ConnectionError, match="a frame of -1 bytes"):
        connection.to_client.take(b"\xff" * 20)


def test_the_rest_of_a_connection_that_ends_within_a_frame_is_not_lost() -> None:
    _, connection = a_connection()
    connection.to_server.take(REQUESTS)

    assert connection.to_client.take(ANSWERS[0][:50]) == b""
    assert connection.to_client.rest() == ANSWERS[0][:50]


# --- what is damaged ---


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_damage_is_noticed_and_what_lies_before_it_is_read(kind: Kind, codec: str) -> None:
    whole, outcomes = batches(codec), Counter[int]()
    for seed in range(60):
        damaged = damage(whole, kind, random.Random(seed))
        got: list[bytes] = []
        with suppress(Unreadable):
            got = values(damaged)
            assert got, "neither read nor refused"
        assert got == [b"0", b"1", b"2", b"3", b"4", b"5"][: len(got)]
        outcomes[len(got)] += 1

    assert set(outcomes) == {0, 2, 4}


def test_a_batch_of_an_unknown_codec_has_the_length_and_the_sum_that_belong_to_it() -> None:
    damaged = damage(a_batch((b"k", b"v", ())), Kind.CODEC, random.Random(1))

    batch = DefaultRecordBatch(damaged)
    assert batch.validate_crc()
    assert batch.compression_type == 7
    with pytest.raises(Unreadable, match="codec 0x07"):
        values(damaged)


@pytest.mark.parametrize("kind", Kind)
def test_what_is_no_whole_batch_is_left_as_it_is(kind: Kind) -> None:
    for data in (b"", b"short", batches()[:70], b"\xff" * 200):
        assert damage(data, kind, random.Random(1)) == data
