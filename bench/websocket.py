"""A WebSocket client that does as little work per frame as Python allows."""

import asyncio
from typing import Any, Protocol

from bench.user import User

_UPGRADE = (
    "GET /ws/{}{} HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Authorization: Bearer {}\r\n\r\n"
)
_TEXT, _CLOSE = 1, 8
_PONG = b"\x81\x8f\0\0\0\0" + b'{"type":"pong"}'  # masked, as a client must, with zeros
_CLOSED = b"\x88\x80\0\0\0\0"


class Receiver(Protocol):
    """Receives the frames of a socket."""

    def welcome(self, payload: bytes) -> None:
        """Take the first frame."""

    def got(self, payload: bytes) -> None:
        """Take a frame with notifications."""

    def lost(self) -> None:
        """Note that the socket has ended."""


class WebSocket(asyncio.Protocol):
    """One socket of a user; it answers pings and closes."""

    def __init__(self, receiver: Receiver, user: User, cursor: str = "") -> None:
        self._receiver = receiver
        self._user = user
        self._cursor = cursor
        self._left = b""
        self._open = False
        self.welcomed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.status = ""
        """The status of the handshake; empty before it is answered."""
        self.bye = b""
        """The frame that announced the end."""
        self.code: int | None = None
        """The close code; None before the end, and after an end without one."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(self._request())

    def data_received(self, data: bytes) -> None:
        data = self._left + data if self._left else data
        at = 0
        if not self._open:
            if (end := data.find(b"\r\n\r\n")) < 0:
                self._left = data
                return
            self._open, at = True, end + 4
            self.status = data[9:12].decode()
            self._upgraded()
        while (size := len(data) - at) >= 2:
            length, head = data[at + 1], 2
            if length == 126:
                length, head = int.from_bytes(data[at + 2 : at + 4]), 4
            elif length == 127:
                length, head = int.from_bytes(data[at + 2 : at + 10]), 10
            if size < head + length:
                break
            if data[at] & 15 == _TEXT:
                self._frame(data[at + head : at + head + length])
            elif data[at] & 15 == _CLOSE:
                self._close(data[at + head : at + head + 2])
            at += head + length
        self._left = data[at:]

    def _request(self) -> bytes:
        query = f"?cursor={self._cursor}" if self._cursor else ""
        return _UPGRADE.format(self._user.id, query, self._user.token).encode()

    def _upgraded(self) -> None:
        """Do what a client does first; of Bellwire's nothing is expected."""

    def _frame(self, payload: bytes) -> None:
        if payload.startswith(b'{"type":"notifications"'):
            self._receiver.got(payload)
        elif payload.startswith(b'{"type":"ping"'):
            self._transport.write(_PONG)
        elif payload.startswith(b'{"type":"welcome"') and not self.welcomed.done():
            self._receiver.welcome(payload)  # immediately, so that it comes before the next frame
            self.welcomed.set_result(None)
        elif payload.startswith(b'{"type":"bye"'):
            self.bye = payload

    def _close(self, code: bytes) -> None:
        self.code = int.from_bytes(code)
        self._transport.write(_CLOSED)
        self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._receiver.lost()
        if not self.ended.done():  # otherwise the caller has given up
            self.ended.set_result(None)
        if not self.welcomed.done():
            self.welcomed.set_exception(ConnectionError(f"a socket was refused: {self._left!r} {error}"))
