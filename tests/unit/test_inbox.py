"""What a user sees of its feed, and what it changes in it."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from application.errors import Unavailable
from application.inbox import FetchUnread
from application.pages import Missing, RenderedPage
from domain.errors import FieldError, Invalid, UnknownNotification, UnknownUser
from domain.feed import Cursor, Marked, Settled
from domain.identifiers import NotificationId, UserId
from domain.states import Mark, Status
from tests.build import ADA, BOB, LATER, NOW, a_draft, a_user, an_id, drafts
from tests.states import USER_MARKS, time_of
from tests.whole import Container
from tests.wiring import Memory

NOBODY = UserId("nobody")


@pytest.fixture
async def memory() -> Memory:
    memory = Memory()
    for user in (ADA, BOB):
        await memory.users.add(a_user(user), None)
    return memory


@pytest.fixture
def inside(memory: Memory) -> Container:
    return memory.container()


@pytest.fixture
def fetch(inside: Container) -> FetchUnread:
    return inside.fetch_unread()


def ids(page: RenderedPage) -> list[str]:
    return [json.loads(item)["id"] for item in page.items]


def numbered(*numbers: int) -> list[str]:
    return [str(an_id(n)) for n in numbers]


# --- fetching ---


async def test_a_miss_is_answered_from_the_store_and_loads_the_index(
    memory: Memory, fetch: FetchUnread
) -> None:
    await memory.feeds.append(drafts(3))

    page = await fetch(ADA, 2)

    assert (ids(page), page.more, page.feed.unread_count) == (numbered(3, 2), True, 3)
    held = await memory.index.page(ADA, 10, None)
    assert isinstance(held, RenderedPage)
    assert ids(held) == numbered(3, 2, 1)


async def test_a_hit_needs_no_store(memory: Memory, fetch: FetchUnread) -> None:
    await memory.feeds.append(drafts(3))
    first = await fetch(ADA, 2)
    memory.feeds.away = True

    assert await fetch(ADA, 2) == first


async def test_a_miss_without_the_lease_is_answered_from_the_store_and_loads_nothing(
    memory: Memory, fetch: FetchUnread
) -> None:
    await memory.feeds.append(drafts(3))
    await memory.index.page(ADA, 1, None)

    page = await fetch(ADA, 2)

    assert (ids(page), page.more) == (numbered(3, 2), True)
    assert isinstance(await memory.index.page(ADA, 1, None), Missing)


async def test_without_the_index_everything_comes_from_the_store(memory: Memory, fetch: FetchUnread) -> None:
    memory.index.away = True
    await memory.feeds.append(drafts(2))

    assert ids(await fetch(ADA, 5)) == numbered(2, 1)
    memory.feeds.away = True
    with pytest.raises(Unavailable):
        await fetch(ADA, 5)


@pytest.mark.parametrize("loaded", [False, True])
async def test_pages_follow_each_other(memory: Memory, fetch: FetchUnread, loaded: bool) -> None:
    await memory.feeds.append(drafts(5))
    if loaded:
        await fetch(ADA, 1)

    second = await fetch(ADA, 2, an_id(4))
    last = await fetch(ADA, 2, an_id(2))

    assert (ids(second), second.more) == (numbered(3, 2), True)
    assert (ids(last), last.more) == (numbered(1), False)


async def test_beyond_the_index_pages_come_from_the_store(memory: Memory, fetch: FetchUnread) -> None:
    await memory.feeds.append(drafts(250))
    await fetch(ADA, 1)

    page = await fetch(ADA, 30, an_id(60))

    assert ids(page) == numbered(*range(59, 29, -1))
    assert page.feed.unread_count == 250


async def test_of_a_feed_longer_than_the_index_a_first_page_says_that_there_is_more(
    memory: Memory, fetch: FetchUnread
) -> None:
    await memory.feeds.append(drafts(201))

    page = await fetch(ADA, 200)

    assert (len(page.items), page.more) == (200, True)


async def test_nobody_has_no_page(fetch: FetchUnread) -> None:
    with pytest.raises(UnknownUser):
        await fetch(NOBODY, 10)


@pytest.mark.parametrize("status", list(Status))
async def test_a_listing_shows_its_view(memory: Memory, inside: Container, status: Status) -> None:
    await memory.feeds.append([a_draft(n, event=f"e{n % 2}") for n in range(1, 7)])
    await memory.feeds.mark(ADA, Mark.READ, [an_id(1), an_id(2)], NOW)
    await memory.feeds.mark(ADA, Mark.ARCHIVED, [an_id(2), an_id(3)], NOW)

    page = await inside.list_notifications()(ADA, status)
    odd = await inside.list_notifications()(ADA, status, event="e1", limit=1)

    shown: dict[Status, Sequence[int]] = {
        Status.UNREAD: (6, 5, 4),
        Status.READ: (1,),
        Status.ALL: (6, 5, 4, 1),
        Status.ARCHIVED: (3, 2),
        Status.SNOOZED: (),
    }
    assert ids(page) == numbered(*shown[status])
    assert ids(odd) == numbered(*[n for n in shown[status] if n % 2][:1])


async def test_a_count_comes_with_its_position(memory: Memory, inside: Container) -> None:
    await memory.feeds.append(drafts(3))
    await memory.feeds.mark(ADA, Mark.READ, [an_id(1)], NOW)

    feed = await inside.count_unread()(ADA)

    assert (feed.unread_count, feed.version) == (2, 4)


# --- marking ---


async def test_when_a_mark_returns_the_index_knows(
    memory: Memory, inside: Container, fetch: FetchUnread
) -> None:
    await memory.feeds.append(drafts(3))
    await fetch(ADA, 10)

    marked = await inside.mark_notifications()(ADA, Mark.READ, [an_id(2)])

    assert (marked.changed, marked.at) == (1, NOW)
    held = await memory.index.page(ADA, 10, None)
    assert isinstance(held, RenderedPage)
    assert (ids(held), held.feed) == (numbered(3, 1), marked.feed)


@pytest.mark.parametrize("by", ["ids", "up_to"])
async def test_a_mark_whose_socket_closes_is_announced_all_the_same(
    memory: Memory, inside: Container, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    await memory.feeds.append(drafts(1))
    stored, go_on = asyncio.Event(), asyncio.Event()
    name = "mark_together" if by == "ids" else "mark_up_to"
    mark = getattr(memory.feeds, name)

    async def slow_to_return(*arguments: Any, **more: Any) -> Any:
        marked = await mark(*arguments, **more)
        stored.set()
        await go_on.wait()
        return marked

    monkeypatch.setattr(memory.feeds, name, slow_to_return)
    chosen: dict[str, Any] = {"ids": [an_id(1)]} if by == "ids" else {"up_to": "e1.1"}
    asked = asyncio.create_task(inside.mark_notifications()(ADA, Mark.READ, **chosen))
    await stored.wait()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    go_on.set()

    async with asyncio.timeout(30):
        while not memory.announcer.announced:  # noqa: ASYNC110 - it will be in a moment
            await asyncio.sleep(0)
    assert [change.feed.version for change in memory.announcer.announced] == [2]


async def test_a_mark_that_changes_nothing_heals_followers_that_missed_it(
    memory: Memory, inside: Container, fetch: FetchUnread
) -> None:
    await memory.feeds.append(drafts(1))
    await fetch(ADA, 10)
    await memory.feeds.mark(ADA, Mark.READ, [an_id(1)], NOW)

    marked = await inside.mark_notifications()(ADA, Mark.READ, [an_id(1)])

    assert memory.announcer.announced == [Settled(marked.feed)]
    assert isinstance(await memory.index.page(ADA, 10, None), Missing)
    assert (await fetch(ADA, 10)).items == []


@pytest.mark.parametrize(("count", "allowed"), [(100, True), (101, False)])
async def test_so_many_can_be_marked_at_once(
    memory: Memory, inside: Container, count: int, allowed: bool
) -> None:
    await memory.feeds.append(drafts(101))
    wanted: list[NotificationId] = [an_id(n) for n in range(1, count + 1)]

    if allowed:
        assert (await inside.mark_notifications()(ADA, Mark.READ, wanted)).changed == count
    else:
        with pytest.raises(Invalid):
            await inside.mark_notifications()(ADA, Mark.READ, wanted)
        assert (await memory.feeds.feed(ADA)).unread_count == 101


async def test_up_to_spares_what_came_after_the_client_looked(memory: Memory, inside: Container) -> None:
    await memory.feeds.append(drafts(2))
    seen = (await memory.feeds.feed(ADA)).cursor
    await memory.feeds.append([a_draft(3)])

    marked = await inside.mark_notifications()(ADA, Mark.READ, up_to=str(seen))

    assert (marked.changed, marked.feed.unread_count) == (2, 1)
    (announced,) = memory.announcer.announced
    assert isinstance(announced, Marked)
    assert announced.up_to == 2


async def test_up_to_a_cursor_of_another_life_marks_nothing(memory: Memory, inside: Container) -> None:
    await memory.feeds.append(drafts(1))

    with pytest.raises(Invalid) as caught:
        await inside.mark_notifications()(ADA, Mark.READ, up_to=str(Cursor("other", 9)))

    assert caught.value.errors[0].field == "up_to"
    assert (await memory.feeds.feed(ADA)).unread_count == 1


@pytest.mark.parametrize("mark", USER_MARKS)
async def test_nobody_marks_nothing(inside: Container, mark: Mark) -> None:
    for chosen in ({"ids": [an_id()]}, {"up_to": "e1.1"}):
        asked: dict[str, Any] = {**chosen, "until": time_of(mark)}
        with pytest.raises(UnknownUser):
            await inside.mark_notifications()(NOBODY, mark, **asked)


@pytest.mark.parametrize("chosen", [{}, {"ids": [an_id()], "up_to": "e1.1"}])
async def test_what_to_mark_is_said_in_one_way(inside: Container, chosen: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as caught:
        await inside.mark_notifications()(ADA, Mark.READ, **chosen)

    assert caught.value.errors == (FieldError("ids", "is required, or up_to, but not both"),)


async def test_a_time_is_for_marks_that_carry_one(memory: Memory, inside: Container) -> None:
    await memory.feeds.append(drafts(1))

    with pytest.raises(Invalid) as caught:
        await inside.mark_notifications()(ADA, Mark.READ, [an_id(1)], until=LATER)

    assert caught.value.errors[0].field == "until"
    assert (await memory.feeds.feed(ADA)).unread_count == 1


async def test_reading_one_returns_it_and_the_first_time_stays(memory: Memory, inside: Container) -> None:
    await memory.feeds.append(drafts(1))

    first = await inside.mark_read()(ADA, an_id())
    memory.clock.at = LATER
    second = await inside.mark_read()(ADA, an_id())

    assert first.read_at == NOW
    assert second == first


@pytest.mark.parametrize("wanted", [an_id(9), an_id(2)], ids=["unknown", "another user's"])
async def test_what_is_not_the_users_is_unknown(
    memory: Memory, inside: Container, wanted: NotificationId
) -> None:
    await memory.feeds.append([a_draft(1), a_draft(2, BOB)])

    with pytest.raises(UnknownNotification):
        await inside.mark_read()(ADA, wanted)

    assert (await memory.feeds.get(BOB, an_id(2))).read_at is None


async def test_with_the_store_away_nothing_is_announced(memory: Memory, inside: Container) -> None:
    memory.feeds.away = True

    with pytest.raises(Unavailable):
        await inside.mark_notifications()(ADA, Mark.READ, [an_id()])

    assert memory.announcer.announced == []
