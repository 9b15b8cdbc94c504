"""The promises of the ports on Redis Cluster; slots that move, and masters that die."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random, uniform
from secrets import token_hex, token_urlsafe
from time import monotonic
from typing import Any

import pytest

from adapters import clock as system
from adapters.redis import scripts
from adapters.redis.announcer import RedisAnnouncer
from adapters.redis.cluster import RedisCluster
from adapters.redis.cluster_live import ClusterLiveFrames, ClusterSubscriptions
from adapters.redis.cluster_log_ins import ClusterLogInAttempts
from adapters.redis.evaluating import Script
from adapters.redis.idempotency import RedisIdempotencyKeys
from adapters.redis.index import RedisUnreadIndex, applied, entry
from adapters.redis.inspection import RedisInspection
from adapters.redis.limits import RedisLogInAttempts, RedisRates
from adapters.redis.live import RedisLiveFrames
from adapters.redis.server import connect
from adapters.redis.stages import RedisStages
from adapters.redis.tickets import RedisTickets
from adapters.websocket.hub import Hub
from application.errors import Limited, Unavailable
from application.log_ins import LocalLogInAttempts
from application.pages import Missing, RenderedPage
from common import clusters
from domain.feed import FeedChange
from domain.identifiers import UserId
from domain.rates import Patience
from tests import contracts, limit_contracts
from tests.build import MACS, a_feed, an_id
from tests.integration.test_redis import added, until
from tests.limit_contracts import FREE, PER_ADDRESS
from tests.product import eventually
from tests.redis_cluster import Cluster, cluster, slot_of
from tests.redis_servers import PAGE, certificates, debian_program, documented_rights, fail_over
from workbench.programs import MissingServer

CAPACITY = 100
CROWD = [UserId(f"user-{number}") for number in range(30)]
APPLY = Script(scripts.APPLY)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture
async def redis(nodes: Cluster) -> AsyncIterator[RedisCluster]:
    made = a_client(nodes)
    yield made
    await made.close()


def a_client(nodes: Cluster, login: str = "") -> RedisCluster:
    url = clusters.parse(nodes.url.replace("//", f"//{login}"))
    return RedisCluster(
        url.nodes, lambda address: connect(url.of(address), now=monotonic), monotonic, Random()
    )


@dataclass
class Applied:
    index: RedisUnreadIndex
    redis: RedisCluster
    prefix: str

    async def apply(self, change: FeedChange) -> None:
        items = [contracts.body(item) for item in getattr(change, "notifications", None) or ()]
        call = applied(self.prefix, CAPACITY, [entry(change, items, MACS)], uniform)
        (answer,) = await self.redis.each(APPLY, [call])
        assert answer == 0


class TestIndex(contracts.UnreadIndexContract):
    @pytest.fixture
    def under_test(self, redis: RedisCluster, name: str) -> Applied:
        return Applied(RedisUnreadIndex(redis, name, MACS, CAPACITY, uniform, token_hex), redis, name)


@dataclass
class Carried:
    announcer: RedisAnnouncer
    index: RedisUnreadIndex
    live: Hub
    redis: RedisCluster
    frames: ClusterLiveFrames

    def cut(self) -> None:
        for node in self.redis._nodes.values():
            node._away_until = float("inf")

    async def restore(self) -> None:
        for node in self.redis._nodes.values():
            node._away_until = 0.0
        await self.announcer.heal()


@asynccontextmanager
async def carried(redis: RedisCluster, prefix: str) -> AsyncIterator[Carried]:
    """A process that announces, and receives once its subscriptions stand."""
    subscriptions = ClusterSubscriptions(redis, prefix, monotonic)
    hub = Hub(system.now, subscriptions)
    part = partial(
        RedisLiveFrames, prefix=prefix, macs=MACS, deliver=hub.deliver, now=monotonic, new_token=token_hex
    )
    frames = ClusterLiveFrames(redis, subscriptions, part, lost=hub.lost, now=monotonic)
    running = asyncio.create_task(frames.run())
    try:
        await until(lambda: frames.connected)
        announcer = RedisAnnouncer(redis, prefix, MACS, CAPACITY, uniform, clock=system.now)
        index = RedisUnreadIndex(redis, prefix, MACS, CAPACITY, uniform, token_hex)
        yield Carried(announcer, index, hub, redis, frames)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
async def carrier(redis: RedisCluster, name: str) -> AsyncIterator[Carried]:
    async with carried(redis, name) as made:
        yield made


class TestAnnouncer(contracts.AnnouncerContract):
    pass


class TestIdempotencyKeys(contracts.IdempotencyKeysContract):
    @pytest.fixture(params=[0, 1_000])
    def keys(self, request: pytest.FixtureRequest, redis: RedisCluster, name: str) -> RedisIdempotencyKeys:
        return RedisIdempotencyKeys(redis, name, MACS, request.param)


class TestStages(contracts.StagesContract):
    @pytest.fixture
    def stages(self, redis: RedisCluster, name: str) -> RedisStages:
        return RedisStages(redis, name)


class TestTickets(contracts.TicketsContract):
    @pytest.fixture
    def tickets(self, redis: RedisCluster, name: str) -> RedisTickets:
        return RedisTickets(redis, name, MACS, token_urlsafe)


class TestRates(limit_contracts.RatesContract):
    @pytest.fixture
    def rates(self, redis: RedisCluster, name: str) -> RedisRates:
        return RedisRates(redis, name)


class TestLogInAttempts(limit_contracts.LogInAttemptsContract):
    @pytest.fixture
    def attempts(self, redis: RedisCluster, name: str) -> ClusterLogInAttempts:
        patience = Patience(FREE)
        local = LocalLogInAttempts(patience, PER_ADDRESS, monotonic)
        of_accounts = RedisLogInAttempts(redis, name, patience, None, local)
        return ClusterLogInAttempts(of_accounts, RedisRates(redis, name), PER_ADDRESS, local)

    @pytest.fixture
    def pass_delay(self, redis: RedisCluster, name: str) -> limit_contracts.PassDelay:
        async def passed(account: str, address: str) -> None:
            key = f"{name}:failures:{{{account}}}" + (f":{address}" if address else "")

            async def pass_on(client: Any) -> None:
                if await client.exists(key):
                    await client.hset(key, "u", "0")

            await redis.on(key, pass_on)

        return passed

    async def test_an_address_that_tries_too_many_accounts_is_refused(
        self, attempts: ClusterLogInAttempts
    ) -> None:
        for number in range(PER_ADDRESS.count):
            await attempts.begin(f"account-{number}", "203.0.113.7")

        with pytest.raises(Limited):
            await attempts.begin("another", "203.0.113.7")
        await attempts.void("account-0", "203.0.113.7", known=False)
        assert not await attempts.begin("another", "203.0.113.7")


async def test_doctor_sees_all_masters_and_everything_can_be_forgotten(
    redis: RedisCluster, name: str
) -> None:
    index = RedisUnreadIndex(redis, name, MACS, CAPACITY, uniform, token_hex)
    announcer = RedisAnnouncer(redis, name, MACS, CAPACITY, uniform, clock=system.now)
    for user in CROWD:
        await _load(index, user)

    state = await RedisInspection(redis, name, MACS, system.now).look()
    assert (state.entries, state.foreign) == (len(CROWD), 0)
    sampled: set[UserId] = set()
    for _ in range(len(await redis.masters())):
        sampled.update(await index.sample(100))
    assert sampled == set(CROWD)
    await announcer.forget_everything()

    assert all([isinstance(await index.page(user, 1, None), Missing) for user in CROWD])
    await redis.ping()


async def _load(index: RedisUnreadIndex, user: UserId) -> None:
    found = await index.page(user, 1, None)
    assert isinstance(found, Missing)
    assert found.lease
    await index.load(RenderedPage(a_feed(1, 0, user), [], more=False), found.lease)


class Listener:
    """A stream, as far as the hub knows it."""

    def __init__(self) -> None:
        self.frames: list[int] = []
        self.compared = 0

    def take(self, frame: Any) -> None:
        self.frames.append(frame.version)

    def miss(self) -> None:
        self.compared += 1


async def follow(hub: Hub, users: Sequence[UserId]) -> dict[UserId, Any]:
    followers: dict[UserId, Any] = {user: Listener() for user in users}
    await asyncio.gather(*(hub.join(user, follower) for user, follower in followers.items()))
    return followers


async def test_frames_of_a_batch_arrive_from_every_node(carrier: Carried) -> None:
    followers = await follow(carrier.live, CROWD)

    await carrier.announcer.announce([added(2, user) for user in CROWD])

    await until(lambda: all(one.frames == [2] for one in followers.values()))


async def test_a_slot_that_moved_is_followed_and_its_streams_compare_themselves(
    nodes: Cluster, carrier: Carried, name: str
) -> None:
    user, slot = CROWD[0], slot_of(f"{name}:live:{{{CROWD[0]}}}")
    followers = await follow(carrier.live, CROWD)
    before = nodes.owner(slot)
    other = nodes.other(before)
    compared = {user: follower.compared for user, follower in followers.items()}

    await asyncio.to_thread(nodes.move, slot, other)
    await carrier.announcer.announce([added(2, user)])

    await until(lambda: followers[user].compared > compared[user])
    await carrier.announcer.announce([added(3, user)])
    await until(lambda: 3 in followers[user].frames)
    assert carrier.frames.connected
    for each in CROWD[1:]:
        if slot_of(f"{name}:live:{{{each}}}") != slot:
            assert followers[each].compared == compared[each]


async def test_a_slot_on_its_way_holds_up_only_its_own_users(
    nodes: Cluster, carrier: Carried, name: str
) -> None:
    slot = slot_of(f"{name}:live:{{{CROWD[0]}}}")
    others = [user for user in CROWD if slot_of(f"{name}:live:{{{user}}}") != slot]
    followers = await follow(carrier.live, CROWD)
    compared = followers[CROWD[0]].compared
    await carrier.index.page(CROWD[0], 1, None)  # its lease is there, its entry is not
    other = nodes.other(nodes.owner(slot))
    loop = asyncio.get_running_loop()

    def announce() -> None:
        announced = carrier.announcer.announce([added(2, user) for user in CROWD])
        asyncio.run_coroutine_threadsafe(announced, loop).result(20)
        assert CROWD[0] in carrier.announcer._unannounced

    await asyncio.to_thread(nodes.move, slot, other, announce)

    await until(lambda: all(followers[user].frames == [2] for user in others))
    await eventually(partial(_healed, carrier), "it is announced as a bare position")
    await until(lambda: followers[CROWD[0]].frames == [2] or followers[CROWD[0]].compared > compared)


async def _healed(carrier: Carried) -> bool:
    try:
        await carrier.announcer.heal()
    except Unavailable:
        return False
    return not carrier.announcer._unannounced


async def test_a_claim_waits_for_a_slot_on_its_way(nodes: Cluster, redis: RedisCluster, name: str) -> None:
    keys = RedisIdempotencyKeys(redis, name, MACS, 1_000)
    first = await keys.claim("key", "one", "print", an_id(1))
    slot = slot_of(f"{name}:claims:{{key.0}}")
    other = nodes.other(nodes.owner(slot))
    claiming: list[asyncio.Task[Any]] = []
    loop = asyncio.get_running_loop()

    def claim() -> None:
        async def start() -> None:
            claiming.append(asyncio.create_task(keys.claim("key", "two", "print", an_id(2))))
            await asyncio.sleep(0)

        asyncio.run_coroutine_threadsafe(start(), loop).result(20)

    await asyncio.to_thread(nodes.move, slot, other, claim)

    assert await claiming[0] == an_id(2)
    assert await keys.claim("key", "one", "print", an_id(3)) == first
    assert await keys.claim("key", "two", "print", an_id(3)) == an_id(2)


async def test_a_master_that_dies_is_missed_only_by_its_own_users(
    nodes: Cluster, carrier: Carried, name: str
) -> None:
    redis, index = carrier.redis, carrier.index
    followers = await follow(carrier.live, CROWD)
    victim = nodes.owner(slot_of(f"{name}:live:{{{CROWD[0]}}}"))
    concerned = [user for user in CROWD if nodes.owner(slot_of(f"{name}:live:{{{user}}}")) is victim]
    others = [user for user in CROWD if user not in concerned]
    compared = {user: follower.compared for user, follower in followers.items()}

    await asyncio.to_thread(victim.kill)
    began = monotonic()
    try:
        await carrier.announcer.announce([added(2, user) for user in CROWD])

        await until(lambda: all(followers[user].frames == [2] for user in others))
        assert set(carrier.announcer._unannounced) == set(concerned)
        assert isinstance(await index.page(others[0], 1, None), Missing)
        await eventually(partial(_healed, carrier), "what was missed is announced to the replica")
        await until(lambda: carrier.frames.connected)
        print(f"a master was killed: {monotonic() - began:.1f} s until its replica had taken over")
        await until(lambda: all(followers[user].compared > compared[user] for user in concerned))
        assert all(followers[user].compared == compared[user] for user in others)
        await carrier.announcer.announce([added(3, user) for user in CROWD])
        await until(lambda: all(3 in follower.frames for follower in followers.values()))
    finally:
        await asyncio.to_thread(victim.start)
        await eventually(partial(asyncio.to_thread, nodes.well), "the cluster is whole again")
    await redis.ping()


async def test_a_master_that_hands_over_is_left_with_every_connection_open(
    nodes: Cluster, carrier: Carried, name: str
) -> None:
    """As for maintenance: CLUSTER FAILOVER."""
    followers = await follow(carrier.live, CROWD)
    slot = slot_of(f"{name}:live:{{{CROWD[0]}}}")
    before = nodes.owner(slot)
    replica = nodes.replica(before)
    concerned = [user for user in CROWD if nodes.owner(slot_of(f"{name}:live:{{{user}}}")) is before]
    compared = {user: follower.compared for user, follower in followers.items()}

    await fail_over(
        partial(asyncio.to_thread, replica.ask, "CLUSTER", "FAILOVER"),
        partial(asyncio.to_thread, replica.is_master),
    )
    await carrier.announcer.announce([added(2, user) for user in CROWD])

    await eventually(partial(_healed, carrier), "nothing is left to be announced")
    await until(lambda: all(followers[user].compared > compared[user] for user in concerned))
    await until(lambda: carrier.frames.connected)
    await carrier.announcer.announce([added(3, user) for user in CROWD])
    await until(lambda: all(3 in follower.frames for follower in followers.values()))
    await eventually(partial(asyncio.to_thread, nodes.well), "the cluster is whole again")


async def test_a_master_that_freezes_is_missed_by_its_own_heartbeat(
    nodes: Cluster, carrier: Carried, name: str
) -> None:
    """It is replaced; when it goes on, it is a replica."""
    followers = await follow(carrier.live, CROWD)
    victim = nodes.owner(slot_of(f"{name}:live:{{{CROWD[0]}}}"))
    others = [user for user in CROWD if nodes.owner(slot_of(f"{name}:live:{{{user}}}")) is not victim]
    compared = {user: follower.compared for user, follower in followers.items()}

    await asyncio.to_thread(victim.pause)
    try:
        # For how long it is not connected, if at all, depends on who is quicker: the heartbeat, or the others
        # in replacing the node.
        await until(
            lambda: all(followers[user].compared > compared[user] for user in CROWD if user not in others)
        )
        await carrier.announcer.announce([added(2, user) for user in CROWD])
        await until(lambda: all(2 in followers[user].frames for user in others))
        await eventually(partial(_healed, carrier), "what was missed is announced to the replica")
        await until(lambda: carrier.frames.connected)
        await carrier.announcer.announce([added(3, user) for user in CROWD])
        await until(lambda: all(3 in follower.frames for follower in followers.values()))
    finally:
        await asyncio.to_thread(victim.resume)
    await eventually(partial(asyncio.to_thread, nodes.well), "the cluster is whole again")
    assert all(followers[user].compared == compared[user] for user in others)


@pytest.mark.parametrize("rights", ["but administration", "listed"])
async def test_an_account_with_the_documented_rights_may_do_everything(
    nodes: Cluster, name: str, caplog: pytest.LogCaptureFixture, rights: str
) -> None:
    words = documented_rights(name)
    if rights == "listed":
        page = PAGE.read_text()
        (listed,) = re.findall(r"^user bellwire on >… .* (-@all .*)$", page, re.MULTILINE)
        (more,) = re.findall(r"^In a Redis Cluster add `(.*)`\.$", page, re.MULTILINE)
        words = [*(word for word in words if "@" not in word), *listed.split(), *more.split()]
    for node in nodes.nodes:
        await asyncio.to_thread(node.ask, "ACL", "SETUSER", name, "reset", "on", ">hunter2", *words)
    redis = a_client(nodes, f"{name}:hunter2@")
    async with carried(redis, name) as carrier:
        followers = await follow(carrier.live, CROWD)
        for user in CROWD:
            await _load(carrier.index, user)
        await carrier.announcer.announce([added(2, user) for user in CROWD])
        await until(lambda: all(one.frames == [2] for one in followers.values()))
        keys = RedisIdempotencyKeys(redis, name, MACS, 0)
        assert await keys.claim("key", "one", "print", an_id(1)) == an_id(1)
        assert len(await carrier.index.sample(100)) > 0
        await carrier.announcer.forget_everything()
        await redis.ping()
    await redis.close()
    assert caplog.text == ""


async def test_every_connection_to_a_cluster_is_encrypted(tmp_path: Path, name: str) -> None:
    try:
        debian_program()
    except MissingServer as missing:
        pytest.skip(str(missing))
    (tmp_path / "nodes").mkdir()
    with cluster(tmp_path / "nodes", replicas=False, tls=certificates(tmp_path)) as nodes:
        redis = a_client(nodes)
        async with carried(redis, name) as carrier:
            followers = await follow(carrier.live, CROWD)
            await carrier.announcer.announce([added(2, user) for user in CROWD])
            await until(lambda: all(one.frames == [2] for one in followers.values()))
        assert {master.address[1] for master in await redis.masters()} == {
            node.tls_port for node in nodes.nodes
        }
        await redis.close()
