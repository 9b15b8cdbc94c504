"""The server's end of a WebSocket, on a transport that notes what it is told: no server and no client."""

import asyncio
from functools import cache
from time import monotonic
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode

from adapters.websocket.handshake import Handshake
from adapters.websocket.protocol import StreamProtocol
from adapters.websocket.transport import TransportConnection
from application.pace import Pace

HANDSHAKE = [
    (b"connection", b"Upgrade"),
    (b"upgrade", b"websocket"),
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
]
PING = bytes.fromhex("898000000000")  # an empty one, masked: the cheapest frame to send
BURST = 10


def wire(opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


def text(data: bytes) -> bytes:
    return wire(Opcode.TEXT, data)


class Line(asyncio.Transport):
    """A transport that gives what is sent only while it is read, as a kernel does."""

    def __init__(self) -> None:
        super().__init__()
        self._reading = True
        self.closed = False
        self.written = b""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.1", 1) if name == "peername" else default

    def write(self, data: Any) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self._reading = False

    def is_reading(self) -> bool:
        return self._reading

    def resume_reading(self) -> None:
        self._reading = True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0


async def _wait(scope: Any, _receive: Any, _send: Any) -> None:
    await scope["state"]["over"].wait()


@cache
def _config() -> Config:
    config = Config(_wait, ws=StreamProtocol, ws_max_size=1 << 14, log_config=None, ws_ping_interval=None)
    config.load()
    return config


class Socket:
    """A socket whose handshake has just arrived, at the server's end."""

    def __init__(
        self,
        early: bytes = b"",
        state: ServerState | None = None,
        headers: list[tuple[bytes, bytes]] = HANDSHAKE,
    ) -> None:
        self.line = Line()
        self._over = asyncio.Event()
        self.protocol = StreamProtocol(_config(), state or ServerState(), {"over": self._over})
        self.protocol.connection_made(self.line)
        self.protocol.begin(Handshake(b"/ws/ada", b"", headers), early)

    @property
    def parsed(self) -> int:
        """How many frames were parsed and not received yet."""
        return len(self.protocol.queue._events)  # type: ignore[attr-defined]

    async def end(self) -> None:
        """The client has gone, and so has the application."""
        self.protocol.connection_lost(None)
        self.protocol.handshake_complete = True
        self._over.set()
        await asyncio.sleep(0)

    async def accept(self, burst: float = BURST, *, keep: bool = False) -> TransportConnection:
        """Accept it as the application does; the client may send so many frames. The answer to the handshake
        is forgotten unless it is to be kept.
        """
        assert (await self.protocol.receive())["type"] == "websocket.connect"
        await self.protocol.send({"type": "websocket.accept", "subprotocol": None, "headers": []})
        if not keep:
            self.line.written = b""
        return self.protocol.connection(monotonic, Pace(0, burst, monotonic))
