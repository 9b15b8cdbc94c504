"""The connection below a live stream: uvicorn's, with its loose ends tied."""

import asyncio
import logging
from typing import Any

from uvicorn._types import ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import CloseCode, Frame, Opcode
from websockets.server import ServerProtocol

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 10.0


class StreamProtocol(WebSocketsSansIOProtocol):
    """A WebSocket that ends in bounded time once it has begun to close, and without noise in the log.

    Never compresses, whatever is configured.
    """

    close_seconds = CLOSE_SECONDS

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn = _Rfc6455(max_size=config.ws_max_size, logger=self.logger)
        self._end: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._end is not None:
            self._end.cancel()

    def eof_received(self) -> None:
        self._end_in_time()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._end_if_closing()

    def shutdown(self) -> None:
        super().shutdown()
        self._end_in_time()

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        self._end_if_closing()

    async def run_asgi(self) -> None:
        await super().run_asgi()
        self._end_in_time()

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not _is_text(self.frames):
            self._refuse(CloseCode.INVALID_DATA, "invalid UTF-8")
        else:
            super().send_receive_event_to_app()

    def _refuse(self, code: CloseCode, reason: str) -> None:
        """Fail the connection for what the peer sent. That is its fault: nothing for the log of errors."""
        logger.debug("a socket was closed: %s", reason)
        self.frames = []
        self.conn.fail(code, reason)
        self.handle_parser_exception()

    def _end_if_closing(self) -> None:
        if self.close_sent or self.transport.is_closing():
            self._end_in_time()

    def _end_in_time(self) -> None:
        """Drop the connection if it is still there after a while.

        A transport that is closed first writes what is left. A peer that does not read, or that never
        answers a close, would hold the connection, and all that waits for it, for ever.
        """
        if self._end is None and not self.disconnected:
            self._end = self.loop.call_later(self.close_seconds, self.transport.abort)


class _Rfc6455(ServerProtocol):
    """The rules of frames."""

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            # Control frames may come between the fragments of a message (RFC 6455 §5.4), and whoever closes
            # there owes the rest to nobody (§5.5.1). The library takes it for a protocol error, 1002.
            self.current_size = None
        super().recv_frame(frame)


def _is_text(fragments: list[bytes]) -> bool:
    try:
        b"".join(fragments).decode()
    except UnicodeDecodeError:
        return False
    return True
