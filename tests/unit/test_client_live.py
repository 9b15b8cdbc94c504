"""The inbox of the Python client that loads itself."""

import asyncio
from typing import Any

import httpx
import pytest

from bellwire_client import (
    Bellwire,
    Connected,
    Event,
    LiveInbox,
    Notifications,
    Problem,
    Reset,
    StreamRefused,
    Update,
)
from tests.line import Line, Lines, counts, in_virtual_time, item


def page(version: int, *items: dict[str, Any], more: str | None = None) -> httpx.Response:
    body = {"items": items, "next_cursor": more, "cursor": f"e.{version}", **counts(len(items))}
    return httpx.Response(200, json=body)


BROKEN = httpx.Response(500, json={"title": "Broken"})


class Stage:
    """A client whose pages and lines the test has."""

    def __init__(self, lines: Lines, *pages: httpx.Response) -> None:
        self.asked: list[str] = []
        self._pages = list(pages)
        self.client = Bellwire(
            "http://b.test",
            token="t",
            transport=httpx.MockTransport(self._answer),
            open_socket=lines.open,
            random=lambda: 0.5,
        )

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.query.decode())
        return self._pages.pop(0)


async def connected(lines: Lines, inbox: LiveInbox, version: int) -> Line:
    line = await lines.line()
    line.welcome(version)
    assert isinstance(await anext(inbox), Connected)
    return line


def versions(inbox: LiveInbox) -> list[int]:
    return [one.version for one in inbox.items]


def reset(line: Line, cursor: str) -> None:
    line.say("reset", cursor=cursor, **counts(0), preferences_version=0, reason="epoch")


@in_virtual_time
async def test_it_loads_and_follows_from_there(lines: Lines) -> None:
    stage = Stage(lines, page(2, item(2), item(1)))
    async with stage.client as client, client.inbox("ada", limit=5) as inbox:
        before = versions(inbox)
        line = await connected(lines, inbox, 2)
        line.notify(3)
        event = await anext(inbox)

        assert isinstance(event, Notifications)
        assert (before, versions(inbox)) == ([2, 1], [3, 2, 1])
        assert (inbox.cursor, inbox.unread_count, inbox.unread_in) == ("e.3", 3, {"tick": 3})
    assert stage.asked == ["status=all&limit=5"]
    assert line.query["cursor"] == "e.2"


@in_virtual_time
async def test_it_loads_again_after_a_reset_and_when_something_comes_back(lines: Lines) -> None:
    back = item(6, id="id-00001")
    stage = Stage(lines, page(5, item(5)), page(6, item(5), back), page(1, item(1)))
    async with stage.client as client, client.inbox("ada") as inbox:
        line = await connected(lines, inbox, 5)
        line.say("update", ids=[back["id"]], set={"archived_at": None}, prev="e.5", cursor="e.6", **counts(2))
        assert isinstance(await anext(inbox), Update)
        assert versions(inbox) == [5, 6]
        reset(line, "e.1")
        line.notify(2)
        events: list[Event] = [await anext(inbox) for _ in range(2)]

        assert [type(event) for event in events] == [Reset, Notifications]
        assert versions(inbox) == [2, 1]


@in_virtual_time
async def test_the_next_page_is_loaded_again_if_events_overtook_it(lines: Lines) -> None:
    older = page(3, item(1))
    stage = Stage(lines, page(3, item(3), item(2), more="2nd"), older, page(4, item(1)))
    async with stage.client as client, client.inbox("ada", limit=2) as inbox:
        line = await connected(lines, inbox, 3)
        line.notify(4)
        await anext(inbox)

        assert await inbox.more()
        assert not await inbox.more()
        assert versions(inbox) == [4, 3, 2, 1]
    assert stage.asked[1:] == ["status=all&limit=2&cursor=2nd"] * 2


@in_virtual_time
async def test_a_load_that_fails_is_raised_and_tried_again(lines: Lines) -> None:
    stage = Stage(lines, page(5, item(5)), BROKEN, BROKEN, page(2, item(1)))
    async with stage.client as client, client.inbox("ada") as inbox:
        line = await connected(lines, inbox, 5)
        reset(line, "e.2")
        for _ in range(2):
            with pytest.raises(Problem, match="Broken"):
                await anext(inbox)
        assert versions(inbox) == [5]
        line.notify(3)

        assert isinstance(await anext(inbox), Notifications)
        assert versions(inbox) == [3, 1]


@in_virtual_time
async def test_opening_marks_what_is_unseen_and_sends_nothing_if_there_is_nothing(lines: Lines) -> None:
    stage = Stage(lines, page(2, item(2)))
    async with stage.client as client, client.inbox("ada") as inbox, asyncio.TaskGroup() as tasks:
        line = await connected(lines, inbox, 2)
        opening = tasks.create_task(inbox.seen())
        asked = await line.asked()
        line.say(
            "update",
            ids=["id-00002"],
            set={"seen_at": "2026-11-22T11:00:00Z"},
            prev="e.2",
            cursor="e.3",
            **{**counts(1), "unseen_count": 0},
        )
        line.say("ok", ref=asked["ref"], changed=1)

        assert await opening == 1
        await anext(inbox)
        assert inbox.items[0].seen_at is not None
        assert await inbox.seen() == 0
    assert line.sent == [{"type": "seen", "up_to": "e.2", "ref": asked["ref"]}]


@in_virtual_time
async def test_it_ends_as_its_stream_does(lines: Lines) -> None:
    stage = Stage(lines, page(2))
    async with stage.client as client, client.inbox("ada") as inbox:
        line = await connected(lines, inbox, 2)
        line.bye(4513)
        with pytest.raises(StreamRefused):
            await anext(inbox)

    with pytest.raises(Problem, match="Broken"):
        async with Stage(lines, BROKEN).client as client, client.inbox("ada"):
            pass
