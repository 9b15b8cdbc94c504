"""The JSON that leaves the service."""

import json

import pytest

from common import wire
from domain.feed import Added
from domain.metadata import Metadata
from tests.build import LATER, a_feed, a_notification, an_id, told_counts
from tests.contracts import AWKWARD_METADATA, AWKWARD_TEXT
from tests.documents import NASTY


def test_the_id_comes_first_for_the_index_sorts_by_it() -> None:
    assert wire.render(a_notification()).startswith(b'{"id":"%b",' % str(an_id()).encode())


def test_ids_sort_as_text_like_they_sort_in_time() -> None:
    rendered = [wire.render(a_notification(n)) for n in range(300)]

    assert sorted(rendered) == rendered


def test_a_notification_has_these_fields_in_this_order() -> None:
    item = a_notification(
        7, title="T", message=AWKWARD_TEXT, metadata=AWKWARD_METADATA, action_url="/a", read_at=LATER
    )

    told = json.loads(wire.render(item))

    assert told == {
        "id": str(an_id(7)),
        "user_id": "ada",
        "version": 7,
        "event": "comment.created",
        "category": "comment",
        "title": "T",
        "message": AWKWARD_TEXT,
        "metadata": AWKWARD_METADATA,
        "action_url": "/a",
        "created_at": "2026-03-14T09:26:53.589793Z",
        "seen_at": None,
        "read_at": "2026-03-14T09:27:53.589793Z",
        "archived_at": None,
        "retracted_at": None,
        "expires_at": None,
    }
    assert next(iter(told)) == "id"


@pytest.mark.parametrize("document", NASTY, ids=lambda document: ascii(document)[:30])
def test_metadata_is_rendered_as_it_was_sent(document: str) -> None:
    item = wire.render(a_notification(metadata=Metadata.of(document)))

    assert f'"metadata":{document},"action_url"' in item.decode()


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("next_cursor", [None, 'a"b\\'])
def test_a_page_is_valid_json_with_the_items_as_they_are(count: int, next_cursor: str | None) -> None:
    items = [wire.render(a_notification(n, message=AWKWARD_TEXT)) for n in range(1, count + 1)]

    page = wire.page(items, next_cursor, a_feed(9, 4))

    assert json.loads(page) == {
        "items": [json.loads(item) for item in items],
        "next_cursor": next_cursor,
        **told_counts(4),
        "cursor": "e1.9",
    }
    assert all(bytes(item) in page for item in items)


@pytest.mark.parametrize("replay", [False, True])
def test_a_frame_of_notifications_says_whether_it_is_a_replay(replay: bool) -> None:
    items = [wire.render(a_notification(n)) for n in (4, 5)]

    frame = json.loads(wire.notifications_frame(a_feed(5, 2), 3, items, flag="replay" if replay else ""))

    assert frame.get("replay", False) is replay
    assert (frame["type"], frame["prev"], frame["cursor"], frame["unread_count"]) == (
        "notifications", "e1.3", "e1.5", 2,
    )  # fmt: skip
    assert [item["version"] for item in frame["items"]] == [4, 5]


def test_the_same_bytes_are_in_the_frame_and_on_the_page() -> None:
    change = Added(a_feed(), (a_notification(message=AWKWARD_TEXT),))
    items = [wire.render(item) for item in change.notifications]

    assert items[0].decode() in wire.frame(change, items).text
    assert bytes(items[0]) in wire.page(items, None, change.feed)


def test_a_frame_is_as_old_as_its_oldest_notification() -> None:
    change = Added(a_feed(2), (a_notification(1, created_at=LATER), a_notification(2)))

    frame = wire.frame(change, [wire.render(item) for item in change.notifications])

    assert frame.accepted_at == a_notification().created_at.timestamp()
    assert frame.unread_ids == (str(an_id(1)), str(an_id(2)))


@pytest.mark.parametrize(("count", "bare"), [(130, False), (140, True)])
def test_what_is_too_much_for_a_frame_travels_as_a_bare_position(count: int, bare: bool) -> None:
    items = tuple(a_notification(n, message="x" * 3_700) for n in range(1, count + 1))
    change = Added(a_feed(count), items)

    frame = wire.frame(change, [wire.render(item) for item in items])

    assert (frame.text == "") is bare
    assert (frame.prev, frame.version) == (count if bare else 0, count)
    assert len(frame.text) < 1024 * 1024
