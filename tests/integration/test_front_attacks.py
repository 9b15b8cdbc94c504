"""Attacks on the HTTP front of a real process, with an honest client meanwhile: everything that it asks is
answered soon, and every frame arrives.
"""

import asyncio
import resource
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any

import httpx
import psutil
import pytest
import pytest_asyncio

from tests.conftest import Databases, as_read, installation
from tests.product import Api, Follower, Product, create_users, eventually, metric
from workbench.embedded import EmbeddedServers

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.in_order]

USER = "honest"
REQUESTS = 30
FLOOR_SECONDS = 1.5
FRAME_SECONDS = 5.0
DESCRIPTORS = 300
HALF_BODIES = 400
HALF = (
    b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(
    servers: EmbeddedServers, databases: Databases, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Api]:
    """One installation for all attacks."""
    url = databases.create(template=template)
    environment = installation(servers, url, "attacked")
    product = Product(tmp_path_factory.mktemp("attacked"), environment, as_read(environment))
    await product.prepare()
    api = await product.api()
    await product.consumer()
    async with api.client() as client:
        await create_users(client, [USER])
    yield api
    await product.stop()
    databases.drop(url)


@dataclass
class Honest:
    """A client that asks for its count, over a connection that it keeps and over new ones, publishes to
    itself, and follows its feed.
    """

    api: Api
    device: Follower
    seconds: list[float] = field(default_factory=list)

    @staticmethod
    @asynccontextmanager
    async def of(api: Api) -> AsyncIterator["Honest"]:
        async with api.follow(USER) as device:
            yield Honest(api, device)

    async def slowest(self) -> float:
        """The slowest of some requests."""
        async with self.api.client(USER) as kept:
            seconds = [await self._ask(kept, nth) for nth in range(REQUESTS)]
        return max(seconds)

    async def _ask(self, kept: httpx.AsyncClient, nth: int) -> float:
        began = time.monotonic()
        if nth % 3 == 0:
            await self._publish(kept)
        elif nth % 3 == 1:
            await _again(lambda: kept.get(f"/v1/users/{USER}/unread-count"))
        else:
            async with self.api.client(USER) as new:
                await _again(lambda: new.get(f"/v1/users/{USER}/unread-count"))
        return time.monotonic() - began

    async def _publish(self, client: httpx.AsyncClient) -> None:
        body = {"user_id": USER, "event": "drill.sent", "message": "hello"}
        response = await _again(lambda: client.post("/v1/notifications", json=body))
        identifier = response.json()["id"]
        await eventually(lambda: identifier in self.device.created, "the frame arrives", FRAME_SECONDS)


async def _again(request: Callable[[], Any]) -> httpx.Response:
    """As clients do when a connection that they keep was closed by the server meanwhile."""
    for _ in range(2):
        try:
            response: httpx.Response = await request()
        except httpx.TransportError:
            continue
        response.raise_for_status()
        return response
    raise AssertionError("no connection is kept open for as long as a request takes")


# --- request heads ----------------------------------------------------------------------------------------

ENDLESS = (b"Cookie: ", [b"c" * (1 << 20)] * 50)
MANY = (b"", [b"a: b\r\n" * 50_000])


@contextmanager
def sending_heads(api: Api) -> Iterator[list[bytes]]:
    """Send heads of both kinds again and again, in threads. Yields the first lines of the answers."""
    over, answers = Event(), list[bytes]()

    def attack(start: bytes, rest: list[bytes]) -> None:
        while not over.is_set():
            answers.append(_send_head(api, start, rest))

    threads = [Thread(target=attack, args=kind, daemon=True) for kind in (ENDLESS, MANY)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        over.set()
        for thread in threads:
            thread.join(30)


def _send_head(api: Api, start: bytes, rest: list[bytes]) -> bytes:
    with socket.create_connection(("127.0.0.1", api.process.port), 10) as peer:
        try:
            peer.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n" + start)
            peer.settimeout(1)  # the server stops reading
            for piece in rest:
                peer.sendall(piece)
            peer.sendall(b"\r\n\r\n")
        except OSError:
            pass
        try:
            return peer.recv(1000).partition(b"\r\n")[0]
        except OSError:
            return b""


async def test_endless_heads_and_heads_of_many_fields_stop_nobody(api: Api) -> None:
    """A head of 50 MB once stalled everybody for 2.6 s, and both were answered 200."""
    process = psutil.Process(api.process.pid)
    async with Honest.of(api) as honest:
        resting = await honest.slowest()
        before = process.memory_info().rss
        with sending_heads(api) as answers:
            attacked = await honest.slowest()
            await eventually(lambda: len(answers) >= 4, "the attack is under way")

    assert set(answers) <= {b"HTTP/1.1 431 Request Header Fields Too Large", b""}
    assert answers.count(b"") < len(answers) / 2
    assert attacked < max(10 * resting, FLOOR_SECONDS)
    assert process.memory_info().rss - before < 50 * 1024 * 1024


# --- bodies -----------------------------------------------------------------------------------------------


async def test_half_bodies_on_all_descriptors_keep_nobody_out(api: Api) -> None:
    """They once kept everybody out for as long as they liked, with nothing in the log."""
    limits = resource.prlimit(api.process.pid, resource.RLIMIT_NOFILE)
    async with Honest.of(api) as honest:
        resting = await honest.slowest()
        resource.prlimit(api.process.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, limits[1]))
        begun: list[int] = []
        attackers = [asyncio.create_task(_half_bodies(api, begun)) for _ in range(HALF_BODIES)]
        try:
            await eventually(lambda: len(begun) >= HALF_BODIES, "the attack is under way")
            attacked = await honest.slowest()
        finally:
            for attacker in attackers:
                attacker.cancel()
            await asyncio.gather(*attackers, return_exceptions=True)
        dropped = await metric(api.process, "bellwire_connections_dropped_total", kind="waiting")
        after = await honest.slowest()
    resource.prlimit(api.process.pid, resource.RLIMIT_NOFILE, limits)

    assert attacked < max(10 * resting, FLOOR_SECONDS)
    assert after < max(10 * resting, FLOOR_SECONDS)
    assert dropped >= HALF_BODIES - DESCRIPTORS
    assert "file descriptors are running out" in _log(api)


def _log(api: Api) -> str:
    return api.process.log.read_text()


async def _half_bodies(api: Api, begun: list[int]) -> None:
    """Send half a request, and again whenever the connection ends."""
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", api.process.port)
        except OSError:
            continue
        try:
            writer.write(HALF)
            begun.append(1)
            await reader.read()
        except OSError:
            pass
        finally:
            writer.transport.abort()
        await asyncio.sleep(0.5)
