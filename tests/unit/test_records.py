"""What a broker sends, unpacked: every codec, what was aborted, what is odd, and what nobody can read."""

import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil
import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.kafka.entries import entry
from adapters.kafka.holes import Consecutive, Hole
from adapters.kafka.records import Found, Unreadable, unpack
from adapters.kafka.unpacking import MOST_BYTES, MOST_RECORDS, snappy_decode
from application.records import Undecodable
from tests import raw_records
from tests.raw_records import CODECS, an_abort, signed

PARTITION = TopicPartition("topic", 3)
PRODUCER = 7


def a_batch(*values: bytes, header: bytes = b"name", **options: Any) -> bytes:
    """Records of one batch, each with a header."""
    return raw_records.a_batch(*((b"key", value, [(header, b"x")]) for value in values), **options)


def found(
    data: bytes, offset: int = 0, *, most: int = 1_000, aborted: tuple[tuple[int, int], ...] = ()
) -> Found:
    return unpack(data, PARTITION, offset, aborted=aborted, highwater=99, most=most)


def values(what: Found) -> list[bytes]:
    return [record.value for record in what.records]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("header", [b"name", b"n\xe4me"])
def test_records_of_every_codec_come_out_as_they_went_in(codec: str, header: bytes) -> None:
    got = found(a_batch(b"one", b"two" * 99, first=5, codec=codec, header=header), 5)

    assert [(record.offset, record.timestamp, record.key, record.value) for record in got.records] == [
        (5, 1_000, b"key", b"one"),
        (6, 1_000, b"key", b"two" * 99),
    ]
    for record in got.records:
        ((name, value),) = record.headers
        assert (name.encode(errors="surrogateescape"), value) == (header, b"x")
    assert (got.end, got.highwater, got.odd) == (7, 99, header != b"name")


def test_an_odd_batch_among_others_is_told_of() -> None:
    got = found(a_batch(b"a") + a_batch(b"b", first=1, header=b"\xff") + a_batch(b"c", first=2))

    assert values(got) == [b"a", b"b", b"c"]
    assert got.odd


def test_it_begins_and_ends_where_it_is_told_to() -> None:
    data = a_batch(b"a", b"b", b"c") + a_batch(b"d", first=3)

    assert values(found(data, 1, most=2)) == [b"b", b"c"]
    assert found(data, 1, most=2).end == 3


def test_what_was_aborted_is_passed() -> None:
    data = a_batch(b"a", b"b", producer=PRODUCER) + an_abort(2, PRODUCER) + a_batch(b"c", first=3)

    got = found(data, aborted=((PRODUCER, 0),))

    assert (values(got), got.end) == ([b"c"], 4)
    only = found(a_batch(b"a", producer=PRODUCER) + an_abort(1, PRODUCER), aborted=((PRODUCER, 0),))
    assert (only.records, only.end) == ([], 2)


def test_what_was_not_aborted_is_not() -> None:
    assert values(found(a_batch(b"a", producer=PRODUCER), aborted=((PRODUCER, 1),))) == [b"a"]


def test_a_batch_of_an_old_format_is_read_too() -> None:
    builder = LegacyRecordBatchBuilder(0, 0, 1 << 20)
    builder.append(0, timestamp=None, key=b"key", value=b"old", headers=[])

    got = found(bytes(builder.build()))

    assert values(got) == [b"old"]
    record, _ = entry(got.records[0])
    assert record.timestamp == -1


def test_a_record_that_makes_the_decoder_fail_is_kept_and_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("adapters.kafka.entries.decode", fail)
    (record,) = found(a_batch(b"one")).records

    _, made = entry(record)

    assert isinstance(made, Undecodable)
    assert made.code == "defect"
    assert "ZeroDivisionError" in caplog.text


DAMAGE: dict[str, Callable[[bytearray], bytes]] = {
    "a sum that is wrong": lambda raw: bytes(raw[:17] + b"\0\0\0\0" + raw[21:]),
    "a codec that nobody knows": lambda raw: signed(raw[:22] + b"\x07" + raw[23:]),
    "a codec that it is not packed with": lambda raw: signed(raw[:22] + b"\x04" + raw[23:]),
    "too many records": lambda raw: signed(raw[:57] + struct.pack(">i", 9) + raw[61:]),
    "fewer than none": lambda raw: signed(raw[:57] + struct.pack(">i", -9) + raw[61:]),
    "a record that says it is longer": lambda raw: signed(raw[:61] + b"\x7e" + raw[62:]),
    "cut off": lambda raw: bytes(raw[:-1]),
    "cut off in its head": lambda raw: bytes(raw[:20]),
    "a length below nothing": lambda raw: bytes(raw[:8] + struct.pack(">i", -1) + raw[12:]),
    "a length of almost nothing": lambda raw: bytes(raw[:8] + struct.pack(">i", 20) + raw[12:]),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_what_is_damaged_is_told_of_with_its_place_and_its_bytes(how: str) -> None:
    damaged = DAMAGE[how](bytearray(a_batch(b"one", b"two", first=5)))

    with pytest.raises(Unreadable, match=r"offsets 5 to \d+ cannot be read: ") as caught:
        found(damaged, 5)

    assert caught.value.offset == 5
    assert caught.value.end > 5
    assert damaged.startswith(caught.value.raw)


@pytest.mark.parametrize("how", DAMAGE)
def test_what_lies_before_the_damage_is_read(how: str) -> None:
    good, bad = a_batch(b"one", b"two", first=5), DAMAGE[how](bytearray(a_batch(b"three", first=7)))

    got = found(good + bad, 5)

    assert (values(got), got.end) == ([b"one", b"two"], 7)


def test_where_nothing_is_nothing_is_found() -> None:
    assert found(b"", 7) == Found([], 7, 99)


def moved(batch: bytes, base: int) -> bytes:
    """It says that it begins elsewhere, which no sum covers."""
    return struct.pack(">q", base) + batch[8:]


@pytest.mark.parametrize("base", [0, 4, 98, 5_000_000, -1, 2**62])
def test_a_batch_that_lies_where_none_can_is_not_believed(base: int) -> None:
    one, two = a_batch(b"one", b"two", first=5), a_batch(b"three", first=7)

    if base != 4:  # which could be: the broker sends the batch in which the offset lies
        with pytest.raises(Unreadable) as caught:
            found(moved(one, base) + two, 5)
        assert (caught.value.end, caught.value.raw) == (7, moved(one, base))
    got = found(one + moved(two, base), 5)

    assert (values(got), got.end) == ([b"one", b"two"], 7) or base == 98


def test_a_damaged_batch_is_believed_in_nothing() -> None:
    """Giving it up must not give up what lies behind it."""
    one, two = bytearray(a_batch(b"one", b"two", first=5)), a_batch(b"three", first=7)
    one[23:27] = struct.pack(">i", 60)  # how many offsets it has

    with pytest.raises(Unreadable) as caught:
        found(bytes(one) + two, 5)
    assert caught.value.end == 7
    with pytest.raises(Unreadable) as caught:
        found(bytes(one), 5)
    assert caught.value.end == 6


SAMPLES = [
    a_batch(b"one", b"two", codec=codec, header=header) for codec in CODECS for header in (b"name", b"\xff")
]


@given(st.sampled_from(SAMPLES), st.data())
@settings(max_examples=300, deadline=None)
def test_whatever_comes_is_read_or_told_of(sample: bytes, data: st.DataObject) -> None:
    raw = bytearray(sample)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(8, len(raw) - 1))] = data.draw(st.integers(0, 255))
    mended = signed(raw) if data.draw(st.booleans()) else bytes(raw)

    sent = mended[: data.draw(st.integers(0, len(mended)))]

    with suppress(Unreadable):
        got = found(sent)
        assert got.end >= len(got.records)
        for record in got.records:
            assert entry(record)


@pytest.mark.parametrize("codec", [codec for codec in CODECS if codec != "none"])
@pytest.mark.parametrize("first", [0, 1])
def test_a_batch_that_unpacks_to_too_much_cannot_be_read_and_takes_no_memory(codec: str, first: int) -> None:
    """Neither by our own reading, nor by the client's."""
    bomb = a_batch(bytes(4 * MOST_BYTES), first=first, codec=codec)
    before = psutil.Process().memory_info().rss
    if first:
        assert values(found(a_batch(b"a") + bomb)) == [b"a"]
    else:
        with pytest.raises(Unreadable, match=f"offsets 0 to 0 cannot be read: .*more than {MOST_BYTES} "):
            found(bomb)
        with pytest.raises(CorruptRecordException, match="more than"):
            list(DefaultRecordBatch(bomb))

    assert psutil.Process().memory_info().rss < before + 3 * MOST_BYTES


@pytest.mark.parametrize("codec", CODECS)
def test_a_large_batch_is_read(codec: str) -> None:
    large = bytes(MOST_BYTES // 2)

    assert values(found(a_batch(large, codec=codec))) == [large]


def test_a_batch_of_too_many_records_cannot_be_read() -> None:
    raw = bytearray(a_batch(b"a"))
    raw[57:61] = struct.pack(">i", MOST_RECORDS + 1)

    with pytest.raises(Unreadable, match="a batch of 100001 records"):
        found(signed(raw))


@pytest.mark.parametrize("data", [b"", b"\x82SNAPPY\0" + bytes(8), b"\x82SNAPPY\0" + bytes(12), b"\xff" * 20])
def test_what_is_not_snappy_raises_and_does_not_go_on_forever(data: bytes) -> None:
    with suppress(Exception):
        assert snappy_decode(data) == b""


# --- holes ---


def up_to_a_hole(data: bytes, offset: int = 0, *, aborted: tuple[tuple[int, int], ...] = ()) -> Found:
    return unpack(data, PARTITION, offset, aborted=aborted, highwater=99, most=99, over_holes=False)


def as_the_client_reads(data: bytes, offset: int = 0) -> Found:
    reader = Consecutive(PARTITION, MemoryRecords(data), [], offset, None, None, True, READ_COMMITTED)
    return Found(list(reader), reader.next_fetch_offset)


@pytest.mark.parametrize("read", [up_to_a_hole, as_the_client_reads])
def test_an_answer_ends_before_a_hole_which_is_asked_for_again(read: Callable[..., Found]) -> None:
    with_a_hole = a_batch(b"a", b"b", first=4) + a_batch(b"c", first=6) + a_batch(b"e", first=8)

    got = read(with_a_hole, 4)
    assert (values(got), got.end) == ([b"a", b"b", b"c"], 7)

    with pytest.raises(Hole, match="7 to 7"):
        read(a_batch(b"e", first=8), got.end)
    assert values(read(a_batch(b"d", first=7) + a_batch(b"e", first=8), got.end)) == [b"d", b"e"]


def test_a_hole_can_be_passed_over() -> None:
    got = found(a_batch(b"a") + a_batch(b"c", first=2))

    assert (values(got), got.end) == ([b"a", b"c"], 3)


@pytest.mark.parametrize("read", [up_to_a_hole, as_the_client_reads])
def test_an_answer_may_begin_within_a_batch(read: Callable[..., Found]) -> None:
    got = read(a_batch(b"a", b"b", b"c", first=4) + a_batch(b"d", first=7), 5)

    assert (values(got), got.end) == ([b"b", b"c", b"d"], 8)


def test_what_transactions_leave_is_no_hole() -> None:
    data = a_batch(b"a", producer=PRODUCER) + an_abort(1, PRODUCER) + a_batch(b"b", first=2)

    assert values(up_to_a_hole(data, aborted=((PRODUCER, 0),))) == [b"b"]


def test_an_old_format_that_does_not_know_where_a_batch_begins_has_no_holes() -> None:
    builder = LegacyRecordBatchBuilder(magic=1, compression_type=1, batch_size=1 << 14)
    for number in range(3):
        builder.append(number, timestamp=1_000, key=None, value=b"%d" % number)

    assert values(up_to_a_hole(bytes(builder.build()))) == [b"0", b"1", b"2"]
