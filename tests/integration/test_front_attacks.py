"""Attacks on the HTTP front of a real process, with an honest client meanwhile: everything that it asks is
answered soon, and every frame arrives.
"""

import asyncio
import resource
import socket
from collections.abc import AsyncIterator
from threading import Event

import psutil
import pytest
import pytest_asyncio

from tests.conftest import Databases, as_read, installation
from tests.drills import Honest, judge
from tests.integration.conftest import Run
from tests.product import Api, Product, create_users, eventually, metric
from workbench.embedded import EmbeddedServers

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.in_order]

USER = "honest"
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


# --- request heads ----------------------------------------------------------------------------------------

ENDLESS = (b"Cookie: ", [b"c" * (1 << 20)] * 50)
MANY = (b"", [b"a: b\r\n" * 50_000])


async def send_heads(api: Api, answers: list[bytes], enough: Event) -> None:
    """Send heads of both kinds again and again. Keeps the first lines of the answers."""

    def attack(start: bytes, rest: list[bytes]) -> None:
        while not enough.is_set() or len(answers) < 4:
            answers.append(_send_head(api, start, rest))

    await asyncio.gather(*(asyncio.to_thread(attack, *kind) for kind in (ENDLESS, MANY)))


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
        peer.settimeout(30)  # it answers when it comes to it
        try:
            return peer.recv(1000).partition(b"\r\n")[0]
        except OSError:
            return b""


async def test_endless_heads_and_heads_of_many_fields_stop_nobody(api: Api, run: Run) -> None:
    """A head of 50 MB once stalled everybody for 2.6 s, and both were answered 200."""
    process = psutil.Process(api.process.pid)
    answers: list[bytes] = []
    async with Honest.of(api, USER) as honest:
        before = process.memory_info().rss
        attacked = await honest.during(lambda enough: send_heads(api, answers, enough))

    assert set(answers) <= {b"HTTP/1.1 431 Request Header Fields Too Large", b""}
    assert answers.count(b"") < len(answers) / 2
    judge(run, honest.resting, attacked)
    assert process.memory_info().rss - before < 50 * 1024 * 1024


# --- bodies -----------------------------------------------------------------------------------------------


async def test_half_bodies_on_all_descriptors_keep_nobody_out(api: Api, run: Run) -> None:
    """They once kept everybody out for as long as they liked, with nothing in the log."""
    limits = resource.prlimit(api.process.pid, resource.RLIMIT_NOFILE)

    async def attack(enough: Event) -> None:
        begun: list[int] = []
        attackers = [asyncio.create_task(_half_bodies(api, begun)) for _ in range(HALF_BODIES)]
        try:
            await eventually(lambda: len(begun) >= HALF_BODIES and enough.is_set(), "enough is measured")
        finally:
            for attacker in attackers:
                attacker.cancel()
            await asyncio.gather(*attackers, return_exceptions=True)

    async with Honest.of(api, USER) as honest:
        resource.prlimit(api.process.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, limits[1]))
        attacked = await honest.during(attack)
        resource.prlimit(api.process.pid, resource.RLIMIT_NOFILE, limits)

    judge(run, honest.resting, attacked)
    # Asked only now: on a busy machine this connection might have been among those.
    dropped = await metric(api.process, "bellwire_connections_dropped_total", kind="waiting")
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
