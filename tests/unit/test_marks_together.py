"""Marks that are asked for at the same time: few statements, and everyone's own outcome."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import pytest

from application.errors import Refused, Unavailable
from application.feeds import MarkRequest
from application.marks import CONCURRENT_BATCHES, IDS_A_BATCH, Marks
from domain.errors import UnknownUser
from domain.feed import FeedChange, Marked, Settled
from domain.identifiers import NotificationId, UserId
from domain.states import Mark
from tests.build import LATER, NOW, a_draft, a_user, an_id
from tests.memory import MemoryFeeds, MemoryUsers

CROWD = [UserId(f"user-{n}") for n in range(6)]
ADA, BOB, CID, DAN, EVE, FAY = CROWD
NOBODY = UserId("nobody")


class WatchedFeeds(MemoryFeeds):
    """Notes what it is asked for, and answers when its doors are open."""

    def __init__(self, users: MemoryUsers) -> None:
        super().__init__(users)
        self.together: list[list[UserId]] = []
        self.alone: list[UserId] = []
        self.answers_together, self.answers_alone = asyncio.Event(), asyncio.Event()
        self.answers_together.set()
        self.answers_alone.set()
        self.poison: UserId | None = None

    async def mark_together(self, mark: Mark, requests: Sequence[MarkRequest]) -> Mapping[UserId, Marked]:
        users = [request.user_id for request in requests]
        self.together.append(users)
        if self.poison in users:
            raise Refused("22021")
        made = await super().mark_together(mark, requests)
        await self.answers_together.wait()
        return made

    async def mark(
        self,
        user: UserId,
        mark: Mark,
        ids: Sequence[NotificationId],
        at: datetime,
        *,
        action: str | None = None,
    ) -> Marked:
        self.alone.append(user)
        if user == self.poison:
            raise Refused("22021")
        await self.answers_alone.wait()
        return await super().mark(user, mark, ids, at, action=action)


class Announcements:
    """The port Announcer, which keeps what was announced."""

    def __init__(self) -> None:
        self.calls: list[Sequence[FeedChange]] = []

    async def announce(self, changes: Sequence[FeedChange]) -> None:
        self.calls.append(changes)

    @property
    def users(self) -> list[list[UserId]]:
        return [[change.feed.user_id for change in changes] for changes in self.calls]


@pytest.fixture
async def feeds() -> WatchedFeeds:
    users = MemoryUsers()
    feeds = WatchedFeeds(users)
    for user in CROWD:
        await users.add(a_user(user), None)
        await feeds.append([a_draft(1, user), a_draft(2, user)])
    return feeds


@pytest.fixture
def announced() -> Announcements:
    return Announcements()


@pytest.fixture
def marks(feeds: WatchedFeeds, announced: Announcements) -> Marks:
    return Marks(feeds, announced)


def read(marks: Marks, user: UserId, n: int = 1) -> asyncio.Future[Marked]:
    return marks.by_ids(user, Mark.READ, [an_id(n)], NOW)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - it will be in a moment
            await asyncio.sleep(0)


async def test_marks_of_one_turn_share_a_statement_and_an_announcement(
    feeds: WatchedFeeds, announced: Announcements, marks: Marks
) -> None:
    made = await asyncio.gather(
        marks.by_ids(ADA, Mark.READ, [an_id(1)], NOW),
        marks.by_ids(BOB, Mark.READ, [an_id(1), an_id(2)], LATER),
    )

    assert (feeds.together, feeds.alone, announced.users) == ([[ADA, BOB]], [], [[ADA, BOB]])
    assert [(marked.feed.user_id, marked.changed, marked.at) for marked in made] == [
        (ADA, 1, NOW),
        (BOB, 2, LATER),
    ]


async def test_one_that_is_alone_does_not_wait(feeds: WatchedFeeds, marks: Marks) -> None:
    assert (await read(marks, ADA)).changed == 1
    assert feeds.together == [[ADA]]


async def test_marks_asked_for_while_statements_run_go_into_the_next(
    feeds: WatchedFeeds, marks: Marks
) -> None:
    feeds.answers_together.clear()
    asked = []
    for nth, user in enumerate(CROWD):
        asked.append(read(marks, user))
        if nth < CONCURRENT_BATCHES:
            await until(lambda: feeds.together and feeds.together[-1] == [user])  # noqa: B023 - at once

    feeds.answers_together.set()
    assert [marked.changed for marked in await asyncio.gather(*asked)] == [1] * len(CROWD)
    assert feeds.together == [[ADA], [BOB], [CID, DAN, EVE, FAY]]


async def test_the_marks_of_a_user_are_made_in_their_order(feeds: WatchedFeeds, marks: Marks) -> None:
    steps = [Mark.READ, Mark.UNREAD, Mark.ARCHIVED, Mark.READ, Mark.UNARCHIVED]
    asked = [marks.by_ids(ADA, mark, [an_id(1)], NOW) for mark in steps]

    made = await asyncio.gather(*asked)

    assert [(marked.prev, marked.mark) for marked in made] == list(enumerate(steps, 2))
    assert feeds.together == [[ADA]] * len(steps)


async def test_the_marks_of_a_user_keep_their_order_behind_one_that_waits_for_a_lock(
    feeds: WatchedFeeds, marks: Marks
) -> None:
    feeds.locked.add(ADA)
    feeds.answers_alone.clear()
    first = read(marks, ADA)
    await until(lambda: feeds.alone)
    feeds.locked.clear()
    second = marks.by_ids(ADA, Mark.UNREAD, [an_id(1)], NOW)

    assert (await read(marks, BOB)).changed == 1
    assert not second.done()
    feeds.answers_alone.set()
    assert [(await one).prev for one in (first, second)] == [2, 3]


async def test_marks_of_different_kinds_take_different_statements(feeds: WatchedFeeds, marks: Marks) -> None:
    made = await asyncio.gather(
        read(marks, ADA), marks.by_ids(BOB, Mark.ARCHIVED, [an_id(1)], NOW), read(marks, CID)
    )

    assert [marked.mark for marked in made] == [Mark.READ, Mark.ARCHIVED, Mark.READ]
    assert sorted(feeds.together) == [[ADA, CID], [BOB]]


async def test_a_statement_has_a_bound(feeds: WatchedFeeds, marks: Marks) -> None:
    many = [an_id(n) for n in range(IDS_A_BATCH // 2)]

    made = await asyncio.gather(*(marks.by_ids(user, Mark.READ, many, NOW) for user in CROWD))

    assert sorted(feeds.together) == [[ADA, BOB], [CID, DAN], [EVE, FAY]]
    assert {marked.changed for marked in made} == {2}


async def test_a_user_whose_feed_is_locked_holds_up_nobody(
    feeds: WatchedFeeds, announced: Announcements, marks: Marks
) -> None:
    feeds.locked.add(ADA)
    feeds.answers_alone.clear()

    locked, free = read(marks, ADA), read(marks, BOB)

    assert (await free).changed == 1
    assert not locked.done()
    feeds.answers_alone.set()
    assert (await locked).changed == 1
    assert announced.users == [[BOB], [ADA]]


async def test_an_unknown_user_is_told_so_and_nobody_else(marks: Marks) -> None:
    unknown, known = await asyncio.gather(read(marks, NOBODY), read(marks, ADA), return_exceptions=True)

    assert isinstance(unknown, UnknownUser)
    assert isinstance(known, Marked)


async def test_one_that_the_store_refuses_fails_nobody_else(
    feeds: WatchedFeeds, announced: Announcements, marks: Marks
) -> None:
    feeds.poison = BOB

    ada, bob, cid = await asyncio.gather(
        *(read(marks, user) for user in (ADA, BOB, CID)), return_exceptions=True
    )

    assert isinstance(ada, Marked)
    assert isinstance(cid, Marked)
    assert isinstance(bob, Refused)
    assert sorted(announced.users) == [[ADA], [CID]]


async def test_without_the_store_each_has_an_error_of_its_own(
    feeds: WatchedFeeds, announced: Announcements, marks: Marks
) -> None:
    feeds.away = True
    failed = await asyncio.gather(read(marks, ADA), read(marks, BOB), return_exceptions=True)
    feeds.away = False

    assert [type(error) for error in failed] == [Unavailable, Unavailable]
    assert failed[0] is not failed[1]
    assert announced.calls == []
    assert (await read(marks, ADA)).changed == 1


async def test_an_error_of_one_that_is_alone_is_its_own(feeds: WatchedFeeds, marks: Marks) -> None:
    feeds.away = True

    with pytest.raises(Unavailable):
        await read(marks, ADA)

    assert (feeds.together, feeds.alone) == ([[ADA]], [])


class Broken(Announcements):
    """It has a defect."""

    async def announce(self, changes: Sequence[FeedChange]) -> None:
        raise ZeroDivisionError


@pytest.mark.parametrize("locked", [[], [ADA], [ADA, BOB]], ids=["nobody", "one", "all"])
async def test_callers_are_told_of_a_defect_in_the_announcement(
    feeds: WatchedFeeds, locked: Sequence[UserId]
) -> None:
    marks = Marks(feeds, Broken())
    feeds.locked.update(locked)

    async with asyncio.timeout(60):
        outcomes = await asyncio.gather(read(marks, ADA), read(marks, BOB), return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [ZeroDivisionError, ZeroDivisionError]


async def test_a_caller_that_is_cancelled_stops_nobody_and_its_mark_is_announced(
    feeds: WatchedFeeds, announced: Announcements, marks: Marks
) -> None:
    feeds.answers_together.clear()
    running = [read(marks, user) for user in (ADA, BOB)]
    await until(lambda: feeds.together)
    running.append(read(marks, CID))  # takes the other statement
    await until(lambda: len(feeds.together) == CONCURRENT_BATCHES)
    waiting = [read(marks, user) for user in (DAN, EVE)]
    running[0].cancel()
    waiting[0].cancel()
    feeds.answers_together.set()

    assert (await running[1]).changed == (await waiting[1]).changed == 1
    assert sorted(announced.users) == [[ADA, BOB], [CID], [DAN, EVE]]


async def test_a_mark_that_is_repeated_is_announced_as_a_bare_position(
    announced: Announcements, marks: Marks
) -> None:
    await read(marks, ADA)
    again, first = await asyncio.gather(read(marks, ADA), read(marks, BOB))

    assert announced.calls[-1] == [Settled(again.feed), first]
