"""What is read from a WebSocket: nothing before the application asks for it, little at a time, no faster than
its pace, and nothing after a close.
"""

import math
from typing import Any, Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from adapters.websocket.handshake import Handshake
from adapters.websocket.newcomers import Newcomers
from adapters.websocket.refusal import rejection
from application.pace import Pace

TOO_FAST: Final = "bellwire.too_fast"
"""The type of the event that follows the last frame of a peer that sends more than its pace allows."""

EARLY_BYTES = 16 * 1024
"""How much may follow a handshake before its answer, for which a client should wait (RFC 6455 §4.1)."""
PIECE_BYTES = 4 * 1024
"""How much is parsed in one turn of the event loop. A frame of 6 bytes takes some 10 µs."""
CLOSE_BYTES = 6 + 125
"""The longest close frame of a client: a control frame (RFC 6455 §5.5), masked."""
DROPPED_BYTES = 1024 * 1024
"""How much is read after a close. An honest client has less under way, and then answers the close."""


class ReadingProtocol(WebSocketsSansIOProtocol):
    """The reading half of uvicorn's WebSocket.

    uvicorn parses whatever arrives, all that was read in one callback, from anyone, also after a close. Here
    the transport is paused until the application waits for a message after it has accepted the socket: it
    does so once it knows the client.
    """

    conn: "CountingProtocol"
    newcomers: Newcomers
    waiting_since: float | None = None
    """When it began to wait to know its client, in seconds of the event loop. When descriptors run out, those
    that have waited longest give way.
    """
    _unparsed: bytes | memoryview
    _pace: Pace | None = None
    _stopped = False
    _dropped = 0
    _tail = b""

    def begin(self, handshake: Handshake, early: bytes) -> None:
        """Answer a handshake in its turn. Bytes that follow it are parsed once reading begins."""
        self.handshake = handshake
        self.read_paused = True
        self._unparsed = early
        self.transport.pause_reading()
        self.waiting_since = self.loop.time()
        self.newcomers.join(self, self.client[0] if self.client else "")

    def start(self) -> None:
        """Hand the handshake to the application."""
        if not self.transport.is_closing():
            self.handshake_initiated = True
            self.answer_handshake()

    def answer_handshake(self) -> None:
        """Call the application, or refuse the handshake."""
        raise NotImplementedError

    def give_way(self) -> None:
        """End the connection, because others want its place."""
        if not self.handshake_initiated:
            self.handshake_complete = self.close_sent = True
            response = rejection(503, "Too many streams are opening at this moment; connect again.")
            response.headers["Retry-After"] = "1"
            self.transport.write(response.serialize())
        self.transport.close()

    def keep_to(self, pace: Pace) -> None:
        """Count every frame against this pace: messages, fragments and control frames."""
        self._pace = pace

    async def receive(self) -> Any:
        self._read_on()
        message = await self.queue.get()
        self._read_on()
        return message

    def _read_on(self) -> None:
        """Read again once the application has all that was read. Never before it has accepted."""
        accepted = self.handshake_complete and not self._stopped
        if self.read_paused and accepted and self.queue.empty():
            self.read_paused = False
            self.is_known()
            self._continue()

    def is_known(self) -> None:
        """The application knows the client, or it has gone."""
        if self.waiting_since is not None:
            self.newcomers.leave(self)
            self.waiting_since = None

    def _continue(self) -> None:
        if self._unparsed:
            self.loop.call_soon(self._parse_next)
        else:
            self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self.close_sent:
            self._drop(data)
        elif len(data) <= PIECE_BYTES and not self._unparsed:
            self._parse(data)
        elif self._unparsed:  # a transport that has more although it was paused
            self._unparsed = bytes(self._unparsed) + data
        else:
            self._unparsed = memoryview(data)
            self.transport.pause_reading()
            self._parse_next()

    def _parse_next(self) -> None:
        """Parse a piece; the next one in a later turn of the loop, if the application has read this one."""
        if self.close_sent or self.disconnected:
            return
        piece, rest = self._unparsed[:PIECE_BYTES], self._unparsed[PIECE_BYTES:]
        self._unparsed = rest or b""  # an empty view would keep what it is of
        self._parse(piece)
        if not self.read_paused and not self.close_sent:
            self._continue()

    def _parse(self, data: bytes | memoryview) -> None:
        pace, conn = self._pace, self.conn
        if pace is not None:
            conn.allowed = pace.left()
        conn.receive_data(data)  # type: ignore[arg-type]
        if pace is not None:
            pace.take(len(conn.events))
        if conn.parser_exc is not None:
            self.handle_parser_exception()
            return
        self.handle_events()
        if conn.exceeded:
            self._stop()

    def _stop(self) -> None:
        """Read no more, and tell the application why."""
        self._unparsed = b""
        self._stopped = self.read_paused = True
        self.transport.pause_reading()
        event: Any = {"type": TOO_FAST}
        self.queue.put_nowait(event)

    def end_reading(self) -> None:
        """Drop what arrives from now on: a close was sent."""
        rest, self._unparsed = self._unparsed, b""
        self.read_paused = False
        self.transport.resume_reading()
        self._drop(bytes(rest[-CLOSE_BYTES:]))

    def _drop(self, data: bytes) -> None:
        """Look for the close that answers ours, without parsing: it is the last that a peer sends
        (RFC 6455 §5.5.1). Who sends much more than that is not read any more, until its time is over.
        """
        self._dropped += len(data)
        self._tail = (self._tail + data[-CLOSE_BYTES:])[-CLOSE_BYTES:]
        if ends_with_close(self._tail):
            self._end_of_close()
        elif self._dropped > DROPPED_BYTES:
            self.transport.pause_reading()

    def _end_of_close(self) -> None:
        """Close the connection, which is the server's part (RFC 6455 §7.1.1)."""
        if self.close_timer is not None:
            self.close_timer.cancel()
            self.close_timer = None
        self.transport.close()


class CountingProtocol(ServerProtocol):
    """A parser of frames that stops at more than it is allowed at a time."""

    allowed: float = math.inf
    exceeded = False

    def recv_frame(self, frame: Frame) -> None:
        if len(self.events) >= self.allowed and frame.opcode is not Opcode.CLOSE:
            self.exceeded = True
            self.reader.discard()  # the parser loops over what is left
        else:
            super().recv_frame(frame)


def ends_with_close(data: bytes) -> bool:
    """Whether these are, or end like, a masked close frame (RFC 6455 §5.2)."""
    size = len(data)
    return any(
        data[start] == _CLOSE and data[start + 1] == _MASKED | (size - start - 6)
        for start in range(max(0, size - CLOSE_BYTES), size - 5)
    )


_CLOSE, _MASKED = 0x88, 0x80
