"""The promises of the ports, on Redis; and what only Redis can get wrong."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from random import uniform
from secrets import token_hex, token_urlsafe
from time import monotonic
from typing import Any, cast

import pytest
from redis.exceptions import ResponseError

from adapters import clock as system
from adapters.redis import scripts
from adapters.redis.announcer import RedisAnnouncer
from adapters.redis.evaluating import Script
from adapters.redis.idempotency import RedisIdempotencyKeys
from adapters.redis.index import RedisUnreadIndex, applied, entry
from adapters.redis.live import RedisLiveFrames
from adapters.redis.names import channel
from adapters.redis.server import RedisServer, connect
from adapters.redis.stages import RedisStages
from adapters.redis.subscriptions import Subscriptions
from adapters.redis.tickets import RedisTickets
from adapters.websocket.hub import Hub
from application.credentials import Claims
from application.errors import Unavailable
from application.pages import Missing, RenderedPage
from application.streams import Frame
from common import metrics
from domain.feed import Added, FeedChange, Settled
from domain.identifiers import UserId
from tests import contracts
from tests.build import ADA, BOB, LATER, MACS, NOW, a_feed, a_notification, an_id
from tests.memory import following
from workbench.embedded import EmbeddedServers

CAPACITY = 100
NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def prefix(name: str) -> str:
    return name


@pytest.fixture
async def nobody() -> AsyncIterator[RedisServer]:
    """A server that is not there."""
    server = RedisServer(connect(NOWHERE, now=monotonic), monotonic)
    yield server
    await server.close()


# --- the unread index ---


@dataclass
class Applied:
    index: RedisUnreadIndex
    server: RedisServer
    prefix: str

    async def apply(self, change: FeedChange) -> None:
        items = [contracts.body(item) for item in getattr(change, "notifications", None) or ()]
        call = applied(self.prefix, CAPACITY, [entry(change, items, MACS)], uniform)
        await self.server.each(Script(scripts.APPLY), [call])


class TestRedisUnreadIndex(contracts.UnreadIndexContract):
    @pytest.fixture
    def under_test(self, redis_server: RedisServer, prefix: str) -> Applied:
        return Applied(
            RedisUnreadIndex(redis_server, prefix, MACS, CAPACITY, uniform, token_hex), redis_server, prefix
        )

    @pytest.mark.parametrize("lost", ["feed", "unread"])
    async def test_an_entry_of_which_redis_evicted_a_part_is_missing(
        self, under_test: Applied, lost: str
    ) -> None:
        await self.load(under_test, 1, 2)
        await under_test.server.client.delete(f"{under_test.prefix}:{lost}:{{ada}}")

        entry = await under_test.index.entry(ADA)
        found = await under_test.index.page(ADA, 10, None)

        assert entry is None
        assert isinstance(found, Missing)
        assert found.lease is not None

    async def test_everything_it_keeps_expires(self, under_test: Applied) -> None:
        feed = await self.load(under_test, 1)
        await under_test.apply(self.added(feed, 2))
        await under_test.index.page(BOB, 1, None)

        client, kept = under_test.server.client, set()
        async for key in client.scan_iter(match=f"{under_test.prefix}:*"):  # which may tell of one twice
            kept.add(key)
            assert 0 < await client.pttl(key) <= 11 * 60 * 1000, key
        assert len(kept) == 3

    async def test_an_emptied_server_is_only_a_server_that_forgot(self, under_test: Applied) -> None:
        feed = await self.load(under_test, 1)
        lease_before = "an old lease"
        for key in await under_test.server.client.keys(f"{under_test.prefix}:*"):
            await under_test.server.client.delete(key)

        await under_test.index.load(RenderedPage(feed, [], more=False), lease_before)

        assert isinstance(await under_test.index.page(ADA, 1, None), Missing)

    @pytest.mark.parametrize("user", ["a:b@c-d.e_f", "a*[x]?", "ünï"])
    async def test_any_user_has_keys_of_its_own(self, under_test: Applied, user: str) -> None:
        found = await under_test.index.page(UserId(user), 1, None)
        assert isinstance(found, Missing)
        assert found.lease is not None
        await under_test.index.load(RenderedPage(a_feed(1, 0, UserId(user)), [], more=False), found.lease)

        assert isinstance(await under_test.index.page(UserId(user), 1, None), RenderedPage)
        assert isinstance(await under_test.index.page(ADA, 1, None), Missing)


async def test_calls_of_a_script_are_answered_in_their_order_with_errors_among_the_answers(
    redis_server: RedisServer,
) -> None:
    """Also if the answers are larger than what is read at once, and the server has forgotten the script."""
    text = "if #ARGV[1] == 0 then return redis.error_reply('ERR none') end return string.rep(ARGV[1], 50000)"
    script, client = Script(text), redis_server.client
    for _ in range(2):
        first, error, last = await script.each(client, [((), (word,)) for word in ("ab", "", "c")])

        assert (first, last) == (b"ab" * 50_000, b"c" * 50_000)
        assert isinstance(error, ResponseError)
        await client.script_flush()
    with pytest.raises(ResponseError):
        await script(client, keys=(), args=("",))
    assert await script(client, keys=(), args=("d",)) == b"d" * 50_000


async def test_a_server_that_does_not_answer_in_time_is_named_with_that_reason(
    redis_server: RedisServer,
) -> None:
    client = redis_server.client
    await client.client_pause(60_000, all=False)  # commands that may write, such as scripts
    try:
        with pytest.raises(Unavailable) as unavailable:
            await redis_server.each(Script("return 1"), [((), ())], repeatable=False)
    finally:
        await client.client_unpause()

    assert str(unavailable.value.__cause__) == "no answer within 1 s"


async def test_without_its_server_the_index_only_misses(nobody: RedisServer) -> None:
    index = RedisUnreadIndex(nobody, "test", MACS, CAPACITY, uniform, token_hex)

    async with asyncio.timeout(30):
        assert await index.page(ADA, 10, None) == Missing(None)
        await index.load(RenderedPage(a_feed(), [], more=False), "lease")
        assert await index.sample(10) == []
        assert await index.entry(ADA) is None
        await index.forget(ADA)


async def test_a_server_that_is_away_costs_its_time_out_once(
    nobody: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of many who ask at once tries it, and nobody while that was just done."""
    index = RedisUnreadIndex(nobody, "test", MACS, CAPACITY, uniform, token_hex)
    tried: list[object] = []
    ask = nobody._ask

    async def noted(operation: Callable[[], Awaitable[Any]], *, repeatable: bool) -> Any:
        tried.append(operation)
        return await ask(operation, repeatable=repeatable)

    monkeypatch.setattr(nobody, "_ask", noted)
    await index.page(ADA, 10, None)
    assert len(tried) == 1

    found = await asyncio.gather(*(index.entry(ADA) for _ in range(200)))

    assert found == [None] * 200
    assert len(tried) <= 2  # on a busy machine the moment may be over


# --- announcing, and what arrives ---


@dataclass
class Carried:
    announcer: RedisAnnouncer
    index: RedisUnreadIndex
    live: Hub
    server: RedisServer

    def cut(self) -> None:
        """As the circuit breaker does when the server is gone; a server that really goes has tests below."""
        self.server._away_until = float("inf")

    async def restore(self) -> None:
        self.server._away_until = 0.0
        await self.announcer.heal()


def a_hub() -> Hub:
    """The hub of a process that `receiving` starts."""
    return Hub(system.now, Subscriptions(monotonic))


@asynccontextmanager
async def receiving(server: RedisServer, prefix: str, hub: Hub) -> AsyncIterator[RedisLiveFrames]:
    """A process that receives frames, once its subscription stands."""
    frames = RedisLiveFrames(
        server,
        prefix,
        MACS,
        cast(Subscriptions, hub.carrier),
        deliver=hub.deliver,
        lost=hub.lost,
        now=monotonic,
        new_token=token_hex,
    )
    running = asyncio.create_task(frames.run())
    try:
        await until(lambda: frames.connected)
        yield frames
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0.01)


@pytest.fixture
async def carrier(redis_server: RedisServer, prefix: str) -> AsyncIterator[Carried]:
    hub = a_hub()
    announcer = RedisAnnouncer(redis_server, prefix, MACS, CAPACITY, uniform, clock=system.now)
    async with receiving(redis_server, prefix, hub):
        yield Carried(
            announcer,
            RedisUnreadIndex(redis_server, prefix, MACS, CAPACITY, uniform, token_hex),
            hub,
            redis_server,
        )


class TestRedisAnnouncer(contracts.AnnouncerContract):
    pass


class TestRedisLiveFeed(contracts.LiveFeedContract):
    """The hub of a process, which needs no server for this."""

    @pytest.fixture
    def live(self) -> Hub:
        return a_hub()

    @pytest.fixture
    def deliver(self, live: Hub) -> Callable[[Sequence[Frame]], None]:
        return live.deliver


def added(version: int, user: UserId = ADA) -> Added:
    return Added(a_feed(version, version, user), (a_notification(version, user),))


async def test_a_batch_for_many_users_arrives_whole(carrier: Carried) -> None:
    users = [UserId(f"user-{n}") for n in range(600)]
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(following(carrier.live, user)) for user in users]
        await carrier.announcer.announce([added(1, user) for user in users])

        found = [await contracts.AnnouncerContract.frames(stream) for stream in streams]

    assert [frames[0].user_id for frames in found] == users


async def test_every_process_hears_everything(
    servers: EmbeddedServers, carrier: Carried, prefix: str
) -> None:
    other, elsewhere = a_hub(), RedisServer(connect(servers.redis_url, now=monotonic), monotonic)
    async with receiving(elsewhere, prefix, other), following(other, ADA) as stream:
        await stream.next(0.01)
        await carrier.announcer.announce([added(1)])

        (frame,) = await contracts.AnnouncerContract.frames(stream)
    await elsewhere.close()

    assert frame.version == 1


async def test_a_subscription_that_stands_says_that_frames_were_missed_before(
    redis_server: RedisServer, prefix: str
) -> None:
    hub = a_hub()
    async with following(hub, ADA) as stream, receiving(redis_server, prefix, hub):
        assert (await stream.next(60)).missed


async def test_what_is_no_frame_does_not_end_the_subscription(
    carrier: Carried, redis_server: RedisServer, prefix: str
) -> None:
    async with following(carrier.live, ADA) as stream:
        for data in (b"no MessagePack \xc1", b"\x93\x01\x02\x03"):
            assert await redis_server.client.publish(channel(prefix, ADA), data) == 1
        await carrier.announcer.announce([added(1)])

        frames: list[Frame] = []
        async with asyncio.timeout(60):
            while not frames:
                received = await stream.next(1)
                frames += received.frames
                if received.missed:
                    await carrier.announcer.announce([added(2)])

    assert frames[0].version in {1, 2}


async def test_beyond_what_it_remembers_everything_is_forgotten_and_all_are_told(
    carrier: Carried,
) -> None:
    carrier.announcer._remembered_feeds = 2
    missing = await carrier.index.page(BOB, 1, None)
    assert isinstance(missing, Missing)
    assert missing.lease is not None
    await carrier.index.load(RenderedPage(a_feed(0, 0, BOB), [], more=False), missing.lease)
    async with following(carrier.live, BOB) as stream:
        await stream.next(0.01)
        carrier.cut()
        await carrier.announcer.announce([added(1, UserId(f"user-{n}")) for n in range(4)])
        await carrier.restore()

        async with asyncio.timeout(30):
            while not (await stream.next(1)).missed:
                pass

    assert isinstance(await carrier.index.page(BOB, 1, None), Missing)


async def test_announcing_to_a_server_that_is_away_is_quick_and_never_fails(nobody: RedisServer) -> None:
    announcer = RedisAnnouncer(nobody, "test", MACS, CAPACITY, uniform, clock=system.now)

    async with asyncio.timeout(30):
        for version in range(1, 50):
            await announcer.announce([added(version), Settled(a_feed(version, 0, BOB))])

    with pytest.raises(Unavailable):
        await announcer.heal()


async def test_a_killed_server_that_comes_back_is_told_what_it_missed(
    servers: EmbeddedServers, carrier: Carried
) -> None:
    if servers.redis is None:
        pytest.skip("only a server that was started here can be killed")
    healing = asyncio.create_task(carrier.announcer.run())
    try:
        async with following(carrier.live, ADA) as stream:
            await asyncio.to_thread(servers.redis.kill)
            try:
                async with asyncio.timeout(30):
                    await carrier.announcer.announce([added(1)])
                assert await carrier.index.page(ADA, 1, None) == Missing(None)
            finally:
                await asyncio.to_thread(servers.redis.start)

            frames: list[Frame] = []
            missed = False
            async with asyncio.timeout(60):
                while not (frames and missed):
                    received = await stream.next(1)
                    frames += received.frames
                    missed |= received.missed
                    # A position that was told before the subscription stood again was heard by nobody.
                    if missed and not frames:
                        await carrier.announcer.announce([Settled(a_feed(1))])
    finally:
        healing.cancel()
        await asyncio.gather(healing, return_exceptions=True)

    assert (frames[0].version, frames[0].text) == (1, "")
    assert isinstance(await carrier.index.page(ADA, 1, None), Missing)


async def test_a_frozen_server_is_noticed_and_the_subscription_made_again(
    servers: EmbeddedServers, carrier: Carried
) -> None:
    if servers.redis is None:
        pytest.skip("only a server that was started here can be frozen")
    async with following(carrier.live, ADA) as stream:
        await stream.next(0.01)
        interrupted = metrics.CARRIER_LOST._value.get()
        servers.redis.pause()
        try:
            async with asyncio.timeout(30):
                await carrier.announcer.announce([added(1)])
            await until(lambda: metrics.CARRIER_LOST._value.get() > interrupted, 60)
        finally:
            servers.redis.resume()

        async with asyncio.timeout(60):
            while not (await stream.next(1)).missed:
                pass


# --- small secrets ---


class TestRedisIdempotencyKeys(contracts.IdempotencyKeysContract):
    @pytest.fixture
    def keys(self, redis_server: RedisServer, prefix: str) -> RedisIdempotencyKeys:
        return RedisIdempotencyKeys(redis_server, prefix, MACS, 0)

    async def test_keys_are_kept_for_a_day(
        self, keys: RedisIdempotencyKeys, redis_server: RedisServer, prefix: str
    ) -> None:
        await keys.claim("producer", "secret key", "print", an_id())

        (counter,) = await redis_server.client.keys(f"{prefix}:claims:*")
        (name,) = await redis_server.client.keys(f"{prefix}:claim:*")
        assert 23 < await redis_server.client.ttl(counter) / 3600 <= 24
        assert 23 < await redis_server.client.ttl(name) / 3600 <= 24
        assert b"secret key" not in name


class TestRedisStages(contracts.StagesContract):
    @pytest.fixture
    def stages(self, redis_server: RedisServer, prefix: str) -> RedisStages:
        return RedisStages(redis_server, prefix)

    async def test_a_long_batch_is_noted_in_part_and_all_expires(
        self, stages: RedisStages, redis_server: RedisServer, prefix: str
    ) -> None:
        stages.note("stored", [an_id(n) for n in range(1, 201)], NOW)
        await self.noted(stages, "stored", [an_id(n) for n in range(1, 101)], NOW)

        names = await redis_server.client.keys(f"{prefix}:*")
        assert len(names) == 100
        assert all([0 < await redis_server.client.ttl(name) <= 600 for name in names])

    @pytest.mark.parametrize("nonsense", ["", "soon", "9" * 5_000, "-" + "9" * 30])
    async def test_what_is_no_time_is_nothing(
        self, stages: RedisStages, redis_server: RedisServer, prefix: str, nonsense: str
    ) -> None:
        await redis_server.client.hset(f"{prefix}:stages:{an_id(1)}", "stored", nonsense)

        assert await stages.of(an_id(1)) == {}

    async def test_without_redis_nothing_is_noted_and_nothing_fails(self, nobody: RedisServer) -> None:
        stages = RedisStages(nobody, "nobody")

        stages.note("stored", [an_id(1)], NOW)

        with pytest.raises(Unavailable):
            await stages.of(an_id(1))


class TestRedisTickets(contracts.TicketsContract):
    @pytest.fixture
    def tickets(self, redis_server: RedisServer, prefix: str) -> RedisTickets:
        return RedisTickets(redis_server, prefix, MACS, token_urlsafe)

    async def test_a_ticket_expires(
        self, tickets: RedisTickets, redis_server: RedisServer, prefix: str
    ) -> None:
        ticket = await tickets.issue(self.CLAIMS)

        names = await redis_server.client.keys(f"{prefix}:*")
        assert len(names) == 2
        for name in names:
            assert 0 < await redis_server.client.pttl(name) <= 30_000
            assert ticket.encode() not in name


@pytest.mark.parametrize(
    "ask",
    [
        lambda server: RedisIdempotencyKeys(server, "test", MACS, 0).claim("p", "k", "f", an_id()),
        lambda server: RedisTickets(server, "test", MACS, token_urlsafe).issue(Claims(ADA, LATER, NOW)),
        lambda server: RedisTickets(server, "test", MACS, token_urlsafe).redeem("ticket"),
        lambda server: server.ping(),
    ],
)
async def test_a_server_that_is_away_is_unavailable_at_once(
    nobody: RedisServer, ask: Callable[[RedisServer], Any]
) -> None:
    async with asyncio.timeout(30):
        with pytest.raises(Unavailable):
            await ask(nobody)
