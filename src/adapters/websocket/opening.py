"""The opening of a WebSocket: the answer to its handshake, and the call of the application."""

import asyncio
import logging
from functools import cached_property
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import unquote

from uvicorn._types import WebSocketAcceptEvent
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.typing import StatusLike

from adapters.websocket.handshake import acceptance, as_read, offered, plain_proof
from adapters.websocket.newcomers import newcomers_of
from adapters.websocket.reading import CountingProtocol, ReadingProtocol
from adapters.websocket.refusal import rejection
from adapters.websocket.waiting import Gate, Inbox

EXTENSION = "bellwire.transport"
"""The key in an ASGI scope of a function that gives access to the transport below its socket."""


class OpeningProtocol(ReadingProtocol):
    """The opening half of uvicorn's WebSocket."""

    # In the class: each would take memory on every socket, and Python shares the names of few attributes.
    logger = logging.getLogger("uvicorn.error")
    handshake_initiated = handshake_complete = close_sent = disconnected = read_paused = False
    initial_response = ping_interval = ping_timer = pong_timer = pending_ping_payload = None
    close_timer: asyncio.TimerHandle | None = None
    curr_msg_data_type: Literal["text", "bytes"] = "bytes"
    _unparsed = b""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Not uvicorn's: it makes a queue, an event and a parser for each socket, whether or not its client
        ever sends anything.
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

    def accept(self, message: WebSocketAcceptEvent) -> None:
        """Answer the handshake. Raises ClientDisconnected."""
        if self.disconnected:
            raise ClientDisconnected
        if not self.transport.is_closing():
            self.handshake_complete = True
            headers = (*self.default_headers, *message.get("headers", ()))
            self.transport.write(acceptance(self.proof, headers, message.get("subprotocol")))


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
