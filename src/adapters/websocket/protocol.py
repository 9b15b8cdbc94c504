"""The WebSocket below a live stream: uvicorn's, with limits and fixes."""

import asyncio
import logging
from typing import Any

from uvicorn._types import ASGISendEvent
from websockets.frames import CloseCode

from adapters.websocket.opening import EXTENSION, OpeningProtocol
from adapters.websocket.transport import TransportConnection
from application.pace import Pace
from application.ports import Monotonic

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 30.0
ANSWER_SECONDS = 5.0


class StreamProtocol(OpeningProtocol):
    """A WebSocket that closes in bounded time, does not fill the log, and takes little memory while nothing
    happens on it.
    """

    close_seconds = CLOSE_SECONDS
    """How long a peer may take to read what was sent to it before the connection ends."""
    answer_seconds = ANSWER_SECONDS
    """How long it may take to answer a close."""

    close_timeout = answer_seconds  # uvicorn's name for it
    _end: asyncio.TimerHandle | None = None
    _connection: TransportConnection | None = None

    def connection(self, now: Monotonic, pace: Pace) -> TransportConnection:
        """Return the live connection on this accepted socket, whose request is not needed any more."""
        del self.handshake, self.proof
        self.keep_to(pace)
        self._connection = TransportConnection(self, now)
        return self._connection

    @property
    def open(self) -> bool:
        """Whether frames can still be sent."""
        return not (self.close_sent or self.disconnected or self.transport.is_closing())

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake, without waiting until pending bytes are written."""
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.end_reading()
        self.close_timer = self.loop.call_later(self.close_timeout, self.transport.close)
        self._end_in_time()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._connection is not None:
            self._connection.pause()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._connection is not None:
            self._connection.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.is_known()
        if self._connection is not None:
            self._connection.wake()
        if self._end is not None:
            self._end.cancel()
        self._untie()

    def _untie(self) -> None:
        """Break reference cycles. They live until a garbage collection, which is the rarer the older they
        are: streams that ended after an hour would be kept for long.
        """
        self._connection = self._end = None
        if "conn" in vars(self):
            self.conn.parser.close()
        if hasattr(self, "scope"):  # not if the handshake was wrong
            extensions: Any = self.scope["extensions"]
            extensions.pop(EXTENSION, None)

    def eof_received(self) -> None:
        self._end_in_time()

    def handle_events(self) -> None:
        super().handle_events()
        self._end_if_closing()

    def handle_parser_exception(self) -> None:
        super().handle_parser_exception()
        self._end_in_time()

    def shutdown(self) -> None:
        super().shutdown()
        self._end_in_time()

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "websocket.accept" and not (self.handshake_complete or self.initial_response):
            self.accept(message)
            self._end_if_closing()
            return
        await super().send(message)
        # uvicorn does not count a response from the application, and would log that there was none.
        self.handshake_complete = self.handshake_complete or self.close_sent
        if self.close_sent:
            self.end_reading()
        self._end_if_closing()

    def on_task_complete(self, task: "asyncio.Task[None]") -> None:
        super().on_task_complete(task)
        self._end_in_time()

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not _is_text(self.frames):
            self._refuse(CloseCode.INVALID_DATA, "invalid UTF-8")
        else:
            super().send_receive_event_to_app()

    def _refuse(self, code: CloseCode, reason: str) -> None:
        """Fail the connection because of the peer's data. That is its fault, so it is not logged as an
        error.
        """
        logger.debug("a socket was closed: %s", reason)
        self.frames = []
        self.conn.fail(code, reason)
        self.handle_parser_exception()

    def _end_if_closing(self) -> None:
        if self.close_sent or self.transport.is_closing():
            self._end_in_time()

    def _end_in_time(self) -> None:
        """Drop the connection if it still exists after a while.

        A transport that is closed writes its pending bytes first. A peer that does not read, or never answers
        a close, would hold the connection, and everything that waits for it, forever.
        """
        if self._end is None and not self.disconnected:
            self._end = self.loop.call_later(self.close_seconds, self.transport.abort)


def _is_text(fragments: list[bytes]) -> bool:
    try:
        b"".join(fragments).decode()
    except UnicodeDecodeError:
        return False
    return True
