"""A request over HTTP and its answer: uvicorn's, which writes ordinary heads in less time."""

from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

_UNORDINARY = frozenset({b"connection", b"transfer-encoding"})
# What no field may hold (RFC 9110 §5.5), least of all the end of its line.
_CONTROLS = bytes({*range(0x20), 0x7F} - {0x09})


class Exchange(RequestResponseCycle):
    """Writes the head of an answer of known length, on a connection that goes on, in one piece.

    uvicorn examines each header with two regular expressions. Here names must be in lower case, as ASGI
    demands.
    """

    async def send(self, message: Any) -> None:
        if self.response_started or not self._write_head(message):
            await super().send(message)

    def _write_head(self, message: Any) -> bool:
        """Write the head if it is ordinary. Return whether it was; uvicorn has an answer to all others."""
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
        self.transport.write(b"".join((STATUS_LINE[message["status"]], head, b"\r\n\r\n")))
        return True
