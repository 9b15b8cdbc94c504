"""The simulated Redis keeps the promises that the real one keeps, under the same adapters."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from random import uniform
from secrets import token_hex
from time import monotonic
from typing import Any

import pytest

from adapters import clock as system
from adapters.redis import scripts
from adapters.redis.announcer import RedisAnnouncer
from adapters.redis.idempotency import RedisIdempotencyKeys
from adapters.redis.index import RedisUnreadIndex, applied, entry
from adapters.redis.live import RedisLiveFrames
from adapters.redis.server import RedisServer
from adapters.redis.subscriptions import Subscriptions
from adapters.websocket.hub import Hub
from application.ports import IdempotencyKeys
from domain.feed import FeedChange
from tests import contracts
from tests.build import MACS
from tests.simulation.redis import PREFIX, Client, Redis, Rules
from tests.simulation.world import World

CAPACITY = 100


@pytest.fixture
async def redis() -> Redis:
    """One on an ordinary event loop."""
    loop: Any = asyncio.get_running_loop()
    return Redis(World(loop, random.Random(1), tracing=False), Rules())


@pytest.fixture
async def server(redis: Redis) -> RedisServer:
    client: Any = Client(redis)
    return RedisServer(client, monotonic)


@dataclass
class Applied:
    index: RedisUnreadIndex
    redis: Redis

    async def apply(self, change: FeedChange) -> None:
        items = [contracts.body(item) for item in getattr(change, "notifications", None) or ()]
        keys, arguments = applied(PREFIX, CAPACITY, [entry(change, items, MACS)], uniform)
        self.redis.execute("EVAL", scripts.APPLY, len(keys), *keys, *arguments)


class TestSimulatedIndex(contracts.UnreadIndexContract):
    @pytest.fixture
    def under_test(self, redis: Redis, server: RedisServer) -> contracts.IndexUnderTest:
        return Applied(RedisUnreadIndex(server, PREFIX, MACS, CAPACITY, uniform, token_hex), redis)


@dataclass
class Carried:
    announcer: RedisAnnouncer
    index: RedisUnreadIndex
    live: Hub
    redis: Redis
    server: RedisServer

    def cut(self) -> None:
        self.redis.server.away = True

    async def restore(self) -> None:
        self.redis.server.away = False
        self.server._away_until = 0.0
        await self.announcer.heal()


class TestSimulatedAnnouncer(contracts.AnnouncerContract):
    @pytest.fixture
    async def carrier(self, redis: Redis, server: RedisServer) -> AsyncIterator[contracts.Carrier]:
        subscriptions = Subscriptions(monotonic)
        hub = Hub(system.now, subscriptions)
        frames = RedisLiveFrames(
            server,
            PREFIX,
            MACS,
            subscriptions,
            deliver=hub.deliver,
            lost=hub.lost,
            now=monotonic,
            new_token=token_hex,
        )
        running = asyncio.create_task(frames.run())
        while not frames.connected:  # noqa: ASYNC110 - in a moment
            await asyncio.sleep(0)
        announcer = RedisAnnouncer(server, PREFIX, MACS, CAPACITY, uniform, clock=system.now)
        yield Carried(
            announcer,
            RedisUnreadIndex(server, PREFIX, MACS, CAPACITY, uniform, token_hex),
            hub,
            redis,
            server,
        )
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


class TestSimulatedKeys(contracts.IdempotencyKeysContract):
    @pytest.fixture
    def keys(self, server: RedisServer) -> IdempotencyKeys:
        return RedisIdempotencyKeys(server, PREFIX, MACS, 0)
