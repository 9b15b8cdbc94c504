"""`python -m bench.trivial PORT`: a server that only answers and pushes, so that what is measured are its
clients.

It is addressed as Bellwire is. Every POST is answered 202 and pushed to the sockets of its `user_id`; every
GET has the same page of 20 for an answer, every PATCH the same notification. POST /flood pushes as many
frames to every socket as its body says. It stores nothing and checks nothing.
"""

import asyncio
import re
import sys
from collections import defaultdict
from typing import Any, ClassVar

import uvloop

_ITEM = b'{"id":"01a202bb-ab09-7455-8828-%012d","user_id":"ada","message":"Build 7 has passed.","read_at":%b}'
_PAGE = b'{"items":[%b]}' % b",".join(_ITEM % (nth, b"null") for nth in range(20))
_READ = _ITEM % (0, b'"2026-11-29T07:00:00Z"')
_ACCEPTED = b'{"id":"01a202bb-ab09-7455-8828-000000000000","status":"accepted"}'
_UPGRADED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
_USER = re.compile(rb'"user_id": ?"([^"]*)"')


def _answer(status: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(body)) + body


_ANSWERS = {
    b"GET": _answer(b"200 OK", _PAGE),
    b"PATC": _answer(b"200 OK", _READ),
    b"POST": _answer(b"202 Accepted", _ACCEPTED),
}


def text(payload: bytes) -> bytes:
    """A text frame, as a server sends it."""
    length = len(payload)
    return (b"\x81%c" % length if length < 126 else b"\x81\x7e" + length.to_bytes(2)) + payload


class Trivial(asyncio.Protocol):
    """A connection: of requests, until one of them asks for a socket."""

    sockets: ClassVar[defaultdict[bytes, list[Any]]] = defaultdict(list)

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._got = b""
        self._socket = b""

    def data_received(self, data: bytes) -> None:
        if self._socket:
            return  # whatever clients say
        self._got = got = self._got + data
        while (end := got.find(b"\r\n\r\n")) >= 0:
            head = got[:end]
            length = head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]
            size = end + 4 + int(length or 0)
            if len(got) < size:
                break
            self._handle(head, got[end + 4 : size])
            self._got = got = got[size:]

    def _handle(self, head: bytes, body: bytes) -> None:
        method = head[:4].rstrip()
        if method == b"GET" and head.startswith(b"GET /ws/"):
            self._open(head[8 : head.index(b" ", 8)])
        elif method == b"POST":
            self._transport.write(_ANSWERS[method])
            if head.startswith(b"POST /flood"):
                self._flood(int(body))
            elif found := _USER.search(body):
                for transport in self.sockets[found[1]]:
                    transport.write(text(b'{"type":"notifications","items":[%b]}' % body))
        else:
            self._transport.write(_ANSWERS[method])

    def _open(self, user: bytes) -> None:
        self._socket = user
        self.sockets[user].append(self._transport)
        self._transport.write(_UPGRADED + text(b'{"type":"welcome","cursor":"0a1b2c3d.0"}'))

    def _flood(self, frames: int) -> None:
        frame = text(b'{"type":"notifications","items":[%b],"sent":0}' % (_ITEM % (0, b"null")))
        everybody = [each for sockets in self.sockets.values() for each in sockets]
        for _ in range(frames):
            for transport in everybody:
                transport.write(frame)

    def connection_lost(self, _error: Exception | None) -> None:
        if self._socket:
            self.sockets[self._socket].remove(self._transport)


async def serve(port: int) -> None:
    """Serve on a port of loopback until cancelled."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Trivial, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
