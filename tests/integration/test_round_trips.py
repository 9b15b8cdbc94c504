"""How often the hot paths ask PostgreSQL and Redis: counts, which no other program on the machine changes.

Whoever needs one more raises the number, and says for what.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from random import uniform
from secrets import token_hex
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters import clock as system
from adapters.clock import now
from adapters.postgres.alarms import PostgresAlarms
from adapters.postgres.engine import driver
from adapters.postgres.feeds import PostgresFeeds
from adapters.postgres.users import PostgresUsers
from adapters.redis.announcer import RedisAnnouncer
from adapters.redis.index import RedisUnreadIndex
from adapters.redis.server import RedisServer, connect
from application.delivery import StoreNotifications
from application.feeds import MarkRequest
from application.inbox import FetchUnread, MarkNotifications, MarkRead
from application.marks import Marks
from domain.alarm import AlarmKind
from domain.identifiers import UserId
from domain.states import Mark
from tests.build import ADA, MACS, a_user, an_id, drafts
from workbench.embedded import EmbeddedServers

CAPACITY = 100
USERS = [UserId(f"u{n}") for n in range(20)]


@dataclass
class Asked:
    """What was asked since the last look."""

    statements: list[str] = field(default_factory=list)
    trips: int = 0

    def of_postgres(self) -> list[str]:
        found, self.statements[:] = list(self.statements), []
        return found

    def of_redis(self) -> int:
        found, self.trips = self.trips, 0
        return found


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def counted_engine(engine: AsyncEngine, asked: Asked) -> AsyncEngine:
    def note(query: Any) -> None:
        asked.statements.append(" ".join(query.query.split())[:60])

    @event.listens_for(engine.sync_engine, "checkout")
    def checked_out(connection: Any, *_: object) -> None:
        connection.driver_connection.add_query_logger(note)

    return engine


@pytest.fixture
async def counted_redis(servers: EmbeddedServers, asked: Asked) -> AsyncIterator[RedisServer]:
    client = connect(servers.redis_url, now=monotonic)

    class Counting(client.connection_pool.connection_class):  # type: ignore[misc, name-defined]
        async def send_packed_command(self, *args: Any, **options: Any) -> None:
            asked.trips += 1
            await super().send_packed_command(*args, **options)

    client.connection_pool.connection_class = Counting
    server = RedisServer(client, monotonic)
    yield server
    await server.close()


@dataclass
class Hot:
    """The use cases of the hot paths on real servers."""

    fetch: FetchUnread
    mark: MarkNotifications
    mark_read: MarkRead
    store: StoreNotifications


@pytest.fixture
async def hot(counted_engine: AsyncEngine, counted_redis: RedisServer, name: str) -> Hot:
    """With ten notifications for each user, in the store and in the index."""
    users, feeds = PostgresUsers(counted_engine, token_hex), PostgresFeeds(counted_engine)
    announcer = RedisAnnouncer(counted_redis, name, MACS, CAPACITY, uniform, clock=system.now)
    index = RedisUnreadIndex(counted_redis, name, MACS, CAPACITY, uniform, token_hex)
    mark = MarkNotifications(marks=Marks(feeds, announcer), clock=now)
    made = Hot(
        fetch=FetchUnread(index=index, feeds=feeds),
        mark=mark,
        mark_read=MarkRead(mark_notifications=mark, feeds=feeds),
        store=StoreNotifications(feeds=feeds, announcer=announcer, clock=now),
    )
    for nth, user in enumerate([ADA, *USERS]):
        await users.add(a_user(user), None)
        await made.store.announce(await made.store(drafts(10, user, first=1 + 10 * nth)))
        await made.fetch(user, 20)
    await made.mark(ADA, Mark.UNREAD, [an_id(1)])  # the driver learns the types of a connection's first mark
    return made


async def test_unread_notifications_are_fetched_in_one_round_trip(hot: Hot, asked: Asked) -> None:
    asked.of_redis(), asked.of_postgres()

    assert len((await hot.fetch(ADA, 20)).items) == 10

    assert (asked.of_redis(), asked.of_postgres()) == (1, [])


async def test_fetches_of_one_turn_share_it(hot: Hot, asked: Asked) -> None:
    asked.of_redis(), asked.of_postgres()

    await asyncio.gather(*(hot.fetch(user, 20) for user in USERS))

    assert (asked.of_redis(), asked.of_postgres()) == (1, [])


async def test_a_mark(hot: Hot, asked: Asked) -> None:
    asked.of_redis(), asked.of_postgres()

    assert (await hot.mark(ADA, Mark.READ, [an_id(1)])).changed == 1

    assert (asked.of_redis(), len(asked.of_postgres())) == (1, 1)


async def test_a_snooze_with_its_alarm(hot: Hot, asked: Asked) -> None:
    asked.of_redis(), asked.of_postgres()

    until = now() + timedelta(hours=1)
    assert (await hot.mark(ADA, Mark.SNOOZED, [an_id(1)], until=until)).changed == 1

    assert (asked.of_redis(), len(asked.of_postgres())) == (1, 1)


@pytest.mark.usefixtures("hot")
async def test_alarms(counted_engine: AsyncEngine, asked: Asked) -> None:
    feeds, alarms = PostgresFeeds(counted_engine), PostgresAlarms(counted_engine)
    firsts = [MarkRequest(user, [an_id(1 + 10 * nth)], now()) for nth, user in enumerate([ADA, *USERS])]
    await feeds.mark_together(Mark.SNOOZED, firsts)
    asked.of_postgres()

    rung = await alarms.ring(AlarmKind.WAKE, 100)
    statements = asked.of_postgres()
    idle = await alarms.ring(AlarmKind.WAKE, 100)

    assert (rung.count, len(rung.changes), idle.count) == (21, 21, 0)
    # How late it is; then to begin, lock, take, mark and commit.
    assert (len(statements), len(asked.of_postgres())) == (6, 1)


async def test_a_mark_up_to_a_position(hot: Hot, asked: Asked) -> None:
    cursor = (await hot.fetch(ADA, 0)).feed.cursor
    asked.of_redis(), asked.of_postgres()

    assert (await hot.mark(ADA, Mark.READ, up_to=str(cursor))).changed == 10

    assert (asked.of_redis(), len(asked.of_postgres())) == (1, 1)


async def test_marks_of_one_turn_share_a_statement_and_an_announcement(hot: Hot, asked: Asked) -> None:
    asked.of_redis(), asked.of_postgres()

    firsts = [an_id(1 + 10 * nth) for nth in range(1, 1 + len(USERS))]
    made = await asyncio.gather(
        *(hot.mark_read(user, first) for user, first in zip(USERS, firsts, strict=True))
    )

    assert all(notification.read_at for notification in made)
    assert (asked.of_redis(), len(asked.of_postgres())) == (1, 1)


async def test_a_mark_that_returns_its_notification(hot: Hot, asked: Asked) -> None:
    asked.of_redis(), asked.of_postgres()

    assert (await hot.mark_read(ADA, an_id(1))).read_at is not None

    assert (asked.of_redis(), len(asked.of_postgres())) == (1, 1)


async def test_a_batch_for_many_users(hot: Hot, asked: Asked) -> None:
    batch = [draft for nth, user in enumerate(USERS) for draft in drafts(5, user, first=1_000 + 5 * nth)]
    asked.of_redis(), asked.of_postgres()

    stored = await hot.store(batch)
    assert len(stored.appended.added) == len(USERS)
    await hot.store.announce(stored)

    assert (asked.of_redis(), len(asked.of_postgres())) == (1, 1)


@pytest.mark.usefixtures("hot")
async def test_users_to_whom_nobody_has_published_yet_take_one_statement(
    counted_engine: AsyncEngine, asked: Asked
) -> None:
    users = PostgresUsers(counted_engine, token_hex)
    asked.of_postgres()

    first = await users.known([ADA, *USERS, UserId("nobody")])
    again = await users.known([ADA, *USERS])

    await asyncio.sleep(0)  # the driver tells of a statement in the next turn
    assert first == again == {ADA, *USERS}
    assert len(asked.of_postgres()) == 1


async def test_a_command_to_redis_makes_no_task(counted_redis: RedisServer) -> None:
    """As one that waits for its turn to be sent would."""
    await counted_redis.ping()
    loop, made = asyncio.get_running_loop(), list[object]()

    def note(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> "asyncio.Task[Any]":
        made.append(work)
        return asyncio.Task(work, loop=loop, **options)

    loop.set_task_factory(note)
    await counted_redis.ping()
    loop.set_task_factory(None)

    assert made == []


async def test_a_loan_of_the_drivers_connection_makes_none_of_sqlalchemys(engine: AsyncEngine) -> None:
    made: list[object] = []
    event.listen(engine.sync_engine, "engine_connect", made.append)

    async with driver(engine) as connection:
        assert await connection.fetchval("SELECT 1") == 1

    assert made == []
