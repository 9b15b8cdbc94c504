"""`bellwire listen` and `inbox`: the events of a feed and its notifications, as lines and as JSON."""

import argparse
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from application.errors import ApplicationError
from bellwire_client import Disconnected, Event, Notification
from bellwire_client.events import event_of
from entrypoints.commands.event_texts import Telling, entry
from entrypoints.commands.inbox import _limit, _whole
from entrypoints.commands.notification_texts import ago, headline, short, state
from entrypoints.commands.output import Cell, as_json
from entrypoints.commands.times import clock_time
from tests.line import counts, item

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
AT = "2026-11-29T12:00:00Z"


def notification(**fields: Any) -> Notification:
    return Notification.of({**item(1), "created_at": AT, "event": "a.b", "title": None, **fields})


def event(kind: str, version: int = 5, **fields: Any) -> Event:
    found = event_of(
        {"type": kind, "cursor": f"e.{version}", "prev": f"e.{version - 1}", **counts(version), **fields}
    )
    assert found is not None
    return found


def welcome() -> Event:
    return event(
        "welcome",
        session="s",
        server="b",
        preferences_version=0,
        resumed=False,
        ping_interval=25,
        token_expires_in=60,
    )


def news(*items: dict[str, Any], **fields: Any) -> Event:
    made = [{**item(1), "created_at": AT, "event": "a.b", "title": None, **one} for one in items]
    return event("notifications", items=made, **fields)


def update(**fields: Any) -> Event:
    return event("update", 6, **{"ids": None, "up_to": None, **fields})


def told(*events: Event) -> list[str]:
    """The lines without their times."""
    telling = Telling(lambda: NOW)
    return [plain(line) for one in events for line in telling(one)]


def plain(line: Sequence[Cell]) -> str:
    texts = [cell if isinstance(cell, str) else cell[0] for cell in line]
    assert len(texts[0]) == len("12:00:00")
    return " | ".join(text.strip() for text in texts[1:])


# --- events -------------------------------------------------------------------------------------------


def test_a_notification_is_told_with_its_severity_and_the_end_of_its_id() -> None:
    new = news({"id": "0000-12345678", "severity": "critical", "title": "Disk", "message": "is full"})

    (line,) = Telling(lambda: NOW)(new)

    assert plain(line) == "critical | a.b | Disk: is full | 12345678"
    assert (line[0], line[1]) == ((clock_time(NOW), "dim"), (f"{'critical':12}", "bold red"))


def test_what_is_old_says_how_old_it_is() -> None:
    old = news({"created_at": "2026-11-29T09:59:00Z", "message": "m", "id": "i"}, replay=True)

    assert told(old) == ["info | a.b | m | (2 h ago) | i"]


def test_an_edit_and_a_retraction_are_told_as_such() -> None:
    edited = news({"message": "better", "id": "i"}, changed=True)
    gone = news({"message": "worse", "id": "i", "retracted_at": AT}, replay=True)

    assert told(edited, gone) == ["edited | a.b | better | i", "retracted | worse | i"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"set": {"read_at": AT}}, "read"),
        ({"set": {"read_at": None}}, "unread"),
        ({"set": {"seen_at": AT}}, "seen"),
        ({"set": {"archived_at": AT}}, "archived"),
        ({"set": {"archived_at": None}}, "unarchived"),
        ({"set": {"retracted_at": AT}}, "retracted"),
        ({"set": {"snoozed_until": AT}}, "snoozed"),
        ({"set": {"woken_at": AT}}, "back"),
        ({"set": {"acted_at": AT}, "action": "approve"}, "chose approve"),
        ({"set": {"later_at": AT}}, "later_at"),
    ],
)
def test_changes_are_told_with_what_they_change(change: dict[str, Any], word: str) -> None:
    lines = told(news({"id": "i", "message": "Tick"}), update(ids=["i"], **change))

    assert lines[1] == f"{word} | Tick (6 unread)"


def test_changes_of_what_was_not_heard_of_are_told_by_id_or_number() -> None:
    read: dict[str, Any] = {"set": {"read_at": AT}}

    lines = told(
        update(ids=["0000-87654321"], **read), update(ids=list("abcd"), **read), update(up_to="e.1", **read)
    )

    assert [line.split(" | ")[1].split(" (")[0] for line in lines] == [
        "87654321",
        "4 notifications",
        "everything so far",
    ]


def test_choices_are_told() -> None:
    assert told(update(set={}, preferences={"a": True, "b": False, "c": None})) == [
        "preference | a: on",
        "preference | b: off",
        "preference | c: as by default",
    ]


def test_a_connection_that_is_lost_is_told_once_until_it_is_back() -> None:
    lost = Disconnected(reason="it broke", code=None, retry_in=0.1)
    replayed = event("replayed", preferences_version=0)
    reset = event("reset", reason="too-old", preferences_version=0)

    lines = told(welcome(), lost, lost, welcome(), replayed, lost, reset)

    assert [line.split(" | ")[0] for line in lines] == [
        "connected",
        "disconnected",
        "connected",
        "caught up",
        "disconnected",
        "reset",
    ]


def test_only_the_latest_thousand_are_remembered() -> None:
    telling = Telling(lambda: NOW)
    for number in range(1_500):
        list(telling(news({"id": f"{number:08}"})))

    assert list(telling._known) == [f"{number:08}" for number in range(500, 1_500)]


def test_as_json_an_event_is_its_frame() -> None:
    lost = Disconnected(reason="it broke", code=None, retry_in=0.5)

    frames = [json.loads(as_json(entry(one))) for one in (welcome(), news({"id": "i"}), lost)]

    assert [frame["type"] for frame in frames] == ["welcome", "notifications", "disconnected"]
    assert frames[0]["cursor"] == "e.5"
    assert frames[1]["items"][0]["created_at"] == AT
    assert frames[2] == {"type": "disconnected", "reason": "it broke", "code": None, "retry_in": 0.5}


# --- notifications ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"message": "a\n\n b"}, "a b"),
        ({"message": "m", "title": "T"}, "T: m"),
        ({"message": "left", "actors": [{"name": "Ada"}], "actor_count": 1}, "Ada left"),
        ({"message": "left", "actors": [{"name": "Ada"}], "actor_count": 2}, "Ada and 1 other left"),
        ({"message": "left", "actors": [{"name": "Ada"}], "actor_count": 9}, "Ada and 8 others left"),
        ({"message": "x" * 500}, "x" * 199 + "…"),
    ],
)
def test_a_notification_on_one_line(fields: dict[str, Any], expected: str) -> None:
    assert headline(notification(**fields)) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "new"),
        ({"seen_at": AT}, "seen"),
        ({"seen_at": AT, "read_at": AT}, "read"),
        ({"read_at": AT, "archived_at": AT}, "archived"),
        ({"snoozed_until": AT}, "snoozed"),
    ],
)
def test_where_the_user_is_with_it(fields: dict[str, Any], expected: str) -> None:
    assert state(notification(**fields)) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-5, "now"),
        (59, "now"),
        (60, "1 min ago"),
        (7_199, "1 h ago"),
        (7_200, "2 h ago"),
        (172_800, "2 d ago"),
    ],
)
def test_how_long_ago(seconds: int, expected: str) -> None:
    assert ago(timedelta(seconds=seconds)) == expected


def test_an_id_is_found_by_its_end() -> None:
    listed = [notification(id="0000-00000001"), notification(id="0000-00000011")]

    assert short(listed[1].id) == "00000011"
    assert _whole("00000011", listed) == "0000-00000011"
    for end, why in (("1", "several"), ("2", "no notification")):
        with pytest.raises(ApplicationError, match=why):
            _whole(end, listed)


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.5", "²", ""])
def test_a_limit_is_a_number_from_1(text: str) -> None:
    assert _limit("250") == 250
    with pytest.raises(argparse.ArgumentTypeError, match="from 1"):
        _limit(text)
