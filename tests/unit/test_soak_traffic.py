"""What the load notes of the answers it gets."""

import asyncio
import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from workbench.soak import contents
from workbench.soak.doors import Doors
from workbench.soak.follower import Follower
from workbench.soak.history import History
from workbench.soak.readers import Readers
from workbench.soak.stories import Stories


class OpenDoors:
    """Accept everything, and keep what was asked for."""

    def __init__(self, answer: Mapping[str, Any] | None = None) -> None:
        self.requests: list[tuple[str, str, Any]] = []
        self.records: list[Mapping[str, Any]] = []
        self._answer = answer or {}

    async def request(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        self.requests.append((method, path, options.get("json")))
        return 202 if method == "PUT" else 200, self._answer

    async def as_user(self, user: str, method: str, path: str, **options: Any) -> tuple[int, Any]:
        self.requests.append((method, path, options.get("json")))
        return 200, self._answer

    async def record(self, user: str, value: Mapping[str, Any]) -> int:
        self.records.append(value)
        return 202


async def test_a_story_is_one_notification_with_all_its_revisions_accepted() -> None:
    await asyncio.gather(*map(check_story, range(12)))


async def check_story(seed: int) -> None:
    doors, history = OpenDoors(), History()
    item = history.item("ada", None)

    await Stories(cast("Doors", doors), history, random.Random(seed)).tell(item)

    (identifier,) = item.accepted
    assert set(item.revisions.values()) == {True}
    assert item.retracted in {True, None}
    assert {record["id"] for record in doors.records} <= {identifier}
    assert all(path.endswith(identifier) for _, path, _ in doors.requests)
    sent = [*doors.records, *(body for _, _, body in doors.requests if body)]
    assert {body.get("revision", 0) for body in sent} >= {0, *item.revisions}
    assert item.reopened == any(body.get("unread") for body in sent)


async def test_what_arrives_too_late_is_noted_as_such_and_some_of_it_is_brought_back() -> None:
    assert {await check_too_late(seed) for seed in range(12)} == {True, False}


async def check_too_late(seed: int) -> bool:
    """Whether it was edited."""
    doors, history = OpenDoors(), History()
    item = history.item("ada", None)

    await Stories(cast("Doors", doors), history, random.Random(seed)).tell_too_late(item)

    originals = [record for record in doors.records if "revision" not in record]
    edits = [record for record in doors.records if "revision" in record]
    edits += [body for _, _, body in doors.requests]
    assert item.arrives_expired
    assert item.accepted == {record["id"] for record in doors.records}
    assert all(record["expires_at"] < datetime.now(UTC).isoformat() for record in originals)
    assert not any("expires_at" in edit for edit in edits)
    assert (item.revisions == {1: True}) == (item.expires_at is None) == bool(edits)
    return bool(edits)


async def test_a_choice_that_nobody_may_make_and_that_is_accepted_is_noted() -> None:
    answer = {"cursor": "e.5", "preferences_version": 4, "categories": [{"id": "billing", "chosen": None}]}
    history = History()
    readers = Readers(
        cast("Doors", OpenDoors(answer)), ["ada"], [Follower([], "ada", str)], history, random.Random(1)
    )

    for _ in range(100):
        await readers.use("choose")

    assert set(history.bad_choices) == {f"ada switched off {contents.MANDATORY}"}
    assert {(one.since, one.until, one.choices["billing"]) for one in history.chosen} == {(4, 5, None)}
    assert ("ada", contents.MANDATORY) in history.switched_off


async def test_what_is_snoozed_is_asked_for_again_while_it_is_away() -> None:
    doors, history, ada = OpenDoors(), History(), Follower([], "ada", str)
    ada.cursor = "e.2"
    ada.items = {"away": {"snoozed_until": "2026-11-22T10:10:00Z"}, "there": {"snoozed_until": None}}
    readers = Readers(cast("Doors", doors), ["ada"], [ada], history, random.Random(1))

    for _ in range(20):
        await readers.use("snoozed")
        await readers.use("woken")

    snoozes = [marking for marking in history.markings if marking.mark == "snoozed"]
    times = [datetime.fromisoformat(marking.until or "") - datetime.now(UTC) for marking in snoozes]
    assert {time > timedelta(hours=1) for time in times} == {True, False}
    bodies = {path.rpartition("/")[2]: body for _, path, body in doors.requests}
    assert bodies["snooze"].keys() == {"ids", "until"}
    assert bodies["unsnooze"] == {"ids": ["away"]}
    assert {marking.ids for marking in history.markings if marking.mark == "woken"} == {("away",)}
