"""TransportConnection: a live connection that writes ready frames to the transport below uvicorn's socket.

Frames from a server are not masked (RFC 6455 §5.1), so the same bytes serve every socket of a user. uvloop
writes what one turn of the loop leaves for a transport with one system call.
"""

import asyncio
import struct
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

from adapters.websocket.bounds import check_room
from application.ports import Lagging

if TYPE_CHECKING:
    from adapters.websocket.protocol import StreamProtocol

_TEXT = 0x81  # the only and last fragment of a text message


class TransportConnection:
    """A Connection of a StreamProtocol. What the transport does not take waits here, not there: bytes that a
    slow client shares with quick ones cost no memory of their own.
    """

    __slots__ = ("_bytes", "_flowing", "_protocol", "_transport", "_waiting", "stalled_since")

    def __init__(self, protocol: "StreamProtocol") -> None:
        self._protocol = protocol
        self._transport = protocol.transport
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
        else:
            self._write(framed(text))

    def ping(self) -> bool:
        self.send('{"type":"ping"}')
        return True

    async def flowing(self, seconds: float) -> None:
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
        if event["type"] != "websocket.receive":
            return None
        text = event.get("text")
        return text if text is not None else event["bytes"]

    def close(self, code: int, reason: str, bye: str) -> None:
        self._waiting = None  # a client that is not quick enough gets it when it resumes
        self._bytes = 0
        if self._protocol.open:
            self._write(framed(bye))
            self._protocol.close(code, reason)

    # --- what the protocol is told by the transport ---

    def pause(self) -> None:
        """The transport has more than enough to write."""
        self.stalled_since = monotonic()

    def resume(self) -> None:
        """The transport takes more."""
        self.stalled_since = 0.0
        self._flush()
        if not self.stalled_since:
            self.wake()

    def wake(self) -> None:
        """Whoever waits until all is written need not, or waits for nothing."""
        if self._flowing is not None and not self._flowing.done():
            self._flowing.set_result(None)

    def _wait(self, data: bytes) -> None:
        if self._waiting is None:
            self._waiting = deque()
        check_room(len(self._waiting), self._bytes, len(data))
        self._waiting.append(data)
        self._bytes += len(data)

    def _flush(self) -> None:
        while self._waiting and not self.stalled_since:
            data = self._waiting.popleft()
            self._bytes -= len(data)
            self._write(data)
        if not self._waiting:
            self._waiting = None

    def _write(self, data: bytes) -> None:
        try:
            self._transport.write(data)
        except RuntimeError:  # uvloop's word for a transport that was closed; the reader is told too
            self.wake()


class _Last:
    """The frame that was encoded last. Fan-out sends one to many sockets in a row."""

    text = ""
    data = bytes((_TEXT, 0))


def framed(text: str) -> bytes:
    """A text message as a frame (RFC 6455 §5.2)."""
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
