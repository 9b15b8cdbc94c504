"""Alarms on PostgreSQL: each has its effect once, whoever dies and whatever else goes on."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.alarms import PostgresAlarms
from adapters.postgres.engine import driver
from adapters.postgres.erasures import PostgresErasures
from adapters.postgres.feeds import PostgresFeeds
from adapters.postgres.retention import PostgresRetention
from adapters.postgres.users import PostgresUsers
from application.audit import Action, ActorKind, By, Entry
from application.errors import Unavailable
from domain.alarm import AlarmKind
from domain.feed import Marked
from domain.identifiers import UserId
from domain.states import Mark
from tests import contracts
from tests.build import ADA, BOB, a_draft, a_user, an_id, drafts
from tests.product import eventually

PAST, FAR = contracts.AlarmsContract.PAST, contracts.AlarmsContract.FAR
# Holds every commit of a change of a feed up, while the test has the lock.
AT_COMMIT = """
CREATE FUNCTION held_up() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_advisory_xact_lock_shared(17); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER held_up AFTER UPDATE ON feeds DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION held_up();
"""
KILL = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


@pytest.fixture
def alarms(engine: AsyncEngine) -> PostgresAlarms:
    return PostgresAlarms(engine)


class TestPostgresAlarms(contracts.AlarmsContract):
    @pytest.fixture
    def retention(self, engine: AsyncEngine) -> PostgresRetention:
        return PostgresRetention(engine)

    async def waiting(self, feeds: PostgresFeeds) -> int:
        return await count(feeds._engine)


async def count(engine: AsyncEngine) -> int:
    async with driver(engine) as connection:
        return int(await connection.fetchval("SELECT count(*) FROM alarms"))


@pytest.fixture
async def two_snoozed(feeds: PostgresFeeds, users: PostgresUsers) -> None:
    """One notification each of Ada and Bob, whose alarm is due."""
    for user in (ADA, BOB):
        await users.add(a_user(user), None)
        await feeds.append([a_draft(1, user)])
        await feeds.mark(user, Mark.SNOOZED, [an_id(1)], PAST)


@pytest.fixture
async def held_commits(engine: AsyncEngine) -> AsyncIterator[None]:
    async with driver(engine) as connection:
        await connection.execute(AT_COMMIT)
    yield
    async with driver(engine) as connection:
        await connection.execute("DROP TRIGGER held_up ON feeds; DROP FUNCTION held_up")


@pytest.mark.usefixtures("two_snoozed", "held_commits")
async def test_who_dies_between_the_work_and_the_commit_has_done_nothing(
    engine: AsyncEngine, alarms: PostgresAlarms, feeds: PostgresFeeds
) -> None:
    async with driver(engine) as connection:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(17)")
            ringing = asyncio.create_task(alarms.ring(AlarmKind.WAKE, 10))
            await eventually(lambda: _kill(engine), "it was killed as it commits")
        with pytest.raises(Unavailable):
            await ringing

    assert [(await feeds.feed(user)).version for user in (ADA, BOB)] == [2, 2]
    assert await count(engine) == 2
    again = await alarms.ring(AlarmKind.WAKE, 10)
    assert (again.count, len(again.changes)) == (2, 2)
    assert [(await feeds.feed(user)).unread_count for user in (ADA, BOB)] == [1, 1]


async def _kill(engine: AsyncEngine) -> bool:
    async with driver(engine) as connection:
        return bool(await connection.fetch(KILL))


@pytest.mark.usefixtures("two_snoozed")
async def test_a_feed_that_is_being_changed_waits_for_its_turn_and_holds_up_nobody(
    engine: AsyncEngine, alarms: PostgresAlarms
) -> None:
    async with driver(engine) as connection, connection.transaction():
        await connection.fetch("SELECT FROM feeds WHERE user_id = $1 FOR NO KEY UPDATE", ADA)

        rung = await alarms.ring(AlarmKind.WAKE, 1)

        assert [change.feed.user_id for change in rung.changes] == [BOB]
    rung = await alarms.ring(AlarmKind.WAKE, 1)
    assert [change.feed.user_id for change in rung.changes] == [ADA]


async def test_the_clock_of_the_server_decides(
    engine: AsyncEngine, alarms: PostgresAlarms, feeds: PostgresFeeds, users: PostgresUsers
) -> None:
    """A consumer whose clock is wrong rings in time: it has no say."""
    await users.add(a_user(ADA), None)
    await feeds.append(drafts(2))
    async with driver(engine) as connection:
        before = await connection.fetchval("SELECT clock_timestamp()")
        await feeds.mark(ADA, Mark.SNOOZED, [an_id(1)], before)
        await feeds.mark(ADA, Mark.SNOOZED, [an_id(2)], before + timedelta(minutes=59))

        rung = await alarms.ring(AlarmKind.WAKE, 10)

        after = await connection.fetchval("SELECT clock_timestamp()")
    (woken,) = rung.changes
    assert isinstance(woken, Marked)
    assert woken.ids == (an_id(1),)
    assert before <= woken.at <= after
    assert timedelta() <= rung.late <= after - before


@pytest.mark.usefixtures("two_snoozed")
async def test_an_erased_user_leaves_no_alarm(engine: AsyncEngine, alarms: PostgresAlarms) -> None:
    by = By(ActorKind.KEY, "k1", "192.0.2.1", "r1")

    await PostgresErasures(engine).begin(ADA, Entry(by, Action.USER_ERASED, ADA), reusable=False)

    assert await count(engine) == 1
    assert [change.feed.user_id for change in (await alarms.ring(AlarmKind.WAKE, 10)).changes] == [BOB]


async def test_marks_arrivals_and_alarms_at_once_do_not_deadlock(
    alarms: PostgresAlarms, feeds: PostgresFeeds, users: PostgresUsers
) -> None:
    names = [UserId(f"u{n}") for n in range(10)]
    for user in names:
        await users.add(a_user(user), None)
        await feeds.append(drafts(3, user))

    async def snooze() -> None:
        for n in range(10):
            for user in names:
                await feeds.mark(user, Mark.SNOOZED, [an_id(1), an_id(2)], PAST + timedelta(seconds=n))

    async def arrive(first: int, order: int) -> None:
        for n in range(first, first + 10):
            await feeds.append([a_draft(n, user) for user in names[::order]])

    async def ring() -> int:
        return sum([len((await alarms.ring(AlarmKind.WAKE, 3)).changes) for _ in range(60)])

    async with asyncio.timeout(60):
        await asyncio.gather(snooze(), arrive(10, 1), arrive(30, -1), ring(), ring())
        while (await alarms.ring(AlarmKind.WAKE, 100)).count:
            pass
    for user in names:
        items = await contracts.everything(feeds, user)
        assert (await feeds.feed(user)).unread_count == len(items) == 23
