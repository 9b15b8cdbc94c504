"""Positions in a feed, changes of it, and ids."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.clock import NotificationIds, new_user_id
from application.publishing import nth_id
from domain.errors import Invalid
from domain.feed import Added, Cursor, Marked
from domain.identifiers import ENTROPY_BITS, is_user_id, milliseconds_of, uuid7
from domain.states import Mark
from tests.build import NOW, a_feed, a_notification, an_id


@pytest.mark.parametrize("text", ["e1.0", "a.1", "0123456789abcdef.999999999999999999", "z.42"])
def test_a_cursor_reads_what_it_writes(text: str) -> None:
    assert str(Cursor.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "e1",
        "e1.",
        ".1",
        "e1.-1",
        "e1.+1",
        "e1.01",
        "e1.1.1",
        "e1.1e3",
        "e1. 1",
        " e1.1",
        "e1.1\n",
        "E1.1",
        "e1.٣",
        "e1.1\x00",
        "0123456789abcdef0.1",
        "e1.9999999999999999999",
        "e1." + "9" * 10_000,
        "é.1",
        "null",
    ],
)
def test_what_is_no_cursor_is_refused_with_its_field(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        Cursor.parse(text, "up_to")

    assert [error.field for error in caught.value.errors] == ["up_to"]


@given(st.text())
def test_a_cursor_is_read_in_one_way_only(text: str) -> None:
    try:
        cursor = Cursor.parse(text)
    except Invalid:
        return
    assert str(cursor) == text


def test_a_change_says_what_it_follows() -> None:
    added = Added(a_feed(7), (a_notification(1, version=6), a_notification(2, version=7)))
    marked = Marked(a_feed(7), 5, Mark.READ, NOW, added.notifications)

    assert added.prev == 5
    assert (marked.changed, marked.ids) == (2, (an_id(1), an_id(2)))
    assert Marked(a_feed(7), 5, Mark.READ, NOW, None, up_to=3).ids == ()


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**ENTROPY_BITS - 1))
def test_an_id_holds_its_time_and_its_entropy(milliseconds: int, entropy: int) -> None:
    made = uuid7(milliseconds, entropy)

    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == milliseconds
    assert (made.int >> 64 & 0xFFF) << 62 | made.int & (1 << 62) - 1 == entropy


def test_ids_of_a_process_rise_and_leave_room_for_a_batch() -> None:
    new_id = NotificationIds()

    ids = [new_id() for _ in range(2_000)]

    assert ids == sorted(set(ids))
    assert all(item.int & 1023 == 0 and item.version == 7 for item in ids)
    assert nth_id(ids[-1], 999).variant == ids[-1].variant


@pytest.mark.parametrize(("back_ms", "rises"), [(1, True), (59_000, True), (61_000, False), (10**10, False)])
def test_ids_rise_over_a_small_step_back_of_the_clock_and_follow_a_large_one(
    back_ms: int, rises: bool
) -> None:
    """After a clock was years ahead for a moment, the ids of today are of today again."""
    clock = SimpleNamespace(at=1_900_000_000_000)
    new_id = NotificationIds(lambda: clock.at * 1_000_000)

    ahead = new_id()
    clock.at -= back_ms
    back, after = new_id(), new_id()

    assert (back > ahead) == rises
    assert back < after
    if not rises:
        assert milliseconds_of(back) == clock.at


def test_a_new_user_gets_a_user_id() -> None:
    assert is_user_id(new_user_id())
    assert new_user_id() != new_user_id()
