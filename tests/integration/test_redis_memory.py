"""Redis that has less memory than it needs, with each policy: no page is ever wrong, and somebody says so."""

import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from random import uniform
from secrets import token_hex
from time import monotonic

import pytest
from redis.asyncio import Redis

from adapters import clock as system
from adapters.redis.announcer import RedisAnnouncer
from adapters.redis.idempotency import RedisIdempotencyKeys
from adapters.redis.index import RedisUnreadIndex
from adapters.redis.inspection import RedisInspection
from adapters.redis.server import RedisServer, connect
from application.errors import Unavailable
from application.pages import Missing, RenderedPage
from common import wire
from domain.feed import Added, Feed, Marked
from domain.identifiers import UserId
from domain.notification import Notification
from domain.states import Mark
from entrypoints.commands import findings
from tests.build import LATER, MACS, a_feed, a_notification, an_id
from workbench import embedded
from workbench.embedded import LOOPBACK
from workbench.programs import MissingServer

USERS = [UserId(f"user-{number}") for number in range(40)]
CAPACITY = 20
ROOM = 80_000
"""Less than the entries of all users need."""
STEPS = 800


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.RedisServer]:
    try:
        with embedded.started(
            embedded.RedisServer(tmp_path_factory.mktemp("redis")), lambda _: None
        ) as started:
            yield started
    except MissingServer as missing:
        pytest.skip(str(missing))


@pytest.fixture
async def admin(machine: embedded.RedisServer) -> AsyncIterator[Redis]:
    async with Redis(host=LOOPBACK, port=machine.port) as client:
        await client.config_set("maxmemory", "0")
        await client.flushall()
        await client.config_resetstat()
        yield client


@pytest.fixture
async def server(machine: embedded.RedisServer) -> AsyncIterator[RedisServer]:
    made = RedisServer(connect(machine.url, now=monotonic), monotonic)
    yield made
    await made.close()


@dataclass
class Stored:
    """What PostgreSQL has of a user."""

    user: UserId
    version: int = 0
    unread: list[Notification] = field(default_factory=list)

    def add(self) -> Added:
        self.version += 1
        found = a_notification(self.version, self.user, message="x" * 600)
        self.unread.append(found)
        return Added(self._feed(), (found,))

    def read(self, chance: random.Random) -> Marked:
        found = self.unread.pop(chance.randrange(len(self.unread)))
        prev, self.version = self.version, self.version + 1
        return Marked(self._feed(), prev, Mark.READ, LATER, (found.marked(Mark.READ, LATER, self.version),))

    def page(self) -> RenderedPage:
        newest = self.unread[::-1][:CAPACITY]
        more = len(self.unread) > CAPACITY
        return RenderedPage(self._feed(), [wire.render(item) for item in newest], more)

    def _feed(self) -> Feed:
        return a_feed(self.version, len(self.unread), self.user)


@dataclass
class World:
    """The index, and changes and pages of users in any order."""

    server: RedisServer
    chance: random.Random
    hits: int = 0
    misses: int = 0

    def __post_init__(self) -> None:
        self.index = RedisUnreadIndex(self.server, "test", MACS, CAPACITY, uniform, token_hex)
        self.announcer = RedisAnnouncer(self.server, "test", MACS, CAPACITY, uniform, clock=system.now)
        self.users = [Stored(user) for user in USERS]

    async def go_on(self, steps: int) -> None:
        """Change and read. Each page must be what PostgreSQL says, or missing."""
        for _ in range(steps):
            user = self.chance.choice(self.users)
            if self.chance.random() < 0.5:
                adds = not user.unread or self.chance.random() < 0.7
                await self.announcer.announce([user.add() if adds else user.read(self.chance)])
                if self.announcer._unannounced:
                    await self.announcer.heal()  # a full Redis refuses changes, but drops entries
            else:
                await self._look(user)

    async def _look(self, user: Stored) -> None:
        found = await self.index.page(user.user, CAPACITY, None)
        if isinstance(found, Missing):
            self.misses += 1
            if found.lease is not None:
                await self.index.load(user.page(), found.lease)
        else:
            self.hits += 1
            right = user.page()
            assert found.feed == right.feed
            assert list(found.items) == list(right.items)[: len(found.items)]
            assert found.more or len(found.items) == len(user.unread)


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "volatile-lru", "volatile-ttl"])
async def test_what_is_evicted_is_missing_and_never_wrong(
    admin: Redis, server: RedisServer, policy: str
) -> None:
    world = World(server, random.Random(policy))
    await world.go_on(300)
    await admin.config_set("maxmemory-policy", policy)
    await admin.config_set("maxmemory", (await admin.info("memory"))["used_memory"] + ROOM)
    await world.go_on(STEPS)

    state = await RedisInspection(server, "test", MACS, system.now).look()
    assert state.evicted
    assert state.evicted > len(USERS)
    assert world.hits > 100
    said = [finding.text for finding in findings.of_cache(state)]
    assert f"{state.evicted} keys were evicted since it started" in said
    assert any("evicts idempotency keys" in text for text in said) == (policy != "volatile-ttl")


async def test_a_full_redis_that_may_not_evict_says_so_and_no_page_is_wrong(
    admin: Redis, server: RedisServer
) -> None:
    world = World(server, random.Random(1))
    await world.go_on(300)
    await admin.config_set("maxmemory-policy", "noeviction")
    await admin.config_set("maxmemory", (await admin.info("memory"))["used_memory"] + 20_000)
    await world.go_on(STEPS)
    keys = RedisIdempotencyKeys(server, "test", MACS, 0)
    await admin.config_set("maxmemory", 1)

    with pytest.raises(Unavailable):
        await keys.claim("producer", "key", "print", an_id())
    with pytest.raises(Unavailable, match="Redis refuses commands: OOM"):
        await server.ping()
    fresh = RedisServer(server.client, monotonic)
    state = await RedisInspection(fresh, "test", MACS, system.now).look()
    (found,) = [finding for finding in findings.of_cache(state) if finding.mark is findings.Mark.FAIL]
    assert "refuses what needs memory (noeviction)" in found.text

    await admin.config_set("maxmemory", 0)
    await world.go_on(200)
    await keys.claim("producer", "key", "print", an_id())
    assert world.hits
