"""TransportConnection: a live connection that writes ready frames to the transport below uvicorn's socket.

Frames from a server are not masked (RFC 6455 §5.1), so the same bytes serve every socket of a user. A write
is a system call and costs more than everything else, so all frames for a socket in one turn of the event loop
are written together.
"""

import asyncio
import struct
from collections import deque
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from adapters.websocket.bounds import check_room
from adapters.websocket.reading import TOO_FAST
from application.ports import Monotonic
from application.streams import Lagging, TooFast

_TEXT = 0x81  # the only and last fragment of a text message
_TOGETHER = 64
"""The number of frames in one write; a busy loop must not hold back more than that."""


class Socket(Protocol):
    """What a TransportConnection needs from the WebSocket above the transport."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    writable: Any

    @property
    def open(self) -> bool:
        """Whether frames can still be sent."""
        ...

    async def receive(self) -> Any:
        """Wait for the next event from the client."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake, without waiting until pending bytes are written."""
        ...


class TransportConnection:
    """A Connection on an open WebSocket. Bytes that the transport does not accept are queued here, not there:
    as they are shared with other clients, they cost no memory of their own.
    """

    __slots__ = (
        "_bytes",
        "_flowing",
        "_now",
        "_outgoing",
        "_protocol",
        "_ready",
        "_transport",
        "_waiting",
        "stalled_since",
    )

    def __init__(self, protocol: Socket, now: Monotonic) -> None:
        """`now` returns monotonic seconds."""
        self._now = now
        self._protocol = protocol
        self._transport = protocol.transport
        self._outgoing = _outgoing(protocol.loop)
        self._ready: list[bytes] = []
        self._waiting: deque[bytes] | None = None
        self._bytes = 0
        self._flowing: asyncio.Future[None] | None = None
        self.stalled_since = 0.0
        if not protocol.writable.is_set():
            self.pause()

    @property
    def queued(self) -> int:
        return self._bytes + self._transport.get_write_buffer_size()

    def send(self, text: str, cursor: str = "") -> None:
        if self.stalled_since:
            self._wait(framed(text))
            return
        ready = self._ready
        ready.append(framed(text))
        if len(ready) == 1:
            self._outgoing.add(self, self._protocol.loop)
        elif len(ready) == _TOGETHER:
            self.write_ready()

    def ping(self) -> bool:
        self.send('{"type":"ping"}')
        return True

    async def flowing(self, seconds: float) -> None:
        self.write_ready()
        if not self.stalled_since:
            return
        self._flowing = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                await self._flowing
        except TimeoutError:
            raise Lagging from None
        finally:
            self._flowing = None

    async def receive(self) -> str | bytes | None:
        event = await self._protocol.receive()
        if event["type"] == TOO_FAST:
            raise TooFast
        if event["type"] != "websocket.receive":
            return None
        text: str | None = event.get("text")
        data: bytes | None = event.get("bytes")
        return data if text is None else text

    def close(self, code: int, reason: str, bye: str) -> None:
        self.write_ready()
        self._waiting = None  # a slow client gets it when it resumes
        self._bytes = 0
        if self._protocol.open:
            self._write(framed(bye))
            self._protocol.close(code, reason)

    # --- called by the protocol ---

    def pause(self) -> None:
        """The transport accepts no more for now."""
        self.stalled_since = self._now()

    def resume(self) -> None:
        """The transport accepts more."""
        self.stalled_since = 0.0
        self.write_ready()  # these frames were sent before the queued ones
        self._flush()
        if not self.stalled_since:
            self.wake()

    def wake(self) -> None:
        """Wake `flowing`: everything is written, or the connection has ended."""
        if self._flowing is not None and not self._flowing.done():
            self._flowing.set_result(None)

    def _wait(self, data: bytes) -> None:
        if self._waiting is None:
            self._waiting = deque()
        check_room(len(self._waiting), self._bytes, len(data))
        self._waiting.append(data)
        self._bytes += len(data)

    def write_ready(self) -> None:
        """Write the frames that were sent in this turn of the loop."""
        if self._ready:
            ready, self._ready = self._ready, []
            self._write(ready[0] if len(ready) == 1 else b"".join(ready))

    def _flush(self) -> None:
        while self._waiting and not self.stalled_since:
            together = [self._waiting.popleft() for _ in range(min(_TOGETHER, len(self._waiting)))]
            data = b"".join(together)
            self._bytes -= len(data)
            self._write(data)
        if not self._waiting:
            self._waiting = None

    def _write(self, data: bytes) -> None:
        try:
            self._transport.write(data)
        except RuntimeError:  # uvloop raises it for a closed transport; the reader ends too
            self.wake()


class _Outgoing:
    """The connections of an event loop that have frames to write at the end of its turn."""

    def __init__(self) -> None:
        self._connections: list[TransportConnection] = []

    def add(self, connection: TransportConnection, loop: asyncio.AbstractEventLoop) -> None:
        if not self._connections:
            loop.call_soon(self._write)
        self._connections.append(connection)

    def _write(self) -> None:
        connections, self._connections = self._connections, []
        for connection in connections:
            connection.write_ready()


_LOOPS: WeakKeyDictionary[asyncio.AbstractEventLoop, _Outgoing] = WeakKeyDictionary()


def _outgoing(loop: asyncio.AbstractEventLoop) -> _Outgoing:
    found = _LOOPS.get(loop)
    if found is None:
        found = _LOOPS[loop] = _Outgoing()
    return found


class _Last:
    """The last encoded frame. A fan-out sends one frame to many sockets in a row."""

    text = ""
    data = bytes((_TEXT, 0))


def framed(text: str) -> bytes:
    """Encode a text message as a frame (RFC 6455 §5.2)."""
    if text is _Last.text:
        return _Last.data
    body = text.encode()
    size = len(body)
    if size < 126:
        head = bytes((_TEXT, size))
    elif size < 1 << 16:
        head = struct.pack("!BBH", _TEXT, 126, size)
    else:
        head = struct.pack("!BBQ", _TEXT, 127, size)
    _Last.text, _Last.data = text, head + body
    return _Last.data
