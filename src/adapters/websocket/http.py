"""The HTTP connection with which every live stream begins: uvicorn's, with time limits."""

import asyncio
from collections.abc import Iterable
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from websockets.datastructures import Headers
from websockets.http11 import Request

from adapters.websocket import refusal
from adapters.websocket.reading import EARLY_BYTES

ABORT = "bellwire.abort"
"""The key in an ASGI scope of a function that drops the connection: an unread response cannot be ended."""
HEAD_SECONDS = 10.0
BODY_SECONDS = 60.0
HEAD_BYTES = 32 * 1024
HEAD_FIELDS = 100
UNREAD_SECONDS = 30.0
LINGER_SECONDS = 2.0


class _HeadTooLarge(Exception):
    """The head of a request exceeds the limits."""


class HttpProtocol(HttpToolsProtocol):
    """Drops a connection that keeps it waiting, for the whole head of a request or for its response to be
    read. Answers malformed requests and those whose body does not arrive, and then ends the connection.

    uvicorn waits forever for the first request, for the rest of any that has begun, and for a peer that does
    not read its response. So a client could use up the descriptors of the process by opening connections and
    sending a byte now and then, or nothing. uvicorn also parses a handshake twice, the second time by other
    rules, and does not answer one that only these refuse.
    """

    head_seconds = HEAD_SECONDS
    body_seconds = BODY_SECONDS
    unread_seconds = UNREAD_SECONDS
    linger_seconds = LINGER_SECONDS

    url = b""
    _late: asyncio.TimerHandle | None = None
    _slow: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _lingering: asyncio.TimerHandle | None = None
    _ended = False
    """Whether reading has ended: the request was malformed, or another protocol has the connection."""
    _pending = 0
    """How many bytes arrived since the last piece of a body or the last whole head. More than a head may have
    means an endless head, trailer or chunk extension.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        if not self._answering:
            self._expect_head()
        self._unset_keepalive_if_required()
        self._pending += len(data)
        while data:
            data = self._parse(data)
        if self._pending > HEAD_BYTES and not self._ended:
            self._refuse_head()
        if self._slow is None and self._answering and self.cycle.more_body and not self._ended:
            self._slow = self.loop.call_later(self.body_seconds, self._refuse_slow)

    def on_message_complete(self) -> None:
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None
        super().on_message_complete()

    def on_body(self, body: bytes) -> None:
        self._pending = 0
        super().on_body(body)

    def on_headers_complete(self) -> None:
        self._pending = 0
        if self._late is not None:
            self._late.cancel()
            self._late = None
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > HEAD_BYTES or len(self.headers) > HEAD_FIELDS:
            raise _HeadTooLarge
        extensions: Any = {ABORT: self.transport.abort}
        self.scope["extensions"] = extensions
        super().on_headers_complete()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        # uvicorn's closes once the rest of a response is read, if it ever is.
        self._expect_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(self.unread_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for timer in (self._late, self._slow, self._unread, self._lingering):
            if timer is not None:
                timer.cancel()

    @property
    def _answering(self) -> bool:
        """Whether a response is not complete yet."""
        # None before the first request, despite its annotation.
        return self.cycle is not None and not self.cycle.response_complete  # type: ignore[redundant-expr]

    def _expect_head(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(self.head_seconds, self.transport.abort)

    def _parse(self, data: bytes) -> bytes:
        """Parse. Return the bytes that are not parsed yet."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            if not self._should_upgrade():
                return rest  # RFC 9110 §7.8: an Upgrade may be ignored
            self._begin_stream(rest)
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, _HeadTooLarge):
                self._refuse_head()
            else:
                self._refuse(400, "This is not an HTTP request that can be read.")
        return b""

    # --- handshakes ---

    def _should_upgrade(self) -> bool:
        """Whether a request is a handshake. Other requests for an upgrade are served without one (RFC 9110
        §7.8): over HTTP/1.0, with another method, or with a body, which may never end.
        """
        if not super()._should_upgrade():
            return False
        fields = dict(self.headers)
        bodiless = b"transfer-encoding" not in fields and fields.get(b"content-length", b"0") == b"0"
        return bodiless and self.scope["method"] == "GET" and self.scope["http_version"] == "1.1"

    def _begin_stream(self, rest: bytes) -> None:
        """Hand the connection over, with a handshake that was parsed already and the bytes that followed
        it.
        """
        if self._answering or self.flow.write_paused:
            self._end_when_answered()
            return
        try:
            request = _handshake(self.url, self.headers)
        except (httptools.HttpParserError, UnicodeDecodeError):
            self._refuse(400, "The address of this handshake cannot be read.")
            return
        if len(rest) > EARLY_BYTES:
            self._refuse(400, f"More than {EARLY_BYTES} bytes follow this handshake before its answer.")
            return
        self._ended = True
        self.connections.discard(self)
        protocol: Any = self.ws_protocol_class
        stream = protocol(config=self.config, server_state=self.server_state, app_state=self.app_state)
        stream.connection_made(self.transport)
        self.transport.set_protocol(stream)
        # This and its parser refer to each other: without this they live until the next garbage collection.
        self.parser = None  # type: ignore[assignment]
        stream.begin(request, rest)

    # --- malformed requests ---

    def _refuse_head(self) -> None:
        if len(self.url) > HEAD_BYTES // 2:
            self._refuse(414, f"The head of a request may have {HEAD_BYTES} bytes; the address is too long.")
        else:
            limits = f"{HEAD_BYTES} bytes and {HEAD_FIELDS} fields"
            self._refuse(431, f"The head of a request may have {limits}.")

    def _refuse_slow(self) -> None:
        if self._answering and not self._ended:
            self._refuse(408, f"The body of a request must have come within {self.body_seconds:g} s.")

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

    def _linger(self) -> None:
        """Send EOF, and read for a while: closing with unread bytes would reset the connection, and the peer
        would lose the response (RFC 9112 §9.6).
        """
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._lingering = self.loop.call_later(self.linger_seconds, self.transport.abort)
        else:
            self.transport.close()


def _handshake(url: bytes, fields: Iterable[tuple[bytes, bytes]]) -> Request:
    """Make a handshake from what was parsed already. Raises HttpParserError, UnicodeDecodeError."""
    where = httptools.parse_url(url)
    path = where.path + (b"?" + where.query if where.query else b"")
    headers = Headers([(name.decode("ascii"), value.decode("latin-1")) for name, value in fields])
    return Request(path.decode("ascii"), headers)
