"""The handshake of a WebSocket (RFC 6455 §4.2). Nearly all are plain: each header that counts comes once, in
the form that clients write. These are answered here. The library judges the others, and words the refusals.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from hashlib import sha1
from typing import Final, NamedTuple

from websockets.datastructures import Headers
from websockets.http11 import Request

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_PROTOCOL: Final = b"sec-websocket-protocol"
_ONCE: Final = frozenset(
    {b"connection", b"upgrade", b"origin", b"sec-websocket-key", b"sec-websocket-version", _PROTOCOL}
)
_UPGRADES: Final = frozenset({b"upgrade", b"keep-alive, upgrade"})
_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{22}==")
_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PROTOCOLS: Final = re.compile(_TOKEN + rb"(?:, ?" + _TOKEN + rb")*")
_ACCEPTED: Final = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


class Handshake(NamedTuple):
    """A request for a WebSocket, over HTTP/1.1 and with GET."""

    path: bytes
    """As it was written."""
    query: bytes
    headers: list[tuple[bytes, bytes]]
    """The names in lower case."""


def plain_proof(headers: Sequence[tuple[bytes, bytes]]) -> bytes | None:
    """The value of Sec-WebSocket-Accept for a handshake that is good and plain; None for any other."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _ONCE:
            if name in found:
                return None
            found[name] = value
    if (
        found.get(b"connection", b"").lower() in _UPGRADES
        and found.get(b"upgrade", b"").lower() == b"websocket"
        and found.get(b"sec-websocket-version") == b"13"
        and _KEY.fullmatch(key := found.get(b"sec-websocket-key", b""))
        and (_PROTOCOL not in found or _PROTOCOLS.fullmatch(found[_PROTOCOL]))
    ):
        return b64encode(sha1(key + _GUID, usedforsecurity=False).digest())
    return None


def as_read(handshake: Handshake) -> Request:
    """The handshake, for the library."""
    path, query, headers = handshake
    target = path + (b"?" + query if query else b"")
    fields = [(name.decode("ascii"), value.decode("latin-1")) for name, value in headers]
    return Request(target.decode("ascii"), Headers(fields))


def offered(headers: Sequence[tuple[bytes, bytes]]) -> list[str]:
    """The subprotocols that the client offers."""
    values = [value.decode("latin-1") for name, value in headers if name == _PROTOCOL]
    return [one.strip() for value in values for one in value.split(",")]


def acceptance(proof: bytes, headers: Iterable[tuple[bytes, bytes]], subprotocol: str | None) -> bytes:
    """The answer that accepts a handshake, with this Sec-WebSocket-Accept."""
    chosen = b"" if subprotocol is None else b"Sec-WebSocket-Protocol: %b\r\n" % subprotocol.encode("latin-1")
    others = b"".join([b"%b: %b\r\n" % header for header in headers])
    return b"%bSec-WebSocket-Accept: %b\r\n%b%b\r\n" % (_ACCEPTED, proof, chosen, others)
