"""The HTTP connection with which every live stream begins: uvicorn's, with time limits."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

import httptools

from adapters.websocket import descriptors, refusal
from adapters.websocket.ending import HEAD_BYTES, HEAD_FIELDS, EndingProtocol
from adapters.websocket.exchange import Exchange
from adapters.websocket.handshake import Handshake
from adapters.websocket.reading import EARLY_BYTES
from common.exchanges import first_of, set_fields

HEAD_SECONDS = 10.0
BODY_SECONDS = 10.0
BODY_RATE = 16 * 1024.0
"""Bytes a second. A body may take BODY_SECONDS, and what it takes at this rate."""
UNREAD_SECONDS = 30.0

# `uri-host [":" port]` (RFC 9110 §7.2, RFC 3986 §3.2.2).
_HOST = re.compile(
    rb"(\[[0-9A-Za-z:._~!$&'()*+,;=-]+\]|([0-9A-Za-z._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(:[0-9]*)?"
)


class _HeadTooLarge(Exception):
    """The head of a request exceeds the limits."""


class _Malformed(Exception):
    """The head of a request breaks a rule: the text says which."""


class HttpProtocol(EndingProtocol):
    """Drops a connection that keeps it waiting, for the whole head of a request or for its response to be
    read. Answers malformed requests and those whose body does not arrive, and then ends the connection. When
    the descriptors of the process run out, drops those that have kept it waiting longest.

    uvicorn waits forever for the first request, for the rest of any that has begun, and for a peer that does
    not read its response. So a client could use up the descriptors of the process by opening connections and
    sending a byte now and then, or nothing. uvicorn also parses a handshake twice, the second time by other
    rules, and does not answer one that only these refuse.
    """

    head_seconds = HEAD_SECONDS
    body_seconds = BODY_SECONDS
    body_rate = BODY_RATE
    unread_seconds = UNREAD_SECONDS
    shortage = descriptors.Shortage()

    _late: asyncio.TimerHandle | None = None
    _slow: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _pending = 0
    """How many bytes arrived since the last piece of a body or the last whole head. More than a head may have
    means an endless head, trailer or chunk extension.
    """
    _piece = 0
    """How many bytes came together last."""
    _is_handshake = False
    """Whether the request asks for a WebSocket. Requests for another upgrade, over HTTP/1.0 or with another
    method are served without one (RFC 9110 §7.8).
    """
    _body_since = 0.0
    _body_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()
        if self.shortage.at(transport) and not self.shortage.make_room(self.connections, self):
            detail = "This process serves as many connections as it can."
            headers = [*self.server_state.default_headers, (b"retry-after", b"1")]
            transport.write(refusal.answer(503, detail, headers))
            self.give_way()

    def data_received(self, data: bytes) -> None:
        if self._ended:
            self._discard(data)
            return
        self._piece = len(data)
        self._pending += self._piece
        while data:
            data = self._parse(data)
        if not self._ended:
            self._expect_more()

    def on_message_begin(self) -> None:
        self._is_handshake = False
        self.url, self.headers = b"", []

    def on_header(self, name: bytes, value: bytes) -> None:
        headers = self.headers
        if len(headers) == HEAD_FIELDS:
            raise _HeadTooLarge
        headers.append((name.lower(), value))

    def on_message_complete(self) -> None:
        self.waiting_since = None
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None
        if not self._is_handshake and not self.cycle.response_complete:
            self.cycle.more_body = False
            self.cycle.message_event.set()

    def on_body(self, body: bytes) -> None:
        self._pending = 0
        self._body_bytes += len(body)
        if not self._is_handshake and not self.cycle.response_complete:
            self.cycle.take(body)

    def on_response_complete(self) -> None:
        self.waiting_since = self.loop.time()
        if self.timeout_keep_alive_task is None or self.pipeline or self.transport.is_closing():
            super().on_response_complete()
        else:  # the timer of an earlier request finds out how long the connection has been idle
            self.server_state.total_requests += 1
            self.flow.resume_reading()

    def on_headers_complete(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
        if self._pending + self._piece > HEAD_BYTES:
            self._check_size()
        self._pending = self._body_bytes = 0
        headers, version = self.headers, self.parser.get_http_version()
        fields = first_of(headers)
        _check_host(fields, headers, version)
        method = self.parser.get_method().decode("ascii")
        self._is_handshake = (
            self.parser.should_upgrade()
            and self._get_upgrade() == b"websocket"
            and (method, version) == ("GET", "1.1")
        )
        if self._is_handshake:
            if b"transfer-encoding" in fields or fields.get(b"content-length", b"0") != b"0":
                raise _Malformed("A WebSocket handshake has no body.")
            return
        self.scope = self._described(method, version)
        # A trailer must not become a header unless a recipient knows it (RFC 9110 §6.5.1).
        self.headers = []
        set_fields(self.scope, fields)
        self._begin_exchange(
            Exchange(
                self,
                self.scope,
                keep_alive=version != "1.0" and self.parser.should_keep_alive(),
                expect_100_continue=fields.get(b"expect", b"").lower() == b"100-continue",
            )
        )

    def _check_size(self) -> None:
        """Raise _HeadTooLarge for a head that has come, if it is. Not of every one: few can be."""
        size = len(self.url) + 4 * len(self.headers) + sum(map(len, chain.from_iterable(self.headers)))
        if size > HEAD_BYTES:
            raise _HeadTooLarge

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        if self._answering or self._ended or self._late is not None or self.waiting_since is None:
            return
        due = self.waiting_since + self.timeout_keep_alive
        if due > self.loop.time():
            self.timeout_keep_alive_task = self.loop.call_at(due, self.timeout_keep_alive_handler)
            return
        super().timeout_keep_alive_handler()
        # uvicorn's closes once the rest of a response is read, if it ever is.
        self._expect_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.waiting_since = self.loop.time()
        self._unread = self.loop.call_later(self.unread_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
        if self._answering and not self.cycle.more_body:
            self.waiting_since = None
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for timer in (
            self._late,
            self._slow,
            self._unread,
            self._lingering,
            self.timeout_keep_alive_task,
        ):
            if timer is not None:
                timer.cancel()

    def _expect_more(self) -> None:
        if self._pending > HEAD_BYTES:
            self._refuse_head()
        elif not self._answering:
            self._expect_head()
        elif self._slow is None and self.cycle.more_body:
            self._expect_body()

    def _expect_head(self) -> None:
        if self._late is None:
            self.waiting_since = self.loop.time()
            self._late = self.loop.call_later(self.head_seconds, self.transport.abort)

    def _expect_body(self) -> None:
        self._body_since = self.loop.time()
        self._slow = self.loop.call_later(self.body_seconds, self._check_body)

    def _check_body(self) -> None:
        """Refuse a body that is later than it may be, or wait for as long as it may still take."""
        self._slow = None
        if not self._answering or self._ended:
            return
        if self.flow.read_paused or self.cycle.waiting_for_100_continue:
            self._body_bytes = 0
            self._expect_body()  # again: the application keeps the client waiting
            return
        due = self._body_since + self.body_seconds + self._body_bytes / self.body_rate
        if due > self.loop.time():
            self._slow = self.loop.call_at(due, self._check_body)
        else:
            limit = f"{self.body_seconds:g} s, and at {self.body_rate / 1024:g} KiB a second from then on"
            self._refuse(408, f"The body of a request must arrive within {limit}.")

    def _parse(self, data: bytes) -> bytes:
        """Parse. Return the bytes that are not parsed yet."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            if not self._is_handshake:
                return rest  # RFC 9110 §7.8: an Upgrade may be ignored
            self._begin_stream(rest)
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, _HeadTooLarge):
                self._refuse_head()
            elif isinstance(error.__context__, _Malformed):
                self._refuse(400, str(error.__context__))
            else:
                self._refuse(400, "This is not an HTTP request that can be read.")
        return b""

    # --- handshakes ---

    def _begin_stream(self, rest: bytes) -> None:
        """Hand the connection over, with a handshake that was parsed already and the bytes that followed
        it.
        """
        if self._answering or self.flow.write_paused:
            self._end_when_answered()
            return
        try:
            handshake = _handshake(self.url, self.headers)
        except (httptools.HttpParserError, UnicodeDecodeError):
            self._refuse(400, "The address of this handshake cannot be read.")
            return
        if len(rest) > EARLY_BYTES:
            self._refuse(400, f"More than {EARLY_BYTES} bytes follow this handshake before its answer.")
            return
        self._ended = True
        self.connections.discard(self)
        self._unset_keepalive_if_required()
        protocol: Any = self.ws_protocol_class
        stream = protocol(config=self.config, server_state=self.server_state, app_state=self.app_state)
        stream.take_over(self)
        self.transport.set_protocol(stream)
        # This and its parser refer to each other: without this they live until the next garbage collection.
        self.parser = None  # type: ignore[assignment]
        stream.begin(handshake, rest)


def _check_host(fields: Mapping[bytes, bytes], headers: Sequence[tuple[bytes, bytes]], version: str) -> None:
    """Raise _Malformed unless a request names one host (RFC 9112 §3.2). Of HTTP/1.0 it may name none."""
    host = fields.get(b"host")
    if host is None:
        if version != "1.0":
            raise _Malformed("A request of HTTP/1.1 must have a Host header.")
    elif not _is_host(host):
        raise _Malformed("The Host header is not a host with a port or without one.")
    elif len(fields) < len(headers) and [name for name, _ in headers].count(b"host") > 1:
        raise _Malformed("A request must not have more than one Host header.")


@lru_cache(maxsize=256)
def _is_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None


def _handshake(url: bytes, headers: list[tuple[bytes, bytes]]) -> Handshake:
    """Make a handshake from what was parsed already. Raises HttpParserError, UnicodeDecodeError."""
    where = httptools.parse_url(url)
    path, query = where.path, where.query or b""
    path.decode("ascii"), query.decode("ascii")
    return Handshake(path, query, headers)
