"""The inbox of the Python client."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from bellwire_client import (
    Action,
    Actor,
    Connected,
    Disconnected,
    Event,
    Inbox,
    Notification,
    Notifications,
    Page,
    Replayed,
    Reset,
    Update,
)
from tests.line import counts, item

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
EARLIER = datetime(2026, 11, 22, 11, tzinfo=UTC)


def one(version: int, number: int | None = None, **fields: Any) -> Notification:
    identifier = f"id-{version if number is None else number:05}"
    return Notification.of({**item(version), "id": identifier, **fields})


def page(*items: Notification, version: int, epoch: str = "e") -> Page:
    return Page(items=items, next_cursor=None, cursor=f"{epoch}.{version}", **counts(len(items)))


def update(prev: int, cursor: int, **parts: Any) -> Update:
    number: int = parts.pop("unread_count", 0)
    given: dict[str, Any] = {"ids": None, "up_to": None, "set": {"read_at": NOON}, **counts(number), **parts}
    return Update(prev=f"e.{prev}", cursor=f"e.{cursor}", **given)


def added(*items: Notification, cursor: int, replay: bool = False) -> Notifications:
    return Notifications(
        items=items, replay=replay, prev=f"e.{cursor - 1}", cursor=f"e.{cursor}", **counts(cursor)
    )


def shown(inbox: Inbox) -> list[tuple[str, int, bool]]:
    return [(item.id, item.version, item.read_at is not None) for item in inbox.items]


def test_it_holds_a_page() -> None:
    inbox = Inbox(page(one(2), one(1), version=2))

    assert shown(inbox) == [("id-00002", 2, False), ("id-00001", 1, False)]
    assert (inbox.cursor, inbox.unread_count) == ("e.2", 2)


def test_new_ones_come_and_changed_ones_are_replaced() -> None:
    inbox = Inbox(page(one(1), version=1))

    inbox.apply(added(one(2), one(3), cursor=3))
    inbox.apply(added(one(4, 1, read_at=NOON.isoformat()), cursor=4, replay=True))

    assert shown(inbox) == [("id-00003", 3, False), ("id-00002", 2, False), ("id-00001", 4, True)]
    assert (inbox.cursor, inbox.unread_count) == ("e.4", 4)


def test_a_change_of_named_ones_counts_their_versions() -> None:
    inbox = Inbox(page(one(3), one(2), one(1), version=3))

    inbox.apply(update(3, 6, ids=("id-00003", "id-99999", "id-00001"), unread_count=1))

    assert shown(inbox) == [("id-00003", 4, True), ("id-00002", 2, False), ("id-00001", 6, True)]
    assert (inbox.cursor, inbox.unread_count) == ("e.6", 1)


def test_a_change_up_to_a_cursor_spares_what_is_newer_and_what_it_does_not_apply_to() -> None:
    before = one(2, read_at=EARLIER.isoformat())
    inbox = Inbox(page(one(4), one(3), before, one(1), version=4))

    inbox.apply(update(4, 6, up_to="e.3"))

    assert shown(inbox) == [
        ("id-00004", 4, False),
        ("id-00003", 6, True),
        ("id-00002", 2, True),
        ("id-00001", 6, True),
    ]
    assert inbox.items[2].read_at == EARLIER


def test_what_is_taken_back_archived_or_snoozed_goes() -> None:
    inbox = Inbox(page(*(one(number) for number in (5, 4, 3, 2, 1)), version=5))

    inbox.apply(update(5, 6, ids=("id-00001",), set={"retracted_at": NOON}))
    inbox.apply(added(one(7, 2, retracted_at=NOON.isoformat()), cursor=7, replay=True))
    inbox.apply(update(7, 8, ids=("id-00003",), set={"archived_at": NOON}))
    inbox.apply(update(8, 9, ids=("id-00004",), set={"snoozed_until": NOON}))
    inbox.apply(added(one(10, 5, snoozed_until=NOON.isoformat()), cursor=10, replay=True))

    assert inbox.items == []
    assert Inbox(page(one(1, archived_at=NOON.isoformat()), version=1)).items == []


@pytest.mark.parametrize(
    ("set_", "more", "expected"),
    [
        ({"seen_at": NOON}, {}, (NOON, None, None, None)),
        ({"read_at": NOON}, {}, (NOON, NOON, None, None)),
        ({"acted_at": NOON}, {"action": "ok"}, (NOON, NOON, NOON, "ok")),
    ],
)
def test_what_follows_from_a_mark(set_: dict[str, Any], more: dict[str, Any], expected: Any) -> None:
    inbox = Inbox(page(one(1), version=1))

    inbox.apply(update(1, 2, ids=("id-00001",), set=set_, **more))

    (changed,) = inbox.items
    assert (changed.seen_at, changed.read_at, changed.acted_at, changed.action) == expected


def test_what_is_unread_again_stays_seen_and_its_first_time_is_kept() -> None:
    inbox = Inbox(page(one(1), version=1))

    inbox.apply(update(1, 2, ids=("id-00001",), set={"seen_at": EARLIER}))
    inbox.apply(update(2, 3, up_to="e.2"))
    inbox.apply(update(3, 4, ids=("id-00001",), set={"read_at": None}))

    assert [(one.seen_at, one.read_at) for one in inbox.items] == [(EARLIER, None)]


@pytest.mark.parametrize("set_", [{"archived_at": None}, {"snoozed_until": None}, {"woken_at": NOON}])
def test_what_brings_back_what_is_not_here_asks_for_a_page(set_: dict[str, Any]) -> None:
    inbox = Inbox(page(one(1), version=1))

    assert inbox.apply(update(1, 2, ids=("id-00009",)))
    assert inbox.apply(update(2, 3, ids=("id-00001",), set={"read_at": None}))
    assert not inbox.apply(update(3, 4, ids=("id-00009",), set=set_))
    assert not inbox.apply(update(4, 5, up_to="e.4", set=set_))
    inbox.load(page(one(4, 9), version=5))
    assert [item.id for item in inbox.items] == ["id-00009"]


def test_what_was_snoozed_comes_back_on_top() -> None:
    old, new = "018f0000-0000-7000-8000-000000000001", "018f0000-0000-7000-8000-000000000002"
    inbox = Inbox(page(one(2, id=new), one(1, id=old), version=2))

    inbox.apply(added(one(3, id=old, woken_at=NOON.isoformat()), cursor=3))

    assert [item.id for item in inbox.items] == [old, new]


def test_the_counts_are_those_of_the_newest_cursor() -> None:
    inbox = Inbox(page(one(1), version=1))
    inbox.apply(update(1, 2, ids=(), set={}, preferences={"tick": False}, unseen_count=0, unread_count=3))
    inbox.apply(added(one(1), cursor=1))

    assert (inbox.cursor, inbox.unread_count, inbox.unseen_count, inbox.unread_in) == (
        "e.2",
        3,
        0,
        {"tick": 3},
    )


def test_a_list_has_no_holes_it_ends_where_it_is_loaded() -> None:
    first = replace(page(one(9), one(8), version=9), next_cursor="more")
    inbox = Inbox(first)
    inbox.apply(added(one(10, 3), cursor=10, replay=True))
    before = [item.id for item in inbox.items]
    inbox.add(page(one(5), one(3), version=10))

    assert inbox.next_cursor is None
    assert before == ["id-00009", "id-00008"]
    assert shown(inbox)[2:] == [("id-00005", 5, False), ("id-00003", 10, False)]
    assert inbox.unread_count == 10


def test_it_has_a_list_for_each_category() -> None:
    items = [one(3, category="billing"), one(2, read_at=NOON.isoformat()), one(1)]
    inbox = Inbox(page(*items, version=3))

    chosen = inbox.select("billing"), inbox.select("tick"), inbox.select(unread=True)
    assert [[item.version for item in some] for some in chosen] == [[3], [2, 1], [3, 1]]
    assert [item.version for item in inbox.select("tick", unread=True)] == [1]


def test_a_state_that_is_not_known_yet_is_passed_over() -> None:
    inbox = Inbox(page(one(1), version=1))

    inbox.apply(update(1, 2, ids=("id-00001",), set={"pinned_at": NOON}))
    inbox.apply(update(2, 3, up_to="e.2", set={"pinned_at": NOON}))

    assert shown(inbox) == [("id-00001", 2, False)]
    assert inbox.cursor == "e.3"


@pytest.mark.parametrize(
    "event",
    [
        added(one(1), cursor=1),
        added(one(2), cursor=2),
        update(1, 2, ids=("id-00002",)),
        update(1, 2, up_to="e.1"),
        Replayed(cursor="e.2", **counts(9), preferences_version=0),
        Connected(
            cursor="e.9",
            **counts(9),
            preferences_version=0,
            resumed=True,
            session="s",
            server="n",
            token_expires_in=1,
            ping_interval=25,
        ),
        Disconnected(reason="it broke", code=None, retry_in=1),
    ],
    ids=lambda event: type(event).__name__,
)
def test_what_is_not_newer_changes_nothing(event: Event) -> None:
    inbox = Inbox(page(one(2), version=2))

    assert inbox.apply(event)

    assert shown(inbox) == [("id-00002", 2, False)]
    assert (inbox.cursor, inbox.unread_count) == ("e.2", 1)


def test_after_a_reset_a_page_is_loaded_and_it_goes_on() -> None:
    inbox = Inbox(page(one(8), version=9))

    assert not inbox.apply(Reset(reason="future", cursor="e.3", **counts(1), preferences_version=0))
    at_reset = (inbox.cursor, inbox.unread_count)
    inbox.load(page(one(4), one(2), version=4))
    inbox.apply(added(one(4), cursor=4))  # which the page shows already
    inbox.apply(added(one(5), cursor=5))

    assert at_reset == ("e.3", 1)
    assert [item.version for item in inbox.items] == [5, 4, 2]
    assert inbox.cursor == "e.5"


def test_fields_that_are_not_known_yet_are_left_out() -> None:
    read = Notification.of({**item(1), "priority": "high", "actors": [{"name": "Ada", "shoe": 38}]})

    assert replace(read, actors=()) == one(1)
    assert read.actors == (Actor(name="Ada"),)


def test_a_rich_notification() -> None:
    actions = [
        {"id": "ok", "label": "Approve", "style": "primary"},
        {"id": "see", "label": "See", "url": "/"},
    ]
    read = one(1, actions=actions, severity="critical", count=5, actor_count=4, edited_at=NOON.isoformat())

    assert read.actions == (
        Action(id="ok", label="Approve", style="primary"),
        Action(id="see", label="See", url="/"),
    )
    assert (read.severity, read.count, read.actor_count, read.edited_at) == ("critical", 5, 4, NOON)
