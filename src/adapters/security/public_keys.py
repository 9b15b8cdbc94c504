"""PublicKeys: the keys with which other issuers sign user tokens, from a JWK Set (RFC 7517)."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from application.ports import Monotonic

logger = logging.getLogger(__name__)

Read: TypeAlias = Callable[[], Awaitable[bytes]]
"""Reads the set. Raises OSError or ValueError."""

_MOST_KEYS = 100
_RSA_BITS = range(2048, 8193)
_EVERY_SECONDS = 300.0
_PAUSE_SECONDS = 30.0
# By the type of the key: the one algorithm that it may verify (RFC 8725 §3.1), and other names of it.
_ALGORITHMS = {"RSA": ("RS256",), "EC": ("ES256",), "OKP": ("EdDSA", "Ed25519")}
_FROM_JWK: Mapping[str, Callable[[dict[str, Any]], object]] = {
    "RSA": RSAAlgorithm.from_jwk,
    "EC": ECAlgorithm.from_jwk,
    "OKP": OKPAlgorithm.from_jwk,
}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key, and the one algorithm that it is used with."""

    algorithm: str
    key: RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


KeySet: TypeAlias = Mapping[str | None, PublicKey]
"""Keys by their `kid`; at most one has none."""


class PublicKeys:
    """The keys of a set. They are read again periodically, and when a token names an unknown one, but not
    more often than every `pause_seconds`: anyone can name an unknown key. While they cannot be read, the last
    ones stay.
    """

    def __init__(
        self,
        read: Read,
        now: Monotonic,
        *,
        every_seconds: float = _EVERY_SECONDS,
        pause_seconds: float = _PAUSE_SECONDS,
    ) -> None:
        self._read = read
        self._now = now
        self._every_seconds = every_seconds
        self._pause_seconds = pause_seconds
        self._text: bytes | None = None
        self._keys: KeySet = {}
        self._tried_at: float | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._failed = False
        self.version = 0
        """Grows with every change of the keys."""

    def find(self, key_id: str | None) -> PublicKey | None:
        """The key with this `kid`."""
        return self._keys.get(key_id)

    async def run(self) -> None:
        """Read the keys periodically, forever."""
        while True:
            await self.renew()
            await asyncio.sleep(self._pause_seconds if self._failed else self._every_seconds)

    async def renew(self) -> bool:
        """Read the keys, unless that was tried a moment ago. Returns whether they changed meanwhile."""
        before = self.version
        if self._renewing is None:
            if self._tried_at is not None and self._now() - self._tried_at < self._pause_seconds:
                return False
            self._tried_at = self._now()
            self._renewing = asyncio.create_task(self._renew())
        await asyncio.shield(self._renewing)  # others wait for it too
        return self.version != before

    async def _renew(self) -> None:
        try:
            text = await self._read()
            if text != self._text:
                self._keys = read_key_set(text)
                self._text = text
                self.version += 1
        except (OSError, ValueError, TimeoutError) as error:
            if not self._failed:
                reason = str(error) or type(error).__name__
                logger.warning("keys for tokens cannot be read, the last ones stay: %s", reason)
            self._failed = True
        else:
            if self._failed:
                logger.info("keys for tokens are read again")
            self._failed = False
        finally:
            self._renewing = None


def read_key_set(text: bytes) -> KeySet:
    """The keys of a JWK Set that can verify tokens. The others are left out, with a line in the log.

    Raises ValueError if none is left.
    """
    keys: dict[str | None, PublicKey] = {}
    for number, given in enumerate(_listed(text)):
        try:
            key_id, key = _read_key(given)
            if key_id in keys:
                raise ValueError("another key has the same kid")  # noqa: TRY301 - one way to leave a key out
        except Exception as error:  # noqa: BLE001 - whatever the libraries make of it: others wrote it
            logger.warning("key %d of the set is not used: %s", number, error)
        else:
            keys[key_id] = key
    if not keys:
        raise ValueError("the set has no key for RS256, ES256 or EdDSA")
    return keys


def _listed(text: bytes) -> list[Any]:
    try:
        listed = json.loads(text)["keys"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ValueError("it is not a JWK Set (RFC 7517)") from None
    if not isinstance(listed, list) or len(listed) > _MOST_KEYS:
        raise ValueError(f"it is not a JWK Set of at most {_MOST_KEYS} keys")
    return listed


def _read_key(given: Any) -> tuple[str | None, PublicKey]:
    names = _ALGORITHMS.get(given["kty"])
    if names is None:  # above all oct: a secret has no place in a set that is published
        raise ValueError("its kty is not RSA, EC or OKP")
    if "d" in given:
        raise ValueError("it is a private key")
    if given.get("alg", names[0]) not in names:
        raise ValueError(f"its alg is not {names[0]}")
    if given.get("use", "sig") != "sig" or "verify" not in given.get("key_ops", ["verify"]):
        raise ValueError("it is not for signatures")
    key_id = given.get("kid")
    if not isinstance(key_id, str | None):
        raise TypeError("its kid is not text")
    return key_id, PublicKey(names[0], _checked(given))


def _checked(given: Mapping[str, Any]) -> RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey:
    key: object = _FROM_JWK[given["kty"]](dict(given))
    if isinstance(key, RSAPublicKey) and key.key_size in _RSA_BITS:
        return key
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return key
    if isinstance(key, Ed25519PublicKey):
        return key
    raise ValueError("it is not RSA of 2048 to 8192 bits, P-256 or Ed25519")
