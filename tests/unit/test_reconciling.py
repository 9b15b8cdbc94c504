"""The index compared with the store: what is a mismatch, and what is only on its way."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from application.errors import Unavailable
from application.pages import IndexEntry
from application.reconciling import Mismatch, Reconciled, ReconcileIndex
from domain.feed import Feed, Settled
from domain.identifiers import UserId
from domain.states import Mark
from entrypoints.consumer import process as consumer
from tests.build import ADA, BOB, LATER, a_user, an_id, drafts
from tests.memory import MemoryIndex
from tests.product import eventually
from tests.wiring import Memory

CLEAN = Reconciled(1, {})


@pytest.fixture
async def memory() -> Memory:
    """Ada has three unread notifications, and the index holds them."""
    memory = Memory()
    for user in (ADA, BOB):
        await memory.users.add(a_user(user), None)
    await memory.feeds.append(drafts(3))
    await memory.container().fetch_unread()(ADA, 10)
    return memory


@pytest.fixture
def reconcile(memory: Memory) -> ReconcileIndex:
    return ReconcileIndex(index=memory.index, feeds=memory.feeds, announcer=memory.announcer, patience=0)


def held(memory: Memory) -> bool:
    return ADA in memory.index._entries


def tamper(memory: Memory, **changes: object) -> None:
    """Have the entry say that the feed is otherwise."""
    entry = memory.index._entries[ADA]
    entry.feed = replace(entry.feed, **changes)  # type: ignore[arg-type]


async def test_what_agrees_is_left_alone(memory: Memory, reconcile: ReconcileIndex) -> None:
    assert await reconcile(10) == CLEAN
    assert held(memory)
    assert memory.announcer.announced == []


async def test_of_an_empty_index_there_is_nothing_to_check(memory: Memory, reconcile: ReconcileIndex) -> None:
    memory.index.drop(ADA)

    assert await reconcile(10) == Reconciled(0, {})


async def test_an_entry_that_was_never_told_is_stale_and_announced(
    memory: Memory, reconcile: ReconcileIndex
) -> None:
    await memory.feeds.mark(ADA, Mark.READ, [an_id(1)], LATER)

    assert await reconcile(10) == Reconciled(1, {ADA: Mismatch.STALE})
    assert not held(memory)
    assert memory.announcer.announced == [Settled(await memory.feeds.feed(ADA))]


async def test_an_entry_of_another_life_of_the_feed_is_stale(
    memory: Memory, reconcile: ReconcileIndex
) -> None:
    tamper(memory, epoch="other", version=99)

    assert await reconcile(10) == Reconciled(1, {ADA: Mismatch.STALE})
    assert not held(memory)


@pytest.mark.parametrize("changes", [{"unread_count": 2}, {"version": 4}], ids=["count", "ahead"])
async def test_an_entry_that_claims_what_never_was_is_wrong(
    memory: Memory, reconcile: ReconcileIndex, changes: dict[str, int]
) -> None:
    tamper(memory, **changes)

    assert await reconcile(10) == Reconciled(1, {ADA: Mismatch.WRONG})
    assert not held(memory)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda items: items.pop(an_id(2)),
        lambda items: items.update({an_id(2): items[an_id(2)].replace(b'"version":2', b'"version":1')}),
        lambda items: items.update({an_id(9): items[an_id(1)]}),
    ],
    ids=["one is missing", "one is older", "one is too many"],
)
async def test_an_entry_with_other_items_is_wrong(
    memory: Memory, reconcile: ReconcileIndex, spoil: Callable[[dict[object, bytes]], object]
) -> None:
    spoil(memory.index._entries[ADA].items)  # type: ignore[arg-type]

    assert await reconcile(10) == Reconciled(1, {ADA: Mismatch.WRONG})
    assert not held(memory)


async def test_an_entry_that_was_cut_short_may_hold_fewer(memory: Memory, reconcile: ReconcileIndex) -> None:
    entry = memory.index._entries[ADA]
    del entry.items[an_id(1)]
    entry.complete = False

    assert await reconcile(10) == CLEAN


async def test_a_feed_that_is_not_there_is_wrong(memory: Memory, reconcile: ReconcileIndex) -> None:
    nobody = UserId("nobody")
    memory.index._entries[nobody] = replace(memory.index._entries.pop(ADA), feed=Feed(nobody, "e1", 1, 0))

    assert await reconcile(10) == Reconciled(1, {nobody: Mismatch.WRONG})
    assert not memory.index._entries


class Meanwhile(MemoryIndex):
    """Things happen right before an entry is read for the second time."""

    then: Callable[[], Awaitable[object]] | None = None
    reads = 0

    async def entry(self, user: UserId) -> IndexEntry | None:
        self.reads += 1
        if self.reads == 2 and self.then:
            await self.then()
        return await super().entry(user)


@pytest.fixture
def meanwhile(memory: Memory) -> Meanwhile:
    memory.index.__class__ = Meanwhile
    assert isinstance(memory.index, Meanwhile)
    return memory.index


async def test_a_change_that_is_announced_a_little_later_is_no_mismatch(
    memory: Memory, reconcile: ReconcileIndex, meanwhile: Meanwhile
) -> None:
    marked = await memory.feeds.mark(ADA, Mark.READ, [an_id(1)], LATER)
    meanwhile.then = lambda: memory.announcer.announce([marked])

    assert await reconcile(10) == CLEAN
    assert meanwhile.reads == 2
    assert held(memory)


async def test_an_entry_that_moves_on_under_traffic_is_no_mismatch(
    memory: Memory, reconcile: ReconcileIndex, meanwhile: Meanwhile
) -> None:
    """It is behind both times, but at the second look as far as the feed was at the first."""
    first = await memory.feeds.mark(ADA, Mark.READ, [an_id(1)], LATER)

    async def traffic() -> None:
        await memory.announcer.announce([first])
        await memory.feeds.mark(ADA, Mark.READ, [an_id(2)], LATER)

    meanwhile.then = traffic

    assert await reconcile(10) == CLEAN


async def test_an_entry_that_is_gone_at_the_second_look_is_no_mismatch(
    memory: Memory, reconcile: ReconcileIndex, meanwhile: Meanwhile
) -> None:
    await memory.feeds.mark(ADA, Mark.READ, [an_id(1)], LATER)
    meanwhile.then = lambda: memory.index.forget(ADA)

    assert await reconcile(10) == CLEAN


async def test_an_entry_that_is_wrong_when_it_has_caught_up_is_wrong(
    memory: Memory, reconcile: ReconcileIndex, meanwhile: Meanwhile
) -> None:
    await memory.feeds.mark(ADA, Mark.READ, [an_id(1)], LATER)

    async def catch_up() -> None:
        tamper(memory, version=4)

    meanwhile.then = catch_up

    assert await reconcile(10) == Reconciled(1, {ADA: Mismatch.WRONG})


async def test_with_the_index_away_nothing_is_checked(memory: Memory, reconcile: ReconcileIndex) -> None:
    memory.index.away = True

    assert await reconcile(10) == Reconciled(0, {})


async def test_with_the_store_away_it_says_so(memory: Memory, reconcile: ReconcileIndex) -> None:
    memory.feeds.away = True

    with pytest.raises(Unavailable):
        await reconcile(10)
    assert held(memory)


# --- how often ---


async def test_none_a_minute_is_none(reconcile: ReconcileIndex) -> None:
    async with asyncio.timeout(30):
        await consumer.reconcile(reconcile, 0)


class Enough(Exception):
    """Ten minutes have passed."""


@pytest.mark.parametrize("users_per_minute", [1, 5, 60, 100, 60_000])
async def test_so_many_are_checked_a_minute(users_per_minute: int) -> None:
    """However they are divided over it."""
    pauses: list[float] = []
    counts: list[int] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if math.fsum(pauses) > 600:
            raise Enough

    async def check(count: int) -> Reconciled:
        counts.append(count)
        return Reconciled(count)

    with pytest.raises(Enough):
        await consumer.reconcile(check, users_per_minute, sleep=sleep)

    assert sum(counts) == pytest.approx(users_per_minute * 10, rel=0.2, abs=1)


async def test_while_the_store_is_away_it_goes_on_trying(
    memory: Memory,
    reconcile: ReconcileIndex,
    caplog: pytest.LogCaptureFixture,
) -> None:
    memory.feeds.away = True
    tamper(memory, unread_count=7)
    task = asyncio.create_task(consumer.reconcile(reconcile, 60_000, every_seconds=0.001))
    await eventually(lambda: "was not compared" in caplog.text, "it says so")
    memory.feeds.away = False

    await eventually(lambda: not held(memory), "the entry is dropped")

    assert "the index entry of user ada was wrong" in caplog.text
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
