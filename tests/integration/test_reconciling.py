"""The index compared with the store, both real: what is planted is found, and traffic is no mismatch."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from application.pages import Rendered, RenderedPage
from common import metrics
from domain.identifiers import UserId
from domain.states import Mark
from entrypoints.consumer import process as consumer
from tests.build import ADA, BOB, LATER, a_draft, a_user, an_id, drafts
from tests.product import eventually
from tests.whole import Container

CYD = UserId("cyd")
ALL_IN_A_MOMENT = 60_000
"""Users a minute."""


def counted() -> tuple[float, float, float]:
    """How many were checked, how many were stale and how many wrong, since the process began."""
    kinds = [metrics.INDEX_MISMATCHES.labels(kind)._value.get() for kind in ("stale", "wrong")]
    return metrics.INDEX_CHECKED._value.get(), kinds[0], kinds[1]


@asynccontextmanager
async def reconciling(container: Container) -> AsyncIterator[None]:
    """What the consumer process does beside its work."""
    work = consumer.reconcile(container.reconcile_index(), ALL_IN_A_MOMENT, every_seconds=0.1)
    task = asyncio.create_task(work)
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_stale_and_a_wrong_entry_are_counted_and_repaired(container: Container, name: str) -> None:
    for user in (ADA, BOB, CYD):
        await container.users().add(a_user(user), None)
        await container.store()(drafts(3, user))
        await container.fetch_unread()(user, 10)
    redis, checked, stale, wrong = container.redis(), *counted()
    await container.feeds().mark(ADA, Mark.READ, [an_id(1)], LATER)  # and nobody is told
    key = f"{name}:unread:{{bob}}"
    page = await container.fetch_unread()(BOB, 1)
    stamp = container.macs().stamper(BOB, page.feed.epoch)
    await redis.zrem(key, stamp(page.items[0]))
    older = Rendered(page.items[0].replace(b'"version":3', b'"version":2'))
    await redis.zadd(key, {stamp(older): 0})

    async with reconciling(container):
        await eventually(lambda: counted()[1:] == (stale + 1, wrong + 1), "both are counted")

        assert counted()[0] >= checked + 3
        assert await redis.exists(f"{name}:feed:{{ada}}", f"{name}:feed:{{bob}}", key) == 0
        assert await redis.exists(f"{name}:feed:{{cyd}}") == 1
        for user, ids in ((ADA, [3, 2]), (BOB, [3, 2, 1])):
            page = await container.fetch_unread()(user, 10)
            assert [bytes(item)[7:43].decode() for item in page.items] == [str(an_id(n)) for n in ids]
            assert isinstance(await container.index().page(user, 10, None), RenderedPage)
        after = counted()[0]
        await eventually(lambda: counted()[0] >= after + 6, "all are checked twice more")

    assert counted()[1:] == (stale + 1, wrong + 1)


async def test_under_traffic_and_flushes_nothing_is_a_mismatch(container: Container) -> None:
    users = [UserId(f"user-{n}") for n in range(8)]
    for user in users:
        await container.users().add(a_user(user), None)
    checked, *before = counted()
    stopping = asyncio.Event()
    rounds = dict.fromkeys(users, 0)

    async def traffic(user: UserId) -> None:
        for number in iter(range(1, 100_000)):
            if stopping.is_set():
                return
            stored = await container.store()([a_draft(number, user)])
            fetching = asyncio.create_task(container.fetch_unread()(user, 10))
            await container.store().announce(stored)
            page = await fetching
            assert len(page.items) == min(10, page.feed.unread_count)
            if number % 3 == 0:
                await container.mark_notifications()(user, Mark.READ, [an_id(number - 1)])
            if number % 50 == 0:
                await container.mark_notifications()(user, Mark.ARCHIVED, up_to=str(page.feed.cursor))
            rounds[user] += 1

    async def flushes() -> None:
        while not stopping.is_set():
            await container.redis().flushall()
            await asyncio.sleep(0.7)

    work: list[Callable[[], Awaitable[None]]] = [lambda user=user: traffic(user) for user in users]  # type: ignore[misc]
    async with reconciling(container):
        running = [asyncio.ensure_future(step()) for step in (*work, flushes)]
        await eventually(
            lambda: counted()[0] >= checked + 60 and min(rounds.values()) > 10,
            "entries are checked while they change",
        )
        stopping.set()
        await asyncio.gather(*running)
        for user in users:
            await container.fetch_unread()(user, 10)
        quiet = counted()[0]
        await eventually(lambda: counted()[0] >= quiet + 2 * len(users), "entries are checked at rest")

    assert list(counted()[1:]) == before
