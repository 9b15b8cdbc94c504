"""Attacks on live streams, of anybody who reaches the port and of a client with a token, while an honest
client goes on. One installation for all; each attack is bounded in bytes and in time.
"""

import asyncio
import resource
import selectors
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from websockets.frames import Opcode

from tests import crowd
from tests.conftest import Databases, as_read, installation
from tests.crowd import Device, Peer, text, wire
from tests.drills import Honest, judge
from tests.integration.conftest import Run
from tests.product import Api, Product, create_users, eventually
from workbench.embedded import LOOPBACK, EmbeddedServers
from workbench.soak.waiting import TooLate
from workbench.soak.watch import waited

pytestmark = pytest.mark.asyncio(loop_scope="module")

PING = bytes.fromhex("898000000000")  # an empty one, masked: the cheapest frame to send
SECONDS, MEGABYTES = 2.0, 256
STAY_SECONDS = 10.0
"""Longer than some of those that were refused stay."""
SOMAXCONN = int(Path("/proc/sys/net/core/somaxconn").read_text())
CROWD, HANDSHAKES, WAITING = 10_000, 1_500, 3_000


@dataclass
class Stage:
    api: Api
    honest: Honest
    device: Device

    async def withstands(
        self, run: Run, attack: Callable[[Event], Coroutine[Any, Any, Any]], **figures: float
    ) -> None:
        attacked = await self.honest.during(attack)
        judge(run, self.honest.resting, attacked, **figures)
        assert self.device.connections == 1
        assert not self.device.holes
        _no_defects(self.api)


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
        async with api.client() as client:
            await create_users(client, ["ada", "eve"])
        async with Honest.of(api, "ada", device) as honest:
            yield Stage(api, honest, device)
    finally:
        await product.stop()
        await asyncio.to_thread(databases.drop, url)


def _no_defects(api: Api) -> None:
    assert "Traceback" not in api.process.log.read_text()
    assert api.process.running


# --- tiny frames ------------------------------------------------------------------------------------------


async def test_tiny_frames_without_credentials_hold_up_nobody(stage: Stage, run: Run) -> None:
    """Whoever reads them before the client is known, or after the bye, takes some 10 µs for 6 bytes."""
    await stage.withstands(run, lambda enough: floods(stage.api, "/ws/x", "", PING, enough))


@pytest.mark.parametrize(
    "frames",
    [PING, wire(Opcode.PONG), wire(Opcode.TEXT, fin=False) + wire(Opcode.CONT, fin=False) * 1000, text("{}")],
    ids=["pings", "pongs", "fragments", "messages"],
)
async def test_tiny_frames_of_a_client_end_its_stream_and_hold_up_nobody(
    stage: Stage, run: Run, frames: bytes
) -> None:
    ended = await crowd.count(stage.api.process, "bellwire_closes_total", code="4005")
    token = stage.api.product.token("eve")
    await stage.withstands(run, lambda enough: floods(stage.api, "/ws/eve", token, frames, enough))
    await eventually(lambda: _at_least(ended, 3), "each was closed for its pace")


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


async def _at_least(grown: Callable[[], Awaitable[float]], by: int) -> bool:
    return await grown() >= by


async def floods(api: Api, path: str, token: str, frames: bytes, enough: Event) -> None:
    await asyncio.gather(*(asyncio.to_thread(flood, api, path, token, frames, enough) for _ in range(3)))


def flood(api: Api, path: str, token: str, frames: bytes, enough: Event) -> None:
    """Open a stream and send as fast as is taken, whatever is answered; again whenever it ends."""
    sent, data = 0, frames * (120_000 // len(frames))
    end = time.monotonic() + SECONDS
    while sent < MEGABYTES << 20 and not (enough.is_set() and time.monotonic() > end):
        with suppress(OSError), socket.create_connection((LOOPBACK, api.process.port)) as peer:
            peer.sendall(handshake(path, token))
            peer.settimeout(0.5)
            peer.recv(1 << 10)
            while sent < MEGABYTES << 20 and not (enough.is_set() and time.monotonic() > end):
                with suppress(TimeoutError):
                    sent += peer.send(data)


def handshake(path: str, token: str = "") -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Authorization: Bearer {token}\r\n\r\n"
    ).encode()


# --- a crowd that proves nothing --------------------------------------------------------------------------


async def test_ten_thousand_connections_that_prove_nothing_keep_nobody_out(stage: Stage, run: Run) -> None:
    """Half-open requests, and sockets that are refused and stay: those have places of their own. Nobody is
    held up while they come, either.
    """
    ended = await crowd.count(stage.api.process, "bellwire_newcomers_ended_total")
    refused = [handshake("/ws/x") if nth % 2 else handshake("/ws/x?ticket=none") for nth in range(HANDSHAKES)]
    half = [b"GET /ws/x HTTP/1.1\r\nHost: x\r\n"] * (_room() - HANDSHAKES)
    connections = 0

    async def stay(enough: Event) -> None:
        nonlocal connections
        began, waits = time.monotonic(), waited(stage.api.process.pid)
        async with crowded(stage.api, refused) as held:
            with suppress(TooLate):
                await eventually(lambda: _at_least(ended, 1), "the first had to give way", STAY_SECONDS)
            # A process without a processor comes to the last when the first have left by themselves.
            busy = waited(stage.api.process.pid) - waits > (time.monotonic() - began) / 2
            assert busy or await ended() > 0
            async with crowded(stage.api, half) as more, Peer.on(stage.api, "ada") as late:
                assert await late.next("welcome")
                connections = held + more
                at_first = len(stage.honest.now.requests)
                await eventually(lambda: len(stage.honest.now.requests) > at_first + 20, "the honest goes on")
                await eventually(enough.is_set, "enough is measured")

    await stage.withstands(run, stay)
    run.note(connections=connections, ended=await ended())


async def test_three_thousand_connections_may_wait_for_a_process_that_is_busy(stage: Stage) -> None:
    """What does not fit is dropped by the kernel, and an honest client's attempt with it."""
    if SOMAXCONN < WAITING:
        pytest.skip("the kernel lets fewer wait")
    _room()
    await asyncio.to_thread(stage.api.process.pause)
    try:
        async with crowded(stage.api, [b""] * WAITING) as waiting:
            assert waiting == WAITING
    finally:
        await asyncio.to_thread(stage.api.process.resume)


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
    ready = selector.select(timeout=30)
    assert ready, "connections are not made"
    for key, _ in ready:
        selector.unregister(key.fileobj)
        with suppress(OSError):  # the other end may be done with it already
            key.fileobj.send(key.data)  # type: ignore[union-attr]
