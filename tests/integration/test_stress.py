"""The live stream under stress: two nodes and a consumer as processes, real servers, hundreds of sockets.

All tests share one installation; each has users of its own. What is asserted is exact: every version once
and in order on every socket, every unread count, every close code, and nothing left behind in the end.
"""

import asyncio
import json
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import uuid4

import httpx
import jwt
import msgspec
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from websockets.frames import Close, Opcode

from tests import crowd
from tests.conftest import Databases, as_read, installation
from tests.crowd import Device, Held, Peer, all_at, known, publish, states, text, together, wire
from tests.load import Load, agree
from tests.product import Api, Product, Stores, altered, create_users, eventually, metric
from tests.whole import build
from workbench.embedded import EmbeddedServers, PostgresServer
from workbench.processes import Process
from workbench.soak.follower import Json, version

# One product for all; each test leaves it to the next as it is.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.in_order]

PING, PONG, HEAD = 1, 6, 3
MOST, MOST_PER_USER = 105, 3
_STANDINGS = re.compile(
    r"^\s*SELECT user_id, horizon, .* FROM feeds AS feed WHERE user_id = ANY\S+$", re.MULTILINE
)
_PAGES = re.compile(r"^\s*SELECT wanted\.nth", re.MULTILINE)


@dataclass
class Stage:
    """Two nodes, a consumer, and a third node with less patience and less room."""

    servers: EmbeddedServers
    product: Product
    stores: Stores
    one: Api
    other: Api
    before: dict[str, Held] = field(default_factory=dict)
    """What the two nodes held when they had nothing to do yet."""
    _small: Api | None = None
    _users: "count[int]" = field(default_factory=count)

    @property
    def nodes(self) -> Sequence[Api]:
        return self.one, self.other

    async def users(self, number: int) -> list[str]:
        """New ones, whose feeds are empty."""
        users = [f"user-{next(self._users)}" for _ in range(number)]
        async with self.one.client() as client:
            await asyncio.gather(*(create_users(client, users[nth::8]) for nth in range(8)))
        return users

    def device(self, user: str, first: int = 0, **given: Any) -> Device:
        """One that goes to the two nodes in turn, and to this one first."""
        urls = [self.nodes[first % 2].url, self.nodes[(first + 1) % 2].url]
        return Device(urls, user, self.product.token, **given)

    async def small(self) -> Api:
        """The third node."""
        if self._small is None or not self._small.process.running:
            chosen = {
                "BELLWIRE_SOCKETS": str(MOST),
                "BELLWIRE_SOCKETS_PER_USER": str(MOST_PER_USER),
                "BELLWIRE_DRAIN_SECONDS": "6",
                "BELLWIRE_KEEP_ALIVE_SECONDS": "5",
            }
            service = await altered(self.product, "api", ping=PING, pong=PONG, head=HEAD, chosen=chosen)
            self._small = Api(service, service.url, self.product)
        return self._small

    async def versions(self, users: Sequence[str]) -> dict[str, int]:
        """How far each user's feed is."""
        stored = await self.stores.versions()
        return {user: stored[user] for user in users}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(
    servers: EmbeddedServers, databases: Databases, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    url = await asyncio.to_thread(lambda: databases.create(template=template))
    environment = installation(servers, url, f"stress-{uuid4().hex[:12]}")
    product = Product(tmp_path_factory.mktemp("stress"), environment, as_read(environment))
    try:
        await product.prepare()
        one, other, _ = await asyncio.gather(product.api(), product.api(), product.consumer())
        async with Stores.open(product.settings) as stores:
            made = Stage(servers, product, stores, one, other)
            _, made.before = await asyncio.gather(made.small(), warmed_up(made))
            yield made
    finally:
        await product.stop()
        await asyncio.to_thread(databases.drop, url)


async def warmed_up(stage: Stage) -> dict[str, Held]:
    """Use all that is made when it is used first; then what each node holds."""
    await churn(stage, 40)
    return {node.url: await settled(node) for node in stage.nodes}


async def churn(stage: Stage, number: int) -> None:
    """Sockets that come, are told something, and leave or vanish; and requests, many at once."""
    users = await stage.users(number)
    devices = [stage.device(user, nth) for nth, user in enumerate(users)]
    here, there = stage.one.client(users[0]), stage.other.client(users[0])
    async with here as one, there as other, together(devices):
        await publish(one, [tick(user, n) for n in range(2) for user in users])
        await all_at(devices, dict.fromkeys(users, 2))
        path = f"/notifications/{users[0]}?status=all"
        answers = await asyncio.gather(*(client.get(path) for client in [one, other] * 40))
        assert {answer.status_code for answer in answers} == {200}
        for device in devices[::2]:
            device.abort()


async def settled(node: Api) -> Held:
    """What a node holds once all clients have left."""
    found: list[Held] = []

    async def quiet() -> bool:
        found.append(await crowd.held(node.process))
        return found[-1].sockets == found[-1].queued == found[-1].clients == 0

    await eventually(quiet, f"nobody is connected to {node.process.name}")
    return found[-1]


def tick(user: str, number: int, **fields: Any) -> Json:
    return {"user_id": user, "event": "test.ticked", "message": f"tick {number}", **fields}


# --- everything, once, in order ---------------------------------------------------------------------------


async def test_three_hundred_sockets_are_told_every_version_once_in_order_with_exact_counts(
    stage: Stage,
) -> None:
    """Notifications over HTTP and straight from Kafka, while three devices of each user mark some."""
    each, marked = 200, 3 * 20
    users = await stage.users(100)
    devices = [stage.device(user, nth) for user in users for nth in range(3)]
    async with together(devices):
        marking = [asyncio.create_task(_mark_a_third(device, nth % 3)) for nth, device in enumerate(devices)]
        accepted, recorded = await asyncio.gather(
            _over_http(stage, users, each // 2), _from_kafka(stage, users, each // 2)
        )
        await asyncio.gather(*marking)
        await all_at(devices, dict.fromkeys(users, each + marked))

        assert await stage.versions(users) == dict.fromkeys(users, each + marked)
        for device in devices:
            ids = device.in_order()
            mine = set(accepted[device.user])
            assert [one for one in ids if one in mine] == accepted[device.user]
            assert [one for one in ids if one not in mine] == recorded[device.user]
            assert device.connections == 1
        for device in devices:
            # Of the ten that each has read, five are unread again, and archived.
            assert device.unread_count == each - 3 * 10
            assert len(device.items) == each
        await _end_as_rest_says(stage, devices)


async def _over_http(stage: Stage, users: Sequence[str], each: int) -> dict[str, list[str]]:
    """One batch after another, through both nodes in turn."""
    accepted: dict[str, list[str]] = {user: [] for user in users}
    async with stage.one.client() as here, stage.other.client() as there:
        for start in range(0, each, 10):
            items = [tick(user, number) for number in range(start, start + 10) for user in users]
            ids = await publish([here, there][start // 10 % 2], items)
            for item, identifier in zip(items, ids, strict=True):
                accepted[item["user_id"]].append(identifier)
    return accepted


async def _from_kafka(stage: Stage, users: Sequence[str], each: int) -> dict[str, list[str]]:
    """The records of producers that need no API."""
    settings = stage.product.settings
    new_id = build(settings).new_id()
    put: dict[str, list[str]] = {user: [] for user in users}
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap, linger_ms=5)
    await producer.start()
    try:
        for number in range(each):
            for user in users:
                identifier = str(new_id())
                put[user].append(identifier)
                value = msgspec.json.encode({"id": identifier, **tick(user, number)})
                await producer.send(settings.kafka_topic, value, key=user.encode())
        await producer.flush()
    finally:
        await producer.stop()
    return put


async def _mark_a_third(device: Device, third: int) -> None:
    """Of the first thirty every third: ten read, five of them unread again, the other five archived too."""
    await eventually(lambda: len(device.created) >= 30, "there is something to mark")
    ids = device.in_order()[:30][third::3]
    for kind, chosen in (("read", ids), ("unread", ids[:5]), ("archive", ids[:5])):
        answer = await device.ask_again(type=kind, ids=chosen)
        assert (answer["type"], answer.get("changed")) == ("ok", len(chosen)), answer


async def _end_as_rest_says(stage: Stage, devices: Sequence[Device]) -> None:
    async with stage.other.client() as client:
        rest = {
            user: await states(client, user, stage.product.token(user))
            for user in {device.user for device in devices}
        }
    for device in devices:
        assert known(device) == rest[device.user]


# --- a storm of reconnects --------------------------------------------------------------------------------


async def test_three_hundred_clients_that_are_cut_off_at_once_resume_without_a_gap_in_few_statements(
    stage: Stage,
) -> None:
    users = await stage.users(100)
    devices = [stage.device(user, nth) for user in users for nth in range(3)]
    async with together(devices), stage.one.client() as client, Load(client, users, size=100) as load:
        await load.more(300)
        resumed = [await crowd.count(node.process, "bellwire_catch_ups_total") for node in stage.nodes]
        async with logged_statements(stage) as statements:
            for device in devices:
                device.abort()
            await eventually(lambda: all(device.connections >= 2 for device in devices), "all are back")
            await load.more(300)
            await eventually(lambda: all(_replays(device) for device in devices), "all have caught up")
        await load.end()
        totals = {user: len(ids) for user, ids in load.accepted.items()}
        await all_at(devices, totals)

        assert await stage.versions(users) == totals
        for device in devices:
            assert device.in_order() == load.accepted[device.user]
            assert device.connections == 2
    assert sum([await one() for one in resumed]) >= 300
    standings, pages = statements()
    assert standings > 0
    assert pages > 0
    # Each device needs one of each; how many share a statement depends on how busy the machine is.
    assert standings + pages < len(devices)


def _replays(device: Device) -> int:
    return sum(frame["type"] == "replayed" for frame in device.frames)


@asynccontextmanager
async def logged_statements(stage: Stage) -> AsyncIterator[Callable[[], tuple[int, int]]]:
    """How many statements asked where feeds stand, and how many for pages: PostgreSQL logs all meanwhile."""
    server = stage.servers.postgres
    if server is None:
        pytest.skip("only a PostgreSQL that runs embedded can be told to log")
    start = server.log.stat().st_size

    def counted() -> tuple[int, int]:
        with server.log.open("rb") as log:
            log.seek(start)
            said = log.read().decode(errors="replace")
        return len(_STANDINGS.findall(said)), len(_PAGES.findall(said))

    await asyncio.to_thread(set_logging, server, "all")
    try:
        yield counted
    finally:
        await asyncio.to_thread(set_logging, server, "none")


def set_logging(server: PostgresServer, which: str) -> None:
    server.sql(f"ALTER SYSTEM SET log_statement = '{which}'")
    server.sql("SELECT pg_reload_conf()")


# --- frames that are none ---------------------------------------------------------------------------------


NOBODY = "01a202bb-ab09-7455-8828-c43162a00800"
ALIVE = ("ok", "alive")
LEAVE = wire(Opcode.CLOSE, Close(1000, "").serialize())


def command(**fields: Any) -> bytes:
    return text(json.dumps(fields))


def close(code: int, reason: bytes = b"") -> bytes:
    return wire(Opcode.CLOSE, code.to_bytes(2) + reason)


ANSWERED: Mapping[str, tuple[bytes, tuple[Any, ...]]] = {
    # what is sent, and all that comes of it: the session goes on
    "nothing": (text(""), ("error", "bad_frame", None)),
    "half an object": (text('{"type":"pong"'), ("error", "bad_frame", None)),
    "two objects": (text('{"type":"pong"}{"type":"pong"}'), ("error", "bad_frame", None)),
    "null": (text("null"), ("error", "bad_frame", None)),
    "a number": (text("42"), ("error", "bad_frame", None)),
    "a list": (text('[{"type":"pong"}]'), ("error", "bad_frame", None)),
    "a text": (text('"pong"'), ("error", "bad_frame", None)),
    "no type": (command(ref=1), ("error", "bad_frame", 1)),
    "a type that is a number": (command(type=1, ref="r"), ("error", "bad_frame", "r")),
    "a type of the service": (command(type="notifications", items=[], ref=2), ("error", "bad_frame", 2)),
    "another case": (command(type="READ", ids=[], ref=3), ("error", "bad_frame", 3)),
    "a control character": (text('{"type":"read","ids":[],"ref":"\x00"}'), ("error", "bad_frame", None)),
    "NaN": (text('{"type":"read","ids":[],"ref":NaN}'), ("error", "bad_frame", None)),
    "half a surrogate": (text('{"type":"read","ids":[],"ref":"\\ud800"}'), ("error", "bad_frame", None)),
    "deep lists": (text("[" * 2_000 + "]" * 2_000), ("error", "bad_frame", None)),
    "deep objects": (text('{"a":' * 650 + "1" + "}" * 650), ("error", "bad_frame", None)),
    "a deep field": (
        text('{"type":"pong","a":' + "[" * 1_900 + "]" * 1_900 + "}"),
        ("error", "bad_frame", None),
    ),
    "bytes": (wire(Opcode.BINARY, b"\x00\xff\xfe"), ("error", "bad_frame", None)),
    "ref true": (command(type="read", ids=[], ref=True), ("error", "bad_frame", None)),
    "ref 1.5": (command(type="read", ids=[], ref=1.5), ("error", "bad_frame", None)),
    "ref a list": (command(type="read", ids=[], ref=[1]), ("error", "bad_frame", None)),
    "ref an object": (command(type="read", ids=[], ref={"a": 1}), ("error", "bad_frame", None)),
    "ids a text": (command(type="read", ids=NOBODY, ref=4), ("error", "bad_frame", 4)),
    "ids of another kind": (command(type="read", ids=["1"], ref=5), ("error", "bad_frame", 5)),
    "ids nested": (command(type="read", ids=[[NOBODY]], ref=6), ("error", "bad_frame", 6)),
    "a token that is a number": (command(type="refresh", token=1, ref=7), ("error", "bad_frame", 7)),
    "no token": (command(type="refresh", ref=8), ("error", "bad_frame", 8)),
    "no such token": (command(type="refresh", token="a.b.c", ref=9), ("error", "refused", 9)),
    "101 ids": (
        command(type="read", ids=[uuid4().hex for _ in range(101)], ref=10),
        ("error", "refused", 10),
    ),
    "neither ids nor up_to": (command(type="archive", ref=11), ("error", "refused", 11)),
    "ids and up_to": (command(type="read", ids=[], up_to="e.1", ref=12), ("error", "refused", 12)),
    "a cursor without an epoch": (command(type="read", up_to="7", ref=13), ("error", "refused", 13)),
    "a cursor below zero": (command(type="read", up_to="e.-1", ref=14), ("error", "refused", 14)),
    "a cursor of another feed": (command(type="read", up_to="zzzz.1", ref=15), ("error", "refused", 15)),
    "an endless cursor": (command(type="read", up_to="e." + "9" * 3_000, ref=16), ("error", "refused", 16)),
    "more than 4 KiB": (command(type="read", ids=[], x="x" * 4_096, ref=17), ("error", "too_large", 17)),
    "4 KiB of padding": (text('{"type":"pong"}' + " " * 4_082), ("error", "too_large", None)),
    "just below 16 KiB": (command(x="x" * 16_300, ref=18), ("error", "too_large", 18)),
    "letters of two bytes": (text("é" * 2_049), ("error", "too_large", None)),
    "unknown ids": (command(type="read", ids=[NOBODY], ref=19), ("ok", 19)),
    "unknown fields": (command(type="read", ids=[], sudo=True, ref=20), ("ok", 20)),
    "an empty ref": (command(type="read", ids=[], ref=""), ("ok", "")),
    "a command in pieces": (
        wire(Opcode.TEXT, b'{"type":"read",', fin=False)
        + wire(Opcode.PING, b"between")
        + b"".join(wire(Opcode.CONT, bytes([byte]), fin=False) for byte in b'"ids":[],"ref":21}')
        + wire(Opcode.CONT),
        ("pong between", "ok", 21),
    ),
    "a ping": (wire(Opcode.PING, b"x" * 125), ("pong " + "x" * 125,)),
    "pongs that nobody asked for": (wire(Opcode.PONG, b"x") * 50 + command(type="pong"), ()),
}

CLOSED: Mapping[str, tuple[bytes, int]] = {
    # what is sent, and the code of the close that answers it, without a bye
    "more than 16 KiB": (text("x" * 16_385), 1009),
    "more than 16 KiB announced": (text("x" * 16_385)[:20], 1009),
    "more than 16 KiB in pieces": (
        wire(Opcode.TEXT, b"[", fin=False) + wire(Opcode.CONT, b"x" * 1024, fin=False) * 16,
        1009,
    ),
    "more than an exabyte": (b"\x81\xff" + (1 << 62).to_bytes(8) + bytes(4), 1009),
    "invalid UTF-8": (text(b'{"type":"\xff"}'), 1007),
    "UTF-8 that ends early": (text(b'"caf\xc3'), 1007),
    "reserved bit 1": (b"\xc1" + text("{}")[1:], 1002),
    "reserved bit 2": (b"\xa1" + text("{}")[1:], 1002),
    "reserved bit 3": (b"\x91" + text("{}")[1:], 1002),
    "reserved opcode 3": (b"\x83" + text("{}")[1:], 1002),
    "reserved opcode 11": (b"\x8b" + text("{}")[1:], 1002),
    "an unmasked frame": (b"\x81\x02{}", 1002),
    "a piece of nothing": (wire(Opcode.CONT, b"{}"), 1002),
    "a message within another": (wire(Opcode.TEXT, b"{", fin=False) + text("{}"), 1002),
    "a ping in pieces": (b"\x09" + wire(Opcode.PING, b"x")[1:], 1002),
    "a ping of 126 bytes": (b"\x89\xfe" + (126).to_bytes(2) + bytes(4 + 126), 1002),
    "a close of one byte": (wire(Opcode.CLOSE, b"\x03"), 1002),
    "a close of 126 bytes": (b"\x88\xfe" + (126).to_bytes(2) + bytes(4 + 126), 1002),
    "close 0": (close(0), 1002),
    "close 999": (close(999), 1002),
    "close 1005": (close(1005), 1002),
    "close 1006": (close(1006), 1002),
    "close 1015": (close(1015), 1002),
    "close 5000": (close(5000), 1002),
    "close for a reason that is no text": (close(1000, b"\xff"), 1007),
    "close 1000": (close(1000), 1000),
    "close 3000": (close(3000), 3000),
    "close 4999": (close(4999), 4999),
}


async def test_each_malformed_frame_has_its_answer_and_the_session_goes_on(stage: Stage) -> None:
    (user,) = await stage.users(1)
    async with together([stage.device(user)]) as (witness,):
        answers = {name: await _answers(stage.one, user, sent) for name, (sent, _) in ANSWERED.items()}
        assert answers == {name: [*_split(expected), ALIVE] for name, (_, expected) in ANSWERED.items()}
        assert {frame["type"] for frame in witness.frames} <= {"welcome", "ping"}
        async with stage.one.client() as client:
            await publish(client, [tick(user, 0)])
        await all_at([witness], {user: 1})  # and nothing else came to it
    _no_defects(stage.one)


async def test_each_broken_frame_closes_its_socket_with_its_code_and_no_other(stage: Stage) -> None:
    (user,) = await stage.users(1)
    ours = await crowd.count(stage.one.process, "bellwire_closes_total")
    async with together([stage.device(user)]) as (witness,):
        codes = {name: await _closed_with(stage.one, user, sent) for name, (sent, _) in CLOSED.items()}
        assert codes == {name: [f"close {code}"] for name, (_, code) in CLOSED.items()}
        assert (await witness.ask(type="read", ids=[]))["type"] == "ok"
        assert witness.connections == 1
    assert await ours() == 0
    _no_defects(stage.one)


async def _answers(api: Api, user: str, sent: bytes) -> list[tuple[Any, ...]]:
    """All that comes of it until a command after it is answered, or the socket closes."""
    async with Peer.on(api, user) as peer:
        await peer.next("welcome")
        peer.write(sent + command(type="read", ids=[], ref="alive"))
        said: list[tuple[Any, ...]] = []
        async for frame in peer.frames():
            said.append(tuple(frame[name] for name in ("type", "code", "ref") if name in frame))
            if said[-1] == ALIVE:
                break
        return said


def _split(expected: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """A pong stands before what comes after it."""
    if expected and expected[0].startswith("pong"):
        return [expected[:1], *_split(expected[1:])]
    return [expected] if expected else []


async def _closed_with(api: Api, user: str, sent: bytes) -> list[str]:
    async with Peer.on(api, user) as peer:
        await peer.next("welcome")
        peer.write(sent)
        return [frame["type"] for frame in await peer.rest()]


def _no_defects(api: Api) -> None:
    assert "a live session failed" not in api.process.log.read_text()
    assert "Traceback" not in api.process.log.read_text()


# --- clients that do not keep up, do not answer, or say too much ------------------------------------------


async def test_a_client_that_stops_reading_is_closed_and_resumes_while_others_are_told_everything(
    stage: Stage,
) -> None:
    """It is cut off for what waits for it, or for how long; and what waits stays bounded."""
    user, bystander = await stage.users(2)
    others = [stage.device(user, nth) for nth in range(8)] + [stage.device(bystander)]
    too_slow = await crowd.count(stage.one.process, "bellwire_closes_total", code="4002")
    sent: list[str] = []
    most_queued = 0.0
    async with together(others), stage.one.client() as client, Peer.on(stage.one, user, buffer=4096) as slow:
        welcome = await slow.next("welcome")
        while not await too_slow():
            assert len(sent) < 4_000
            items = [tick(user, len(sent) + n, metadata={"filler": "x" * 16_000}) for n in range(50)]
            sent += await publish(client, items)
            most_queued = max(most_queued, await metric(stage.one.process, "bellwire_queued_bytes"))
        await publish(client, [tick(bystander, 0)])
        *told, bye, end = [frame async for frame in slow.frames() if frame["type"] != "ping"]
        await all_at(others, {user: len(sent), bystander: 1})
        assert all(device.connections == 1 for device in others)
    assert most_queued < 2 * (1 << 20)
    assert (bye["type"], bye["code"], bye["resume"]) == ("bye", 4002, True)
    assert 500 <= bye["retry_ms"] <= 1_500
    assert end == {"type": "close 4002"}
    assert await too_slow() == 1

    back = stage.device(user)
    for frame in [welcome, *told]:
        back.take(frame)
    assert 0 < back.at < len(sent)
    async with together([back]):
        await all_at([back], {user: len(sent)})
    assert back.in_order() == sent


async def test_who_answers_no_ping_is_closed_and_who_never_asks_is_dropped(stage: Stage) -> None:
    (user,) = await stage.users(1)
    node = await stage.small()
    lively = Device([node.url], user, stage.product.token)
    async with (
        together([lively]),
        Peer.on(node, user) as silent,
        Peer.of(node.process) as mute,
        Peer.of(node.process) as half,
        Peer.of(node.process) as idle,
        Peer.on(node, user) as below,
    ):
        half.write(b"GET /ws/ada HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n")
        idle.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        (welcome, ping, bye, end), ended = await asyncio.gather(silent.rest(), _pongs_below(below))
        assert (welcome["type"], ping, end) == ("welcome", {"type": "ping"}, {"type": "close 4001"})
        assert (bye["code"], bye["resume"]) == (4001, True)
        assert 0 <= bye["retry_ms"] <= 1_000
        assert ended == end
        assert await mute.is_dropped() == await half.is_dropped() == b""
        assert (await idle.is_dropped()).startswith(b"HTTP/1.1 200 ")
        await lively.seen(lambda frame: frame["type"] == "ping", "a ping")
        assert lively.connections == 1


async def _pongs_below(peer: Peer) -> Json:
    """Answer with what the protocol calls a pong, which is none: a proxy could send it. How it ends."""
    async for frame in peer.frames():
        if frame["type"] == "ping":
            peer.write(wire(Opcode.PONG))
    return frame


async def test_who_says_too_much_is_closed_and_may_come_back(stage: Stage) -> None:
    (user,) = await stage.users(1)
    async with stage.one.client() as client, Peer.on(stage.one, user) as peer:
        welcome = await peer.next("welcome")
        began = time.monotonic()
        for number in range(1_000):
            peer.say(type="read", ids=[], ref=number)
        *answers, bye, end = await peer.rest()
        seconds = time.monotonic() - began

        assert [(one["type"], one["ref"]) for one in answers] == [("ok", n) for n in range(len(answers))]
        assert 100 <= len(answers) <= 100 + 20 * seconds
        assert (bye["type"], bye["code"], bye["resume"]) == ("bye", 4005, True)
        assert 5_000 <= bye["retry_ms"] <= 10_000
        assert end == {"type": "close 4005"}
        ids = await publish(client, [tick(user, n) for n in range(3)])
        back = stage.device(user, cursor=welcome["cursor"], start=version(welcome["cursor"]))
        async with together([back]):
            await all_at([back], {user: 3})
            assert back.in_order() == ids


async def test_a_user_and_a_node_have_room_for_so_many_streams_and_no_more(stage: Stage) -> None:
    """Also of those that come at the same moment, with tickets that are looked up first."""
    full, *users = await stage.users(MOST // MOST_PER_USER + 8)
    node = await stage.small()
    few = [Device([node.url], full, stage.product.token) for _ in range(MOST_PER_USER)]
    many = [Device([node.url], user, stage.product.token) for user in users[:-10] for _ in range(3)]
    free = MOST - len(few) - len(many)
    async with together(few):
        async with Peer.on(node, full) as peer:
            bye, end = await peer.rest()
        assert (bye["code"], bye["resume"], bye["retry_ms"]) == (4514, False, None)
        assert end == {"type": "close 4514"}
        few[0].abort()
        await eventually(lambda: few[0].connections == 2, "there is room again after one left")
        assert all(device.ends in ([], [None]) for device in few)

        async with together(many), AsyncExitStack() as stack:
            # Not before: they are good for half a minute.
            tickets = [(user, await _ticket(node, user)) for user in users[-8:] for _ in range(3)]
            peers = [await stack.enter_async_context(Peer.of(node.process)) for _ in tickets]
            paths = [f"/ws/{user}?ticket={ticket}" for user, ticket in tickets]
            answers = await asyncio.gather(
                *(one.upgrade(path) for one, path in zip(peers, paths, strict=True))
            )
            welcomed = 0
            for (status, head, body), one in zip(answers, peers, strict=True):
                if status == 101:
                    first = await one.next("welcome", "bye")
                    welcomed += first["type"] == "welcome"
                    assert first.get("code", 4006) == 4006
                else:
                    assert status == 503
                    assert re.search(r"retry-after: [1-5]\r\n", head)
                    assert "content-type: application/problem+json" in head
                    assert json.loads(body)["status"] == 503
            assert welcomed == free
            async with Peer.of(node.process) as late:
                status, _, _ = await late.upgrade(f"/ws/{users[-1]}", stage.product.token(users[-1]))
            assert status == 503
            assert await metric(node.process, "bellwire_sockets") == MOST
            async with together([stage.device(users[-1])]):  # elsewhere there is room
                pass
        await eventually(lambda: _sockets(node, len(few)), "those have left")
        async with Peer.on(node, users[-1]) as peer:
            assert await peer.next("welcome")


async def _ticket(api: Api, user: str) -> str:
    async with api.client(user) as client:
        response = await client.post("/v1/stream-tickets")
    assert response.status_code == 201, response.text
    return str(response.json()["ticket"])


async def _sockets(api: Api, number: int) -> bool:
    return await metric(api.process, "bellwire_sockets") == number


# --- a node that goes -------------------------------------------------------------------------------------


async def test_a_hundred_sockets_of_a_drained_node_go_to_another_and_miss_nothing(stage: Stage) -> None:
    users = await stage.users(34)
    node = await stage.small()
    urls = [node.url, stage.one.url]
    devices = [Device(urls, user, stage.product.token) for user in users for _ in range(3)][:100]
    async with (
        together(devices),
        stage.one.client() as client,
        Load(client, users, size=34, pause=0.05) as load,
    ):
        await load.more(100)
        os.kill(node.process.pid, signal.SIGTERM)
        async with node.client(users[0]) as there:
            await eventually(lambda: _draining(there), "it is not ready")
            left = sum(not device.byes for device in devices)
            assert left > 0  # a balancer knows before the last client does
            async with Peer.of(node.process) as late:
                status, head, _ = await late.upgrade(f"/ws/{users[0]}", stage.product.token(users[0]))
            assert status == 503
            assert "retry-after: " in head
            page = await there.get(f"/notifications/{users[0]}")
            assert (page.status_code, page.json()["unread_count"] > 0) == (200, True)
            accepted = await there.post("/v1/notifications", json=tick(users[0], 0))
            assert accepted.status_code == 202
            assert any(not device.byes for device in devices), "the drain was over too soon to be looked at"
        await eventually(lambda: not node.process.running, "it has ended")
        await eventually(lambda: all(device.connections == 2 for device in devices), "all are elsewhere")
        await load.more(100)
        await load.end()
        load.accepted[users[0]].append(accepted.json()["id"])
        await all_at(devices, {user: len(ids) for user, ids in load.accepted.items()})

    assert node.process.exit_code == 0, node.process.log_tail()
    for device in devices:
        assert set(device.in_order()) == set(load.accepted[device.user])
        assert device.ends == [4000]
        assert [(bye["code"], bye["resume"]) for bye in device.byes] == [(4000, True)]
    waits = [device.byes[0]["retry_ms"] for device in devices]
    assert 0 <= min(waits) <= max(waits) <= 3_000
    assert max(waits) - min(waits) > 1_500
    assert len(set(waits)) > 80


async def _draining(client: httpx.AsyncClient) -> bool:
    answer = await client.get("/health/ready")
    return (answer.status_code, answer.json()["checks"]["streams"]) == (503, "draining")


# --- tokens that end --------------------------------------------------------------------------------------


async def test_a_stream_lives_as_long_as_its_token_and_its_user_is_let_in_on_both_nodes(
    stage: Stage,
) -> None:
    """One renews its token in place, one lets it expire; of the others one is signed out, one locked out."""
    renews, expires, signed_out, locked_out = users = await stage.users(4)
    renewing, expiring = stage.device(renews), stage.device(expires)
    renewing.token = expiring.token = lambda user: _for_seconds(stage, user, 3)  # from when it connects
    others = [stage.device(user, nth) for user in (signed_out, locked_out) for nth in range(2)]
    async with stage.one.client() as client, together(others), AsyncExitStack() as stack:
        await stack.enter_async_context(together([renewing]))
        answer = await renewing.ask(type="refresh", token=stage.product.token(renews))
        await stack.enter_async_context(together([expiring]))  # its token outlives that of the other
        assert (answer["type"], answer["changed"]) == ("ok", 0)
        assert 3_000 < answer["token_expires_in"] <= 3_600
        for user, what in ((signed_out, "revoke-tokens"), (locked_out, "disable")):
            response = await client.post(f"/v1/users/{user}/{what}")
            assert response.status_code == 204, response.text
        await eventually(lambda: all(device.ends for device in (*others, expiring)), "those have ended")

        assert [(bye["code"], bye["resume"]) for bye in expiring.byes][:1] == [(4004, True)]
        assert expiring.ends[0] == 4004
        for device in others:
            assert device.ends[0] == 4513
            assert (device.byes[0]["code"], device.byes[0]["resume"]) == (4513, False)
            assert device.byes[0]["retry_ms"] is None
        # Tokens that were issued since: good for who was signed out, worth nothing for who is locked out.
        await eventually(lambda: all(device.ends.count(4513) > 1 for device in others[2:]), "refused again")
        ids = await publish(client, [tick(user, 0) for user in users])
        back = stage.device(signed_out)
        async with together([back]):
            await all_at([renewing], {renews: 1})
            assert (renewing.connections, renewing.in_order()) == (1, [ids[0]])
            await eventually(lambda: back.at == 1, "who signed in again is told")
        assert all(not device.created for device in others[2:])


def _for_seconds(stage: Stage, user: str, seconds: int) -> str:
    settings, now = stage.product.settings, datetime.now(UTC)
    claims = {
        "sub": user,
        "iat": now,
        "exp": now + timedelta(seconds=seconds),
        "aud": settings.token_audience,
    }
    return jwt.encode(claims, settings.token_secret, "HS256")


# --- servers that die, freeze and come back ---------------------------------------------------------------


@pytest.mark.parametrize("fault", ["redis dies", "redis freezes", "postgres dies"])
async def test_streams_outlive_their_servers_and_miss_nothing(stage: Stage, fault: str) -> None:
    """Without Redis they go on, later: each position is compared with the store every 5 s. Without PostgreSQL
    they wait.
    """
    server, begin, end = _spoilt(stage, fault)
    users = await stage.users(10)
    devices = [stage.device(user, nth) for user in users for nth in range(4)]
    async with (
        together(devices),
        stage.one.client() as client,
        Load(client, users, size=10, pause=0.1) as load,
    ):
        await load.more(50)
        first = {user: list(ids) for user, ids in load.accepted.items()}
        await eventually(lambda: all(_has(device, first) for device in devices), "all have the first ones")
        compared = [await crowd.count(node.process, "bellwire_position_misses_total") for node in stage.nodes]
        await asyncio.to_thread(begin)
        try:
            await load.more(50)
            if server is stage.servers.redis:
                marked = await devices[0].ask(type="read", ids=first[users[0]][:5])
                assert (marked["type"], marked["changed"]) == ("ok", 5)
                done = {user: list(ids) for user, ids in load.accepted.items()}
                await eventually(lambda: all(_has(device, done) for device in devices), "streams go on")
                await eventually(lambda: all(_read(device) == 5 for device in devices[:4]), "marks are told")
                assert all([await misses() > 0 for misses in compared])
        finally:
            await asyncio.to_thread(end)
        await load.more(50)
        await load.end()
        totals = {user: len(ids) for user, ids in load.accepted.items()}
        if server is stage.servers.redis:
            totals[users[0]] += 5
        await all_at(devices, totals)
        for device in devices:
            assert device.in_order() == load.accepted[device.user]
            assert device.connections == 1
        await _end_as_rest_says(stage, devices)
    assert not await stage.stores.broken_feeds()
    await eventually(lambda: agree(stage.stores), "the index agrees with the store")


def _spoilt(stage: Stage, fault: str) -> tuple[Process, Callable[[], None], Callable[[], None]]:
    redis, postgres = stage.servers.redis, stage.servers.postgres
    if redis is None or postgres is None:
        pytest.skip("only servers that run embedded can be killed and frozen")
    match fault:
        case "redis dies":
            return redis, redis.kill, redis.start
        case "redis freezes":
            return redis, redis.pause, redis.resume
        case _:
            return postgres, postgres.kill, postgres.start


def _has(device: Device, accepted: Mapping[str, Sequence[str]]) -> bool:
    return device.created.keys() >= set(accepted[device.user])


def _read(device: Device) -> int:
    return sum(item["read_at"] is not None for item in device.items.values())


# --- many devices on two nodes ----------------------------------------------------------------------------


async def test_marks_of_all_devices_reach_all_devices_of_both_nodes_in_one_order_over_reconnects(
    stage: Stage,
) -> None:
    users = await stage.users(10)
    devices = [stage.device(user, nth) for user in users for nth in range(4)]
    async with together(devices), stage.one.client() as client:
        await publish(client, [tick(user, n) for n in range(40) for user in users])
        await eventually(lambda: all(device.at == 40 for device in devices), "all have the first forty")
        changed = await asyncio.gather(*(_mark_a_lot(device, nth % 4) for nth, device in enumerate(devices)))
        totals = {user: 40 + sum(changed[4 * nth : 4 * nth + 4]) for nth, user in enumerate(users)}
        assert await stage.versions(users) == totals
        await all_at(devices, totals)

        for first in range(0, len(devices), 4):
            mine, after = devices[first : first + 4], dict[str, Json]()
            assert [device.connections for device in mine] == [1, 2, 1, 2]
            for device in mine:
                for frame in device.changes:
                    if frame["type"] == "update":
                        assert after.setdefault(frame["prev"], frame) == frame
        await _end_as_rest_says(stage, devices)


async def _mark_a_lot(device: Device, nth: int) -> int:
    """Each marks ids of its own and, up to a version, also those of others. Every other one reconnects in
    between: before it is back it marks nothing. How many notifications were changed.
    """
    ids = device.in_order()[nth::4]
    changed = 0
    for step, kind in enumerate(("read", "unread", "archive", "unarchive", "read", "archive")):
        if nth % 2 and step == 3:
            device.abort()
            await eventually(lambda: device.connections == 2, "it is back")
            await eventually(lambda: device.frames[-1]["type"] != "welcome", "it has caught up")
        which: dict[str, Any] = {"ids": ids}
        if step == 4:
            epoch = (device.cursor or "").partition(".")[0]
            which = {"up_to": f"{epoch}.{device.at}"}
        answer = await device.ask_again(type=kind, **which)
        assert answer["type"] == "ok", answer
        changed += answer["changed"]
    return changed


# --- nothing is left --------------------------------------------------------------------------------------


async def test_when_all_have_left_nothing_of_them_is_held(stage: Stage) -> None:
    """After all that went before in this module, and some more."""
    await churn(stage, 100)
    for node in stage.nodes:
        before, after = stage.before[node.url], await settled(node)

        assert after.files == before.files
        # What the pools may open: ten to PostgreSQL, and to Redis as many commands as there were at once.
        assert after.others <= before.others + 20
        assert after.tasks <= before.tasks + 2
        assert after.megabytes < before.megabytes + 100
        _no_defects(node)
