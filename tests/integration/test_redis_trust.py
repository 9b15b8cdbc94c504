"""Somebody else writes to Redis: nothing of it is shown or obeyed, and it harms one user's cache at most."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import cycle
from random import Random, uniform
from secrets import token_hex, token_urlsafe
from threading import Event
from time import monotonic
from typing import Any

import httpx
import msgspec
import pytest
from redis.exceptions import ResponseError

from adapters import clock as system
from adapters.redis import tickets as ticket_rules
from adapters.redis.announcer import RESYNC, RedisAnnouncer, message
from adapters.redis.idempotency import RedisIdempotencyKeys
from adapters.redis.index import RedisUnreadIndex
from adapters.redis.live import RedisLiveFrames
from adapters.redis.macs import Macs
from adapters.redis.names import channel
from adapters.redis.server import RedisServer
from adapters.redis.subscriptions import Subscriptions
from adapters.redis.tickets import RedisTickets
from application.credentials import Claims
from application.errors import Limited, NotAuthenticated
from application.pages import ITEM_BYTES, PAGE_BYTES, Missing, Rendered, RenderedPage
from application.streams import Frame
from common import metrics, wire
from domain.feed import Added, Feed
from domain.identifiers import UserId
from domain.metadata import Metadata
from tests.build import ADA, BOB, LATER, MACS, NOW, a_feed, a_notification, an_id
from tests.drills import Honest, judge
from tests.integration.conftest import Run
from tests.product import Api, Product, Stores, create_users, eventually, metric

CAPACITY = 100
CLAIMS = Claims(ADA, LATER, NOW)


@pytest.fixture
def redis(redis_server: RedisServer) -> Any:
    return redis_server.client


@pytest.fixture
def prefix(name: str) -> str:
    return name


@pytest.fixture
def index(redis_server: RedisServer, prefix: str) -> RedisUnreadIndex:
    return RedisUnreadIndex(redis_server, prefix, MACS, CAPACITY, uniform, token_hex)


@pytest.fixture
def announcer(redis_server: RedisServer, prefix: str) -> RedisAnnouncer:
    return RedisAnnouncer(redis_server, prefix, MACS, CAPACITY, uniform, clock=system.now)


def refused(kind: str) -> float:
    return float(metrics.REDIS_REFUSED.labels(kind)._value.get())


async def load(
    index: RedisUnreadIndex, user: UserId, items: Sequence[Rendered], *, more: bool = False
) -> Feed:
    missing = await index.page(user, 1, None)
    assert isinstance(missing, Missing)
    assert missing.lease is not None
    feed = a_feed(len(items), len(items), user)
    await index.load(RenderedPage(feed, items, more), missing.lease)
    return feed


def bodies(user: UserId, *numbers: int, **fields: Any) -> list[Rendered]:
    return [wire.render(replace(a_notification(n, user), **fields)) for n in sorted(numbers, reverse=True)]


# --- the index ---

Forge = Callable[[Any, str], Awaitable[Any]]


async def _another_users(redis: Any, prefix: str) -> None:
    (item,) = await redis.zrange(f"{prefix}:unread:{{bob}}", 0, 0)
    await _replace_item(redis, prefix, item)


async def _edited(redis: Any, prefix: str) -> None:
    (item,) = await redis.zrange(f"{prefix}:unread:{{ada}}", 0, 0)
    await _replace_item(
        redis, prefix, item.replace(b'"action_url":null', b'"action_url":"javascript:alert(1)"')
    )


async def _replace_item(redis: Any, prefix: str, item: bytes) -> None:
    await redis.delete(f"{prefix}:unread:{{ada}}")
    await redis.zadd(f"{prefix}:unread:{{ada}}", {item: 0})


def _item(item: bytes) -> Forge:
    return lambda redis, prefix: _replace_item(redis, prefix, item)


def _field(name: str, value: bytes) -> Forge:
    return lambda redis, prefix: redis.hset(f"{prefix}:feed:{{ada}}", name, value)


FORGED_ITEMS: dict[str, Forge] = {
    "another user's": _another_users,
    "an edited one": _edited,
    "broken JSON": _item(b'{"id":"'),
    "nothing": _item(b""),
    "a foreign code": _item(Macs("x" * 32, "test").stamper(ADA, "e1")(bodies(ADA, 1)[0])),
    "of another epoch": _item(MACS.stamper(ADA, "e2")(bodies(ADA, 1)[0])),
    "without a code": _item(bodies(ADA, 1)[0]),
}
FORGED_HEADS: dict[str, Forge] = {
    "an epoch that is JSON": _field("e", b'e1","items":["'),
    "an epoch that is no text": _field("e", b"\xff"),
    "a later version": _field("v", b"9"),
    "a version that is no number": _field("v", b"1e9"),
    "another count": _field("n", b"7"),
    "no code": lambda redis, prefix: redis.hdel(f"{prefix}:feed:{{ada}}", "m"),
    "a short code": _field("m", b"00"),
}


FORGERIES = FORGED_ITEMS | FORGED_HEADS


@pytest.mark.parametrize("what", FORGERIES)
async def test_what_somebody_else_wrote_into_the_index_is_dropped_and_read_again(
    index: RedisUnreadIndex, redis: Any, prefix: str, what: str
) -> None:
    feed = await load(index, ADA, bodies(ADA, 1))
    await load(index, BOB, bodies(BOB, 1))
    true = await index.page(ADA, 10, None)
    await FORGERIES[what](redis, prefix)
    if "count" in what:
        await redis.hset(f"{prefix}:feed:{{ada}}", "c", "0")
    before = refused("index")

    if what in FORGED_ITEMS:  # this process has the page of this head, and is not sent the items
        assert await index.page(ADA, 10, None) == true
    limit = 0 if "count" in what else 9
    assert isinstance(await index.page(ADA, limit, None), Missing)
    assert refused("index") == before + 1
    await load(index, ADA, bodies(ADA, 1))
    await FORGERIES[what](redis, prefix)
    assert await index.entry(ADA) is None
    assert isinstance(await index.page(BOB, 10, None), RenderedPage)

    await redis.delete(f"{prefix}:feed:{{ada}}", f"{prefix}:unread:{{ada}}")
    await load(index, ADA, bodies(ADA, 1))
    page = await index.page(ADA, 10, None)
    assert page == RenderedPage(feed, bodies(ADA, 1), more=False)


@pytest.mark.parametrize("name", ["e", "v", "n", "k", "m"])
async def test_a_page_is_only_unchanged_while_its_whole_head_is(
    index: RedisUnreadIndex, redis: Any, prefix: str, name: str
) -> None:
    await load(index, ADA, bodies(ADA, 1))
    assert isinstance(await index.page(ADA, 10, None), RenderedPage)
    await redis.hset(f"{prefix}:feed:{{ada}}", name, "0")

    assert isinstance(await index.page(ADA, 10, None), Missing)


async def test_items_in_another_order_are_dropped(index: RedisUnreadIndex, redis: Any, prefix: str) -> None:
    """Redis orders members by score before it orders them by their bytes."""
    await load(index, ADA, bodies(ADA, 1, 2, 3))
    items = await redis.zrange(f"{prefix}:unread:{{ada}}", 0, -1)
    await redis.zadd(f"{prefix}:unread:{{ada}}", dict(zip(items, (3, 2, 1), strict=True)))

    assert isinstance(await index.page(ADA, 10, None), Missing)


TYPES: dict[str, Callable[[Any, str], Awaitable[Any]]] = {
    "string": lambda redis, key: redis.set(key, b"\xff{"),
    "number": lambda redis, key: redis.set(key, 2**62),
    "list": lambda redis, key: redis.rpush(key, "x"),
    "set": lambda redis, key: redis.sadd(key, "x"),
    "hash": lambda redis, key: redis.hset(key, "e", "x"),
    "zset": lambda redis, key: redis.zadd(key, {b"\xff": 1.5}),
    "stream": lambda redis, key: redis.xadd(key, {"x": "y"}),
    "bits": lambda redis, key: redis.pfadd(key, "x"),
}


@pytest.mark.parametrize("kind", ["feed", "unread", "lease"])
@pytest.mark.parametrize("what", TYPES)
async def test_a_key_of_another_type_harms_nobody_else(  # noqa: PLR0917 - four are fixtures
    index: RedisUnreadIndex,
    announcer: RedisAnnouncer,
    redis_server: RedisServer,
    prefix: str,
    kind: str,
    what: str,
) -> None:
    key, redis = f"{prefix}:{kind}:{{ada}}", redis_server.client
    for user in (ADA, BOB):
        await load(index, user, bodies(user, 1))

    async def plant() -> None:
        await redis.delete(key)
        await TYPES[what](redis, key)

    await plant()
    asked = await asyncio.gather(*(index.page(user, 10, None) for user in (ADA, BOB)))
    assert isinstance(asked[1], RenderedPage)
    await plant()
    await index.entry(ADA)
    await plant()
    await announcer.announce([Added(a_feed(2, 2, user), (a_notification(2, user),)) for user in (ADA, BOB)])

    assert not announcer._unannounced
    page = await index.page(BOB, 10, None)
    assert isinstance(page, RenderedPage)
    assert page.feed.version == 2
    await redis_server.ping()  # raises if a command was refused
    found = await index.page(ADA, 10, None)
    if isinstance(found, Missing):  # and it heals
        missing = found if found.lease else await index.page(ADA, 10, None)
        assert isinstance(missing, Missing)
        assert missing.lease is not None
        await index.load(RenderedPage(a_feed(2, 1), bodies(ADA, 2), more=False), missing.lease)
        assert isinstance(await index.page(ADA, 10, None), RenderedPage)


async def test_only_members_that_can_be_users_are_compared_with_the_store(
    index: RedisUnreadIndex, redis: Any, prefix: str
) -> None:
    await load(index, ADA, [])
    for user in (b"\xff", b"", b"a\x00b", b"a b", b"x" * 200):
        await redis.hset(b"%b:feed:{%b}" % (prefix.encode(), user), "e", "x")

    assert await index.sample(100) == [ADA]


# --- sizes ---


def heavy(user: UserId, kibibytes: int, *numbers: int) -> list[Rendered]:
    return bodies(user, *numbers, metadata=Metadata('{"a":"%s"}' % ("a" * 1024 * kibibytes)))


async def held_bytes(redis: Any, prefix: str) -> int:
    return sum(map(len, await redis.zrange(f"{prefix}:unread:{{ada}}", 0, -1)))


async def test_a_page_has_a_size(index: RedisUnreadIndex) -> None:
    items = heavy(ADA, 60, *range(1, 41))
    feed = replace(a_feed(40, 40), user_id=ADA)
    missing = await index.page(ADA, 1, None)
    assert isinstance(missing, Missing)
    assert missing.lease
    await index.load(RenderedPage(feed, items[:20], more=True), missing.lease)

    page = await index.page(ADA, 100, None)
    assert isinstance(page, RenderedPage)
    assert page.more
    assert 0 < sum(map(len, page.items)) <= PAGE_BYTES
    assert list(page.items) == items[: len(page.items)]
    assert isinstance(await index.page(ADA, 5, None), RenderedPage)


async def test_an_entry_that_grows_is_trimmed_to_its_size(
    index: RedisUnreadIndex, announcer: RedisAnnouncer, redis: Any, prefix: str
) -> None:
    feed = await load(index, ADA, [])
    text = Metadata('{"a":"%s"}' % ("a" * 60 * 1024))
    for number in range(1, 41):
        item = replace(a_notification(number, version=number), metadata=text)
        await announcer.announce([Added(replace(feed, version=number, unread_count=number), (item,))])
        assert await held_bytes(redis, prefix) <= PAGE_BYTES + 61 * 1024

    page = await index.page(ADA, 100, None)
    assert isinstance(page, RenderedPage)
    assert (page.more, page.feed.unread_count) == (True, 40)
    assert 10 < len(page.items) < 40
    assert await redis.hget(f"{prefix}:feed:{{ada}}", "b") == b"%d" % await held_bytes(redis, prefix)


async def test_a_notification_that_is_too_large_is_not_kept(
    index: RedisUnreadIndex, announcer: RedisAnnouncer, redis: Any, prefix: str
) -> None:
    large = ITEM_BYTES // 1024 + 1
    await load(index, ADA, [*bodies(ADA, 3), *heavy(ADA, large, 2), *bodies(ADA, 1)])
    assert await redis.zcard(f"{prefix}:unread:{{ada}}") == 1
    assert isinstance(await index.page(ADA, 10, None), Missing)
    assert isinstance(await index.page(ADA, 0, None), RenderedPage)

    text = Metadata('{"a":"%s"}' % ("a" * 1024 * large))
    await announcer.announce([Added(a_feed(4, 4), (replace(a_notification(4), metadata=text),))])
    assert not await redis.exists(f"{prefix}:unread:{{ada}}", f"{prefix}:feed:{{ada}}")


# --- the streams ---


class Heard:
    """What a process hears."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.lost = 0

    def deliver(self, frames: Sequence[Frame]) -> None:
        self.frames += frames

    def miss(self, user: UserId | None = None) -> None:
        self.lost += 1


@pytest.fixture
async def heard(redis_server: RedisServer, prefix: str) -> AsyncIterator[Heard]:
    heard, subscriptions = Heard(), Subscriptions(monotonic)
    await subscriptions.join(ADA)
    frames = RedisLiveFrames(
        redis_server,
        prefix,
        MACS,
        subscriptions,
        deliver=heard.deliver,
        lost=heard.miss,
        now=monotonic,
        new_token=token_hex,
    )
    running = asyncio.create_task(frames.run())
    await eventually(lambda: frames.connected, "it is connected")
    yield heard
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_frames_of_somebody_else_reach_nobody(
    heard: Heard, announcer: RedisAnnouncer, redis: Any, prefix: str
) -> None:
    frame = ("ada", "e1", 0, 1, '{"type":"bye"}', (), None)
    name = channel(prefix, ADA)
    genuine = message(MACS, name, [("ada", "e1", 0, 1, "genuine", (), None)])
    forged = [
        b"",
        b"\xc1",
        genuine[:-1],
        genuine.replace(b"genuine", b"forgery"),
        msgspec.msgpack.encode([frame]),
        message(Macs("x" * 32, "test"), name, [frame]),
        message(MACS, channel(prefix, BOB), [frame]),
        MACS.value(RESYNC, b"1"),
    ]
    before, lost = refused("frames"), heard.lost
    for data in forged:
        await redis.publish(name, data)
    await announcer.announce([Added(a_feed(1, 1), (a_notification(1),))])

    await eventually(lambda: len(heard.frames) > 0, "the genuine frame arrives")
    assert [frame.version for frame in heard.frames] == [1]
    assert "notifications" in heard.frames[0].text
    assert refused("frames") == before + len(forged)
    assert heard.lost == lost, "somebody could keep every stream busy with comparisons"


async def test_an_order_counts_once(heard: Heard, redis: Any, prefix: str) -> None:
    orders = [MACS.value(RESYNC, b"%d" % at) for at in (1_000, 1_000, 900, 2_000)]
    before, lost = refused("order"), heard.lost
    for order in [b"resync", b"", Macs("x" * 32, "test").value(RESYNC, b"9000"), *orders]:
        await redis.publish(f"{prefix}:live:control", order)

    await eventually(
        lambda: heard.lost == lost + 3, "each new order is followed, also of a clock that is behind"
    )
    assert refused("order") == before + 3


# --- tickets and keys ---


@pytest.fixture
def tickets(redis_server: RedisServer, prefix: str) -> RedisTickets:
    return RedisTickets(redis_server, prefix, MACS, token_urlsafe)


async def test_a_ticket_that_somebody_wrote_admits_nobody(
    tickets: RedisTickets, redis: Any, prefix: str
) -> None:
    genuine = await tickets.issue(CLAIMS)
    (name,) = await redis.keys(f"{prefix}:ticket:*")
    stored = await redis.get(name)
    assert stored is not None
    forged = [
        b"ada 99999999999.0 0.0",
        stored,
        stored[:16] + msgspec.msgpack.encode(("bob", 9e9, 0.0)),
        b"",
        b"\xff" * 1000,
    ]
    for number, value in enumerate(forged):
        for key in (f"forged-{number}", tickets._key(f"forged-{number}").removeprefix(f"{prefix}:ticket:")):
            await redis.set(f"{prefix}:ticket:{key}", value)
        with pytest.raises(NotAuthenticated):
            await tickets.redeem(f"forged-{number}")
    for what in ("list", "hash", "zset"):
        await TYPES[what](redis, tickets._key(what))
        with pytest.raises(NotAuthenticated):
            await tickets.redeem(what)

    assert genuine.encode() not in name + stored
    assert await tickets.redeem(genuine) == CLAIMS


async def test_a_user_has_so_many_tickets_at_a_time(
    tickets: RedisTickets, redis: Any, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ticket_rules, "TICKETS_PER_USER", 3)
    issued = [await tickets.issue(CLAIMS) for _ in range(3)]
    with pytest.raises(Limited) as refused:
        await tickets.issue(CLAIMS)

    assert (refused.value.limit, 0 < refused.value.retry_seconds <= 30) == ("user-tickets", True)

    assert await tickets.issue(replace(CLAIMS, user_id=BOB))
    assert await tickets.redeem(issued[0]) == CLAIMS
    assert len(await redis.keys(f"{prefix}:ticket:*")) == 3
    await redis.persist(f"{prefix}:tickets:ada")
    assert await tickets.issue(CLAIMS), "a counter that does not expire was not written by the script"


@pytest.mark.parametrize("what", [*TYPES, "another key's"])
async def test_an_idempotency_key_that_somebody_wrote_is_as_if_it_were_new(
    redis_server: RedisServer, prefix: str, what: str
) -> None:
    redis: Any = redis_server.client
    keys = RedisIdempotencyKeys(redis_server, prefix, MACS, 0)
    await keys.claim("producer", "other", "print", an_id(9))
    (other,) = await redis.keys(f"{prefix}:claim:*")
    await keys.claim("producer", "key", "print", an_id(1))
    (name,) = [key for key in await redis.keys(f"{prefix}:claim:*") if key != other]

    await redis.delete(name, f"{prefix}:claims:producer")
    if what in TYPES:
        await TYPES[what](redis, name.decode())
        await TYPES[what](redis, f"{prefix}:claims:producer")
    else:
        await redis.copy(other, name)

    assert await keys.claim("producer", "key", "print", an_id(2)) == an_id(2)
    assert await keys.claim("producer", "key", "print", an_id(3)) == an_id(2)
    await redis_server.ping()


async def test_a_producer_has_so_many_new_keys_in_a_day(redis_server: RedisServer, prefix: str) -> None:
    keys = RedisIdempotencyKeys(redis_server, prefix, MACS, 2)
    for number in (1, 2):
        await keys.claim("producer", f"key {number}", "print", an_id(number))
    with pytest.raises(Limited) as refused:
        await keys.claim("producer", "key 3", "print", an_id(3))

    assert (refused.value.limit, 0 < refused.value.retry_seconds <= 24 * 60 * 60) == (
        "idempotency-keys",
        True,
    )

    assert await keys.claim("producer", "key 1", "print", an_id(4)) == an_id(1)
    assert await keys.claim("another", "key 3", "print", an_id(3)) == an_id(3)


# --- the product ---

CANARY = "canary-3b91"
GARBAGE = [CANARY.encode(), b'{"id":"%b"}' % CANARY.encode(), b"\xff" * 40, b"", b"-1", b"9" * 30]


async def test_whatever_is_in_redis_no_answer_is_500_and_no_text_of_it_is_shown(
    product: Product, stores: Stores, run: Run
) -> None:
    """Garbage of every type in every key and on every channel, while REST and streams are used."""
    api = await product.api()
    await product.consumer()
    async with api.client("ada") as client:
        await create_users(client, ["ada", "bob", "cid"])
    accepted: list[str] = []

    async def attack(enough: Event) -> None:
        over = asyncio.Event()
        garbage = asyncio.create_task(_write_garbage(stores.redis, product.settings.redis_prefix, over))
        try:
            while len(accepted) < 15 or not enough.is_set():
                accepted.append(await _use(client, len(accepted)))
        finally:
            over.set()
            await garbage

    async with (
        api.client("ada") as client,
        api.follow("ada") as device,
        Honest.of(api, "cid") as honest,
    ):
        judge(run, honest.resting, await honest.during(attack))
        await eventually(lambda: set(accepted) <= set(device.items), "the stream has them all", 90)
        assert CANARY not in json.dumps(list(device.items.values()))
        await eventually(lambda: _is_whole(client, accepted), "the list is whole again")
        assert (await client.get("/health/ready")).json()["checks"]["redis"] == "ok"
    assert await _refused_by(api) > 0


async def _use(client: httpx.AsyncClient, number: int) -> str:
    """Everything that asks Redis. Returns the id of a new notification."""
    body = {"user_id": "ada", "event": "test.sent", "message": f"number {number}"}
    answers = [
        await client.post("/v1/notifications", json=body, headers={"Idempotency-Key": f"key {number}"}),
        await client.get("/notifications/ada", params={"limit": 5}),
        await client.get("/v1/users/ada/unread-count"),
        await client.post("/v1/stream-tickets"),
        await client.get("/health/ready"),
    ]
    accepted = str(answers[0].json()["id"])
    answers.append(await client.patch(f"/notifications/ada/{accepted}/read"))
    assert [answer.status_code for answer in answers[:-1]] == [202, 200, 200, 201, 200]
    assert answers[-1].status_code in {200, 404}
    for answer in answers:
        assert CANARY not in answer.text
        answer.json()
    assert {item["user_id"] for item in answers[1].json()["items"]} <= {"ada"}
    return accepted


async def _is_whole(client: httpx.AsyncClient, ids: Sequence[str]) -> bool:
    page = (await client.get("/notifications/ada", params={"status": "all", "limit": 100})).json()
    return sorted(item["id"] for item in page["items"]) == sorted(ids)


async def _write_garbage(redis: Any, prefix: str, enough: asyncio.Event) -> None:
    random = Random(1)
    frame = ("ada", "e1", 0, 2**40, f'{{"type":"{CANARY}"}}', (), None)
    channels = cycle([*(channel(prefix, UserId(user)) for user in ("ada", "bob")), f"{prefix}:live:control"])
    while not enough.is_set():  # redis-py may swallow a cancellation
        names = {
            f"{prefix}:{kind}:{{{user}}}" for kind in ("feed", "unread", "lease") for user in ("ada", "bob")
        }
        names |= {name.decode() for name in await redis.keys(f"{prefix}:*")} | {f"{prefix}:tickets:ada"}
        for name in names:
            with suppress(ResponseError):  # the service has replaced it
                await _spoil(redis, name, random)
        for data in (msgspec.msgpack.encode([frame]), random.choice(GARBAGE), b"resync"):
            await redis.publish(next(channels), data)
        for beat in await redis.pubsub_channels(f"{prefix}:live:node:*"):
            await redis.publish(beat.decode(), CANARY)
        await asyncio.sleep(0.005)


async def _spoil(redis: Any, name: str, random: Random) -> None:
    if ":claim:" in name or ":ticket:" in name:
        await redis.set(name, random.choice(GARBAGE))
    elif random.random() < 0.7:
        await redis.delete(name)
        await random.choice(list(TYPES.values()))(redis, name)
    elif ":feed:" in name and await redis.type(name) == b"hash":
        await redis.hset(name, random.choice("evncmb"), random.choice(GARBAGE))
    elif ":unread:" in name and await redis.type(name) == b"zset":
        await redis.zadd(name, {random.choice(GARBAGE): random.choice([0, 1])})


async def _refused_by(api: Api) -> float:
    return await metric(api.process, "bellwire_redis_refused_total")
