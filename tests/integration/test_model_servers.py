"""Many at once on real servers: whatever they do to a few feeds at the same time, no version is given twice
or left out, every page is true for its version, and in the end PostgreSQL, the index and a replay agree.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from random import Random, uniform
from secrets import token_hex
from time import monotonic
from typing import TypeVar

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters import clock as system
from adapters.postgres.engine import create_engine, driver
from adapters.postgres.feeds import PostgresFeeds
from adapters.postgres.preferences import PostgresPreferences
from adapters.postgres.rows import columns, read_notification
from adapters.postgres.users import PostgresUsers
from adapters.redis.announcer import RedisAnnouncer
from adapters.redis.index import RedisUnreadIndex
from adapters.redis.server import RedisServer, connect
from application.delivery import StoreNotifications
from application.errors import Unavailable
from application.feeds import Appended, MarkRequest
from application.inbox import FetchUnread, MarkNotifications
from application.marks import Marks
from application.pages import RenderedPage
from application.preferences import ChoosePreferences
from common import wire
from domain.arrivals import Arrival
from domain.feed import Chosen, Cursor, Feed, FeedChange, Marked
from domain.identifiers import NotificationId, UserId
from domain.notification import BEFORE_ALL, Draft, Notification
from domain.states import Mark
from tests.build import MACS, a_content, a_user
from tests.memory import MemoryCategories
from tests.model.history import History
from tests.states import USER_MARKS
from workbench.embedded import EmbeddedServers

T = TypeVar("T")

USERS = [UserId(name) for name in ("ada", "bob", "cyd")]
# Small, so that entries are cut short, and so that pages are asked of them that they do not hold.
CAPACITY = 20
ACTORS = 12
STEPS = 60


class Crash(Exception):
    """The process ends here, after a commit and before its announcement."""


class Unreliable(RedisServer):
    """Redis over a network that loses some questions and some answers."""

    losing = 0.0

    def __init__(self, client: Redis, *, random: Random) -> None:
        super().__init__(client, monotonic)
        self._random = random

    async def ask(self, operation: Callable[[], Awaitable[T]], *, repeatable: bool = True) -> T:
        if self._random.random() < self.losing:
            raise Unavailable
        answer = await operation()
        if self._random.random() < self.losing:
            raise Unavailable
        return answer


@dataclass
class Mortal:
    """Announces, unless the process crashes first."""

    announcer: RedisAnnouncer
    random: Random
    crashing: float = 0.1

    async def announce(self, changes: Sequence[FeedChange]) -> None:
        if self.random.random() < self.crashing:
            raise Crash
        await self.announcer.announce(changes)


class ToldFeeds(PostgresFeeds):
    """Tells the histories what it says it has changed."""

    def __init__(self, engine: AsyncEngine, histories: dict[UserId, History]) -> None:
        super().__init__(engine)
        self._histories = histories

    async def append(self, arrivals: Sequence[Arrival], now: datetime = BEFORE_ALL) -> Appended:
        appended = await super().append(arrivals, now)
        for change in (*appended.changed, *appended.added):
            self._histories[change.feed.user_id].tell(change)
        return appended

    async def mark(
        self,
        user: UserId,
        mark: Mark,
        ids: Sequence[NotificationId],
        at: datetime,
        *,
        action: str | None = None,
    ) -> Marked:
        marked = await super().mark(user, mark, ids, at, action=action)
        self._histories[user].tell(marked)
        return marked

    async def mark_together(self, mark: Mark, requests: Sequence[MarkRequest]) -> Mapping[UserId, Marked]:
        made = await super().mark_together(mark, requests)
        for user, marked in made.items():
            self._histories[user].tell(marked)
        return made

    async def mark_up_to(
        self, user: UserId, mark: Mark, cursor: Cursor, at: datetime, *, category: str | None = None
    ) -> Marked:
        marked = await super().mark_up_to(user, mark, cursor, at, category=category)
        self._histories[user].tell(marked)
        return marked


class ToldPreferences(PostgresPreferences):
    """Tells the histories too."""

    def __init__(self, engine: AsyncEngine, histories: dict[UserId, History]) -> None:
        super().__init__(engine)
        self._histories = histories

    async def choose(self, user: UserId, choices: Mapping[str, bool | None]) -> Chosen:
        chosen = await super().choose(user, choices)
        self._histories[user].tell(chosen)
        return chosen


@dataclass
class Town:
    """The feeds, everybody who uses them, and what was seen."""

    engine: AsyncEngine
    feeds: ToldFeeds
    index: RedisUnreadIndex
    announcer: RedisAnnouncer
    server: Unreliable
    histories: dict[UserId, History]
    random: Random
    new_id: Callable[[], NotificationId] = field(default_factory=system.NotificationIds)
    ids: dict[UserId, list[NotificationId]] = field(default_factory=lambda: {user: [] for user in USERS})
    pages: list[tuple[RenderedPage, int, NotificationId | None]] = field(default_factory=list)

    async def store(self) -> None:
        """Store a batch for some users; after a crash it is redelivered, among others."""
        drafts = [self._draft() for _ in range(self.random.randint(1, 6))]
        mortal = Mortal(self.announcer, self.random)
        store = StoreNotifications(feeds=self.feeds, announcer=mortal, clock=system.now)
        while True:
            try:
                await store.announce(await store(drafts))
                break
            except Crash:
                drafts = [*drafts, self._draft()]
        for draft in drafts:
            self.ids[draft.content.user_id].append(draft.id)

    async def mark(self) -> None:
        """Mark some; a client whose request failed repeats it."""
        user = self.random.choice(USERS)
        known = self.ids[user]
        ids = self.random.sample(known, min(len(known), self.random.randint(1, 5)))
        mark = self.random.choice([Mark.READ, *USER_MARKS])
        await self._insist(lambda use_case: use_case(user, mark, ids))

    async def mark_up_to(self) -> None:
        """Mark what was seen, which others may have changed since."""
        user = self.random.choice(USERS)
        mark = self.random.choice(USER_MARKS)
        cursor = self.histories[user].feed.cursor
        await self._insist(lambda use_case: use_case(user, mark, up_to=str(cursor)))

    async def choose(self) -> None:
        """Switch a category on or off, or back; a client whose request failed repeats it."""
        user = self.random.choice(USERS)
        choices = {self.random.choice(["comment", "billing"]): self.random.choice([True, False, None])}
        choose = ChoosePreferences(
            preferences=ToldPreferences(self.engine, self.histories),
            categories=MemoryCategories(),
            announcer=Mortal(self.announcer, self.random),
        )
        while True:
            try:
                await choose(user, choices)
            except Crash:
                continue
            return

    async def fetch(self) -> None:
        user = self.random.choice(USERS)
        limit = self.random.choice([0, 1, 5, CAPACITY])
        before = self.random.choice([None, None, *self.ids[user][-10:]])
        fetch = FetchUnread(index=self.index, feeds=self.feeds)
        self.pages.append((await fetch(user, limit, before), limit, before))

    async def forget(self) -> None:
        with suppress(Unavailable):
            await self.announcer.forget_everything()

    async def heal(self) -> None:
        try:
            await self.announcer.heal()
        except Unavailable:
            return

    async def live(self) -> None:
        """What one of the many does."""
        deeds = [self.store, self.store, self.mark, self.mark, self.mark_up_to, *[self.fetch] * 5]
        seldom = {self.heal: 0.5, self.choose: 0.5, self.forget: 0.1}
        for _ in range(STEPS):
            deed = self.random.choices([*deeds, *seldom], [1.0] * len(deeds) + [*seldom.values()])[0]
            await deed()

    async def evening(self) -> None:
        """One last change to each feed, right after the index was asked: nothing later covers for it."""
        for user in USERS:
            mark = MarkNotifications(marks=Marks(self.feeds, self.announcer), clock=system.now)
            for _ in range(2):
                lease = self.index._keys(user)[2]
                await self.index._server.on(lease, lambda client, key=lease: client.delete(key))  # type: ignore[misc]
                await FetchUnread(index=self.index, feeds=self.feeds)(user, 1)
            await mark(user, Mark.RETRACTED, self.ids[user][-2:])

    async def rows(self, user: UserId) -> tuple[Feed, dict[NotificationId, Notification]]:
        """The feed, and everything in it, as PostgreSQL has them."""
        query = f"SELECT {columns('n')} FROM notifications AS n WHERE n.user_id = $1"
        async with driver(self.engine) as connection:
            found = await connection.fetch(query, user)
            return await self.feeds.feed(user), {row["id"]: read_notification(row) for row in found}

    async def _insist(self, request: Callable[[MarkNotifications], Awaitable[Marked]]) -> None:
        mortal = Mortal(self.announcer, self.random)
        use_case = MarkNotifications(marks=Marks(self.feeds, mortal), clock=system.now)
        while True:
            try:
                await request(use_case)
            except Crash:
                continue
            return

    def _draft(self) -> Draft:
        return Draft(self.new_id(), system.now(), a_content(self.random.choice(USERS)))


@pytest.fixture
async def town(
    request: pytest.FixtureRequest, servers: EmbeddedServers, postgres_url: str
) -> AsyncIterator[Town]:
    random = Random(request.param)
    engine = create_engine(postgres_url, pool_size=8, application="tests", jitter=uniform)
    client = connect(servers.redis_url, now=monotonic)
    server = Unreliable(client, random=random)
    prefix = f"test-{secrets.token_hex(6)}"
    histories: dict[UserId, History] = {}
    feeds = ToldFeeds(engine, histories)
    for user in USERS:
        await PostgresUsers(engine, token_hex).add(a_user(user), None)
        histories[user] = History(await feeds.feed(user), wire.render)
    yield Town(
        engine,
        feeds,
        RedisUnreadIndex(RedisServer(client, monotonic), prefix, MACS, CAPACITY, uniform, token_hex),
        RedisAnnouncer(server, prefix, MACS, CAPACITY, uniform, clock=system.now),
        server,
        histories,
        random,
    )
    await client.aclose()
    await engine.dispose()


@pytest.mark.parametrize("losing", [0.0, 0.2], ids=["", "answers are lost"])
@pytest.mark.parametrize("town", range(4), indirect=True, ids=lambda seed: f"seed {seed}")
async def test_at_the_end_of_the_day_everything_adds_up(town: Town, losing: float) -> None:
    hits = _hits()

    town.server.losing = losing
    async with asyncio.TaskGroup() as lives:
        for _ in range(ACTORS):
            lives.create_task(town.live())
    await town.evening()
    town.server.losing = 0.0
    await town.announcer.heal()

    for user, history in town.histories.items():
        await _check_store(town, user, history)
        await _check_index(town, user, history)
    for page, limit, before in town.pages:
        town.histories[page.feed.user_id].check(page, limit, before)
    assert sum(history.feed.version for history in town.histories.values()) > 200
    assert _hits() - hits > 20


async def _check_store(town: Town, user: UserId, history: History) -> None:
    """What PostgreSQL holds is what its changes, replayed one after the other, lead to."""
    feed, rows = await town.rows(user)
    history.check_whole()
    assert history.feed == feed
    assert rows == {item.id: item for item in history.held.values()}
    versions = {item.version for item in history.held.values()}
    assert len(versions) == len(rows)
    assert max({*versions, feed.preferences_version}) == feed.version
    assert feed.unread_count == sum(item.unread for item in history.held.values())


async def _check_index(town: Town, user: UserId, history: History) -> None:
    """What the index holds is the end of it."""
    for limit in (0, 1, CAPACITY - 1, CAPACITY + 5):
        found = await town.index.page(user, limit, None)
        if isinstance(found, RenderedPage):
            assert found.feed == history.feed
            history.check(found, limit)


def _hits() -> float:
    return REGISTRY.get_sample_value("bellwire_index_total", {"outcome": "hit"}) or 0.0
