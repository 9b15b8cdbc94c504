"""A request over HTTP and its answer: uvicorn's, with ordinary answers written in less time."""

from typing import Any, ClassVar
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from adapters.websocket.waiting import Gate
from common.exchanges import ANSWER, lines

ABORT = "bellwire.abort"
"""The key in an ASGI scope of a function that drops the connection: an unread response cannot be ended."""
_UNORDINARY = frozenset({b"connection", b"transfer-encoding"})
# What no field may hold (RFC 9110 §5.5), least of all the end of its line.
_CONTROLS = bytes({*range(0x20), 0x7F} - {0x09})


class Exchange(RequestResponseCycle):
    """Writes an answer of known length, on a connection that goes on, in one piece, and does not wait for a
    body that has arrived.

    uvicorn examines each header with two regular expressions, and writes the head before the body. Here names
    must be in lower case, as ASGI demands.
    """

    disconnected = False
    access_log = False
    more_body = True
    response_started = False
    response_complete = False
    chunked_encoding = None
    expected_content_length = 0
    _head: bytes | None = None
    """An ordinary head, which is written with the first part of its body."""
    _served: ClassVar[tuple[Any, bytes]] = (None, b"")
    """The default headers, which change once a second, and their lines."""

    def __init__(
        self, protocol: HttpToolsProtocol, scope: Any, *, keep_alive: bool, expect_100_continue: bool = False
    ) -> None:
        """Not uvicorn's, which is given each of these and sets what is the same for every request."""
        self.scope = scope
        self.transport = protocol.transport
        self.flow = protocol.flow
        self.logger = protocol.logger
        self.default_headers = protocol.server_state.default_headers
        self.on_response = protocol.on_response_complete
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = expect_100_continue
        self.body = bytearray()
        self.message_event = Gate()  # type: ignore[assignment] # it takes less to make one

    def take(self, body: bytes) -> None:
        """Keep a piece of the body until the application asks for it."""
        self.body += body
        if len(self.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        self.message_event.set()

    async def receive(self) -> Any:
        if self.more_body or not self.body or self.response_complete or self.disconnected:
            return await super().receive()
        body, self.body = bytes(self.body), bytearray()
        self.message_event.clear()
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Any) -> None:
        if message["type"] == ANSWER:
            if self.flow.write_paused and not self.disconnected:
                await self.flow.drain()
            if not self.disconnected:
                self._write(message["status"], message["head"], message["body"])
            return
        if not self.response_started:
            if self._hold_head(message):
                return
        elif self._head is not None:
            head, self._head = self._head, None
            if self._answer(head, message):
                return
            if not self.disconnected:
                self.transport.write(head)
        await super().send(message)

    def _hold_head(self, message: Any) -> bool:
        """Keep the head if it is ordinary. Return whether it is; uvicorn has an answer to all others."""
        if message["type"] != "http.response.start" or self.disconnected or self.flow.write_paused:
            return False
        headers = (*self.default_headers, *message.get("headers", ()))
        fields = dict(headers)
        length = fields.get(b"content-length")
        if length is None or not self.keep_alive or not fields.keys().isdisjoint(_UNORDINARY):
            return False
        head = b"\r\n".join(map(b": ".join, headers))
        if len(head.translate(None, _CONTROLS)) != len(head) - 2 * (len(headers) - 1):
            return False
        self.expected_content_length, self.chunked_encoding = int(length), False
        self.response_started, self.waiting_for_100_continue = True, False
        self._head = b"%b%b\r\n\r\n" % (STATUS_LINE[message["status"]], head)
        return True

    def _answer(self, head: bytes, message: Any) -> bool:
        """Write the head with the body. Return whether that is all of it, of the length in the head."""
        body = message.get("body", b"")
        if (
            message["type"] != "http.response.body"
            or message.get("more_body")
            or len(body) != self.expected_content_length
            or self.scope["method"] == "HEAD"
            or self.disconnected
            or self.flow.write_paused
        ):
            return False
        self._complete(head + body)
        return True

    def _write(self, status: int, head: bytes, body: bytes) -> None:
        """Write a whole answer."""
        default, served = Exchange._served
        if default is not self.default_headers:
            served = lines(self.default_headers)
            Exchange._served = self.default_headers, served
        end = b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
        self.response_started, self.waiting_for_100_continue = True, False
        self._complete(b"".join((STATUS_LINE[status], served, head, end, body)))

    def _complete(self, answer: bytes) -> None:
        self.transport.write(answer)
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


class ExchangingProtocol(HttpToolsProtocol):
    """Makes an exchange of each request."""

    cycle: Exchange

    def _described(self, method: str, version: str) -> Any:
        """The scope of the request that was parsed."""
        where, root = httptools.parse_url(self.url), self.root_path
        path = where.path.decode("ascii")
        extensions: dict[str, Any] = {ABORT: self.transport.abort}
        if method != "HEAD":
            extensions[ANSWER] = {}
        return {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": root,
            "headers": self.headers,
            "state": self.app_state.copy(),
            "method": method,
            "path": root + (unquote(path) if "%" in path else path),
            "raw_path": root.encode("ascii") + where.path,
            "query_string": where.query or b"",
            "extensions": extensions,
        }

    def _begin_exchange(self, exchange: Exchange) -> None:
        """Have the application answer the request, once it has answered those before it."""
        before, self.cycle = self.cycle, exchange
        if before is None or before.response_complete:  # type: ignore[redundant-expr] # None at first
            self._start_asgi_task(exchange, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, self.app))
