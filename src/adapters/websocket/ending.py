"""How a connection of HTTP ends: with the answer to a request that is refused, or without one."""

import asyncio

from adapters.websocket import refusal
from adapters.websocket.exchange import ExchangingProtocol

HEAD_BYTES = 32 * 1024
HEAD_FIELDS = 100
LINGER_SECONDS = 2.0
LINGER_BYTES = 8 * 1024 * 1024


class EndingProtocol(ExchangingProtocol):
    """Can refuse what the peer sends, and end the connection."""

    linger_seconds = LINGER_SECONDS

    url = b""
    waiting_since: float | None = None
    """When it began to wait for its client, in seconds of the event loop; None while the client waits."""
    _lingering: asyncio.TimerHandle | None = None
    _ended = False
    """Whether reading has ended: the request was malformed, or another protocol has the connection."""
    _discarded = 0

    def give_way(self) -> None:
        """End the connection, because its descriptor is needed."""
        self._ended, self.waiting_since = True, None
        if self.flow.write_paused:
            self.transport.abort()
        else:
            self.transport.close()

    def _refuse_head(self) -> None:
        if len(self.url) > HEAD_BYTES // 2:
            self._refuse(414, f"The head of a request may have {HEAD_BYTES} bytes; the address is too long.")
        else:
            limits = f"{HEAD_BYTES} bytes and {HEAD_FIELDS} fields"
            self._refuse(431, f"The head of a request may have {limits}.")

    def _refuse(self, status: int, detail: str) -> None:
        """Answer a malformed request, or a broken rest, if it is its turn, and end the connection."""
        if self._answering and not self._take_over():
            self._end_when_answered()
            return
        self._ended = True
        self.transport.write(refusal.answer(status, detail, self.server_state.default_headers))
        self._linger()

    def _take_over(self) -> bool:
        """Take the only request from the application, if the broken rest belongs to it and it was not
        answered. Return whether that was done.
        """
        cycle = self.cycle
        if not cycle.more_body or cycle.response_started or self.pipeline:
            return False
        cycle.disconnected = True
        cycle.message_event.set()
        return True

    def _end_when_answered(self) -> None:
        """Stop reading. Earlier requests are answered, unless the broken rest belongs to them."""
        self._ended = True
        if self._answering and not self.cycle.more_body:
            self.cycle.keep_alive = False
        else:
            self.transport.close()

    def _discard(self, data: bytes) -> None:
        """Ignore what follows the end, and soon do not even read it."""
        self._discarded += len(data)
        if self._discarded > LINGER_BYTES:
            self.transport.pause_reading()

    def _linger(self) -> None:
        """Send EOF, and read for a while: closing with unread bytes would reset the connection, and the peer
        would lose the response (RFC 9112 §9.6).
        """
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._lingering = self.loop.call_later(self.linger_seconds, self.transport.abort)
        else:
            self.transport.close()

    @property
    def _answering(self) -> bool:
        """Whether a response is not complete yet."""
        # None before the first request, despite its annotation.
        return self.cycle is not None and not self.cycle.response_complete  # type: ignore[redundant-expr]
