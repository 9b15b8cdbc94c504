"""EventsConnection: a live connection as an HTTP response with server-sent events.

The format is that of WHATWG HTML, section 9.2. A frame is JSON without raw line breaks, so it fits in one
`data`.
"""

from typing import Any

import msgspec

from adapters.websocket.asgi import AsgiConnection
from adapters.websocket.exchange import ABORT
from application.ports import Monotonic

_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),  # nginx and compatible proxies would buffer events
)
_COMMENT = b":\n\n"


class _Bye(msgspec.Struct):
    retry_ms: int | None


_decode_bye = msgspec.json.Decoder(_Bye).decode


class EventsConnection(AsgiConnection):
    """The Connection of a GET. The response begins with the first frame; until then another can be sent."""

    def __init__(self, scope: Any, receive: Any, send: Any, *, now: Monotonic) -> None:
        super().__init__(receive, send, now)
        self.refused = ""
        self._begun = False
        self._abort = (scope.get("extensions") or {}).get(ABORT)

    def send(self, text: str, cursor: str = "") -> None:
        if not self._begun and not self._gone.done():
            self._begun = True
            self._put({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)}, 0)
        super().send(text, cursor)

    def ping(self) -> bool:
        """Send a comment. Nobody answers it: a client that has gone is found because it takes no bytes."""
        if not self._waiting and not self._closing and not self._gone.done():
            self._put(_body(_COMMENT), len(_COMMENT))
        return False

    def close(self, code: int, reason: str, bye: str) -> None:
        if self._begun:
            super().close(code, reason, bye)
        elif not self._gone.done():
            self.refused = bye
            self._end()

    def _event(self, text: str, cursor: str) -> Any:
        position = f"id: {cursor}\n" if cursor else ""
        return _body(f"{position}{self._retry(text)}data: {text}\n\n".encode())

    def _retry(self, text: str) -> str:
        """The field with the delay before the client reconnects, if this is a `bye` that asks for one."""
        if not self._closing:
            return ""
        retry_ms = _decode_bye(text).retry_ms
        return "" if retry_ms is None else f"retry: {retry_ms}\n"

    def _end_event(self, code: int, reason: str) -> Any:
        return {"type": "http.response.body", "body": b"", "more_body": False}

    async def _hear(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass  # the body of a GET has no meaning

    def _cut_off(self) -> None:
        if self._abort is None:
            self._end()
        elif not self._gone.done():
            self._abort()  # which ends `_hear`


def _body(data: bytes) -> Any:
    return {"type": "http.response.body", "body": data, "more_body": True}
