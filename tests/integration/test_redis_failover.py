"""Redis that is there and does not serve: demoted, closing what is idle, refusing.

On servers of the tests' own, behind an address that leads to one of two.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import uniform
from secrets import token_hex, token_urlsafe
from time import monotonic
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from adapters import clock as system
from adapters.redis.announcer import RedisAnnouncer
from adapters.redis.idempotency import RedisIdempotencyKeys
from adapters.redis.index import RedisUnreadIndex
from adapters.redis.live import RedisLiveFrames
from adapters.redis.server import RedisServer, connect
from adapters.redis.subscriptions import Subscriptions
from adapters.redis.tickets import RedisTickets
from adapters.websocket.hub import Hub
from application.credentials import Claims
from application.errors import Unavailable
from application.pages import Missing, RenderedPage
from application.streams import Frame
from domain.feed import Added
from tests.build import ADA, BOB, LATER, MACS, NOW, a_feed, a_notification, an_id
from tests.memory import following
from tests.product import eventually
from workbench import embedded
from workbench.embedded import LOOPBACK
from workbench.programs import MissingServer
from workbench.soak.proxy import Direction, Proxy

PREFIX = "test"
CAPACITY = 100
CLAIMS = Claims(ADA, LATER, NOW)
CONNECTIONS = 8


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[embedded.RedisServer]]:
    try:
        pair = [embedded.RedisServer(tmp_path_factory.mktemp("redis")) for _ in range(2)]
    except MissingServer as missing:
        pytest.skip(str(missing))
    with ExitStack() as stack:
        yield [stack.enter_context(embedded.started(each, lambda _: None)) for each in pair]


@dataclass
class Pair:
    """Two servers of which the address leads to one."""

    ports: list[int]
    admins: list[Redis]
    way: Proxy
    at: int = 0

    @property
    def primary(self) -> Redis:
        return self.admins[self.at]

    @property
    def other(self) -> Redis:
        return self.admins[1 - self.at]

    async def follow(self) -> None:
        """The other server becomes a replica, and has caught up."""
        await self.other.execute_command("REPLICAOF", LOOPBACK, self.ports[self.at])  # type: ignore[no-untyped-call]
        await eventually(lambda: _linked(self.other), "the replica has caught up")

    async def demote(self) -> None:
        """The other server becomes the primary. The one of before goes on as its replica; no connection is
        closed, and the address leads there as before.
        """
        await self.follow()
        await self.other.execute_command("REPLICAOF", "NO", "ONE")  # type: ignore[no-untyped-call]
        await self.primary.execute_command("REPLICAOF", LOOPBACK, self.ports[1 - self.at])  # type: ignore[no-untyped-call]
        await eventually(lambda: _linked(self.primary), "the replica has caught up")

    async def fail_over(self) -> None:
        """And then the address leads to the new primary."""
        await self.demote()
        self.at = 1 - self.at


async def _linked(replica: Redis) -> bool:
    return bool((await replica.info("replication"))["master_link_status"] == "up")


@pytest.fixture
async def pair(machines: list[embedded.RedisServer]) -> AsyncIterator[Pair]:
    admins = [connect(f"{machine.url}?client_name=admin", now=monotonic) for machine in machines]
    made: Pair

    async def dial() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(LOOPBACK, made.ports[made.at])

    async with Proxy(dial) as way:
        made = Pair([machine.port for machine in machines], admins, way)
        for admin in admins:
            await admin.config_set("repl-diskless-sync-delay", "0")
        yield made
    for admin in admins:
        await admin.execute_command("REPLICAOF", "NO", "ONE")  # type: ignore[no-untyped-call]
        await admin.config_set("timeout", "0")
        await admin.flushall()
        await admin.aclose()


@pytest.fixture
async def server(pair: Pair) -> AsyncIterator[RedisServer]:
    made = RedisServer(connect(_url(pair), now=monotonic), monotonic)
    yield made
    await made.close()


def _url(pair: Pair, login: str = "") -> str:
    return f"redis://{login}{LOOPBACK}:{pair.way.port}/0"


def a_hub() -> Hub:
    """The hub of a process that `receiving` starts."""
    return Hub(system.now, Subscriptions(monotonic))


@asynccontextmanager
async def receiving(server: RedisServer, hub: Hub) -> AsyncIterator[RedisLiveFrames]:
    """A process that receives frames."""
    frames = RedisLiveFrames(
        server,
        PREFIX,
        MACS,
        cast(Subscriptions, hub.carrier),
        deliver=hub.deliver,
        lost=hub.lost,
        now=monotonic,
        new_token=token_hex,
    )
    running = asyncio.create_task(frames.run())
    try:
        yield frames
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def busy(server: RedisServer) -> None:
    """Have connections in the pool, as many as there were commands at once."""
    slow = "for i = 1, 20000 do redis.call('PING') end"
    await asyncio.gather(*(server.client.eval(slow, 0) for _ in range(CONNECTIONS)))


async def _ticket(server: RedisServer) -> None:
    tickets = RedisTickets(server, PREFIX, MACS, token_urlsafe)
    await tickets.redeem(await tickets.issue(CLAIMS))


async def _key(server: RedisServer) -> None:
    await RedisIdempotencyKeys(server, PREFIX, MACS, 0).claim("producer", "key", "print", an_id())


async def _page(server: RedisServer) -> None:
    """Of a user of whom nothing is announced: that would void the lease."""
    index = RedisUnreadIndex(server, PREFIX, MACS, CAPACITY, uniform, token_hex)
    found = await index.page(BOB, 1, None)
    if isinstance(found, Missing):
        assert found.lease is not None
        await index.load(RenderedPage(a_feed(1, 0, BOB), [], more=False), found.lease)
        assert isinstance(await index.page(BOB, 1, None), RenderedPage)
    await index.forget(BOB)


async def _announcement(server: RedisServer) -> None:
    announcer = RedisAnnouncer(server, PREFIX, MACS, CAPACITY, uniform, clock=system.now)
    await announcer.announce([Added(a_feed(1, 1), (a_notification(1),))])
    assert not announcer._unannounced


EVERYTHING = pytest.mark.parametrize("use", [_ticket, _key, _page, _announcement])
Use = Callable[[RedisServer], Awaitable[None]]


# --- demoted ---


@EVERYTHING
async def test_after_a_failover_nobody_learns_of_the_old_primary_that_is_still_there(
    pair: Pair, server: RedisServer, use: Use
) -> None:
    await busy(server)
    await pair.fail_over()

    for _ in range(CONNECTIONS):
        await use(server)


async def test_after_a_failover_a_subscription_moves_although_nothing_is_written(
    pair: Pair, server: RedisServer
) -> None:
    hub = a_hub()
    async with following(hub, ADA) as stream, receiving(server, hub) as frames:
        await eventually(lambda: frames.connected, "it stands")
        await stream.next(1)
        await pair.fail_over()
        await eventually(lambda: _subscribers(pair.primary), "it has moved")
        await eventually(lambda: frames.connected, "it stands")

        assert (await stream.next(1)).missed
        await _announcement(server)
        assert [frame.version for frame in await _frames(stream)] == [1]


async def test_a_subscription_does_not_stay_alone_on_a_server_that_replicates(
    pair: Pair, server: RedisServer
) -> None:
    """Its heartbeats come back, by way of replication. What is published while that is broken would not."""
    hub = a_hub()
    async with receiving(server, hub) as frames:
        await eventually(lambda: frames.connected, "it stands")
        await pair.fail_over()
        await pair.other.client_kill_filter(_type="normal", skipme=True)
        await eventually(lambda: _subscribers(pair.primary), "it has moved")


async def test_while_the_address_leads_to_a_replica_no_subscription_stands(
    pair: Pair, server: RedisServer
) -> None:
    """Each that stands has every stream compare itself with the store."""
    hub = a_hub()
    async with following(hub, ADA) as stream, receiving(server, hub) as frames:
        await eventually(lambda: frames.connected, "it stands")
        assert (await stream.next(1)).missed
        await pair.demote()
        await eventually(lambda: not frames.connected, "it has ended")
        attempts = pair.way.accepted
        await eventually(lambda: pair.way.accepted >= attempts + 6, "it goes on trying")

        assert not frames.connected
        assert not (await stream.next(0.01)).missed


async def _subscribers(client: Redis) -> bool:
    ((_, count),) = await client.pubsub_numsub(f"{PREFIX}:live:control")
    return bool(count)


async def _frames(stream: Any) -> list[Frame]:
    frames: list[Frame] = []
    async with asyncio.timeout(60):
        while not frames:
            frames += (await stream.next(1)).frames
    return frames


# --- idle, or lost on the way ---


async def test_after_idle_connections_were_closed_every_first_command_succeeds(
    pair: Pair, server: RedisServer
) -> None:
    """A redemption too, which is never tried again: it takes knowing beforehand that a connection is good."""
    tickets = RedisTickets(server, PREFIX, MACS, token_urlsafe)
    issued = [await tickets.issue(CLAIMS) for _ in range(CONNECTIONS - 3)]
    await busy(server)
    await _time_out(pair, server)

    redeeming = asyncio.gather(*map(tickets.redeem, issued))
    await asyncio.gather(_key(server), _page(server), _announcement(server))
    assert await redeeming == [CLAIMS] * len(issued)


async def _time_out(pair: Pair, server: RedisServer) -> None:
    """Have the server close every connection."""
    await pair.primary.config_set("timeout", "1")
    await eventually(lambda: _alone(pair.primary), "idle connections are closed")
    await eventually(lambda: _ended(server), "their ends have arrived")


async def test_a_server_that_closes_what_is_idle_leaves_a_subscription_alone(
    pair: Pair, server: RedisServer
) -> None:
    async with receiving(server, a_hub()) as frames:
        await eventually(lambda: frames.connected, "it stands")
        before = await _subscription(pair.primary)
        idle = Redis.from_url(_url(pair), client_name="idle")
        await idle.ping()
        await pair.primary.config_set("timeout", "1")
        await eventually(lambda: _gone(pair.primary, "idle"), "an idle connection is closed")
        await idle.aclose()

        assert frames.connected
        assert await _subscription(pair.primary) == before


async def test_a_connection_that_has_rested_for_long_is_not_used_again(
    pair: Pair,
) -> None:
    at = 1_000.0
    client = connect(_url(pair), now=lambda: at, idle_seconds=20)
    before = await client.client_id()
    at += 20
    assert await client.client_id() == before
    at += 21

    assert await client.client_id() != before

    await client.aclose()


async def test_a_connection_with_an_answer_that_nobody_read_is_not_used_again(
    server: RedisServer,
) -> None:
    """Otherwise one user's answer would be the next one's."""
    await server.ping()
    (connection,) = server._pool._available_connections
    await connection.send_command("ECHO", "another's")
    await eventually(connection.can_read, "the answer has arrived")

    assert await server.client.echo("mine") == b"mine"


async def _ended(server: RedisServer) -> bool:
    return all([await connection.can_read() for connection in server._pool._available_connections])


async def _alone(admin: Redis) -> bool:
    return all(client["name"] == "admin" for client in await admin.client_list())


async def _gone(admin: Redis, name: str) -> bool:
    return all(client["name"] != name for client in await admin.client_list())


async def _subscription(admin: Redis) -> list[str]:
    return [client["id"] for client in await admin.client_list() if "P" in client["flags"]]


@asynccontextmanager
async def _answers_lost(pair: Pair, done: Callable[[], Awaitable[bool]]) -> AsyncIterator[None]:
    """What is asked meanwhile is done, and its answer goes down with the connection."""
    pair.way.black_hole(Direction.TO_CLIENT)

    async def cut() -> None:
        await eventually(done, "it is done")
        pair.way.reset()
        pair.way.heal()

    cutting = asyncio.create_task(cut())
    yield
    await cutting


async def test_a_claim_whose_answer_was_lost_finds_itself(pair: Pair, server: RedisServer) -> None:
    keys = RedisIdempotencyKeys(server, PREFIX, MACS, 0)
    await keys.claim("producer", "another", "print", an_id(1))

    async with _answers_lost(pair, lambda: _claimed(pair, 2)):
        assert await keys.claim("producer", "key", "print", an_id(2)) == an_id(2)

    assert await keys.claim("producer", "key", "print", an_id(3)) == an_id(2)


async def _claimed(pair: Pair, count: int) -> bool:
    return len(await pair.primary.keys(f"{PREFIX}:claim:*")) == count


async def test_a_redemption_whose_answer_was_lost_is_not_tried_again(pair: Pair, server: RedisServer) -> None:
    """The second would find the ticket used, and call it unknown."""
    tickets = RedisTickets(server, PREFIX, MACS, token_urlsafe)
    await tickets.redeem(await tickets.issue(CLAIMS))  # else what is lost is that it does not know the script
    ticket = await tickets.issue(CLAIMS)

    async with _answers_lost(pair, lambda: _used(pair)):
        with pytest.raises(Unavailable):
            await tickets.redeem(ticket)


async def test_a_ticket_whose_answer_was_lost_is_not_the_one_that_is_given_out(
    pair: Pair, server: RedisServer
) -> None:
    """Stored once more after it was redeemed, it would admit twice."""
    tickets = RedisTickets(server, PREFIX, MACS, token_urlsafe)
    await tickets.redeem(await tickets.issue(CLAIMS))  # the server knows the script from then on

    async with _answers_lost(pair, lambda: _issued(pair, 1)):
        ticket = await tickets.issue(CLAIMS)

    assert await _issued(pair, 2)
    assert await tickets.redeem(ticket) == CLAIMS
    assert await _issued(pair, 1)


async def _issued(pair: Pair, count: int) -> bool:
    return len(await pair.primary.keys(f"{PREFIX}:ticket:*")) == count


async def test_a_page_whose_answer_was_lost_is_not_asked_for_again(pair: Pair, server: RedisServer) -> None:
    """Its lease could be taken a second time, by the first try."""
    index = RedisUnreadIndex(server, PREFIX, MACS, CAPACITY, uniform, token_hex)
    await _page(server)
    before = await _evaluated(pair)

    async with _answers_lost(pair, lambda: _leased(pair)):
        assert await index.page(ADA, 1, None) == Missing(None)

    assert await _evaluated(pair) == before + 1


async def _leased(pair: Pair) -> bool:
    return bool(await pair.primary.exists(f"{PREFIX}:lease:{{{ADA}}}"))


async def _evaluated(pair: Pair) -> int:
    return int((await pair.primary.info("commandstats"))["cmdstat_evalsha"]["calls"])


async def test_a_command_that_is_given_up_at_any_moment_leaves_nothing_behind(server: RedisServer) -> None:
    """No connection that stays lent out, and no answer that the next one would take for its own."""
    for turns in range(60):
        asking: asyncio.Future[Any] = asyncio.ensure_future(server.client.echo(f"given up after {turns}"))
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

        assert not server._pool._in_use_connections
        assert await server.client.echo("mine") == b"mine"


async def _used(pair: Pair) -> bool:
    return not await pair.primary.keys(f"{PREFIX}:ticket:*")


# --- refused ---


PASSWORD = "correct horse"


@pytest.fixture
async def account(pair: Pair) -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """Make an account with these rights; the URL that logs it in."""

    async def make(*rights: str) -> str:
        words = ("ACL", "SETUSER", "weak", "reset", "on", f">{PASSWORD}", *rights)
        await pair.primary.execute_command(*words)  # type: ignore[no-untyped-call]
        return _url(pair, f"weak:{PASSWORD.replace(' ', '%20')}@")

    yield make
    for admin in pair.admins:
        await admin.acl_deluser("weak")


async def test_why_a_login_fails_is_logged_once_and_reported_when_asked(
    pair: Pair, account: Callable[..., Awaitable[str]], caplog: pytest.LogCaptureFixture
) -> None:
    await account("~*", "&*", "+@all")
    server = RedisServer(connect(_url(pair, "weak:hunter2@"), now=monotonic), monotonic)
    caplog.set_level(logging.INFO)
    try:
        async with receiving(server, a_hub()):
            for _ in range(3):
                server._away_until = 0.0
                with pytest.raises(Unavailable, match="WRONGPASS invalid username-password pair"):
                    await server.ping()
            with pytest.raises(Unavailable, match="WRONGPASS"):
                await server.ping()  # also while nobody asks
            attempts = pair.way.accepted
            await eventually(lambda: pair.way.accepted >= attempts + 3, "it goes on trying")
    finally:
        await server.close()

    said = [record.getMessage() for record in caplog.records if record.name.startswith("adapters.redis")]
    assert sorted(line.partition(":")[0] for line in said) == [
        "Redis is out of reach",
        "the live subscription is interrupted",
    ]
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize(
    ("rights", "use"),
    [
        (["~*", "&*", "+@all", "-getrange"], _ticket),
        (["~other:*", "&*", "+@all"], _key),
        (["~*", "&*", "+@all", "-evalsha"], _announcement),
    ],
)
async def test_a_right_that_is_missing_is_said_once_and_keeps_nothing_else_from_working(
    account: Callable[..., Awaitable[str]],
    caplog: pytest.LogCaptureFixture,
    rights: list[str],
    use: Use,
) -> None:
    server = RedisServer(connect(await account(*rights), now=monotonic), monotonic)
    caplog.set_level(logging.INFO)
    try:
        before = await server.client.client_id()
        for _ in range(3):
            with pytest.raises((Unavailable, AssertionError)):
                await use(server)
            with pytest.raises(Unavailable, match=r"Redis refuses commands: .*([Nn]o permissions|can't run)"):
                await server.ping()
        assert await server.client.client_id() == before
    finally:
        await server.close()

    assert len([record for record in caplog.records if "refuses commands" in record.getMessage()]) == 1
    assert "Traceback" not in caplog.text


async def test_an_account_with_the_rights_that_are_documented_may_do_everything(
    account: Callable[..., Awaitable[str]], caplog: pytest.LogCaptureFixture
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    documented = re.search(r"^user bellwire on >… (.*)$", page, re.MULTILINE)
    assert documented
    url = await account(*documented[1].replace("bellwire:", f"{PREFIX}:").split())
    server = RedisServer(connect(url, now=monotonic), monotonic)
    index = RedisUnreadIndex(server, PREFIX, MACS, CAPACITY, uniform, token_hex)
    try:
        async with receiving(server, a_hub()) as frames:
            await eventually(lambda: frames.connected, "it stands")
            for use in (_ticket, _key, _page, _announcement):
                await use(server)
            await index.sample(10)
            await index.entry(ADA)
            await RedisAnnouncer(
                server, PREFIX, MACS, CAPACITY, uniform, clock=system.now
            ).forget_everything()
        await server.ping()
    finally:
        await server.close()

    assert caplog.text == ""


async def test_a_refused_subscription_is_logged_once_and_reported_when_asked(
    account: Callable[..., Awaitable[str]], caplog: pytest.LogCaptureFixture
) -> None:
    server = RedisServer(connect(await account("~*", "+@all", "resetchannels"), now=monotonic), monotonic)
    try:
        async with receiving(server, a_hub()):
            await eventually(lambda: "is interrupted" in caplog.text, "it is said")
            with pytest.raises(Unavailable, match=r"[Nn]o permissions to access (a|one of the) channel"):
                await server.ping()
    finally:
        await server.close()

    assert caplog.text.count("the live subscription is interrupted: ") == 1


async def test_what_was_refused_is_forgotten_after_a_while_and_that_is_said(
    account: Callable[..., Awaitable[str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    server = RedisServer(
        connect(await account("~*", "&*", "+@all", "-getrange"), now=monotonic),
        monotonic,
        refused_seconds=0.0,
    )
    try:
        with pytest.raises(Unavailable):
            await _ticket(server)
        await account("~*", "&*", "+@all")
        await _ticket(server)
        await server.ping()
    finally:
        await server.close()

    assert "over: Redis refuses commands" in caplog.text
