"""Notifications as Kafka records: every record is a draft or a reason, never a crash."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.kafka import codec
from adapters.kafka.codec import addressee, encode, time_of
from adapters.postgres.partitions import bound
from application.records import Undecodable
from domain.category import CATEGORY
from domain.notification import EARLIEST, LATEST, REVISION_MAX, Draft, Retraction
from domain.rich import ACTION_ID, COLLAPSES, ICON, PLAIN, SEVERITIES, STYLES, Action, Actor, Rich
from tests.build import ADA, LATER, NOW, a_draft, an_id
from tests.contracts import AWKWARD_METADATA, AWKWARD_TEXT
from tests.documents import NASTY

STAMP = 1_772_000_000_000  # in February 2026
GOOD = {"user_id": "ada", "event": "a.b", "message": "m"}


@dataclass
class Record:
    """What Kafka hands over."""

    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    topic: str = "topic"
    partition: int = 3
    offset: int = 42
    timestamp: int = STAMP


def record(headers: dict[str, bytes | None] | None = None, **changes: Any) -> Record:
    """A good record with some of its fields changed."""
    fields = {name: value for name, value in (GOOD | changes).items() if value is not ...}
    return Record(json.dumps(fields).encode(), tuple((headers or {}).items()))


def decode(source: Record) -> Draft:
    """The draft of a record."""
    made = codec.decode(source)
    assert isinstance(made, Draft)
    return made


def raw(value: str) -> Record:
    """A record whose metadata is this text."""
    return Record(b'{"user_id":"ada","event":"a.b","message":"m","metadata":{"a":%b}}' % value.encode())


# --- our own ---


def test_a_draft_comes_back_as_it_was() -> None:
    draft = a_draft(
        title="T",
        message=AWKWARD_TEXT,
        metadata=AWKWARD_METADATA,
        action_url="/a",
        expires_at=LATER,
    )

    assert decode(Record(encode(draft))) == draft


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).filter(
    lambda text: text.strip().isprintable() and bool(text.strip())
)
URLS = st.none() | st.sampled_from(["/a", "https://example.com/a?b=c", "https://\u4f8b.example/\xfc"])
RICH = st.builds(
    Rich,
    severity=st.sampled_from(SEVERITIES),
    image_url=URLS,
    icon=st.none() | st.from_regex(ICON, fullmatch=True),
    actions=st.lists(
        st.builds(
            Action,
            id=st.from_regex(ACTION_ID, fullmatch=True),
            label=TEXT,
            url=URLS,
            style=st.sampled_from(STYLES),
        ),
        max_size=3,
        unique_by=lambda action: action.id,
    ).map(tuple),
)
ACTORS = st.none() | st.builds(Actor, name=TEXT, id=st.none() | TEXT, avatar_url=URLS)


@given(
    rich=RICH,
    actor=ACTORS,
    collapse_key=st.none() | TEXT,
    collapse=st.sampled_from(COLLAPSES),
    category=st.none() | st.from_regex(CATEGORY, fullmatch=True),
    revision=st.integers(0, REVISION_MAX),
    unread=st.booleans(),
)
def test_rich_fields_come_back_as_they_were(
    revision: int, unread: bool, category: str | None, **fields: Any
) -> None:
    if category is not None:
        fields["category"] = category
    draft = replace(a_draft(**fields), revision=revision, unread=unread)

    assert decode(Record(encode(draft))) == draft


def test_a_record_without_rich_fields_costs_no_object_for_them() -> None:
    assert decode(record()).content.rich is PLAIN
    assert decode(record(severity="info", image_url=None, actions=[])).content.rich is PLAIN


def test_a_retraction_comes_back_as_it_was() -> None:
    value = encode(Retraction(ADA, an_id()))

    assert json.loads(value) == {"user_id": "ada", "id": str(an_id()), "retract": True}
    assert codec.decode(Record(value)) == Retraction(ADA, an_id())
    sent_by = (("bellwire-key", b"k1"), ("bellwire-own-only", b"1"))
    assert codec.decode(Record(value, sent_by)) == Retraction(ADA, an_id(), "k1", own_only=True)


def test_a_whole_record_may_be_taken_back_as_it_was_sent() -> None:
    assert codec.decode(record(id=str(an_id()), retract=True)) == Retraction(ADA, an_id())
    event = record({"ce_subject": b"ada"}, user_id=..., id=str(an_id()), retract=True)
    assert codec.decode(event) == Retraction(ADA, an_id())


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, "id"),
        ({"id": "0190e0a0-0000-4000-8000-000000000000"}, "id"),
        ({"id": "x"}, "id"),
        ({"id": str(an_id()), "user_id": ""}, "user_id"),
        ({"id": str(an_id()), "user_id": "a\0"}, "user_id"),
        ({"id": str(an_id()), "retract": 1}, "retract"),
    ],
)
def test_a_retraction_of_nothing_is_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(Undecodable) as caught:
        codec.decode(record(**{"retract": True} | changes))

    assert caught.value.code == "invalid"
    assert named in str(caught.value)


def test_only_an_edit_is_limited_to_what_its_key_sent() -> None:
    limited: dict[str, bytes | None] = {"bellwire-key": b"k1", "bellwire-own-only": b"1"}

    assert decode(record(limited, revision=1)).own_only
    assert not decode(record(limited)).own_only
    assert not decode(record({"bellwire-key": b"k1"}, revision=1)).own_only


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"actor": {"name": "Ada", "email": "a"}}, "email"),
        ({"actor": {}}, "name"),
        ({"actions": [{"id": "a"}]}, "label"),
        ({"actions": [{"id": "a", "label": " "}]}, "actions[0].label"),
        ({"revision": -1}, "revision"),
        ({"revision": 1.5}, "revision"),
        ({"revision": 2**63}, "revision"),
        ({"unread": 1}, "unread"),
        ({"severity": "loud"}, "severity"),
        ({"severity": None}, "severity"),
        ({"collapse": "never"}, "collapse"),
        ({"collapse_key": "\0"}, "collapse_key"),
    ],
)
def test_rich_fields_that_break_a_rule_are_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(Undecodable) as caught:
        decode(record(**changes))

    assert caught.value.code == "invalid"
    assert named in str(caught.value)


@pytest.mark.parametrize("document", NASTY, ids=lambda document: ascii(document)[:30])
def test_metadata_travels_as_it_was_sent(document: str) -> None:
    read = decode(Record(b'{"user_id":"ada","event":"a.b","message":"m","metadata":%b}' % document.encode()))

    assert read.content.metadata.text == document
    assert decode(Record(encode(read))) == read


def test_a_record_has_no_more_fields_than_it_needs() -> None:
    assert json.loads(encode(a_draft())) == {
        "user_id": "ada",
        "event": "comment.created",
        "message": "Bob replied to you.",
        "id": str(an_id()),
        "created_at": "2026-03-14T09:26:53.589793Z",
    }


def test_the_key_that_sent_a_record_comes_from_its_header() -> None:
    value = encode(replace(a_draft(), key_id="0123456789ab"))

    assert decode(Record(value, (("bellwire-key", b"0123456789ab"),))) == replace(
        a_draft(), key_id="0123456789ab"
    )
    assert decode(Record(value)).key_id is None
    assert "key" not in value.decode()  # consumers of the previous release refuse unknown fields


@pytest.mark.parametrize(
    "written", [None, b"", b"a" * 65, b"a-b", b"a b", b"a\n", "é".encode(), b"\xff", b"\0"]
)
def test_a_key_that_cannot_be_one_is_no_key(written: bytes | None) -> None:
    assert decode(record({"bellwire-key": written})).key_id is None


# --- anybody else's ---


def test_what_any_service_writes_is_a_notification() -> None:
    draft = decode(record(title="T", metadata={"a": [1]}, expires_at="2030-01-01T00:00:00+02:00"))

    assert (draft.content.user_id, draft.content.event, draft.content.message) == ("ada", "a.b", "m")
    assert draft.content.expires_at == datetime(2029, 12, 31, 22, tzinfo=UTC)
    assert draft.created_at == datetime.fromtimestamp(STAMP / 1000, UTC)


def test_a_redelivered_record_has_the_same_id() -> None:
    assert decode(record()).id == decode(record()).id


@pytest.mark.parametrize("changed", ["topic", "partition", "offset"])
def test_another_record_has_another_id(changed: str) -> None:
    other = record()
    setattr(other, changed, "else" if changed == "topic" else 7)

    assert decode(other).id != decode(record()).id


def test_a_derived_id_is_a_uuid_of_the_records_month() -> None:
    derived = decode(record()).id

    assert derived.version == 7
    assert derived.int >> 80 == STAMP
    assert bound(2026, 2) < derived < bound(2026, 3)


def test_what_is_given_is_taken() -> None:
    draft = decode(record(id=str(an_id(5)), created_at=NOW.isoformat()))

    assert (draft.id, draft.created_at) == (an_id(5), NOW)


def test_the_time_in_a_derived_id_is_the_time_that_is_given() -> None:
    assert decode(record(created_at="2026-05-05T00:00:00Z")).id.int >> 80 == 1_777_939_200_000


# --- CloudEvents ---

EVENT: dict[str, bytes | None] = {
    "ce_specversion": b"1.0",
    "ce_id": b"7",
    "ce_source": b"/billing",
    "ce_type": b"Invoice.Paid",
    "ce_subject": b"bob",
    "ce_time": b"2026-03-14T09:26:53.589793Z",
}


def test_the_headers_of_a_cloud_event_fill_what_the_value_leaves_out() -> None:
    draft = decode(record(EVENT, user_id=..., event=...))

    assert (draft.content.user_id, draft.content.event) == ("bob", "invoice.paid")
    assert draft.created_at == NOW


def test_the_value_goes_before_the_headers() -> None:
    draft = decode(record(EVENT, created_at=LATER.isoformat()))

    assert (draft.content.user_id, draft.content.event, draft.created_at) == ("ada", "a.b", LATER)


def test_a_cloud_event_sent_twice_is_one_notification() -> None:
    again = record(EVENT)
    again.offset = 99

    assert decode(again).id == decode(record(EVENT)).id
    assert decode(record(EVENT | {"ce_id": b"8"})).id != decode(record(EVENT)).id
    assert decode(record(EVENT | {"ce_source": b"/x"})).id != decode(record(EVENT)).id


@pytest.mark.parametrize(
    "headers",
    [
        {"ce_time": b"yesterday"},
        {"ce_time": b"2026-03-14T09:26:53"},
        {"ce_time": b"\xff\xfe"},
        {"ce_id": b"\xff"},
        {"ce_id": None, "ce_time": None, "ce_type": None, "ce_subject": None},
        {"content-type": None, "": b"", "ce_": b""},
    ],
)
def test_headers_that_make_no_sense_are_no_reason_to_lose_the_record(
    headers: dict[str, bytes | None],
) -> None:
    assert decode(record(headers)).content.message == "m"


# --- replayed from a dead letter ---

REPLAYED: dict[str, bytes | None] = {
    "dlq-original-topic": b"topic",
    "dlq-original-partition": b"3",
    "dlq-original-offset": b"42",
    "dlq-original-timestamp": str(STAMP).encode(),
}


def elsewhere(headers: dict[str, bytes | None], **changes: Any) -> Record:
    """A good record that lies at another place, since another time."""
    other = record(headers, **changes)
    other.partition, other.offset, other.timestamp = 1, 99, STAMP + 7_776_000_000
    return other


def test_a_replayed_record_is_the_notification_that_it_was() -> None:
    assert decode(elsewhere(REPLAYED)) == decode(record())
    assert decode(elsewhere({})).id != decode(record()).id


def test_a_replayed_cloud_event_is_the_notification_that_it_was() -> None:
    assert decode(elsewhere(REPLAYED | EVENT)) == decode(record(EVENT))


def test_what_is_given_goes_before_where_a_record_was() -> None:
    draft = decode(elsewhere(REPLAYED, id=str(an_id(5)), created_at=NOW.isoformat()))

    assert (draft.id, draft.created_at) == (an_id(5), NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"dlq-original-topic": b"another"},
        {"dlq-original-topic": b""},
        {"dlq-original-topic": None},
        {"dlq-original-topic": b"to\xffpic"},
        {"dlq-original-topic": b"topic\n"},
        {"dlq-original-topic": b"x" * 100_000},
        {"dlq-original-partition": b"-1"},
        {"dlq-original-partition": b"2147483648"},
        {"dlq-original-partition": b""},
        {"dlq-original-partition": None},
        {"dlq-original-offset": b"-1"},
        {"dlq-original-offset": b"9223372036854775808"},
        {"dlq-original-offset": b"4_2"},
        {"dlq-original-offset": b" 42"},
        {"dlq-original-offset": b"42\n"},
        {"dlq-original-offset": "٤٢".encode()},
        {"dlq-original-offset": b"\xff"},
        {"dlq-original-offset": b"9" * 5_000},
        {"dlq-original-timestamp": b"soon"},
        {"dlq-original-timestamp": b"1e3"},
        {"dlq-original-timestamp": b"9223372036854775808"},
    ],
)
def test_headers_that_name_no_record_of_this_topic_are_as_if_they_were_not_there(
    changes: dict[str, bytes | None],
) -> None:
    assert decode(elsewhere(REPLAYED | changes)) == decode(elsewhere({}))


@pytest.mark.parametrize("missing", list(REPLAYED))
def test_all_of_where_a_record_was_is_believed_or_none(missing: str) -> None:
    rest = {name: value for name, value in REPLAYED.items() if name != missing}

    assert decode(elsewhere(rest)) == decode(elsewhere({}))


@pytest.mark.parametrize("timestamp", [-1, -(2**63), 2**63 - 1])
def test_no_timestamp_in_the_headers_is_too_odd(timestamp: int) -> None:
    odd = elsewhere(REPLAYED | {"dlq-original-timestamp": str(timestamp).encode()})

    assert decode(odd).id.version == 7


# --- whom it seems to be for ---


@pytest.mark.parametrize(
    ("key", "value", "headers", "user"),
    [
        (b"key", b'{"user_id": "ada", "other": 1}', EVENT, "ada"),
        (b"key", b"no JSON", EVENT, "bob"),
        (b"key", b"no JSON", {}, "key"),
        (b"\xff", None, {}, "\ufffd"),
        (b"key", b'{"user_id": 5}', {}, "key"),
        (b"key", b'{"user_id": "\xff"}', {}, "key"),
        (b"key", b'{"a": ' + b"[" * 100_000, {}, "key"),
        (None, b"[]", {}, ""),
    ],
)
def test_whom_a_record_seems_to_be_for(
    key: bytes | None, value: bytes | None, headers: dict[str, bytes | None], user: str
) -> None:
    assert addressee(key, value, tuple(headers.items())) == user


# --- what is no notification ---

HOSTILE: list[tuple[str, Record, str]] = [
    ("a tombstone", Record(None), "tombstone"),
    ("nothing", Record(b""), "malformed"),
    ("no JSON", Record(b"hello"), "malformed"),
    ("cut off", Record(b'{"user_id": "ada'), "malformed"),
    ("trailing", Record(json.dumps(GOOD).encode() + b"}"), "malformed"),
    ("a byte order mark", Record(b"\xef\xbb\xbf" + json.dumps(GOOD).encode()), "malformed"),
    ("UTF-16", Record(json.dumps(GOOD).encode("utf-16")), "malformed"),
    ("bad UTF-8", Record(b'{"user_id":"ada","event":"a.b","message":"\xff"}'), "malformed"),
    ("overlong UTF-8", Record(b'{"user_id":"ada","event":"a.b","message":"\xc0\x80"}'), "malformed"),
    (
        "a surrogate in UTF-8",
        Record(b'{"user_id":"ada","event":"a.b","message":"\xed\xa0\x80"}'),
        "malformed",
    ),
    ("a lone surrogate", Record(rb'{"user_id":"ada","event":"a.b","message":"\ud800"}'), "malformed"),
    ("an escaped NUL", Record(rb'{"user_id":"ada","event":"a.b","message":"\u0000"}'), "invalid"),
    ("a NUL in metadata", raw(r'"\u0000"'), "invalid"),
    ("a NUL in a key", raw(r'{"\u0000": 1}'), "invalid"),
    ("NaN", raw("NaN"), "malformed"),
    ("Infinity", raw("-Infinity"), "malformed"),
    ("a number beyond floats", raw("1e400"), "invalid"),
    ("a number beyond 0", raw("1e-400"), "invalid"),
    ("deep nesting", raw("[" * 2_000 + "]" * 2_000), "malformed"),
    ("very deep nesting", raw("[" * 200_000), "malformed"),
    ("some nesting", raw("[" * 16 + "]" * 16), "invalid"),
    ("much metadata", raw('"' + "x" * 20_000 + '"'), "invalid"),
    ("an array", Record(b"[]"), "invalid"),
    ("null", Record(b"null"), "invalid"),
    ("a string", Record(b'"x"'), "invalid"),
    ("an empty object", Record(b"{}"), "invalid"),
    ("an unknown field", record(admin=True), "invalid"),
    ("a field that users set", record(read_at="2026-01-01T00:00:00Z"), "invalid"),
    ("a wrong type", record(message=5), "invalid"),
    ("null for a text", record(message=None), "invalid"),
    ("metadata that is no object", record(metadata=[1]), "invalid"),
    ("a bad user id", record(user_id="a b"), "invalid"),
    ("a long message", record(message="m" * 4_001), "invalid"),
    ("a bad link", record(action_url="javascript:alert(1)"), "invalid"),
    ("an id that is none", record(id="7"), "invalid"),
    ("an id of another kind", record(id=str(UUID(int=4 << 76 | 2 << 62))), "invalid"),
    ("a time without a zone", record(created_at="2026-01-01T00:00:00"), "invalid"),
    ("an end without a zone", record(expires_at="2026-01-01T00:00:00"), "invalid"),
    ("no time at all", record(created_at="soon"), "invalid"),
    ("a leap second", record(created_at="2016-12-31T23:59:60Z"), "invalid"),
    ("24 o'clock", record(expires_at="2026-01-01T24:00:00Z"), "invalid"),
    ("a number for a time", record(expires_at=253402300800), "invalid"),
    ("digits for a time", record(expires_at="253402300800"), "invalid"),
    ("a negative number for a time", record(created_at=-1), "invalid"),
    ("a huge number for a time", Record(b'{"message":"m","created_at":1e999}'), "invalid"),
    ("a message that nobody can see", record(message="\u200b \u3164"), "invalid"),
    ("an addressee that vanishes from paths", record(user_id=".."), "invalid"),
]


@pytest.mark.parametrize(
    ("source", "code"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE]
)
def test_what_is_no_notification_says_why(source: Record, code: str) -> None:
    with pytest.raises(Undecodable) as caught:
        decode(source)

    assert caught.value.code == code
    assert str(caught.value)


CANARY = "canary-4711"


@pytest.mark.parametrize(
    "source",
    [
        Record(CANARY.encode()),
        Record(b'{"message": "%b' % CANARY.encode()),
        Record(b'{"message": "%b\xff"}' % CANARY.encode()),
        record(other=CANARY),
        record(metadata={"a": CANARY + "\0", CANARY: CANARY}),
        record(metadata={CANARY: CANARY * 2_000}),
        record(metadata=[CANARY]),
        record(message=[CANARY]),
        record(message=CANARY + "\0"),
        record(message=CANARY * 1_000),
        record(title=CANARY + "\0"),
        record(user_id=CANARY + " "),
        record(event=CANARY + " "),
        record(action_url="javascript:" + CANARY),
        record(id=CANARY),
        record(created_at=CANARY),
        record(expires_at=CANARY),
        record({"ce_subject": CANARY.encode() + b" "}, user_id=...),
    ],
)
def test_the_reason_repeats_nothing_of_what_was_said(source: Record) -> None:
    with pytest.raises(Undecodable) as caught:
        decode(source)

    assert CANARY not in str(caught.value)


def test_of_a_key_given_twice_the_last_counts() -> None:
    twice = Record(b'{"user_id":"eve","user_id":"ada","event":"a.b","message":"m"}')

    assert decode(twice).content.user_id == "ada"


@pytest.mark.parametrize("timestamp", [-1, 0, -(2**63), 2**63 - 1, 253_402_300_800_000])
def test_no_timestamp_of_a_record_is_too_odd(timestamp: int) -> None:
    odd = record()
    odd.timestamp = timestamp

    draft = decode(odd)

    assert draft.created_at.tzinfo is not None
    assert draft == decode(odd)


@pytest.mark.parametrize(
    ("timestamp", "time"),
    [
        (-(2**63), EARLIEST),
        (-1, EARLIEST),
        (0, EARLIEST),
        (STAMP, datetime.fromtimestamp(STAMP / 1000, UTC)),
        (253_402_300_799_000, LATEST),
        (253_402_300_799_001, LATEST),
        (2**63 - 1, LATEST),
    ],
)
def test_every_timestamp_has_a_time(timestamp: int, time: datetime) -> None:
    assert time_of(timestamp) == time


@pytest.mark.parametrize("field", ["created_at", "expires_at"])
@pytest.mark.parametrize(
    "time",
    [
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "1969-12-31T23:59:59.999999Z",
        "1970-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59.000001Z",
        "9999-12-31T23:59:59.999999Z",
        "9999-12-31T23:59:59-00:01",
        "9999-12-31T23:59:59-23:59",
    ],
)
def test_a_time_that_no_store_could_keep_is_refused(field: str, time: str) -> None:
    with pytest.raises(Undecodable, match=f"{field} must be from 1970-01-01T00:00:00Z") as caught:
        decode(record(None, **{field: time}))

    assert caught.value.code == "invalid"


@pytest.mark.parametrize("field", ["created_at", "expires_at"])
@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("1970-01-01T00:00:00Z", EARLIEST),
        ("1970-01-01T23:59:00+23:59", EARLIEST),
        ("9999-12-31T23:59:59Z", LATEST),
        ("9999-12-31T00:00:59-23:59", LATEST),
        ("2026-03-14t09:26:53.589793z", NOW),
        ("2026-03-14 09:26:53.589793Z", NOW),
        ("2026-03-14T09:26:53.5897934-00:00", NOW),
    ],
)
def test_a_time_is_read_to_the_microsecond(field: str, text: str, time: datetime) -> None:
    draft = decode(record(None, **{field: text}))

    assert time == (draft.created_at if field == "created_at" else draft.content.expires_at)


@pytest.mark.parametrize(
    "time", [b"0001-01-01T00:00:00Z", b"1969-12-31T00:00:00Z", b"9999-12-31T23:59:59-23:59", b"noon"]
)
def test_a_time_of_an_event_that_makes_no_sense_is_as_if_it_were_not_there(time: bytes) -> None:
    assert decode(record(EVENT | {"ce_time": time})) == decode(
        record({name: value for name, value in EVENT.items() if name != "ce_time"})
    )


# --- records without an id are listed as they lie ---


def lying_at(offset: int, *, timestamp: int = STAMP, partition: int = 3) -> Record:
    source = record()
    source.offset, source.timestamp, source.partition = offset, timestamp, partition
    return source


@given(
    first=st.integers(0, 2**40 - 1_000) | st.sampled_from([0, 255, 2**34 - 5, 2**39]),
    steps=st.lists(st.tuples(st.integers(1, 50), st.integers(0, 1)), max_size=20),
)
def test_derived_ids_sort_as_the_records_lie_in_their_partition(
    first: int, steps: list[tuple[int, int]]
) -> None:
    """Offsets rise, and time stands still or goes on."""
    places = [(first, STAMP)]
    for offset, milliseconds in steps:
        places.append((places[-1][0] + offset, places[-1][1] + milliseconds))
    ids = [decode(lying_at(offset, timestamp=stamp)).id for offset, stamp in places]

    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert all(
        one.version == 7 and one.int >> 80 == stamp for one, (_, stamp) in zip(ids, places, strict=True)
    )


@given(st.integers(0, 253_402_300_799_000))
def test_a_derived_id_has_the_records_own_millisecond(timestamp: int) -> None:
    assert decode(lying_at(7, timestamp=timestamp)).id.int >> 80 == timestamp


def test_derived_ids_of_one_millisecond_differ_between_partitions_and_topics() -> None:
    elsewhere = [lying_at(offset, partition=partition) for offset in range(50) for partition in range(50)]
    for source in [lying_at(offset) for offset in range(50)]:
        source.topic = "other"
        elsewhere.append(source)

    assert len({decode(source).id for source in elsewhere}) == len(elsewhere)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from([*codec._Record.__struct_fields__, "other"])


@given(
    value=st.binary(max_size=60)
    | st.dictionaries(FIELDS, JSON, max_size=5).map(lambda fields: json.dumps(GOOD | fields).encode()),
    headers=st.lists(
        st.tuples(
            st.sampled_from([*EVENT, *REPLAYED, "x"]),
            st.none() | st.binary(max_size=40) | st.sampled_from([b"topic", b"1"]),
        ),
        max_size=8,
    ),
    timestamp=st.integers(-(2**63), 2**63 - 1),
)
def test_every_record_is_a_draft_or_a_reason(
    value: bytes, headers: list[tuple[str, bytes | None]], timestamp: int
) -> None:
    source = Record(value, tuple(headers), timestamp=timestamp)
    try:
        made = codec.decode(source)
    except Undecodable:
        return
    assert codec.decode(source) == made
    assert type(codec.decode(Record(encode(made)))) is type(made)
