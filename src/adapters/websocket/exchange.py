"""A request over HTTP and its answer: uvicorn's, with ordinary answers written in less time."""

import asyncio
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

_UNORDINARY = frozenset({b"connection", b"transfer-encoding"})
# What no field may hold (RFC 9110 §5.5), least of all the end of its line.
_CONTROLS = bytes({*range(0x20), 0x7F} - {0x09})


class Exchange(RequestResponseCycle):
    """Writes an answer of known length, on a connection that goes on, in one piece, and does not wait for a
    body that has arrived.

    uvicorn examines each header with two regular expressions, and writes the head before the body. Here names
    must be in lower case, as ASGI demands.
    """

    _head: bytes | None = None
    """An ordinary head, which is written with the first part of its body."""

    async def receive(self) -> Any:
        if self.more_body or not self.body or self.response_complete or self.disconnected:
            return await super().receive()
        body, self.body = bytes(self.body), bytearray()
        self.message_event.clear()
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Any) -> None:
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
        self.transport.write(head + body)
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
        return True


class ExchangingProtocol(HttpToolsProtocol):
    """Makes an exchange of each request."""

    def _describe(self) -> None:
        """Complete the scope with what the request line says."""
        scope: Any = self.scope
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = self.parser.get_http_version()
        where = httptools.parse_url(self.url)
        path = where.path.decode("ascii")
        scope["path"] = self.root_path + (unquote(path) if "%" in path else path)
        scope["raw_path"] = self.root_path.encode("ascii") + where.path
        scope["query_string"] = where.query or b""

    def _begin_exchange(self) -> None:
        """Have the application answer the request, once it has answered those before it."""
        before, self.cycle = self.cycle, self._exchange()
        if before is None or before.response_complete:  # type: ignore[redundant-expr] # None at first
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _exchange(self) -> Exchange:
        goes_on = self.scope["http_version"] != "1.0" and self.parser.should_keep_alive()
        return Exchange(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=goes_on,
            on_response=self.on_response_complete,
        )
