"""What is old is deleted and dropped, with everything else going on."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from random import uniform
from secrets import token_hex
from typing import Any

import pytest
from sqlalchemy import inspect
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters import clock as system
from adapters.postgres.engine import create_engine, driver
from adapters.postgres.feeds import PostgresFeeds
from adapters.postgres.partitions import count_strays, ensure_partitions
from adapters.postgres.retention import PostgresRetention
from adapters.postgres.users import PostgresUsers
from application.errors import Unavailable
from application.feeds import Dropped, Spot
from application.ports import Feeds, Retention
from application.pruning import PruneFeeds, PruneWithheld
from domain.feed import Settled
from domain.identifiers import UserId
from domain.notification import Retraction
from domain.states import Mark
from tests import contracts
from tests.build import ADA, BOB, LATER, NOW, a_draft, a_user, an_id, drafts
from tests.contracts import everything
from tests.product import eventually
from tests.whole import Container

OLD = datetime(2025, 1, 15, tzinfo=UTC)
MONTHS = ("2025_01", "2025_02", "2025_03", "2025_04")
UNTIL = datetime(2025, 3, 1, tzinfo=UTC)


class TestPostgresRetention(contracts.RetentionContract):
    @pytest.fixture
    def retention(self, engine: AsyncEngine) -> Retention:
        return PostgresRetention(engine)

    @pytest.fixture
    def feeds(self, engine: AsyncEngine) -> Feeds:
        return PostgresFeeds(engine)


@pytest.fixture
async def fresh(postgres_url: str) -> AsyncIterator[AsyncEngine]:
    """A database of the test's own, with partitions of long ago and the feeds of Ada and Bob."""
    engine = create_engine(postgres_url, pool_size=8, application="tests", jitter=uniform)
    await ensure_partitions(engine, OLD)
    for user in (ADA, BOB):
        await PostgresUsers(engine, token_hex).add(a_user(user), None)
    yield engine
    await engine.dispose()


@pytest.fixture
def feeds(fresh: AsyncEngine) -> PostgresFeeds:
    return PostgresFeeds(fresh)


@pytest.fixture
def retention(fresh: AsyncEngine) -> PostgresRetention:
    return PostgresRetention(fresh)


async def tables(engine: AsyncEngine) -> set[str]:
    async with engine.connect() as connection:
        return set(await connection.run_sync(lambda inside: inspect(inside).get_table_names()))


async def months_of_2025(engine: AsyncEngine) -> list[str]:
    return sorted(name[-7:] for name in await tables(engine) if name.startswith("notifications_2025"))


async def prune_all(retention: PostgresRetention, before: datetime = UNTIL, limit: int = 100) -> int:
    total, after = 0, None
    while (pruned := await retention.prune(before, after, limit)).last is not None:
        total += pruned.notifications
        after = pruned.last
    return total


async def test_what_was_withheld_is_forgotten_in_time(fresh: AsyncEngine, feeds: PostgresFeeds) -> None:
    await feeds.append([Retraction(ADA, an_id(number)) for number in range(1, 6)])
    async with driver(fresh) as connection:
        await connection.execute(
            "UPDATE withheld SET at = now() - interval '32 days' WHERE id <> $1", an_id(3)
        )

    forgotten = await PruneWithheld(retention=PostgresRetention(fresh), clock=system.now)()

    async with driver(fresh) as connection:
        left = await connection.fetch("SELECT id FROM withheld")
    assert (forgotten, [row["id"] for row in left]) == (4, [an_id(3)])


# --- partitions ---


async def test_partitions_that_are_over_and_empty_are_dropped_and_no_others(
    fresh: AsyncEngine, feeds: PostgresFeeds, retention: PostgresRetention
) -> None:
    await feeds.append([a_draft(1, at=OLD), a_draft(2, at=OLD + timedelta(days=31)), a_draft(3, at=UNTIL)])

    assert await retention.drop(UNTIL) == Dropped([], ["notifications_2025_01", "notifications_2025_02"])
    assert await months_of_2025(fresh) == list(MONTHS)
    assert await prune_all(retention) == 2
    assert await retention.drop(UNTIL) == Dropped(["notifications_2025_01", "notifications_2025_02"], [])
    assert await retention.drop(UNTIL) == Dropped([], [])

    assert await months_of_2025(fresh) == ["2025_03", "2025_04"]
    assert "notifications_default" in await tables(fresh)
    assert [item.id for item in await everything(feeds)] == [an_id(3, UNTIL)]


async def test_strays_that_are_old_go_too(
    fresh: AsyncEngine, feeds: PostgresFeeds, retention: PostgresRetention
) -> None:
    """Ids from before any partition, and from after the partition of their month was dropped."""
    ancient, future = datetime(1999, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC)
    await retention.drop(UNTIL)
    await feeds.append([a_draft(1, at=ancient), a_draft(2, at=OLD), a_draft(3, at=future), a_draft(4)])
    assert await count_strays(fresh) == 3

    assert await prune_all(retention) == 2

    assert await count_strays(fresh) == 1
    assert (await feeds.feed(ADA)).unread_count == len(await everything(feeds)) == 2


async def test_a_partition_in_use_is_kept_and_nobody_waits_for_long(
    fresh: AsyncEngine, feeds: PostgresFeeds, retention: PostgresRetention
) -> None:
    async with driver(fresh) as connection, connection.transaction():
        await connection.fetch("SELECT * FROM notifications")
        dropped = await retention.drop(datetime(2025, 2, 1, tzinfo=UTC))
        await feeds.append(drafts(1))

    assert dropped == Dropped([], ["notifications_2025_01"])
    assert (await retention.drop(UNTIL)).kept == []


async def test_what_is_stored_while_a_partition_is_to_be_dropped_is_never_lost(
    feeds: PostgresFeeds, retention: PostgresRetention
) -> None:
    """Each late draft either keeps its partition or goes where it is pruned the next time."""

    async def late(user: UserId, first: int) -> int:
        stored = 0
        for n in range(first, first + 40):
            appended = await feeds.append([a_draft(n, user, at=OLD), a_draft(n, user)])
            stored += sum(len(added.notifications) for added in appended.added)
        return stored

    storing = asyncio.gather(late(ADA, 1), late(BOB, 1))
    pruned = 0
    while not storing.done():
        pruned += await prune_all(retention)
        await retention.drop(UNTIL)
    stored = sum(await storing)
    pruned += await prune_all(retention)

    assert (stored, pruned) == (160, 80)
    assert (await retention.drop(UNTIL)).kept == []
    for user in (ADA, BOB):
        assert len(await everything(feeds, user)) == 40


# --- with everything else going on ---


async def test_pruning_among_changes_leaves_exact_counts_and_deadlocks_nobody(
    fresh: AsyncEngine, feeds: PostgresFeeds, retention: PostgresRetention
) -> None:
    names = [UserId(f"user-{n}") for n in range(12)]
    for user in names:
        await PostgresUsers(fresh, token_hex).add(a_user(user), None)
    await feeds.append([a_draft(n, user, at=OLD) for user in names for n in range(1, 41)])

    async def append(turn: int) -> None:
        for n in range(20):
            order = names[(turn + n) % 12 :] + names[: (turn + n) % 12]
            await feeds.append([a_draft(100 * turn + n, user, at=at) for user in order for at in (OLD, NOW)])

    async def mark(user: UserId) -> None:
        for n in range(1, 41):
            await feeds.mark(user, Mark.READ, [an_id(n, OLD), an_id(100 + n)], LATER)

    async def prune() -> None:
        for _ in range(5):
            await prune_all(retention, limit=37)

    await asyncio.gather(append(1), append(2), prune(), prune(), *(mark(user) for user in names[:4]))
    await prune_all(retention)

    for user in names:
        left = await everything(feeds, user)
        assert len(left) == 40
        assert all(item.created_at == NOW for item in left)
        standing = (await feeds.standings([user]))[user]
        assert 0 < standing.horizon <= standing.feed.version


async def test_what_is_pruned_is_locked_after_its_feed(
    fresh: AsyncEngine, feeds: PostgresFeeds, retention: PostgresRetention
) -> None:
    """In the order that everything uses; the holder of the feed's lock may do anything with it."""
    await feeds.append([a_draft(1, at=OLD)])
    async with driver(fresh) as connection:
        async with connection.transaction():
            await connection.fetch("SELECT * FROM feeds WHERE user_id = 'ada' FOR NO KEY UPDATE")
            pruning = asyncio.create_task(retention.prune(UNTIL, None, 10))
            await eventually(lambda: waits(fresh), "it waits for the feed")
            await connection.fetch("SELECT * FROM notifications FOR UPDATE NOWAIT")
            await connection.execute("UPDATE notifications SET read_at = now(), version = 2")
            await connection.execute("UPDATE feeds SET version = 2, unread_count = 0 WHERE user_id = 'ada'")
        pruned = await pruning

    assert [(feed.version, feed.unread_count) for feed in pruned.feeds] == [(3, 0)]


async def waits(engine: AsyncEngine) -> bool:
    async with driver(engine) as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        return bool(await connection.fetchval(f"{query} AND datname = current_database()"))


async def test_a_prune_that_is_cancelled_leaves_all_or_nothing_of_a_batch(
    fresh: AsyncEngine, feeds: PostgresFeeds, retention: PostgresRetention
) -> None:
    await feeds.append([a_draft(n, at=OLD) for n in range(1, 501)])
    cancelled = 0
    while (await feeds.feed(ADA)).unread_count:
        pruning = asyncio.create_task(retention.prune(UNTIL, None, 50))
        # At every moment of a batch; on a busy machine that takes longer.
        done, _ = await asyncio.wait([pruning], timeout=0.001 * (cancelled % 20) * (1 + cancelled // 20))
        cancelled += not done
        pruning.cancel()
        await asyncio.gather(pruning, return_exceptions=True)

        left = len(await everything(feeds))
        assert left % 50 == 0
        standing = (await feeds.standings([ADA]))[ADA]
        assert standing.horizon == (standing.feed.version if left < 500 else 0)

    assert cancelled
    assert fresh.pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_with_the_store_away_a_prune_is_unavailable() -> None:
    engine = create_engine(
        "postgresql+asyncpg://nobody@127.0.0.1:1/nothing", pool_size=1, application="tests", jitter=uniform
    )
    try:
        for asked in (PostgresRetention(engine).prune(UNTIL, None, 1), PostgresRetention(engine).drop(UNTIL)):
            with pytest.raises(Unavailable):
                await asked
    finally:
        await engine.dispose()


# --- the command ---


async def test_the_index_and_the_streams_are_told(container: Container) -> None:
    engine, feeds = container.engine(), container.feeds()
    await ensure_partitions(engine, OLD)
    await container.users().add(a_user(ADA), None)
    await feeds.append([a_draft(1, at=OLD), a_draft(2)])
    before = await container.fetch_unread()(ADA, 10)
    assert len(before.items) == 2
    told: list[Any] = []

    class Told:
        async def announce(self, changes: Any) -> None:
            told.extend(changes)
            await container.announcer().announce(changes)

    prune = PruneFeeds(retention=container.retention(), announcer=Told(), clock=lambda: NOW)
    async for _ in prune(1):
        pass

    assert told == [Settled(await feeds.feed(ADA))]
    after = await container.fetch_unread()(ADA, 10)
    assert (len(after.items), after.feed) == (1, await feeds.feed(ADA))


async def test_a_command_that_is_killed_can_be_given_again(
    feeds: PostgresFeeds, environment: Mapping[str, str]
) -> None:
    """Deleted is half of it when the first process dies."""
    for start in range(0, 6_000, 1_000):
        await feeds.append([a_draft(n, at=OLD) for n in range(start, start + 1_000)])
    await feeds.append([a_draft(1, BOB), a_draft(2, BOB, at=OLD)])

    killed = await command(environment)
    assert killed.stdout
    first = await asyncio.wait_for(killed.stdout.readline(), 60)
    killed.kill()
    await killed.wait()
    assert first == b"1000 notifications deleted\n"
    await eventually(lambda: ended(feeds._engine), "PostgreSQL has ended what it did for it")
    left = await everything(feeds)
    assert len(left) % 1_000 == 0
    assert len(left) < 6_000

    again = await command(environment)
    said, _ = await asyncio.wait_for(again.communicate(), 120)

    assert again.returncode == 0
    assert said.decode().splitlines()[-4:] == [f"notifications_{month} dropped" for month in MONTHS]
    assert not await everything(feeds)
    assert (await feeds.feed(ADA)).unread_count == 0
    assert (await feeds.feed(BOB)).unread_count == len(await everything(feeds, BOB))


async def command(environment: Mapping[str, str]) -> asyncio.subprocess.Process:
    """Keep so much that the months of the other tests stay, whenever they run."""
    now = datetime.now(UTC)
    months = (now.year - 2026) * 12 + now.month - 2
    words = ("prune", "--keep-months", str(months))
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bellwire", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path), **environment},
    )


async def ended(engine: AsyncEngine) -> bool:
    """Whether nobody but the test is connected."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    async with driver(engine) as connection:
        return not await connection.fetchval(f"{query} AND application_name <> 'tests'")


async def test_spots_begin_before_the_first_user_and_end_behind_the_last(
    feeds: PostgresFeeds, retention: PostgresRetention
) -> None:
    await feeds.append([a_draft(1, at=OLD), a_draft(1, BOB, at=OLD)])

    first = await retention.prune(UNTIL, None, 1)
    assert first.last == Spot(ADA, an_id(1, OLD))
    assert (await retention.prune(UNTIL, first.last, 1)).last == Spot(BOB, an_id(1, OLD))
