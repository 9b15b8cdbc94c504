"""A hundred thousand records, most of them broken, through the parsers that producers' records go through."""

import gc
import logging
from collections import Counter
from collections.abc import Iterator
from functools import cache
from random import Random

import psutil
import pytest
from aiokafka import TopicPartition

from adapters.kafka.entries import entry
from adapters.kafka.headers import of_letter, of_replay
from adapters.kafka.records import Unreadable, unpack
from application.records import Undecodable
from domain.notification import Draft, Retraction
from tests.build import NOW
from tests.raw_records import CODECS, Headers, a_batch, signed

PARTITION = TopicPartition("topic", 0)
RECORDS, TOGETHER = 100_000, 100
KINDS, BATCHES = 10_000, 500
"""How many different ones there are: what is made is cheap beside what reads it."""
CODES = {"draft", "retraction", "malformed", "invalid", "tombstone"}
"""All that a record may be. A `defect` is one."""

VALUES = [
    b'{"user_id":"ada","id":"019ab7c4-5b2e-7c3d-8a4f-2f1c6d0e9b00","retract":true}',
    b'{"user_id":"ada","event":"a.b","message":"m","severity":"warning","icon":"i","image_url":"/i","revision":7,"unread":true}',
    b'{"user_id":"ada","event":"a.b","message":"m","actions":[{"id":"a","label":"A"},{"id":"b","label":"B","url":"/b","style":"danger"}]}',
    b'{"user_id":"ada","event":"a.b","message":"m","actor":{"name":"Ada","id":"1","avatar_url":"/a"},"collapse_key":"k","collapse":"always"}',
    b'{"user_id":"ada","event":"a.b","message":"m"}',
    b'{"user_id":"ada","event":"a.b","message":"m","title":"t","metadata":{"a":[1,2.5e3,null,"\\u00e9"]}}',
    b'{"event":"a.b","message":"m","id":"019ab7c4-5b2e-7c3d-8a4f-2f1c6d0e9b00","action_url":"/a"}',
    b'{"user_id":"u","event":"a","message":"","created_at":"2026-11-22T10:00:00Z","expires_at":"2026-11-23T10:00:00+02:00"}',
]
HEADERS = [
    (b"bellwire-key", b"k1"),
    (b"bellwire-own-only", b"1"),
    (b"ce_subject", b"ada"),
    (b"ce_type", b"A.B"),
    (b"ce_id", b"1"),
    (b"ce_time", b"2026-11-22T10:00:00Z"),
    (b"dlq-original-topic", b"topic"),
    (b"dlq-original-partition", b"3"),
    (b"dlq-original-offset", b"17"),
    (b"dlq-original-timestamp", b"1772000000000"),
    (b"dlq-attempt", b"2"),
    (b"dlq-first-failed-at", b"2026-11-22T10:00:00Z"),
    (b"n\xe4me", None),
]


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Not even the name of a codec: a defect is logged."""
    caplog.set_level(logging.WARNING)
    yield
    assert [record.getMessage() for record in caplog.get_records("call")] == []


def test_fuzzed_records_are_drafts_or_dead_letters_and_take_no_memory() -> None:
    chance, ends = Random(11), Counter[str]()
    _read(RECORDS // 20, chance, ends)
    objects, megabytes = [], []
    for _ in range(2):
        _read(RECORDS // 2, chance, ends)
        gc.collect()
        objects.append(len(gc.get_objects()))
        megabytes.append(psutil.Process().memory_info().rss / 1e6)

    assert set(ends) == CODES
    assert min(ends.values()) > RECORDS // 100
    assert objects[1] < objects[0] + 1_000
    assert megabytes[1] < megabytes[0] + 10


def test_fuzzed_batches_are_read_or_unreadable_and_nothing_else() -> None:
    """Damaged where no sum of theirs covers it, and with a sum that is right for the damage."""
    chance, ends = Random(12), Counter[str]()
    megabytes = []
    for _ in range(2):
        for _ in range(2_000):
            ends[_damaged(chance)] += 1
        gc.collect()
        megabytes.append(psutil.Process().memory_info().rss / 1e6)

    assert set(ends) == {"read", "unreadable"}
    assert megabytes[1] < megabytes[0] + 10


def _read(count: int, chance: Random, ends: Counter[str]) -> None:
    """Read so many records out of batches of every codec, decode them, and make dead letters of the bad."""
    for _ in range(count // TOGETHER):
        batch = chance.choice(_batches())
        found = unpack(batch, PARTITION, 0, highwater=TOGETHER, most=TOGETHER)
        assert len(found.records) == TOGETHER
        for record in found.records:
            source = _with_place(record)
            _, made = entry(source)
            ends[made.code if isinstance(made, Undecodable) else type(made).__name__.lower()] += 1
            if isinstance(made, Draft | Retraction):
                assert made.user_id
            else:
                of_replay(of_letter(source, NOW, {"dlq-error-code": made.code}))
                assert len(made.user) <= 128


def _damaged(chance: Random) -> str:
    raw = bytearray(a_batch(*chance.choices(_kinds(), k=3), codec=chance.choice(list(CODECS))))
    for _ in range(chance.randrange(1, 4)):
        raw[chance.randrange(21 if chance.random() < 0.3 else len(raw))] = chance.randrange(256)
    if chance.random() < 0.7:
        raw = bytearray(signed(raw))
    try:
        for record in unpack(bytes(raw), PARTITION, 0, highwater=3, most=10).records:
            entry(_with_place(record))
    except Unreadable:
        return "unreadable"
    return "read"


class _Placed:
    """A record with the place that aiokafka's consumer gives it."""

    topic, partition = PARTITION

    def __init__(self, record: object) -> None:
        self.offset, self.timestamp = record.offset, record.timestamp  # type: ignore[attr-defined]
        self.key, self.value = record.key, record.value  # type: ignore[attr-defined]
        self.headers = tuple(record.headers)  # type: ignore[attr-defined]


_with_place = _Placed


@cache
def _batches() -> list[bytes]:
    chance = Random(14)
    return [
        a_batch(*chance.choices(_kinds(), k=TOGETHER), codec=codec)
        for codec in CODECS
        for _ in range(BATCHES // len(CODECS))
    ]


@cache
def _kinds() -> list[tuple[bytes | None, bytes | None, Headers]]:
    chance = Random(13)
    return [(_altered(chance, b"ada"), _value(chance), _headers(chance)) for _ in range(KINDS)]


def _value(chance: Random) -> bytes | None:
    which = chance.random()
    if which < 0.05:
        return None
    if which < 0.15:
        return chance.randbytes(chance.choice([0, 1, 40, 1_000]))
    if which < 0.2:
        return chance.choice([b"[" * 3_000, b'{"metadata":' * 500, b'{"a":1e999}', b"\xed\xa0\x80", b"null"])
    return _altered(chance, chance.choice(VALUES))


def _headers(chance: Random) -> Headers:
    chosen = chance.sample(HEADERS, chance.choice([0, 0, 1, 2, 8]))
    return [(name, value and _altered(chance, value)) for name, value in chosen]


def _altered(chance: Random, data: bytes) -> bytes:
    """The same with up to three bytes changed."""
    changed = bytearray(data)
    for _ in range(chance.choice([0, 0, 1, 2, 3])):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)
