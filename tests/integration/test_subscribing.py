"""A process hears the frames of the users whose streams it serves, all of them, and of nobody else."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random, uniform
from secrets import token_hex
from time import monotonic
from typing import Any

import pytest

from adapters import clock as system
from adapters.redis.announcer import RedisAnnouncer
from adapters.redis.live import RedisLiveFrames
from adapters.redis.names import channel
from adapters.redis.server import RedisServer, connect
from adapters.redis.subscriptions import LINGER_SECONDS, PATIENCE_SECONDS, Subscriptions
from adapters.websocket.hub import Hub
from application.streams import Frame
from domain.feed import Added
from domain.identifiers import UserId
from tests.build import ADA, BOB, MACS, a_feed, a_notification
from tests.memory import Mailbox, following
from workbench.embedded import LOOPBACK, EmbeddedServers
from workbench.soak.proxy import Direction, Proxy
from workbench.soak.waiting import eventually

CROWD = [UserId(f"user-{number}") for number in range(10_000)]


@dataclass
class Node:
    """What an API process does with frames."""

    server: RedisServer
    prefix: str
    at: float = 1_000.0
    """The time for its subscriptions. For its heartbeats time stands still: one for each connection."""
    heard: list[Frame] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.subscriptions = Subscriptions(lambda: self.at)
        self.hub = Hub(system.now, self.subscriptions)
        self.frames = RedisLiveFrames(
            self.server,
            self.prefix,
            MACS,
            self.subscriptions,
            deliver=self._deliver,
            lost=self.hub.lost,
            now=lambda: 1_000.0,
            new_token=token_hex,
        )

    def _deliver(self, frames: Sequence[Frame]) -> None:
        self.heard += frames
        self.hub.deliver(frames)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.frames.run())
        try:
            await eventually(lambda: self.frames.connected, "it is connected")
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def prefix(name: str) -> str:
    return name


@pytest.fixture
def announcer(redis_server: RedisServer, prefix: str) -> RedisAnnouncer:
    return RedisAnnouncer(redis_server, prefix, MACS, 100, uniform, clock=system.now)


@pytest.fixture
async def proxy(servers: EmbeddedServers) -> AsyncIterator[Proxy]:
    """Between Redis and the node."""
    port = int(servers.redis_url.rsplit(":", 1)[1].split("/")[0])
    async with Proxy.to(LOOPBACK, port) as proxy:
        yield proxy


@pytest.fixture
async def node(proxy: Proxy, prefix: str) -> AsyncIterator[Node]:
    server = RedisServer(connect(f"redis://{LOOPBACK}:{proxy.port}/0", now=monotonic), monotonic)
    made = Node(server, prefix)
    async with made.running():
        yield made
        proxy.heal()
    await server.close()


def added(user: UserId, version: int = 1) -> Added:
    return Added(a_feed(version, version, user), (a_notification(version, user),))


async def subscribers(redis: Any, prefix: str, *users: UserId) -> list[int]:
    found = await redis.pubsub_numsub(*(channel(prefix, user) for user in users))
    return [count for _, count in found]


async def test_a_process_hears_nothing_of_users_it_does_not_hold(
    node: Node, announcer: RedisAnnouncer, redis_server: RedisServer, prefix: str
) -> None:
    async with following(node.hub, ADA) as stream:
        await announcer.announce([added(BOB), *map(added, CROWD[:500]), added(ADA)])
        await stream.next(10)

        assert [frame.user_id for frame in node.heard] == [ADA]
        assert await subscribers(redis_server.client, prefix, ADA, BOB) == [1, 0]


async def test_a_stream_reads_only_when_redis_has_confirmed_its_subscription(
    node: Node, proxy: Proxy, announcer: RedisAnnouncer, redis_server: RedisServer, prefix: str
) -> None:
    """What is published before Redis knows of it is read; what is published after it arrives."""
    mailbox = Mailbox()
    proxy.black_hole(Direction.TO_SERVER)
    joining = asyncio.create_task(node.hub.join(ADA, mailbox))
    await announcer.announce([added(ADA, 1)])
    assert not joining.done(), "a reader of now could miss the change that follows"
    proxy.black_hole(Direction.TO_CLIENT)
    node_hears = proxy._ways[Direction.TO_SERVER]
    node_hears.heal()
    await eventually(lambda: _is_subscribed(redis_server.client, prefix), "Redis has subscribed it")
    await announcer.announce([added(ADA, 2)])
    assert not joining.done()
    proxy.heal()
    await joining

    await announcer.announce([added(ADA, 3)])
    received = await _versions(mailbox, 3)
    assert received == [2, 3], "what came between the subscription and its confirmation is not lost"


async def _is_subscribed(redis: Any, prefix: str) -> bool:
    return await subscribers(redis, prefix, ADA) == [1]


async def _versions(mailbox: Mailbox, last: int) -> list[int]:
    found: list[int] = []
    async with asyncio.timeout(60):
        while last not in found:
            found += [frame.version for frame in (await mailbox.next(1)).frames]
    return found


async def test_a_stream_waits_not_for_long_but_is_told_when_it_is_subscribed_late(
    node: Node, proxy: Proxy, announcer: RedisAnnouncer
) -> None:
    mailbox = Mailbox()
    proxy.black_hole(Direction.TO_SERVER)
    joining = asyncio.create_task(node.hub.join(ADA, mailbox))
    await asyncio.sleep(0)
    node.at += PATIENCE_SECONDS
    await joining
    await announcer.announce([added(ADA)])
    assert not (await mailbox.next(0.01)).missed
    proxy.heal()

    assert (await mailbox.next(10)).missed, "the change came after it had read"


async def test_a_stream_that_waits_for_a_connection_that_breaks_goes_on_and_is_told(
    node: Node, proxy: Proxy, announcer: RedisAnnouncer
) -> None:
    mailbox = Mailbox()
    proxy.black_hole(Direction.TO_SERVER)
    joining = asyncio.create_task(node.hub.join(ADA, mailbox))
    await asyncio.sleep(0)
    proxy.reset()
    proxy.heal()
    await joining
    await eventually(lambda: node.frames.connected, "it is connected again")

    assert (await mailbox.next(10)).missed
    await announcer.announce([added(ADA)])
    assert await _versions(mailbox, 1) == [1]


async def test_ten_thousand_users_are_subscribed_to_again_and_nothing_is_lost(
    node: Node, redis_server: RedisServer, announcer: RedisAnnouncer, prefix: str
) -> None:
    redis, mailboxes = redis_server.client, {user: Mailbox() for user in CROWD}
    await asyncio.gather(*(node.hub.join(user, mailbox) for user, mailbox in mailboxes.items()))
    assert set(await subscribers(redis, prefix, *CROWD)) == {1}
    lost: list[UserId] = []
    announcing = asyncio.create_task(_announce_to_all(announcer, 1))
    await redis.client_kill_filter(_type="pubsub")
    await announcing
    await eventually(lambda: node.frames.connected, "it is connected again", 60)
    for user, mailbox in mailboxes.items():
        received = await mailbox.next(0.01)
        if not (received.missed or received.frames):
            lost.append(user)
    assert lost == [], "each has the frame, or is told that it may have missed one"

    assert set(await subscribers(redis, prefix, *CROWD)) == {1}
    await _announce_to_all(announcer, 2)

    def second() -> list[UserId]:  # the last of the first ones may come only now
        return [frame.user_id for frame in node.heard if frame.version == 2]

    await eventually(lambda: set(second()) == set(CROWD), "each frame has arrived", 60)
    assert len(second()) == len(CROWD)


async def _announce_to_all(announcer: RedisAnnouncer, version: int) -> None:
    for start in range(0, len(CROWD), 500):
        await announcer.announce([added(user, version) for user in CROWD[start : start + 500]])


async def test_streams_that_come_and_go_never_lose_what_is_announced_while_they_stay(
    node: Node, announcer: RedisAnnouncer, redis_server: RedisServer, prefix: str
) -> None:
    """Whether the subscription is there, is about to end, has just ended, or is about to begin."""
    random = Random(1)
    for version in range(1, 101):
        async with following(node.hub, ADA) as stream:
            await announcer.announce([added(ADA, version)])
            assert await _versions(stream, version) == [version]
        node.at += random.choice([0.0, LINGER_SECONDS])
        for _ in range(random.randrange(4)):
            await asyncio.sleep(0)
    node.at += LINGER_SECONDS
    await eventually(lambda: _is_unsubscribed(redis_server.client, prefix), "it is unsubscribed in the end")


async def _is_unsubscribed(redis: Any, prefix: str) -> bool:
    return await subscribers(redis, prefix, ADA) == [0]
