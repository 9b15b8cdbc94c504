"""The benchmarks' adapters say what their systems understand, where these can run here."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from bench.load import STAMP
from bench.peers.bellwire import Bellwire
from bench.peers.measuring import body
from bench.peers.peer import Peer
from bench.peers.sockets import PeerSockets
from bench.peers.trivial import Trivial
from bench.trivial import Trivial as Protocol
from bench.user import User
from tests.product import Product, eventually

DUE = b"1764400000000000000"


async def exchange(port: int, wanted: bytes) -> bytes:
    """The status of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(wanted)
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return head[9:12]


async def a_notification_through(peer: Peer, port: int) -> None:
    """Everything that a measurement does, once."""
    if (created := peer.create("ada")) is not None:
        assert await exchange(port, created) == b"201"
    sockets = PeerSockets(port, peer)
    await sockets.open([User("ada", "")])

    status = await exchange(port, peer.publish("ada").replace(STAMP, DUE))

    assert int(status) == peer.accepted
    await eventually(lambda: sockets.frames == 1, "its frame")
    assert len(sockets.latencies) == 1  # the time at which it was due came back
    wanted = peer.fetch("ada")
    assert wanted is not None
    marks = peer.marks("ada", await asyncio.to_thread(body, port, wanted))
    assert marks
    assert int(await exchange(port, marks[0])) == peer.marked
    for client in sockets.clients:
        client._transport.close()


@asynccontextmanager
async def serving(kind: Callable[[], asyncio.Protocol]) -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(kind, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_bellwire_is_addressed_as_its_documents_say(product: Product) -> None:
    api, _ = await asyncio.gather(product.api(), product.consumer())

    await a_notification_through(Bellwire(product.api_key, product.settings.token_secret), api.process.port)


async def test_the_trivial_server_answers_and_pushes() -> None:
    async with serving(Protocol) as port:
        await a_notification_through(Trivial("", "a-secret-of-at-least-thirty-two-bytes"), port)


async def test_the_trivial_server_answers_requests_that_arrive_in_pieces_and_together() -> None:
    wanted = Trivial("", "x" * 32).publish("nobody")
    async with serving(Protocol) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(wanted[:30])
        await asyncio.sleep(0)
        writer.write(wanted[30:] + wanted)

        for _ in range(2):
            assert (await reader.readuntil(b'"accepted"}')).startswith(b"HTTP/1.1 202")
        writer.close()


@pytest.mark.parametrize("frames", [1, 7])
async def test_a_flood_reaches_every_socket(frames: int) -> None:
    peer = Trivial("", "a-secret-of-at-least-thirty-two-bytes")
    async with serving(Protocol) as port:
        sockets = PeerSockets(port, peer)
        await sockets.open([User(f"user-{nth}", "") for nth in range(3)])
        flood = b"POST /flood HTTP/1.1\r\nContent-Length: 1\r\n\r\n%d" % frames

        assert await exchange(port, flood) == b"202"

        await eventually(lambda: sockets.frames == 3 * frames, "all of them")
        for client in sockets.clients:
            client._transport.close()
