"""A TCP proxy that disturbs the network to a server: slow, narrow, in pieces, silent, reset or down.

Its behaviour can be changed at any moment, for open connections and new ones. The server may listen on a port
or on a socket file. A filter that knows the server's protocol may alter the bytes.
"""

import asyncio
import enum
import random
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

_HOST = "127.0.0.1"
_CHUNK = 64 * 1024
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: unsent bytes are dropped, the peer gets RST

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class Tap(Protocol):
    """Sees the bytes of one direction of a connection, and may alter them."""

    def take(self, data: bytes) -> bytes:
        """Return the bytes to pass on now."""

    def rest(self) -> bytes:
        """Return the bytes still held when the connection ends."""


class Filter(Protocol):
    """Sees both directions of a connection, from the first byte on."""

    @property
    def to_server(self) -> Tap: ...

    @property
    def to_client(self) -> Tap: ...


class _Untouched:
    """Passes everything unchanged."""

    @property
    def to_server(self) -> Tap:
        return self

    @property
    def to_client(self) -> Tap:
        return self

    def take(self, data: bytes) -> bytes:
        return data

    def rest(self) -> bytes:
        return b""


class Direction(enum.Flag):
    """The direction of the bytes that a fault concerns."""

    TO_SERVER = enum.auto()
    TO_CLIENT = enum.auto()
    BOTH = TO_SERVER | TO_CLIENT


@dataclass
class Way:
    """One direction, and what happens to its bytes. Times are in seconds."""

    latency: float = 0.0
    jitter: float = 0.0
    bytes_per_second: float = 0.0
    """0: no limit."""
    piece: int = 0
    """The largest number of bytes passed on together; 0: no limit."""
    pause: float = 0.0
    """After each piece."""
    flows: asyncio.Event = field(default_factory=asyncio.Event)

    def heal(self) -> None:
        self.latency = self.jitter = self.bytes_per_second = self.pause = 0.0
        self.piece = 0
        self.flows.set()

    async def carry(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        """Pass data on under the current settings; a change applies from the next piece on.

        Bytes that arrive while a piece is delayed travel with the next one, as with a small window.
        """
        await asyncio.sleep(self.latency + random.uniform(0, self.jitter))
        while data:
            size = self._size() or len(data)
            await self.flows.wait()
            writer.write(data[:size])
            await writer.drain()
            await asyncio.sleep(self._rest(len(data[:size])))
            data = data[size:]

    def _size(self) -> int:
        tenth = max(int(self.bytes_per_second / 10), 1) if self.bytes_per_second else 0
        return min(filter(None, (self.piece, tenth)), default=0)

    def _rest(self, size: int) -> float:
        return self.pause + (size / self.bytes_per_second if self.bytes_per_second else 0.0)


class Proxy:
    """Listens on a port of loopback while it is entered, and forwards to the server."""

    def __init__(
        self, connect: Connect, *, port: int = 0, filtered: Callable[[], Filter] = _Untouched
    ) -> None:
        """`filtered` makes a filter for each connection."""
        self.port = port
        self.accepted = 0
        self._connect = connect
        self._filtered = filtered
        self._ways = {direction: Way() for direction in Direction.BOTH}
        self._listener: socket.socket | None = None
        self._open: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}

    @classmethod
    def to(
        cls, host: str, server_port: int, *, port: int = 0, filtered: Callable[[], Filter] = _Untouched
    ) -> Self:
        """A proxy for a server's port, on a port of its own unless one is given."""
        return cls(lambda: asyncio.open_connection(host, server_port), port=port, filtered=filtered)

    @classmethod
    def to_file(cls, path: Path, *, port: int = 0) -> Self:
        """A proxy for a server's socket file."""
        return cls(lambda: asyncio.open_unix_connection(path), port=port)

    async def __aenter__(self) -> Self:
        self.heal()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.down()
        await asyncio.gather(*self._open, return_exceptions=True)

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._open)

    def slow(self, latency: float, jitter: float = 0.0, direction: Direction = Direction.BOTH) -> None:
        """Delay everything by `latency` and up to `jitter` more, in seconds."""
        for way in self._of(direction):
            way.latency, way.jitter = latency, jitter

    def narrow(self, bytes_per_second: float, direction: Direction = Direction.BOTH) -> None:
        """Limit the bandwidth."""
        for way in self._of(direction):
            way.bytes_per_second = bytes_per_second

    def slice(self, piece: int, pause: float = 0.0, direction: Direction = Direction.BOTH) -> None:
        """Pass on at most `piece` bytes at a time, with pauses in seconds."""
        for way in self._of(direction):
            way.piece, way.pause = piece, pause

    def black_hole(self, direction: Direction = Direction.BOTH) -> None:
        """Accept and keep connections, but pass nothing, not even their end, until healed."""
        for way in self._of(direction):
            way.flows.clear()

    def reset(self) -> None:
        """Break every connection with RST; new ones are accepted."""
        for writers in list(self._open.values()):
            for writer in writers:
                _reset(writer)
        self._end_all()

    def down(self) -> None:
        """Refuse new connections, close the open ones."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        self._end_all()

    def heal(self) -> None:
        """Pass everything unchanged; bytes that a black hole held continue their way."""
        for way in self._ways.values():
            way.heal()
        if self._listener is None:
            self._listener = socket.create_server((_HOST, self.port), backlog=512)
            self._listener.setblocking(False)
            self.port = self._listener.getsockname()[1]
            asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)

    def _of(self, direction: Direction) -> list[Way]:
        return [way for its, way in self._ways.items() if its in direction]

    def _end_all(self) -> None:
        for task in self._open:
            task.cancel()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(BlockingIOError, ConnectionError):  # the client has gone before it was accepted
            client, _ = listener.accept()
            client.setblocking(False)
            self.accepted += 1
            writers: list[asyncio.StreamWriter] = []
            task = asyncio.create_task(self._serve(client, writers))
            self._open[task] = writers
            task.add_done_callback(lambda task: self._ended(task, client))

    def _ended(self, task: asyncio.Task[None], client: socket.socket) -> None:
        if not self._open.pop(task):
            client.close()  # cancelled before a stream owned it

    async def _serve(self, client: socket.socket, writers: list[asyncio.StreamWriter]) -> None:
        up, down = self._ways[Direction.TO_SERVER], self._ways[Direction.TO_CLIENT]
        between = self._filtered()
        try:
            from_client, to_client = await asyncio.open_connection(sock=client)
            writers.append(to_client)
            await up.flows.wait()
            from_server, to_server = await self._connect()
            writers.append(to_server)
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(from_client, to_server, up, between.to_server))
                both.create_task(_pump(from_server, to_client, down, between.to_client))
        except* OSError:  # a peer has gone or was never there: close the other side too
            for writer in writers:
                _reset(writer)
        finally:
            for writer in writers:
                writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way, tap: Tap) -> None:
    try:
        while data := await reader.read(_CHUNK):
            await way.carry(tap.take(data), writer)
        await way.carry(tap.rest(), writer)
    except OSError:
        await way.flows.wait()  # a black hole also hides that a side has closed
        raise
    await way.flows.wait()
    writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    if writer.is_closing():
        return
    peer = writer.get_extra_info("socket")
    if peer.family != socket.AF_UNIX:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
