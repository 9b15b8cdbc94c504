"""The inboxes of both clients against the real product: they show what it has stored, whatever happens."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from bellwire_client import Action, Actor, Bellwire, CommandRefused, LiveInbox, Notification, Page
from tests.integration.test_javascript_client import LACKING
from tests.product import Api, Product, create_users, eventually

INBOX = Path(__file__).with_name("inbox.mjs")


class Other:
    """The inbox of the JavaScript client, in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.shown: dict[str, Any] = {}
        self.told: list[dict[str, Any]] = []

    async def listen(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            told = json.loads(line)
            if told["type"] == "inbox":
                self.shown = told
            else:
                self.told.append(told)

    async def call(self, method: str, *arguments: object) -> Any:
        assert self.process.stdin is not None
        before = len(self.of("answer"))
        self.process.stdin.write(json.dumps([method, *arguments]).encode() + b"\n")
        await eventually(lambda: len(self.of("answer")) > before, f"{method} is answered")
        return self.of("answer")[-1]["answer"]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in self.told if one["type"] == kind]


@asynccontextmanager
async def javascript(api: Api, user: str) -> AsyncIterator[Other]:
    if shutil.which("node") is None or LACKING:
        pytest.skip(LACKING or "there is no Node here")
    process = await asyncio.create_subprocess_exec(
        *("node", "--experimental-websocket", "--no-warnings", INBOX),
        *(api.url, user, api.product.token(user)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        limit=2**24,
    )
    other = Other(process)
    listening = asyncio.create_task(other.listen())
    try:
        await eventually(lambda: other.shown.get("state") == "online", "it is online")
        yield other
        assert process.stdin is not None
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), 60) == 0
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await asyncio.gather(listening, process.wait())


class Both:
    """The inbox of one user in both clients."""

    def __init__(self, api: Api, producer: Bellwire, inbox: LiveInbox, other: Other) -> None:
        self.api, self.producer, self.inbox, self.other = api, producer, inbox, other
        """The API is that of the inboxes; the producer has another one."""

    async def publish(self, event: str, **more: Any) -> str:
        identifier = await self.producer.publish("ada", event, event, **more)
        await eventually(lambda: identifier in {item.id for item in self.inbox.items}, f"{event} came")
        return identifier

    async def settle(self) -> Page:
        """Wait until both are where the service is; check that they show the same, and return that."""
        page = await self.producer.notifications("ada", status="all", limit=5)

        def there() -> bool:
            return {self.inbox.cursor, self.other.shown["cursor"]} == {page.cursor}

        await eventually(there, "both were told")
        await eventually(
            lambda: _plain(self.other.shown["items"]) == _rendered(page), "JavaScript has the same"
        )
        await eventually(lambda: self.inbox.items == _unversioned(page, self.inbox), "Python has the same")
        counts = page.unread_count, page.unseen_count, dict(page.unread_in)
        assert (self.inbox.unread_count, self.inbox.unseen_count, self.inbox.unread_in) == counts
        shown = self.other.shown
        assert (shown["unreadCount"], shown["unseenCount"], shown["unreadIn"]) == counts
        return page


@pytest.fixture
async def both(product: Product) -> AsyncIterator[Both]:
    api, stays, _ = await asyncio.gather(product.api(), product.api(), product.consumer())
    async with api.client() as http:
        await create_users(http, ["ada"])
    token = product.token("ada")
    producer = Bellwire(stays.url, token=token, api_key=product.api_key)
    client = Bellwire(api.url, token=token)
    async with (
        producer,
        client,
        client.inbox("ada", limit=5) as inbox,
        javascript(api, "ada") as other,
    ):

        async def look() -> None:
            async for _ in inbox:
                pass

        looking = asyncio.create_task(look())
        yield Both(api, producer, inbox, other)
        looking.cancel()
        await asyncio.wait([looking])


async def test_seen_read_and_archived_by_category(both: Both) -> None:
    ids = [await both.publish(event) for event in ("comment.new", "billing.due", "comment.new", "comment.x")]
    await both.settle()
    assert await both.other.call("seen") == 4
    assert (await both.settle()).unseen_count == 0
    assert await both.inbox.seen() == 0
    assert await both.other.call("markAllRead", {"category": "comment"}) == 3
    page = await both.settle()
    assert (page.unread_count, page.unread_in) == (1, {"billing": 1})

    assert await both.inbox.mark_unread(ids[0]) == 1
    assert await both.other.call("markRead", ids[1]) == 1
    page = await both.settle()
    assert (page.unread_in, page.unseen_count) == ({"comment": 1}, 0)
    assert await both.inbox.archive(up_to=both.inbox.cursor, category="comment") == 3
    assert [item.id for item in (await both.settle()).items] == [ids[1]]
    assert await both.other.call("unarchive", ids[:1]) == 1
    assert [item.id for item in (await both.settle()).items] == [ids[1], ids[0]]


async def test_an_action_an_edit_and_what_is_taken_back(both: Both) -> None:
    actions = [Action(id="yes", label="Approve"), Action(id="no", label="Refuse")]
    asked = await both.publish("leave.asked", actions=actions, severity="warning")
    gone = await both.publish("leave.other")
    await both.settle()

    assert await both.other.call("act", asked, "yes") == 1
    page = await both.settle()
    assert (page.items[1].action, page.unread_count) == ("yes", 1)
    assert await both.inbox.act(asked, "yes") == 0
    assert (await both.other.call("act", asked, "no"))["code"] == "refused"
    with pytest.raises(CommandRefused):
        await both.inbox.act(asked, "no")

    await both.producer.edit("ada", gone, "leave.other", "It was edited.", unread=True)
    await eventually(lambda: both.inbox.items[0].message == "It was edited.", "the edit came")
    assert (await both.settle()).items[0].edited_at is not None
    assert await both.producer.retract("ada", gone) == "retracted"
    assert [item.id for item in (await both.settle()).items] == [asked]


async def test_preferences_reach_both_and_hold(both: Both) -> None:
    await both.publish("billing.due")
    await both.settle()
    before = await both.producer.preferences("ada")
    assert [one.enabled for one in before.categories if one.id == "billing"] == [True]

    answer = await both.other.call("setPreferences", {"billing": False})
    chosen = [one for one in answer["categories"] if one["id"] == "billing"]
    assert [(one["enabled"], one["chosen"]) for one in chosen] == [(False, False)]
    await eventually(lambda: both.other.of("preferences"), "it was told that they changed")
    version = both.other.of("preferences")[0]["version"]
    assert version == answer["preferences_version"] > before.preferences_version
    await both.producer.publish("ada", "billing.late", "Not wanted")
    await both.publish("comment.new")
    assert [item.event for item in (await both.settle()).items] == ["comment.new", "billing.due"]

    after = await both.producer.set_preferences("ada", {"billing": None})
    assert [one.chosen for one in after.categories if one.id == "billing"] == [None]
    await eventually(lambda: len(both.other.of("preferences")) == 2, "it was told again")
    await both.settle()


async def test_notifications_with_a_key_become_one(both: Both) -> None:
    for name in ("Ada", "Grace", "Edsger"):
        await both.publish("post.liked", collapse_key="post:7", actor=Actor(name=name))
    page = await both.settle()

    assert [(item.count, item.actor_count, item.actors[0].name) for item in page.items] == [(3, 3, "Edsger")]
    assert both.other.shown["labels"] == ["Edsger and 2 others"]


async def test_what_changes_while_they_are_away_is_caught_up_with(both: Both) -> None:
    ids = [await both.publish("tick", collapse_key=key) for key in (None, None, None, "clock")]
    await both.settle()
    await asyncio.to_thread(both.api.process.kill)
    await eventually(lambda: both.other.shown["state"] == "reconnecting", "it notices")
    await both.producer.archive("ada", ids[0])
    await both.producer.mark_read("ada", ids[1])
    await both.producer.retract("ada", ids[2])
    await both.producer.publish("ada", "tick", "Tock", collapse_key="clock")
    await asyncio.to_thread(both.api.process.start)
    await eventually(lambda: both.inbox.items[0].count == 2, "the last change came")
    page = await both.settle()

    assert [(item.count, item.read_at is None) for item in page.items] == [(2, True), (1, False)]
    assert await both.other.call("unarchive", ids[0]) == 1
    assert len((await both.settle()).items) == 3
    assert both.other.of("error") == []


def _unversioned(page: Page, inbox: LiveInbox) -> list[Notification]:
    """The items of a page, with the versions that the inbox has: after an `up_to` these may be higher."""
    versions = {item.id: item.version for item in inbox.items}
    return [replace(item, version=max(item.version, versions.get(item.id, 0))) for item in page.items]


NAMES = ("id", "category", "message", "seen_at", "read_at", "acted_at", "action", "count")


def _rendered(page: Page) -> list[dict[str, Any]]:
    return [{name: getattr(item, name) for name in NAMES} for item in page.items]


def _plain(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: _value(name, item.get(name)) for name in NAMES} for item in items]


def _value(name: str, value: Any) -> Any:
    if name == "count":
        return value or 1
    return datetime.fromisoformat(value) if name.endswith("_at") and value else value
