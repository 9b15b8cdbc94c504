"""Notifications are kept for some months."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

import pytest

from application.errors import Unavailable
from application.feeds import Dropped, Pruned
from application.pages import Missing, RenderedPage
from application.pruning import PRUNED_AT_ONCE, PruneFeeds, first_kept
from domain.errors import Invalid
from domain.feed import Settled
from tests.build import ADA, BOB, a_draft, a_user
from tests.whole import Container
from tests.wiring import Memory

OLD = datetime(2026, 1, 31, 23, 59, tzinfo=UTC)


@pytest.fixture
async def memory() -> Memory:
    memory = Memory()
    for user in (ADA, BOB):
        await memory.users.add(a_user(user), None)
    return memory


@pytest.fixture
def inside(memory: Memory) -> Container:
    return memory.container()


async def pruned(prune: PruneFeeds, keep_months: int = 1) -> Sequence[Pruned | Dropped]:
    return [done async for done in prune(keep_months)]


async def test_what_is_older_than_the_months_to_keep_goes(memory: Memory, inside: Container) -> None:
    """It is March: February stays."""
    february = OLD + timedelta(minutes=1)
    await memory.feeds.append([a_draft(1, at=OLD), a_draft(2, at=february), a_draft(3)])

    done = await pruned(inside.prune())

    assert [one.notifications for one in done if isinstance(one, Pruned)] == [1]
    assert done[-1] == Dropped((), ())
    left = (await memory.feeds.history(ADA, 0, 10)).notifications
    assert [item.created_at for item in left] == [february, memory.clock()]


async def test_who_follows_is_told_after_each_batch(memory: Memory, inside: Container) -> None:
    await memory.feeds.append([a_draft(n, at=OLD) for n in range(PRUNED_AT_ONCE)])
    await memory.feeds.append([a_draft(1, BOB, at=OLD), a_draft(2, BOB)])
    await inside.fetch_unread()(BOB, 10)
    assert isinstance(await memory.index.page(BOB, 10, None), RenderedPage)

    batches = 0
    async for done in inside.prune()(1):
        if isinstance(done, Pruned):
            batches += 1
            told = memory.announcer.announced[-len(done.feeds) :]
            assert told == [Settled(feed) for feed in done.feeds]

    assert batches == 2
    assert memory.announcer.announced == [
        Settled(await memory.feeds.feed(ADA)),
        Settled(await memory.feeds.feed(BOB)),
    ]
    assert isinstance(await memory.index.page(BOB, 10, None), Missing)


async def test_it_may_be_ended_between_batches_and_begun_again(memory: Memory, inside: Container) -> None:
    await memory.feeds.append([a_draft(n, at=OLD) for n in range(PRUNED_AT_ONCE + 5)])
    async for _ in inside.prune()(1):
        break
    half = await memory.feeds.feed(ADA)

    done = await pruned(inside.prune())

    assert half.unread_count == 5
    assert [one.notifications for one in done if isinstance(one, Pruned)] == [5]
    assert (await memory.feeds.feed(ADA)).unread_count == 0


async def test_what_arrives_meanwhile_is_pruned_too(
    memory: Memory, inside: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A partition that is not empty is not dropped: it begins anew, but not for ever."""
    arriving = iter(range(100))

    async def in_use(_before: datetime) -> Dropped:
        await memory.feeds.append([a_draft(next(arriving), at=OLD)])
        return Dropped((), ["january"])

    monkeypatch.setattr(memory.feeds, "drop", in_use)

    done = await asyncio.wait_for(pruned(inside.prune()), 10)

    assert [type(one) for one in done] == [Dropped, Pruned, Dropped, Pruned, Dropped]
    assert done[-1] == Dropped((), ["january"])


async def test_with_the_store_away_nothing_is_announced(memory: Memory, inside: Container) -> None:
    await memory.feeds.append([a_draft(1, at=OLD)])
    memory.feeds.away = True

    with pytest.raises(Unavailable):
        await pruned(inside.prune())

    assert memory.announcer.announced == []


@pytest.mark.parametrize("months", [0, -1, 30_000])
async def test_so_many_months_cannot_be_kept(inside: Container, months: int) -> None:
    with pytest.raises(Invalid):
        await pruned(inside.prune(), months)


@pytest.mark.parametrize(
    ("now", "keep", "first"),
    [
        (datetime(2026, 11, 30, 23, 59, tzinfo=UTC), 1, (2026, 10)),
        (datetime(2026, 1, 1, tzinfo=UTC), 1, (2025, 12)),
        (datetime(2026, 3, 14, tzinfo=UTC), 12, (2025, 3)),
        (datetime(2026, 3, 14, tzinfo=UTC), 15, (2024, 12)),
        (datetime(2026, 3, 1, 1, tzinfo=timezone(timedelta(hours=2))), 1, (2026, 1)),
    ],
)
def test_the_first_month_that_is_kept(now: datetime, keep: int, first: tuple[int, int]) -> None:
    assert first_kept(now, keep) == datetime(*first, 1, tzinfo=UTC)
