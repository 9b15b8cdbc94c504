"""The inbox of the Python client."""

from datetime import UTC, datetime
from typing import Any

import pytest

from bellwire_client import (
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
from tests.line import item

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
EARLIER = datetime(2026, 11, 22, 11, tzinfo=UTC)


def one(version: int, number: int | None = None, **fields: Any) -> Notification:
    identifier = f"id-{version if number is None else number:05}"
    return Notification.of({**item(version), "id": identifier, **fields})


def page(*items: Notification, version: int, epoch: str = "e") -> Page:
    return Page(items=items, next_cursor=None, unread_count=len(items), cursor=f"{epoch}.{version}")


def update(prev: int, cursor: int, **parts: Any) -> Update:
    given: dict[str, Any] = {"ids": None, "up_to": None, "set": {"read_at": NOON}, "unread_count": 0, **parts}
    return Update(prev=f"e.{prev}", cursor=f"e.{cursor}", **given)


def added(*items: Notification, cursor: int, replay: bool = False) -> Notifications:
    return Notifications(
        items=items, replay=replay, prev=f"e.{cursor - 1}", cursor=f"e.{cursor}", unread_count=cursor
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


def test_what_is_taken_back_goes() -> None:
    inbox = Inbox(page(one(1), one(2), version=2))

    inbox.apply(update(2, 3, ids=("id-00001",), set={"retracted_at": NOON}))
    inbox.apply(added(one(4, 2, retracted_at=NOON.isoformat()), cursor=4, replay=True))

    assert inbox.items == []


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
        Replayed(cursor="e.2", unread_count=9),
        Connected(
            cursor="e.9",
            unread_count=9,
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

    inbox.apply(event)

    assert shown(inbox) == [("id-00002", 2, False)]
    assert (inbox.cursor, inbox.unread_count) == ("e.2", 1)


def test_after_a_reset_a_page_is_loaded_and_it_goes_on() -> None:
    inbox = Inbox(page(one(8), version=9))

    inbox.apply(Reset(reason="future", cursor="e.3", unread_count=1))
    at_reset = (inbox.cursor, inbox.unread_count)
    inbox.load(page(one(4), one(2), version=4))
    inbox.apply(added(one(4), cursor=4))  # which the page shows already
    inbox.apply(added(one(5), cursor=5))

    assert at_reset == ("e.3", 1)
    assert [item.version for item in inbox.items] == [5, 4, 2]
    assert inbox.cursor == "e.5"


def test_fields_that_are_not_known_yet_are_left_out() -> None:
    read = Notification.of({**item(1), "priority": "high"})

    assert read == one(1)
