"""What many streams have missed, read a few statements at a time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from application.catching_up import (
    CACHED_CHARACTERS,
    CACHED_PAGES,
    CACHED_SECONDS,
    CONCURRENT_BATCHES,
    PAGES_A_BATCH,
    REPLAY_LIMIT,
    ROWS_A_BATCH,
    STANDINGS_A_BATCH,
    CatchUps,
)
from application.errors import Unavailable
from application.feeds import FeedHistory, Standing
from domain.errors import UnknownUser
from domain.feed import Cursor
from domain.identifiers import UserId
from domain.states import Mark
from tests.build import ADA, BOB, LATER, a_draft, a_user, an_id, drafts
from tests.memory import MemoryFeeds, MemoryUsers
from tests.paging import pages

NOBODY = UserId("nobody")


class WatchedFeeds(MemoryFeeds):
    """Writes down each statement; while they are `held`, none is answered."""

    def __init__(self, users: MemoryUsers) -> None:
        super().__init__(users)
        self.asked: list[list[Any]] = []
        self.failing: list[Exception] = []
        self.under_way = 0
        self.most_under_way = 0
        self._go_on = asyncio.Event()
        self._go_on.set()

    def hold(self) -> None:
        self._go_on.clear()

    def let_go(self) -> None:
        self._go_on.set()

    async def standings(self, users: Collection[UserId]) -> Mapping[UserId, Standing]:
        found = await super().standings(users)
        await self._ask(users)
        return found

    async def histories(
        self, wanted: Sequence[tuple[UserId, int]], limit: int
    ) -> Sequence[FeedHistory | None]:
        found = await super().histories(wanted, limit)
        await self._ask(wanted)
        return found

    async def _ask(self, what: Collection[Any]) -> None:
        self.asked.append(list(what))
        error = self.failing.pop(0) if self.failing else None
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self._go_on.wait()
            if error is not None:
                raise error
        finally:
            self.under_way -= 1


class Seconds:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
async def feeds() -> WatchedFeeds:
    """Feeds of Ada and Bob, and of u-0, u-1 … as many as anybody needs."""
    users = MemoryUsers()
    for user in [ADA, BOB, *many(1_200)]:
        users.held[user] = a_user(user), None
    return WatchedFeeds(users)


@pytest.fixture
async def catch_ups(feeds: WatchedFeeds, seconds: Seconds) -> AsyncIterator[CatchUps]:
    """No task of it is left at the end."""
    yield CatchUps(feeds, seconds, pause=turns)
    feeds.let_go()
    await until(lambda: not any("_Gathering" in repr(task.get_coro()) for task in asyncio.all_tasks()))


def many(count: int) -> list[UserId]:
    return [UserId(f"u-{n}") for n in range(count)]


async def until(condition: Callable[[], bool]) -> None:
    """Nothing here waits for time to pass, so that what is to happen happens within a few turns."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - there is nothing to wait on
            await asyncio.sleep(0)


async def turns(count: int = 20) -> None:
    """Give everything that can go on the time to do so."""
    for _ in range(count):
        await asyncio.sleep(0)


async def position(feeds: WatchedFeeds, user: UserId = ADA) -> Cursor:
    return (await feeds.feed(user)).cursor


async def caught_up(catch_ups: CatchUps, user: UserId, after: int, at_least: Cursor) -> Sequence[FeedHistory]:
    return [page async for page in pages(catch_ups, user, after, at_least)]


def versions(pages: Sequence[FeedHistory]) -> list[int]:
    return [item.version for page in pages for item in page.notifications]


def started(*work: Any) -> list["asyncio.Task[Any]"]:
    return [asyncio.create_task(one) for one in work]


async def filled(feeds: WatchedFeeds, catch_ups: CatchUps) -> list["asyncio.Task[Standing]"]:
    """As many statements under way as may be."""
    feeds.hold()
    tasks: list[asyncio.Task[Standing]] = []
    for nth in range(CONCURRENT_BATCHES):
        tasks += started(catch_ups.standing(ADA))
        await until(lambda count=nth + 1: feeds.under_way == count)  # type: ignore[misc]
    return tasks


# --- where a feed stands ---


async def test_a_standing_is_what_the_store_says(feeds: WatchedFeeds, catch_ups: CatchUps) -> None:
    await feeds.append(drafts(3))

    assert await catch_ups.standing(ADA) == Standing(await feeds.feed(ADA))
    with pytest.raises(UnknownUser):
        await catch_ups.standing(NOBODY)


async def test_of_many_standings_those_without_a_feed_are_left_out(
    feeds: WatchedFeeds, catch_ups: CatchUps
) -> None:
    found = await catch_ups.standings([BOB, NOBODY, ADA])

    assert found == {user: Standing(await feeds.feed(user)) for user in (ADA, BOB)}
    assert await catch_ups.standings([]) == {}
    assert len(feeds.asked) == 1


async def test_who_asks_alone_waits_for_nothing(feeds: WatchedFeeds, catch_ups: CatchUps) -> None:
    feeds.hold()

    for nth in range(CONCURRENT_BATCHES):
        asked = started(catch_ups.standing(ADA))
        await until(lambda count=nth + 1: feeds.under_way == count)  # type: ignore[misc]
        assert not asked[0].done()


async def test_what_is_asked_at_once_is_one_statement(feeds: WatchedFeeds, catch_ups: CatchUps) -> None:
    users = many(200)

    found = await asyncio.gather(*(catch_ups.standing(user) for user in users))

    assert [standing.feed.user_id for standing in found] == users
    assert feeds.asked == [users]


async def test_what_is_asked_while_statements_are_under_way_goes_together_in_the_next(
    feeds: WatchedFeeds, catch_ups: CatchUps
) -> None:
    first = await filled(feeds, catch_ups)
    rest = []
    for user in many(100):
        rest += started(catch_ups.standing(user))
        await turns(2)
    assert len(feeds.asked) == CONCURRENT_BATCHES

    feeds.let_go()
    await asyncio.gather(*first, *rest)

    assert feeds.asked[CONCURRENT_BATCHES:] == [many(100)]


async def test_what_is_asked_right_after_statements_goes_together_in_the_next(
    feeds: WatchedFeeds, seconds: Seconds
) -> None:
    pause = asyncio.Event()
    catch_ups = CatchUps(feeds, seconds, pause=pause.wait)
    for user in many(CONCURRENT_BATCHES):
        await catch_ups.standing(user)
    asking = started(*(catch_ups.standing(user) for user in many(100)))
    await turns()
    assert not any(one.done() for one in asking)
    pause.set()

    assert [standing.feed.user_id for standing in await asyncio.gather(*asking)] == many(100)
    assert [len(asked) for asked in feeds.asked] == [1] * CONCURRENT_BATCHES + [100]


async def test_a_storm_takes_few_statements_and_few_at_once(feeds: WatchedFeeds, catch_ups: CatchUps) -> None:
    users = many(STANDINGS_A_BATCH * 2 + 1)
    storm = started(*(catch_ups.standing(user) for user in users), catch_ups.standings(users))

    feeds.hold()
    await until(lambda: feeds.under_way == CONCURRENT_BATCHES)
    await turns()
    feeds.let_go()
    await asyncio.gather(*storm)

    assert feeds.most_under_way == CONCURRENT_BATCHES
    assert [len(asked) for asked in feeds.asked] == [STANDINGS_A_BATCH, STANDINGS_A_BATCH, 1]


async def test_what_is_asked_is_answered_with_what_was_read_after_it_was_asked(
    feeds: WatchedFeeds, catch_ups: CatchUps
) -> None:
    """A stream has subscribed before it asks; what changed before that it will not be told otherwise."""
    under_way = await filled(feeds, catch_ups)
    await feeds.append(drafts(1))
    later = started(catch_ups.standing(ADA), catch_ups.standing(ADA))
    await turns()

    feeds.let_go()

    assert [standing.feed.version for standing in await asyncio.gather(*under_way)] == [
        0
    ] * CONCURRENT_BATCHES
    assert [standing.feed.version for standing in await asyncio.gather(*later)] == [1, 1]
    assert feeds.asked[CONCURRENT_BATCHES:] == [[ADA]]


# --- those who give up, and what fails ---


async def test_who_gives_up_takes_nobody_along(feeds: WatchedFeeds, catch_ups: CatchUps) -> None:
    feeds.hold()
    early, stays = started(catch_ups.standing(ADA), catch_ups.standing(ADA))
    await until(lambda: feeds.under_way == 1)
    early.cancel()
    await turns()
    feeds.let_go()

    assert (await stays).feed.user_id == ADA
    assert early.cancelled()
    assert (await catch_ups.standing(BOB)).feed.user_id == BOB


async def test_for_whom_nobody_waits_any_more_nothing_is_read(
    feeds: WatchedFeeds, catch_ups: CatchUps
) -> None:
    under_way = await filled(feeds, catch_ups)
    gone = started(*(catch_ups.standing(user) for user in many(CONCURRENT_BATCHES * STANDINGS_A_BATCH + 1)))
    (stays,) = started(catch_ups.standing(BOB))
    await turns()
    for task in gone:
        task.cancel()
    await turns()
    feeds.let_go()
    await asyncio.gather(*under_way)

    assert (await stays).feed.user_id == BOB
    assert feeds.asked[CONCURRENT_BATCHES:] == [[BOB]]


async def test_many_that_are_given_up_leave_the_others(feeds: WatchedFeeds, catch_ups: CatchUps) -> None:
    feeds.hold()
    resync, other = started(catch_ups.standings(many(10)), catch_ups.standing(ADA))
    await until(lambda: feeds.under_way == 1)
    resync.cancel()
    await turns()
    feeds.let_go()

    assert (await other).feed.user_id == ADA


async def test_a_batch_that_fails_fails_for_its_own_alone(feeds: WatchedFeeds, catch_ups: CatchUps) -> None:
    feeds.failing = [Unavailable("The store is out of reach.")] * CONCURRENT_BATCHES
    under_way = await filled(feeds, catch_ups)
    (next_one,) = started(catch_ups.standing(BOB))
    await turns()
    feeds.let_go()

    for task in under_way:
        with pytest.raises(Unavailable, match="out of reach"):
            await task
    assert (await next_one).feed.user_id == BOB


async def test_all_of_a_batch_learn_that_it_failed(feeds: WatchedFeeds, catch_ups: CatchUps) -> None:
    feeds.away = True
    asking = [
        *started(*(catch_ups.standing(user) for user in many(20))),
        *started(caught_up(catch_ups, ADA, 0, Cursor("e1", 1)), catch_ups.standings(many(2))),
    ]

    outcomes = await asyncio.gather(*asking, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 22
    assert len({id(outcome) for outcome in outcomes}) == 22
    feeds.away = False
    assert (await catch_ups.standing(ADA)).feed.user_id == ADA


async def test_a_defect_reaches_the_caller_and_the_next_is_answered(
    feeds: WatchedFeeds, catch_ups: CatchUps
) -> None:
    feeds.failing = [ZeroDivisionError()]

    with pytest.raises(ZeroDivisionError):
        await catch_ups.standing(ADA)

    assert (await catch_ups.standing(ADA)).feed.user_id == ADA


# --- pages ---


@pytest.mark.parametrize("count", [0, 1, REPLAY_LIMIT, REPLAY_LIMIT + 1, 2 * REPLAY_LIMIT + 3])
async def test_a_catch_up_brings_every_change_in_order(
    feeds: WatchedFeeds, catch_ups: CatchUps, count: int
) -> None:
    await feeds.append(drafts(count + 2))

    pages = await caught_up(catch_ups, ADA, 2, await position(feeds))

    assert versions(pages) == list(range(3, count + 3))
    assert [page.more for page in pages] == [True] * (len(pages) - 1) + [False]
    assert max(len(page.notifications) for page in pages) <= REPLAY_LIMIT
    assert pages[-1].feed.version == count + 2


async def test_a_catch_up_brings_what_was_changed_as_it_is_now(
    feeds: WatchedFeeds, catch_ups: CatchUps
) -> None:
    await feeds.append(drafts(2))
    await feeds.mark(ADA, Mark.READ, [an_id(1)], LATER)

    (page,) = await caught_up(catch_ups, ADA, 1, await position(feeds))

    assert [(item.id, item.read_at) for item in page.notifications] == [(an_id(2), None), (an_id(1), LATER)]


async def test_who_does_not_exist_has_no_pages(catch_ups: CatchUps) -> None:
    with pytest.raises(UnknownUser):
        await caught_up(catch_ups, NOBODY, 0, Cursor("e1", 0))


async def test_many_streams_of_one_user_share_their_pages(feeds: WatchedFeeds, catch_ups: CatchUps) -> None:
    await feeds.append(drafts(2 * REPLAY_LIMIT))
    here = await position(feeds)

    found = await asyncio.gather(*(caught_up(catch_ups, ADA, 0, here) for _ in range(500)))
    late = await caught_up(catch_ups, ADA, 0, here)

    assert feeds.asked == [[(ADA, 0)], [(ADA, REPLAY_LIMIT)]]
    assert all(pages == late for pages in found)


async def test_a_storm_of_catch_ups_takes_few_statements_and_few_at_once(
    feeds: WatchedFeeds, catch_ups: CatchUps
) -> None:
    users = many(1_000)
    await feeds.append([a_draft(n, user) for user in users for n in (1, 2)])

    async def resume(user: UserId) -> Sequence[FeedHistory]:
        standing = await catch_ups.standing(user)
        return await caught_up(catch_ups, user, 1, standing.feed.cursor)

    found = await asyncio.gather(*(resume(user) for user in users))

    assert all(versions(pages) == [2] for pages in found)
    assert len(feeds.asked) == 1_000 // STANDINGS_A_BATCH + 1_000 // PAGES_A_BATCH
    assert feeds.most_under_way <= 2 * CONCURRENT_BATCHES
    assert max(len(asked) for asked in feeds.asked[1_000 // STANDINGS_A_BATCH :]) == PAGES_A_BATCH


async def test_a_statement_brings_so_many_rows_at_most(feeds: WatchedFeeds, catch_ups: CatchUps) -> None:
    users = many(30)
    await feeds.append([a_draft(n, user) for user in users for n in range(REPLAY_LIMIT)])

    here = {user: await position(feeds, user) for user in users}
    feeds.asked.clear()

    found = await asyncio.gather(*(caught_up(catch_ups, user, 0, here[user]) for user in users))

    assert all(len(versions(pages)) == REPLAY_LIMIT for pages in found)
    assert [len(asked) for asked in feeds.asked] == [ROWS_A_BATCH // REPLAY_LIMIT] * 3


async def test_a_page_that_is_older_than_the_callers_stream_is_read_again(
    feeds: WatchedFeeds, catch_ups: CatchUps
) -> None:
    await feeds.append(drafts(2))
    before = await position(feeds)
    await caught_up(catch_ups, ADA, 0, before)
    await feeds.append(drafts(1, first=3))
    feeds.asked.clear()

    old = await caught_up(catch_ups, ADA, 0, before)
    new = await caught_up(catch_ups, ADA, 0, await position(feeds))
    old_again = await caught_up(catch_ups, ADA, 0, before)

    assert (versions(old), versions(new), versions(old_again)) == ([1, 2], [1, 2, 3], [1, 2, 3])
    assert feeds.asked.count([(ADA, 0)]) == 1


async def test_a_page_of_another_epoch_is_read_again(feeds: WatchedFeeds, catch_ups: CatchUps) -> None:
    await feeds.append(drafts(2))
    await caught_up(catch_ups, ADA, 0, await position(feeds))
    feeds._feeds[ADA] = replace(await feeds.feed(ADA), epoch="restored")

    (page,) = await caught_up(catch_ups, ADA, 0, Cursor("restored", 1))

    assert page.feed.epoch == "restored"


async def test_a_page_of_another_epoch_is_the_last(feeds: WatchedFeeds, catch_ups: CatchUps) -> None:
    await feeds.append(drafts(REPLAY_LIMIT + 1))

    (page,) = await caught_up(catch_ups, ADA, 0, Cursor("another", 1))

    assert page.more


async def test_no_page_is_older_than_the_one_before_it(feeds: WatchedFeeds, catch_ups: CatchUps) -> None:
    """What changed in between has moved behind the end of the first page, and an older second page, read for
    somebody else, would not hold it yet: it would be on neither.
    """
    await feeds.append(drafts(2 * REPLAY_LIMIT))
    here = await position(feeds)
    await caught_up(catch_ups, ADA, REPLAY_LIMIT + 1, here)
    await feeds.mark(ADA, Mark.READ, [an_id(1)], LATER)

    pages = await caught_up(catch_ups, ADA, 0, here)

    held = {item.id: item.version for page in pages for item in page.notifications}
    assert pages[0].notifications[-1].version == REPLAY_LIMIT + 1
    assert len(held) == 2 * REPLAY_LIMIT
    assert held[an_id(1)] == here.version + 1


async def test_a_page_is_kept_for_two_seconds(
    feeds: WatchedFeeds, catch_ups: CatchUps, seconds: Seconds
) -> None:
    await feeds.append(drafts(1))
    here = await position(feeds)
    feeds.asked.clear()

    await caught_up(catch_ups, ADA, 0, here)
    seconds.at += CACHED_SECONDS - 0.01
    await caught_up(catch_ups, ADA, 0, here)
    assert len(feeds.asked) == 1
    seconds.at += 0.01
    await caught_up(catch_ups, ADA, 0, here)
    assert len(feeds.asked) == 2


async def test_so_many_pages_are_kept(feeds: WatchedFeeds, catch_ups: CatchUps) -> None:
    users = many(CACHED_PAGES + 1)
    for user in users:
        await caught_up(catch_ups, user, 0, Cursor((await feeds.feed(user)).epoch, 0))
    feeds.asked.clear()

    for user in (users[-1], users[1], users[0]):
        await caught_up(catch_ups, user, 0, Cursor((await feeds.feed(user)).epoch, 0))

    assert [asked for asked in feeds.asked if isinstance(asked[0], tuple)] == [[(users[0], 0)]]


async def test_so_much_is_kept(feeds: WatchedFeeds, catch_ups: CatchUps) -> None:
    metadata = {"filler": "x" * 16_000}
    size = 20 * 16_000
    users = many(CACHED_CHARACTERS // size + 1)
    await feeds.append([a_draft(n, user, metadata=metadata) for user in users for n in range(20)])
    here = {user: await position(feeds, user) for user in users}
    for user in users:
        await caught_up(catch_ups, user, 0, here[user])
    feeds.asked.clear()

    for user in (users[-1], users[0]):
        await caught_up(catch_ups, user, 0, here[user])

    assert feeds.asked == [[(users[0], 0)]]


async def test_a_page_that_is_read_again_counts_once(feeds: WatchedFeeds, catch_ups: CatchUps) -> None:
    metadata = {"filler": "x" * 16_000}
    at_bob = await position(feeds, BOB)
    await caught_up(catch_ups, BOB, 0, at_bob)
    for n in range(1, 31):
        await feeds.append([a_draft(n, metadata=metadata)])
        await caught_up(catch_ups, ADA, 0, await position(feeds))
    feeds.asked.clear()

    await caught_up(catch_ups, BOB, 0, at_bob)

    assert sum(n * 16_000 for n in range(1, 31)) > CACHED_CHARACTERS
    assert feeds.asked == []


async def test_who_follows_from_further_on_shares_a_statement_with_who_does_not(
    feeds: WatchedFeeds, catch_ups: CatchUps
) -> None:
    await feeds.append(drafts(3))
    epoch = (await feeds.feed(ADA)).epoch
    feeds.asked.clear()

    found = await asyncio.gather(*(caught_up(catch_ups, ADA, 0, Cursor(epoch, n)) for n in (1, 2, 3)))

    assert all(versions(pages) == [1, 2, 3] for pages in found)
    assert feeds.asked == [[(ADA, 0)]]
