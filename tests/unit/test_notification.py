"""What a producer may say, and what becomes of a notification."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import FieldError, Invalid
from domain.notification import Content, Draft, Mark, Notification, Status
from tests.build import LATER, NOW, a_content, a_draft, a_notification, an_id

GOOD: list[tuple[str, Any]] = [
    ("user_id", "A-z0.9_:@"),
    ("user_id", "u" * 128),
    ("event", "a"),
    ("event", "comment.created_2-x"),
    ("event", "e" * 100),
    ("message", "m"),
    ("message", "m" * 4000),
    ("message", "👩‍👩‍👧" * 800),
    ("message", "\t\r\n\x01\u2028\ufffe"),
    ("title", None),
    ("title", ""),
    ("title", "t" * 200),
    ("action_url", None),
    ("action_url", "/"),
    ("action_url", "/posts/42?a=b#c"),
    ("action_url", "/a//b"),
    ("action_url", "https://example.com"),
    ("action_url", "http://[::1]:80/ü?q=1"),
    ("action_url", "https://e.com/" + "a" * (2048 - 14)),
    ("expires_at", NOW),
]

BAD: list[tuple[str, Any]] = [
    ("user_id", ""),
    ("user_id", "u" * 129),
    ("user_id", "a b"),
    ("user_id", "a/b"),
    ("user_id", "ada\n"),
    ("user_id", "ädä"),
    ("user_id", "a\x00"),
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
    ("action_url", "posts/42"),
    ("action_url", "https://e.com/" + "a" * (2049 - 14)),
    ("expires_at", datetime(2030, 1, 1)),
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


def test_what_is_stored_is_what_was_said() -> None:
    content = a_content(title="T", metadata={"a": 1}, action_url="/a", expires_at=LATER)

    stored = Draft(an_id(), NOW, content).stored(7)

    assert (stored.id, stored.version, stored.created_at) == (an_id(), 7, NOW)
    for field in fields(Content):
        assert getattr(stored, field.name) == getattr(content, field.name)
    assert stored.unread


@pytest.mark.parametrize("zone", [timezone(timedelta(hours=2)), timezone(timedelta(hours=-3, minutes=-45))])
def test_what_is_stored_has_its_times_in_utc(zone: timezone) -> None:
    """As the store gives them back, or a live frame would say them otherwise than a page."""
    content = a_content(expires_at=LATER.astimezone(zone))

    stored = Draft(an_id(), NOW.astimezone(zone), content).stored(7)

    assert (stored.created_at.isoformat(), stored.expires_at) == (NOW.isoformat(), LATER)
    assert stored.expires_at is not None
    assert stored.expires_at.tzinfo is UTC


def test_a_time_that_has_no_name_in_utc_is_left_to_the_store() -> None:
    first = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))

    assert Draft(an_id(), first, a_content(expires_at=first)).stored(1).created_at == first


MARKED: list[tuple[Mark, dict[str, Any], dict[str, Any] | None]] = [
    (Mark.READ, {}, {"read_at": LATER}),
    (Mark.READ, {"read_at": NOW}, None),
    (Mark.READ, {"archived_at": NOW}, {"read_at": LATER, "archived_at": NOW}),
    (Mark.UNREAD, {"read_at": NOW}, {"read_at": None}),
    (Mark.UNREAD, {}, None),
    (Mark.ARCHIVED, {}, {"archived_at": LATER}),
    (Mark.ARCHIVED, {"archived_at": NOW}, None),
    (Mark.UNARCHIVED, {"archived_at": NOW}, {"archived_at": None}),
    (Mark.UNARCHIVED, {}, None),
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


@given(st.text(max_size=20))
def test_no_text_crashes_the_rules(text: str) -> None:
    try:
        content = a_content(user_id=text, event=text, message=text, action_url=text, metadata={text: text})
    except Invalid:
        return
    content.message.encode()


def test_the_same_draft_twice_is_equal() -> None:
    assert a_draft() == a_draft()
