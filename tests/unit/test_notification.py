"""What a producer may say, and what becomes of a notification."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import FieldError, Invalid
from domain.identifiers import NotificationId, UserId
from domain.notification import EARLIEST, LATEST, REVISION_MAX, Content, Draft, Notification, Retraction
from domain.states import Mark, Status
from tests.build import ADA, LATER, NOW, a_content, a_draft, a_notification, an_id

GOOD: list[tuple[str, Any]] = [
    ("user_id", "A-z0.9_:@"),
    ("user_id", "..."),
    ("user_id", ".a"),
    ("user_id", "a."),
    ("user_id", "u" * 128),
    ("event", "a"),
    ("event", "comment.created_2-x"),
    ("event", "e" * 100),
    ("message", "m"),
    ("message", "m" * 4000),
    ("message", "👩‍👩‍👧" * 800),
    ("message", "x\t\r\n\x01\u2028\ufffe"),
    ("message", "\u200b\n ."),
    ("message", "👩\u200d💻"),
    ("message", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"),
    ("message", "❤\ufe0f"),
    ("message", "1\ufe0f\u20e3"),
    ("message", "\u200fשלום\u200f"),
    ("message", "\u202bمرحبا\u202c"),
    ("message", "क्षि"),
    ("message", "\U0001fadf"),
    ("title", None),
    ("title", ""),
    ("title", "t" * 200),
    ("title", " t"),
    ("action_url", None),
    ("action_url", "/"),
    ("action_url", "/posts/42?a=b#c"),
    ("action_url", "/a//b"),
    ("action_url", "https://example.com"),
    ("action_url", "http://[::1]:80/ü?q=1"),
    ("action_url", "https://example.com/@ada?to=b@c#d@e"),
    ("action_url", "/@ada"),
    ("action_url", "/%22%27"),
    ("action_url", "https://例え.example/\u06a9\u200c\u0627"),
    ("action_url", "https://e.com/" + "a" * (2048 - 14)),
    ("expires_at", NOW),
    ("expires_at", EARLIEST),
    ("expires_at", LATEST),
    ("expires_at", datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=14)))),
    ("expires_at", datetime(1970, 1, 1, tzinfo=timezone(-timedelta(hours=14)))),
]

BAD: list[tuple[str, Any]] = [
    ("user_id", ""),
    ("user_id", "u" * 129),
    ("user_id", "a b"),
    ("user_id", "a/b"),
    ("user_id", "ada\n"),
    ("user_id", "ädä"),
    ("user_id", "a\x00"),
    ("user_id", "."),
    ("user_id", ".."),
    ("user_id", "..\n"),
    ("event", ""),
    ("event", "e" * 101),
    ("event", "Comment"),
    ("event", "a b"),
    ("event", "a\n"),
    ("event", "é"),
    ("message", ""),
    ("message", "m" * 4001),
    ("message", "a\x00b"),
    ("message", "\ud800"),
    ("message", " "),
    ("message", "\t\r\n\x01\u2028"),
    ("message", "\u200b" * 10),
    ("message", "\u200d\ufe0f"),
    ("message", "\u202e\u202c\ufeff"),
    ("message", "\xad\u2060\u034f"),
    ("message", "\u3164\u115f\u1160\uffa0"),
    ("message", "\u2800" * 4_000),
    ("message", "\U000e0067\U000e007f"),
    ("message", "\u0301"),
    ("title", " "),
    ("title", "\u200b"),
    ("message", "\udfff tail"),
    ("title", "t" * 201),
    ("title", "\x00"),
    ("title", "\udc00"),
    ("action_url", ""),
    ("action_url", "javascript:alert(1)"),
    ("action_url", "JavaScript:alert(1)"),
    ("action_url", " javascript:alert(1)"),
    ("action_url", "data:text/html,x"),
    ("action_url", "ftp://example.com"),
    ("action_url", "//evil.example"),
    ("action_url", "/\\evil.example"),
    ("action_url", "/a\\b"),
    ("action_url", "\\\\evil.example"),
    ("action_url", "https:/evil.example"),
    ("action_url", "https://"),
    ("action_url", "https:///a"),
    ("action_url", "https://?a"),
    ("action_url", "https://#a"),
    ("action_url", "https://\\evil.example"),
    ("action_url", "https://a b"),
    ("action_url", "/a\n"),
    ("action_url", "/\t/evil.example"),
    ("action_url", "/a\x00"),
    ("action_url", "/\ud800"),
    ("action_url", "https://ada@evil.example"),
    ("action_url", "https://bank.example:x@evil.example/"),
    ("action_url", "https://a/\u202egpj.exe"),
    *[
        ("action_url", f"/a{character}b")
        for character in "\"'`<>\x01\x1b\x7f\x85\u061c\u200f\u202a\u2069\u200b\ufeff"
    ],
    *[("action_url", f"https://a{character}b/") for character in "\"'`<>\x01\u200e\u2066\xad"],
    ("action_url", "posts/42"),
    ("action_url", "https://e.com/" + "a" * (2049 - 14)),
    ("expires_at", datetime(2030, 1, 1)),
    ("expires_at", EARLIEST - timedelta(microseconds=1)),
    ("expires_at", LATEST + timedelta(microseconds=1)),
    ("expires_at", datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))),
    ("expires_at", datetime.max.replace(tzinfo=timezone(-timedelta(hours=14)))),
    ("expires_at", datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(-timedelta(minutes=1)))),
    ("metadata", {"a": "\x00"}),
]


def shown(value: object) -> str:
    return ascii(value)[:30]


@pytest.mark.parametrize(("name", "value"), GOOD, ids=shown)
def test_what_keeps_the_rules_is_accepted(name: str, value: Any) -> None:
    assert getattr(a_content(**{name: value}), name) == value


@pytest.mark.parametrize(("name", "value"), BAD, ids=shown)
def test_what_breaks_a_rule_is_refused_with_its_field(name: str, value: Any) -> None:
    with pytest.raises(Invalid) as caught:
        a_content(**{name: value})

    assert [error.field for error in caught.value.errors] == [name]


def test_every_broken_rule_is_named_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        a_content(user_id="", event="", message="", title="t" * 201, metadata=[], action_url="x")

    broken = [error.field for error in caught.value.errors]
    assert broken == ["user_id", "event", "message", "title", "action_url", "metadata"]
    assert "user_id must be" in caught.value.detail


def test_a_draft_needs_a_time_with_a_zone() -> None:
    with pytest.raises(Invalid) as caught:
        Draft(an_id(), datetime(2026, 1, 1), a_content())

    assert caught.value.errors == (FieldError("created_at", "must carry a time zone"),)


@pytest.mark.parametrize(
    "time",
    [
        EARLIEST - timedelta(microseconds=1),
        LATEST + timedelta(microseconds=1),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
        datetime.max.replace(tzinfo=timezone(-timedelta(hours=14))),
    ],
)
def test_a_draft_needs_a_time_that_its_id_and_the_store_can_carry(time: datetime) -> None:
    with pytest.raises(Invalid) as caught:
        Draft(an_id(), time, a_content())

    assert [error.field for error in caught.value.errors] == ["created_at"]


@pytest.mark.parametrize(
    ("draft", "field"),
    [
        (a_draft(at=NOW + timedelta(days=1, microseconds=1)), "created_at"),
        (a_draft(at=LATEST), "created_at"),
        (replace(a_draft(), id=an_id(1, LATEST)), "id"),
        (replace(a_draft(), id=NotificationId(UUID("ffffffff-ffff-7fff-bfff-ffffffffffff"))), "id"),
    ],
    ids=shown,
)
def test_a_draft_is_not_dated_more_than_a_day_ahead(draft: Draft, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        draft.check_not_ahead(NOW)

    assert [broken.field for broken in caught.value.errors] == [field]


@pytest.mark.parametrize("at", [NOW, NOW + timedelta(days=1), EARLIEST])
def test_a_draft_may_be_old_or_of_a_clock_that_is_ahead(at: datetime) -> None:
    a_draft(at=at).check_not_ahead(NOW)


def test_what_is_stored_has_its_times_in_utc_as_the_store_gives_them_back() -> None:
    east = timezone(timedelta(hours=5))
    draft = Draft(an_id(), NOW.astimezone(east), a_content(expires_at=LATER.astimezone(east)))

    stored = draft.stored(1)

    assert (stored.created_at, stored.expires_at) == (NOW, LATER)
    assert stored.created_at.tzinfo is UTC
    assert stored.expires_at is not None
    assert stored.expires_at.tzinfo is UTC


def test_what_is_stored_is_what_was_said() -> None:
    content = a_content(title="T", metadata={"a": 1}, action_url="/a", expires_at=LATER)

    stored = Draft(an_id(), NOW, content).stored(7)

    assert (stored.id, stored.version, stored.created_at) == (an_id(), 7, NOW)
    for field in fields(Content):
        if field.name not in {"actor", "collapse"}:
            assert getattr(stored, field.name) == getattr(content, field.name)
    assert stored.unread


MARKED: list[tuple[Mark, dict[str, Any], dict[str, Any] | None]] = [
    (Mark.SEEN, {}, {"seen_at": LATER}),
    (Mark.SEEN, {"seen_at": NOW}, None),
    (Mark.SEEN, {"read_at": NOW}, None),
    (Mark.SEEN, {"archived_at": NOW}, None),
    (Mark.READ, {}, {"read_at": LATER, "seen_at": LATER}),
    (Mark.READ, {"seen_at": NOW}, {"read_at": LATER, "seen_at": NOW}),
    (Mark.READ, {"read_at": NOW}, None),
    (Mark.READ, {"archived_at": NOW}, {"read_at": LATER, "archived_at": NOW, "seen_at": LATER}),
    (Mark.UNREAD, {"read_at": NOW}, {"read_at": None}),
    (Mark.UNREAD, {"read_at": NOW, "seen_at": NOW}, {"read_at": None}),
    (Mark.UNREAD, {}, None),
    (Mark.ARCHIVED, {}, {"archived_at": LATER, "seen_at": LATER}),
    (Mark.ARCHIVED, {"archived_at": NOW}, None),
    (Mark.UNARCHIVED, {"archived_at": NOW}, {"archived_at": None}),
    (Mark.UNARCHIVED, {}, None),
    (Mark.ACTED, {}, {"acted_at": LATER, "read_at": LATER, "seen_at": LATER}),
    (Mark.ACTED, {"read_at": NOW, "seen_at": NOW}, {"acted_at": LATER}),
    (Mark.ACTED, {"acted_at": NOW, "action": "approve"}, None),
    (Mark.SNOOZED, {}, {"snoozed_until": LATER}),
    (Mark.SNOOZED, {"snoozed_until": NOW, "read_at": NOW}, {"snoozed_until": LATER}),
    (Mark.SNOOZED, {"snoozed_until": LATER}, None),
    (Mark.SNOOZED, {"archived_at": NOW}, None),
    (
        Mark.WOKEN,
        {"snoozed_until": NOW, "read_at": NOW, "seen_at": NOW, "woken_at": NOW},
        {"snoozed_until": None, "read_at": None, "seen_at": None, "woken_at": LATER},
    ),
    (Mark.WOKEN, {"woken_at": NOW}, None),
    (Mark.RETRACTED, {}, {"retracted_at": LATER}),
    (Mark.RETRACTED, {"retracted_at": NOW}, None),
]


@pytest.mark.parametrize(("mark", "before", "after"), MARKED)
def test_a_mark_changes_its_field_and_the_version_or_nothing(
    mark: Mark, before: dict[str, Any], after: dict[str, Any] | None
) -> None:
    item = a_notification(**before)

    marked = item.marked(mark, LATER, 9)

    if after is None:
        assert marked is item
    else:
        assert marked == a_notification(**{**before, **after}, version=9)


def test_what_was_chosen_stays_with_a_notification() -> None:
    acted = a_notification().marked(Mark.ACTED, LATER, 2, "approve")

    assert (acted.action, acted.acted_at) == ("approve", LATER)
    assert acted.marked(Mark.ACTED, LATER, 3, "reject") is acted
    assert acted.marked(Mark.UNREAD, LATER, 3).action == "approve"


@pytest.mark.parametrize("read", [None, NOW])
@pytest.mark.parametrize("archived", [None, NOW])
@pytest.mark.parametrize("retracted", [None, NOW])
def test_a_notification_is_in_the_views_that_it_belongs_to(
    read: datetime | None, archived: datetime | None, retracted: datetime | None
) -> None:
    item = a_notification(read_at=read, archived_at=archived, retracted_at=retracted)
    views = {status for status in Status if item.within(status)}

    expected: set[Status] = set()
    if retracted is None and archived is not None:
        expected = {Status.ARCHIVED}
    elif retracted is None:
        expected = {Status.ALL, Status.READ if read else Status.UNREAD}

    assert views == expected
    assert item.unread == (Status.UNREAD in views)


@given(st.lists(st.sampled_from([mark for mark in Mark if mark is not Mark.RETRACTED]), max_size=8))
def test_whatever_is_marked_the_version_tells_whether_something_changed(marks: list[Mark]) -> None:
    item: Notification = a_notification(version=0)
    for nth, mark in enumerate(marks, 1):
        after = item.marked(mark, NOW + timedelta(seconds=nth), nth)
        assert (after.version == nth) == (after != item)
        item = after


@pytest.mark.parametrize("revision", [0, 1, REVISION_MAX])
def test_a_revision_that_every_client_can_read_is_taken(revision: int) -> None:
    assert replace(a_draft(), revision=revision).revision == revision


@pytest.mark.parametrize("revision", [-1, REVISION_MAX + 1])
def test_another_revision_is_refused(revision: int) -> None:
    with pytest.raises(Invalid) as caught:
        replace(a_draft(), revision=revision)

    assert [error.field for error in caught.value.errors] == ["revision"]


def test_what_is_taken_back_has_a_user_and_an_id_of_today() -> None:
    with pytest.raises(Invalid) as caught:
        Retraction(UserId("a b"), an_id())
    assert [error.field for error in caught.value.errors] == ["user_id"]

    Retraction(ADA, an_id(1, NOW + timedelta(days=1))).check_not_ahead(NOW)
    with pytest.raises(Invalid) as caught:
        Retraction(ADA, an_id(1, NOW + timedelta(days=1, seconds=1))).check_not_ahead(NOW)
    assert [error.field for error in caught.value.errors] == ["id"]


@given(st.text(max_size=20))
def test_no_text_crashes_the_rules(text: str) -> None:
    try:
        content = a_content(user_id=text, event=text, message=text, action_url=text, metadata={text: text})
    except Invalid:
        return
    content.message.encode()


def test_the_same_draft_twice_is_equal() -> None:
    assert a_draft() == a_draft()
