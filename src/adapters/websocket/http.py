"""The HTTP connection that every live stream begins as: uvicorn's, without endless patience."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

ABORT = "bellwire.abort"
"""Where an ASGI scope has what drops the connection at once: an answer that is not read cannot be ended."""
HEAD_SECONDS = 10.0
UNREAD_SECONDS = 30.0


class HttpProtocol(HttpToolsProtocol):
    """Drops a connection that keeps it waiting: for the whole head of a request, or to be read.

    uvicorn waits for ever for the first request, for the rest of any that has begun to come, and for a peer
    that does not read its answer. So whoever opens connections and sends a byte now and then, or nothing,
    could use up the descriptors of the process.
    """

    head_seconds = HEAD_SECONDS
    unread_seconds = UNREAD_SECONDS

    _late: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        # None before the first request, whatever its annotation says.
        if self.cycle is None or self.cycle.response_complete:  # type: ignore[redundant-expr]
            self._expect_head()
        super().data_received(data)

    def on_headers_complete(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
        extensions: Any = {ABORT: self.transport.abort}
        self.scope["extensions"] = extensions
        super().on_headers_complete()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        # It closes once the rest of an answer is read, if it ever is.
        self._expect_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(self.unread_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
        super().resume_writing()

    def handle_websocket_upgrade(self) -> None:
        super().handle_websocket_upgrade()
        # It and its parser hold each other; without this they live until the collector comes by.
        self.parser = None  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for timer in (self._late, self._unread):
            if timer is not None:
                timer.cancel()

    def _expect_head(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(self.head_seconds, self.transport.abort)
