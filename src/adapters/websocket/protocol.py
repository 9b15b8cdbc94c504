"""The WebSocket below a live stream: uvicorn's, with limits and fixes."""

import asyncio
import logging
from functools import cached_property
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import unquote

from uvicorn._types import ASGISendEvent, WebSocketAcceptEvent
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.server import ServerState
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.typing import StatusLike

from adapters.websocket.handshake import acceptance, as_read, offered, plain_proof
from adapters.websocket.newcomers import newcomers_of
from adapters.websocket.reading import CountingProtocol, ReadingProtocol
from adapters.websocket.refusal import rejection
from adapters.websocket.transport import TransportConnection
from adapters.websocket.waiting import Gate, Inbox
from application.pace import Pace
from application.ports import Monotonic

logger = logging.getLogger(__name__)

EXTENSION = "bellwire.transport"
"""The key in an ASGI scope of a function that gives access to the transport below its socket."""
CLOSE_SECONDS = 30.0
ANSWER_SECONDS = 5.0


class StreamProtocol(ReadingProtocol):
    """A WebSocket that closes in bounded time, does not fill the log, and takes little memory while nothing
    happens on it.
    """

    close_seconds = CLOSE_SECONDS
    """How long a peer may take to read what was sent to it before the connection ends."""
    answer_seconds = ANSWER_SECONDS
    """How long it may take to answer a close."""

    # In the class, because uvicorn would set each of them on every socket.
    logger = logging.getLogger("uvicorn.error")
    handshake_initiated = handshake_complete = close_sent = disconnected = read_paused = False
    close_timer = initial_response = ping_interval = ping_timer = pong_timer = pending_ping_payload = None
    curr_msg_data_type: Literal["text", "bytes"] = "bytes"
    close_timeout = ANSWER_SECONDS
    _end: asyncio.TimerHandle | None = None
    _connection: TransportConnection | None = None
    _unparsed = b""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Without uvicorn's: it makes a queue, an event and a parser for every socket, before anything comes
        from the client, and with all its attributes an object of its own size in memory again.
        """
        self.config = config
        self.app = config.loaded_app
        self.loop = _loop or asyncio.get_running_loop()
        self.app_state = app_state
        self.connections = server_state.connections
        self.tasks = server_state.tasks
        self.default_headers = server_state.default_headers
        self.newcomers = newcomers_of(server_state)
        self.queue = Inbox()  # type: ignore[assignment]
        self.writable = Gate()  # type: ignore[assignment]
        self.writable.set()
        self.frames = []

    @cached_property
    def conn(self) -> "_Rfc6455":  # type: ignore[override]
        """The parser of frames, made when the first one arrives."""
        return _Rfc6455(state=State.OPEN, max_size=self.config.ws_max_size, logger=self.logger)

    def take_over(self, http: "HttpToolsProtocol") -> None:
        """Take the connection of a request that is a handshake."""
        self.transport = http.transport
        self.server, self.client = http.server, http.client
        self.scheme = "wss" if http.scheme == "https" else "ws"
        self.connections.add(self)

    def answer_handshake(self) -> None:
        self.proof = plain_proof(self.handshake.headers) or self._judged()
        if not self.close_sent:
            self.scope: Any = self._described()
            self.queue.put_nowait({"type": "websocket.connect"})
            task = self.loop.create_task(self.run_asgi())
            task.add_done_callback(self.on_task_complete)
            self.tasks.add(task)

    def _judged(self) -> bytes:
        """Have the library judge a handshake that is not plain. Returns the proof for one that is good, and
        answers any other.
        """
        response = _Rfc6455(logger=self.logger).accept(as_read(self.handshake))
        if response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            return response.headers["Sec-WebSocket-Accept"].encode("ascii")
        self.handshake_complete = self.close_sent = True
        self.transport.write(response.serialize())
        self.transport.close()
        return b""

    def _described(self) -> dict[str, Any]:
        """The ASGI scope."""
        root, (path, query, headers) = self.config.root_path, self.handshake
        return {
            "type": "websocket",
            "asgi": {"version": self.config.asgi_version, "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": self.scheme,
            "server": self.server,
            "client": self.client,
            "root_path": root,
            "path": root + unquote(path.decode("ascii")),
            "raw_path": root.encode("ascii") + path,
            "query_string": query,
            "headers": headers,
            "subprotocols": offered(headers),
            "state": self.app_state.copy(),
            "extensions": {"websocket.http.response": {}, EXTENSION: self},
        }

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
            self._accept(message)
            return
        await super().send(message)
        # uvicorn does not count a response from the application, and would log that there was none.
        self.handshake_complete = self.handshake_complete or self.close_sent
        if self.close_sent:
            self.end_reading()
        self._end_if_closing()

    def _accept(self, message: WebSocketAcceptEvent) -> None:
        if self.disconnected:
            raise ClientDisconnected
        if not self.transport.is_closing():
            self.handshake_complete = True
            headers = (*self.default_headers, *message.get("headers", ()))
            self.transport.write(acceptance(self.proof, headers, message.get("subprotocol")))
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


class _Rfc6455(CountingProtocol):
    """The rules of handshakes and frames."""

    def accept(self, request: Request) -> Response:
        response = super().accept(request)
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            response.headers["Sec-WebSocket-Version"] = "13"  # RFC 6455 §4.4: for any error
        return response

    def reject(self, status: StatusLike, text: str) -> Response:
        return rejection(int(status), text.strip() or "This handshake is refused.")

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            # Control frames may come between the fragments of a message (RFC 6455 §5.4), and a peer that
            # closes there need not send the rest (§5.5.1). The library takes it for a protocol error, 1002.
            self.current_size = None
        super().recv_frame(frame)


def _is_text(fragments: list[bytes]) -> bool:
    try:
        b"".join(fragments).decode()
    except UnicodeDecodeError:
        return False
    return True
