"""Message authentication codes: how a process knows that what it reads from Redis was written by Bellwire.

Anyone who can write to Redis could otherwise put words into the index and onto the streams. Each code is a
keyed BLAKE2b (RFC 7693 §2.9) of 128 bits, for one purpose and one place: what was written for one user does
not verify for another.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from hmac import compare_digest
from typing import Protocol

import msgspec

from application.pages import Rendered

MAC_BYTES = 16
"""The length of a code; twice this as text."""

_ITEM_HEAD, _ITEM_TAIL = b',"mac":"', b'"}'
_ITEM_END = len(_ITEM_HEAD) + 2 * MAC_BYTES + len(_ITEM_TAIL)
_ITEM_MAC = slice(-2 * MAC_BYTES - len(_ITEM_TAIL), -len(_ITEM_TAIL))

_pack = msgspec.msgpack.Encoder().encode
# Each item of the list describes itself, so that no two lists have the same bytes.
Place = tuple[object, ...]


class _Hash(Protocol):
    def copy(self) -> "_Hash": ...
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...
    def hexdigest(self) -> str: ...


class Macs:
    """Makes and checks codes. All processes of a deployment share the secret."""

    def __init__(self, secret: str, prefix: str) -> None:
        """The key is derived from the secret and the prefix of the keys in Redis: deployments that share both
        servers and secrets do not accept each other's codes.
        """
        key = blake2b(secret.encode(), person=b"bellwire redis", digest_size=32)
        key.update(prefix.encode())
        self._item, self._head, self._value, self._name = (
            _keyed(key.digest(), purpose) for purpose in (b"index item", b"index head", b"value", b"key name")
        )

    # --- the index ---

    def head(
        self,
        user: str,
        epoch: str | bytes,
        version: int | bytes,
        unread_count: int | bytes,
        others: str | bytes,
    ) -> str:
        """The code of an entry's position and counts."""
        numbers = [n if isinstance(n, bytes) else b"%d" % n for n in (version, unread_count)]
        return _of(self._head, (user, _bytes(epoch), *numbers, _bytes(others))).hexdigest()

    def stamper(self, user: str, epoch: str) -> Callable[[Rendered], bytes]:
        """A function that adds its code to a notification of this feed, as its last member."""
        start = _of(self._item, (user, _bytes(epoch)))

        def stamp(item: Rendered) -> bytes:
            body = item[:-1]
            code = start.copy()
            code.update(body)
            return b"".join((body, _ITEM_HEAD, code.hexdigest().encode(), _ITEM_TAIL))

        return stamp

    def unstamped(self, user: str, epoch: bytes, items: Iterable[bytes]) -> Sequence[Rendered] | None:
        """The notifications without their codes; None if one of them does not verify."""
        start = _of(self._item, (user, epoch))
        found: list[Rendered] = []
        expected: list[str] = []
        given: list[bytes] = []
        for item in items:
            body = item[:-_ITEM_END]
            code = start.copy()
            code.update(body)
            expected.append(code.hexdigest())
            given.append(item[_ITEM_MAC])
            found.append(Rendered(body + b"}"))
        return found if _same("".join(expected).encode(), b"".join(given)) else None

    # --- values, also messages ---

    def value(self, key: str, value: bytes) -> bytes:
        """A value with its code, to be stored under this key."""
        return _of(self._value, (key, value)).digest() + value

    def opened(self, key: str, stored: bytes) -> bytes | None:
        """The value that is stored under this key; None if it does not verify."""
        value = stored[MAC_BYTES:]
        return value if _same(_of(self._value, (key, value)).digest(), stored[:MAC_BYTES]) else None

    def hidden(self, *secret: str) -> str:
        """The name of a key that must not tell what it stands for."""
        return _of(self._name, secret).hexdigest()


def _keyed(key: bytes, purpose: bytes) -> _Hash:
    return blake2b(key=key, person=purpose, digest_size=MAC_BYTES)


def _of(keyed: _Hash, place: Place) -> _Hash:
    code = keyed.copy()
    code.update(_pack(place))
    return code


def _same(expected: bytes, given: bytes) -> bool:
    return compare_digest(expected, given)


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()
