"""WebSocket clients of any peer."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from bench.hosted import hosted
from bench.peers.peer import Peer
from bench.sockets import Sockets
from bench.user import User
from bench.websocket import Receiver, WebSocket

_STAMPED = b'"sent":'


class PeerSocket(WebSocket):
    """One socket of a user, in the language of its peer."""

    def __init__(self, receiver: Receiver, user: User, peer: Peer) -> None:
        super().__init__(receiver, user)
        self._peer = peer

    def _request(self) -> bytes:
        return self._peer.handshake(self._user.id) or b""

    def _upgraded(self) -> None:
        self._say(self._peer.hello(self._user.id))

    def _frame(self, payload: bytes) -> None:
        if _STAMPED in payload:
            self._receiver.got(payload)
        elif not self.welcomed.done() and self._peer.welcomes(payload):
            self._receiver.welcome(payload)
            self.welcomed.set_result(None)
        elif answer := self._peer.reply(payload):
            self._say(answer)

    def _say(self, payload: bytes) -> None:
        if payload:
            self._transport.write(masked(payload))


def masked(payload: bytes) -> bytes:
    """A text frame as a client must send it; the mask is zeros, so the payload stays as it is."""
    length = len(payload)
    size = bytes([128 | length]) if length < 126 else b"\xfe" + length.to_bytes(2)
    return b"\x81" + size + bytes(4) + payload


class PeerSockets(Sockets):
    """Many of them."""

    def __init__(self, port: int, peer: Peer) -> None:
        super().__init__(port)
        self._peer = peer

    def _client(self, user: User) -> WebSocket:
        return PeerSocket(self, user, self._peer)


def clients(port: int, peer: Peer) -> AbstractContextManager[Callable[..., Any]]:
    """Run clients in a new process; call it with a coroutine function, which gets its `PeerSockets`."""
    return hosted(PeerSockets, port, peer)
