"""Attacks on live streams, of anybody who reaches the port and of a client with a token, while an honest
client goes on. One installation for all; each attack is bounded in bytes and in time.
"""

import asyncio
import resource
import selectors
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from websockets.frames import Opcode

from tests import crowd
from tests.conftest import Databases, as_read, installation
from tests.crowd import Device, Peer, publish, text, together, wire
from tests.product import Api, Product, create_users, eventually
from workbench.embedded import LOOPBACK, EmbeddedServers
from workbench.local_client import local_client

pytestmark = pytest.mark.asyncio(loop_scope="module")

PING = bytes.fromhex("898000000000")  # an empty one, masked: the cheapest frame to send
SECONDS, MEGABYTES = 2.0, 64
FLOOR = 2.0
"""Seconds that are no sign of an attack: the machine is busy with other tests."""
CROWD, HANDSHAKES = 10_000, 1_500
SLOWER = 10


@dataclass
class Honest:
    """A client that publishes, reads and is told, and how long that takes."""

    api: Api
    client: httpx.AsyncClient
    device: Device
    seconds: list[float] = field(default_factory=list)
    since: float = 0.0
    """What began before this is not counted."""
    told: int = 0

    async def once(self) -> None:
        """Over a new connection, over an open one, and until a frame arrives."""
        async with local_client(base_url=self.api.url, timeout=60) as anew:
            await self._measured(anew.get("/health/live"))
        await self._measured(self.client.get("/notifications/ada"))
        began = time.monotonic()
        item = {"user_id": "ada", "event": "test.ticked", "message": "tick"}
        (identifier,) = await publish(self.client, [item])
        await eventually(lambda: identifier in self.device.created, "the frame has arrived")
        self._took(began)
        self.told += 1

    async def _measured(self, request: Awaitable[httpx.Response]) -> None:
        began = time.monotonic()
        response = await request
        assert response.status_code == 200, response.text
        self._took(began)

    def _took(self, began: float) -> None:
        if began >= self.since:
            self.seconds.append(time.monotonic() - began)

    async def while_(self, attack: Awaitable[Any]) -> float:
        """Go on during an attack, once at least; the longest that anything took."""
        self.seconds = []
        attacking = asyncio.ensure_future(attack)
        await asyncio.sleep(0)
        while True:
            await self.once()
            if attacking.done():
                await attacking
                return max(self.seconds)


@dataclass
class Stage:
    api: Api
    honest: Honest
    rest: float

    async def withstands(self, attack: Awaitable[Any]) -> float:
        told = self.honest.told
        worst = await self.honest.while_(attack)
        assert worst < max(SLOWER * self.rest, FLOOR)
        assert self.honest.told > told
        assert self.honest.device.connections == 1
        assert not self.honest.device.holes
        _no_defects(self.api)
        return worst


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(
    servers: EmbeddedServers, databases: Databases, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    url = await asyncio.to_thread(lambda: databases.create(template=template))
    environment = installation(servers, url, f"attacks-{uuid4().hex[:12]}")
    product = Product(tmp_path_factory.mktemp("attacks"), environment, as_read(environment))
    try:
        await product.prepare()
        api, _ = await asyncio.gather(product.api(), product.consumer())
        device = Device([api.url], "ada", product.token)
        async with api.client("ada") as client:
            await create_users(client, ["ada", "eve"])
            async with together([device]):
                honest = Honest(api, client, device)
                await honest.once()
                rest = await honest.while_(asyncio.sleep(1))
                yield Stage(api, honest, rest)
    finally:
        await product.stop()
        await asyncio.to_thread(databases.drop, url)


def _no_defects(api: Api) -> None:
    assert "Traceback" not in api.process.log.read_text()
    assert api.process.running


# --- tiny frames ------------------------------------------------------------------------------------------


async def test_tiny_frames_without_credentials_hold_up_nobody(stage: Stage, run: Any) -> None:
    """Whoever reads them before the client is known, or after the bye, takes some 10 µs for 6 bytes."""
    path = "/ws/x"
    floods = [asyncio.to_thread(flood, stage.api, path, "", PING) for _ in range(3)]
    worst = await stage.withstands(asyncio.gather(*floods))
    run.note(worst_seconds=worst, rest_seconds=stage.rest)


@pytest.mark.parametrize(
    "frames",
    [PING, wire(Opcode.PONG), wire(Opcode.TEXT, fin=False) + wire(Opcode.CONT, fin=False) * 1000, text("{}")],
    ids=["pings", "pongs", "fragments", "messages"],
)
async def test_tiny_frames_of_a_client_end_its_stream_and_hold_up_nobody(stage: Stage, frames: bytes) -> None:
    ended = await crowd.count(stage.api.process, "bellwire_closes_total", code="4005")
    token = stage.api.product.token("eve")
    floods = [asyncio.to_thread(flood, stage.api, "/ws/eve", token, frames) for _ in range(3)]
    await stage.withstands(asyncio.gather(*floods))
    await eventually(lambda: _is(ended, 3), "each was closed for its pace")


async def test_a_client_that_pings_too_fast_is_told_why_and_one_that_does_not_is_answered(
    stage: Stage,
) -> None:
    async with Peer.on(stage.api, "eve") as fast, Peer.on(stage.api, "eve") as slow:
        await fast.next("welcome")
        await slow.next("welcome")
        slow.write(wire(Opcode.PING, b"there?"))
        assert await slow.next("pong there?")
        fast.write(PING * 10_000)
        *pongs, bye, end = await fast.rest()

        assert {frame["type"] for frame in pongs} == {"pong "}
        assert 100 <= len(pongs) < 1_000
        assert (bye["type"], bye["code"], bye["resume"]) == ("bye", 4005, True)
        assert end == {"type": "close 4005"}


async def _is(grown: Callable[[], Awaitable[float]], by: int) -> bool:
    return await grown() == by


def flood(api: Api, path: str, token: str, frames: bytes) -> int:
    """Open a stream and send as fast as is taken, for a while, whatever is answered. How many bytes."""
    sent, data = 0, frames * (120_000 // len(frames))
    with socket.create_connection((LOOPBACK, api.process.port)) as peer:
        peer.sendall(handshake(path, token))
        peer.recv(1 << 10)
        peer.settimeout(0.5)
        end = time.monotonic() + SECONDS
        with suppress(OSError):
            while sent < MEGABYTES << 20 and time.monotonic() < end:
                with suppress(TimeoutError):
                    sent += peer.send(data)
    return sent


def handshake(path: str, token: str = "") -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Authorization: Bearer {token}\r\n\r\n"
    ).encode()


# --- a crowd that proves nothing --------------------------------------------------------------------------


async def test_ten_thousand_connections_that_prove_nothing_keep_nobody_out(stage: Stage, run: Any) -> None:
    """Half-open requests, and sockets that are refused and stay: those have places of their own."""
    ended = await crowd.count(stage.api.process, "bellwire_newcomers_ended_total")
    refused = [handshake("/ws/x") if nth % 2 else handshake("/ws/x?ticket=none") for nth in range(HANDSHAKES)]
    half = [b"GET /ws/x HTTP/1.1\r\nHost: x\r\n"] * (_room() - HANDSHAKES)

    async def stay() -> int:
        """They come while the honest client goes on; once all are there its times count."""
        async with crowded(stage.api, refused) as held:
            await eventually(lambda: _some(ended), "the first had to give way")
            async with crowded(stage.api, half) as more, Peer.on(stage.api, "ada") as late:
                assert await late.next("welcome")
                stage.honest.seconds.clear()
                stage.honest.since, told = time.monotonic(), stage.honest.told
                await eventually(lambda: stage.honest.told >= told + 3, "the honest client goes on")
                return held + more

    staying = asyncio.create_task(stay())
    worst = await stage.withstands(staying)
    run.note(connections=await staying, ended=await ended(), worst_seconds=worst, rest_seconds=stage.rest)


async def _some(grown: Callable[[], Awaitable[float]]) -> bool:
    return await grown() > 0


def _room() -> int:
    """As many as there are descriptors for."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return min(CROWD, hard - 1_000)
    return CROWD


@asynccontextmanager
async def crowded(api: Api, openings: Sequence[bytes]) -> AsyncIterator[int]:
    """Connections that send their opening and then only stay, whatever is answered. How many there are."""
    peers: list[socket.socket] = []
    try:
        await asyncio.to_thread(_open_all, api.process.port, openings, peers)
        yield len(peers)
    finally:
        for peer in peers:
            peer.close()


def _open_all(port: int, openings: Sequence[bytes], peers: list[socket.socket]) -> None:
    """Not faster than the kernel hands them on, of which it keeps a bounded number."""
    with selectors.DefaultSelector() as selector:
        for opening in openings:
            peer = socket.socket()
            peer.setblocking(False)
            peers.append(peer)
            with suppress(BlockingIOError):
                peer.connect((LOOPBACK, port))
            selector.register(peer, selectors.EVENT_WRITE, opening)
            if len(selector.get_map()) >= 100:
                _send_ready(selector)
        while selector.get_map():
            _send_ready(selector)


def _send_ready(selector: selectors.BaseSelector) -> None:
    for key, _ in selector.select(timeout=30):
        selector.unregister(key.fileobj)
        with suppress(OSError):  # the other end may be done with it already
            key.fileobj.send(key.data)  # type: ignore[union-attr]
