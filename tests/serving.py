"""An application of a test's own behind the server that the product has."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from dependency_injector import providers
from websockets.frames import Frame, Opcode

from adapters.websocket.http import HttpProtocol
from adapters.websocket.protocol import StreamProtocol
from entrypoints.serving import options
from entrypoints.settings import Settings
from tests.whole import Container, build
from tests.wiring import SECRET
from workbench.embedded import LOOPBACK
from workbench.soak.waiting import eventually

GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
END = b"\r\n"
SHORT, LONG = 0.3, 60.0


@dataclass(frozen=True, slots=True)
class Served:
    """A server that runs."""

    server: uvicorn.Server

    @property
    def address(self) -> str:
        """Host and port."""
        host, port = self.server.servers[0].sockets[0].getsockname()
        return f"{host}:{port}"

    @property
    def connections(self) -> int:
        """How many it holds, of HTTP and of sockets."""
        return len(self.server.server_state.connections)

    @property
    def tasks(self) -> int:
        """How many calls of the application go on."""
        return len(self.server.server_state.tasks)


@asynccontextmanager
async def served(app: Any, container: Container, **changed: Any) -> AsyncIterator[Served]:
    """Serve as the product does, but for what is changed. In a thread: it has an event loop of its own."""
    own = {"host": LOOPBACK, "port": 0, "lifespan": "off"}
    server = uvicorn.Server(uvicorn.Config(app, **options(container) | own | changed))
    running = asyncio.create_task(asyncio.to_thread(server.run))
    try:
        await eventually(lambda: server.started or running.done(), "the server has started")
        yield Served(server)
    finally:
        server.should_exit = True
        await running


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """An application: says back on a socket what it hears, and `hello` over HTTP."""
    if scope["type"] == "http":
        await say_hello(send)
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (heard := await receive())["type"] == "websocket.receive":
        await send({**heard, "type": "websocket.send"})


async def say_hello(send: Any) -> None:
    headers = [(b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


# --- peers that keep no rules ----------------------------------------------------------------------------


class HastyHttp(HttpProtocol):
    head_seconds = SHORT
    unread_seconds = SHORT
    linger_seconds = SHORT


class HastyStream(StreamProtocol):
    close_seconds = SHORT


@asynccontextmanager
async def hasty(app: Any = echo) -> AsyncIterator[Served]:
    container = build(Settings(token_secret=SECRET))
    container.http_protocol.override(providers.Object(HastyHttp))
    container.stream_protocol.override(providers.Object(HastyStream))
    async with served(app, container) as server:
        yield server


@dataclass(frozen=True, slots=True)
class Peer:
    """A client that keeps no rules. It reads only when told to, but for 128 KiB."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @staticmethod
    @asynccontextmanager
    async def of(server: Served) -> AsyncIterator["Peer"]:
        host, _, port = server.address.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            yield Peer(reader, writer)
        finally:
            writer.transport.abort()

    async def upgrade(self) -> None:
        self.writer.write(UPGRADE + END)
        assert (await self.head()).startswith(b"HTTP/1.1 101 ")

    async def head(self) -> bytes:
        return await asyncio.wait_for(self.reader.readuntil(END + END), LONG)

    def say(self, *frames: Frame) -> None:
        self.writer.write(b"".join(frame.serialize(mask=True) for frame in frames))

    async def hears(self, opcode: Opcode, data: bytes) -> None:
        expected = Frame(opcode, data).serialize(mask=False)
        assert await asyncio.wait_for(self.reader.readexactly(len(expected)), LONG) == expected

    async def is_dropped(self) -> bytes:
        """Read to the end, which must come. Returns what came before it."""
        read = bytearray()
        try:
            while piece := await asyncio.wait_for(self.reader.read(1 << 16), LONG):
                read += piece
        except ConnectionError:  # the other end did not wait for us to read
            pass
        return bytes(read)
