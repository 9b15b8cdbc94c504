"""What the load generator has to know of a system: the bytes to send, and how to read the frames."""

import json
import time
from typing import Protocol

import jwt

from bench.load import request


class Peer(Protocol):
    """A system with HTTP and, if it has one, a WebSocket. Requests are bytes, prepared before the load."""

    @property
    def accepted(self) -> int:
        """The status of a publish that was accepted."""

    @property
    def marked(self) -> int:
        """The status of a notification that was marked read."""

    def create(self, user: str) -> bytes | None:
        """A request that makes a user; None if users need not be made."""

    def publish(self, user: str) -> bytes:
        """A request that publishes to a user. It contains STAMP where its frame will have it."""

    def fetch(self, user: str) -> bytes | None:
        """A request for the 20 newest unread; None if it stores none."""

    def marks(self, user: str, page: bytes) -> list[bytes]:
        """The requests that mark each notification read in the body of an answer to `fetch`."""

    def handshake(self, user: str) -> bytes | None:
        """The request that opens a user's WebSocket; None if it has none."""

    def hello(self, user: str) -> bytes:
        """What a client sends first; empty if nothing."""

    def welcomes(self, payload: bytes) -> bool:
        """Whether this frame says that the user is known and will be sent what is published from now on."""

    def reply(self, payload: bytes) -> bytes | None:
        """What a client answers to this frame (a ping), if anything."""


def publishing(path: str, body: object, *headers: str) -> bytes:
    """A POST with a JSON body."""
    return request("POST", path, *headers, body=json.dumps(body, separators=(",", ":")).encode())


def upgrade(path: str, *headers: str) -> bytes:
    """A WebSocket handshake."""
    return request(
        "GET",
        path,
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *headers,
    )


def token(secret: str, **claims: object) -> str:
    """A token (HS256) that is good for an hour."""
    now = int(time.time())
    return jwt.encode({"iat": now, "exp": now + 3_600, **claims}, secret, "HS256")
