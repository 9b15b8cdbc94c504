"""The proxy that spoils connections, in front of a server that echoes."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from workbench.soak.proxy import Direction, Proxy

LONG = 30.0


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """In front of a server on a port."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, Proxy.to(*server.sockets[0].getsockname()) as opened:
        yield opened


Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def client(proxy: Proxy) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def said(to: Client, text: bytes) -> bytes:
    reader, writer = to
    writer.write(text)
    return await asyncio.wait_for(reader.readexactly(len(text)), LONG)


async def stays_silent(to: Client, text: bytes) -> bool:
    """Whether the answer stays out; it can be read later."""
    to[1].write(text)
    try:
        await asyncio.wait_for(to[0].read(1), 0.3)
    except TimeoutError:
        return True
    return False


async def test_it_passes_on_everything_in_both_directions(proxy: Proxy) -> None:
    text = bytes(range(256)) * 10_000
    async with client(proxy) as one, client(proxy) as other:
        answers = await asyncio.gather(said(one, text), said(other, text[::-1]))
        assert list(answers) == [text, text[::-1]]
        assert proxy.connections == 2
    assert proxy.accepted == 2


async def test_the_server_may_listen_on_a_socket_file(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    server = await asyncio.start_unix_server(echo, path)
    async with server, Proxy.to_file(path) as proxy, client(proxy) as one:
        assert await said(one, b"hello") == b"hello"


async def test_the_end_of_one_side_reaches_the_other(proxy: Proxy) -> None:
    async with client(proxy) as (reader, writer):
        writer.write(b"last words")
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), LONG) == b"last words"


async def test_a_black_hole_keeps_connections_and_passes_nothing_until_healed(proxy: Proxy) -> None:
    async with client(proxy) as before:
        await said(before, b"hello")
        proxy.black_hole()
        async with client(proxy) as during:
            assert await stays_silent(before, b"one")
            assert await stays_silent(during, b"two")
            proxy.heal()
            assert await said(before, b"+") == b"o"  # what was held back comes first
            assert await asyncio.wait_for(during[0].readexactly(3), LONG) == b"two"


async def test_a_black_hole_of_one_direction(proxy: Proxy) -> None:
    async with client(proxy) as one:
        await said(one, b"hello")
        proxy.black_hole(Direction.TO_CLIENT)
        assert await stays_silent(one, b"sent and not answered")
        proxy.heal()
        assert await asyncio.wait_for(one[0].readexactly(4), LONG) == b"sent"


async def test_a_black_hole_does_not_tell_that_the_server_has_gone() -> None:
    async def leave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gone.wait()
        writer.close()

    gone = asyncio.Event()
    server = await asyncio.start_server(leave, "127.0.0.1", 0)
    async with server, Proxy.to(*server.sockets[0].getsockname()) as proxy, client(proxy) as one:
        proxy.black_hole(Direction.TO_CLIENT)
        gone.set()
        assert await stays_silent(one, b"anybody there?")
        proxy.heal()
        assert await asyncio.wait_for(one[0].read(), LONG) == b""


async def test_a_reset_breaks_what_is_open_and_serves_what_comes(proxy: Proxy) -> None:
    async with client(proxy) as one:
        await said(one, b"hello")
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(one[0].read(), LONG)
    async with client(proxy) as two:
        assert await said(two, b"hello again") == b"hello again"


async def test_down_refuses_and_closes_until_healed_on_the_same_port(proxy: Proxy) -> None:
    port = proxy.port
    async with client(proxy) as one:
        await said(one, b"hello")
        proxy.down()
        assert await asyncio.wait_for(one[0].read(), LONG) == b""
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
    proxy.heal()
    assert proxy.port == port
    async with client(proxy) as two:
        assert await said(two, b"hello again") == b"hello again"


async def test_down_works_in_a_black_hole(proxy: Proxy) -> None:
    async with client(proxy) as one:
        await said(one, b"hello")
        proxy.black_hole()
        assert await stays_silent(one, b"more")
        proxy.down()
        assert await asyncio.wait_for(one[0].read(), LONG) == b""


async def test_a_server_that_is_not_there_breaks_the_connection() -> None:
    async with Proxy.to("127.0.0.1", 1) as proxy, client(proxy) as one:
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(one[0].read(), LONG)


async def test_latency_delays_each_way(proxy: Proxy) -> None:
    async with client(proxy) as one:
        await said(one, b"hello")
        proxy.slow(0.1, 0.05)
        began = time.monotonic()
        assert await said(one, b"hello") == b"hello"
        assert time.monotonic() - began >= 0.2


async def test_a_narrow_way_takes_its_time_and_heals_in_the_middle(proxy: Proxy) -> None:
    async with client(proxy) as one:
        proxy.narrow(10_000, Direction.TO_SERVER)
        began = time.monotonic()
        assert await said(one, b"x" * 3_000) == b"x" * 3_000
        assert time.monotonic() - began >= 0.2
        sending = asyncio.create_task(said(one, b"y" * 1_000_000))  # 100 s at this rate
        await asyncio.sleep(0)
        proxy.heal()
        assert await sending == b"y" * 1_000_000


class Pieces:
    """Notes in which pieces it is written to: a socket may join them again."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    async def drain(self) -> None:
        return


async def test_slices_are_passed_on_in_small_pieces(proxy: Proxy) -> None:
    pieces: Any = Pieces()
    async with client(proxy) as one:
        proxy.slice(3, 0.01, Direction.TO_CLIENT)
        assert await said(one, b"0123456789") == b"0123456789"
        await proxy._ways[Direction.TO_CLIENT].carry(b"0123456789", pieces)
        await proxy._ways[Direction.TO_SERVER].carry(b"0123456789", pieces)

    assert pieces.written == [b"012", b"345", b"678", b"9", b"0123456789"]


class Whispers:
    """Makes what passes small, two bytes at a time."""

    def __init__(self) -> None:
        self._held = b""

    def take(self, data: bytes) -> bytes:
        data = self._held + data
        even = len(data) // 2 * 2
        self._held = data[even:]
        return data[:even].lower()

    def rest(self) -> bytes:
        return self._held


class Whispering:
    """Of one connection."""

    def __init__(self) -> None:
        self.to_server, self.to_client = Whispers(), Whispers()


async def test_a_filter_alters_what_passes_and_what_it_held_comes_in_the_end() -> None:
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with (
        server,
        Proxy.to(*server.sockets[0].getsockname(), filtered=Whispering) as proxy,
        client(proxy) as one,
        client(proxy) as other,
    ):
        for number, (reader, writer) in enumerate((one, other)):
            writer.write(b"HEY %d YOU" % number)
            assert await asyncio.wait_for(reader.readexactly(8), LONG) == b"hey %d yo" % number
            writer.write_eof()
            assert await asyncio.wait_for(reader.read(), LONG) == b"U"
