"""RedisIdempotencyKeys: the notification that a producer's key stands for."""

from uuid import UUID

from adapters.redis import scripts
from adapters.redis.evaluating import Script
from adapters.redis.macs import Macs
from adapters.redis.server import RedisServer
from application.errors import KeyReused, Limited, Unavailable
from common import metrics
from domain.identifiers import NotificationId

_DAY_MS = 24 * 60 * 60 * 1000
_ID_BYTES = 16
_LIMIT = "idempotency-keys"
# Each time the value that is found may be another that does not verify.
_ATTEMPTS = 3


class RedisIdempotencyKeys:
    """Idempotency keys in Redis, for 24 hours.

    A value that does not verify was not written by Bellwire, or with another secret: it is replaced, as if
    Redis had forgotten the key.
    """

    def __init__(self, server: RedisServer, prefix: str, macs: Macs, most: int) -> None:
        """A producer may use `most` new keys within 24 hours; 0 for any number."""
        self._server = server
        self._prefix = prefix
        self._macs = macs
        self._most = most or 2**53
        self._claim = Script(server.client, scripts.CLAIM)

    async def claim(
        self, producer: str, key: str, fingerprint: str, notification: NotificationId
    ) -> NotificationId:
        name = f"{self._prefix}:claim:{self._macs.hidden(producer, key)}"
        mine = self._macs.value(name, notification.bytes + fingerprint.encode())
        held = await self._held(name, producer, mine)
        if held[_ID_BYTES:] != fingerprint.encode():
            raise KeyReused
        return NotificationId(UUID(bytes=held[:_ID_BYTES]))

    async def _held(self, name: str, producer: str, mine: bytes) -> bytes:
        """The value that the key has, after giving it this one if it had none."""
        replaced = b""
        for _ in range(_ATTEMPTS):
            stored = await self._ask(name, producer, mine, replaced)
            held = self._macs.opened(name, stored)
            if held is not None and len(held) > _ID_BYTES:
                return held
            metrics.REDIS_REFUSED.labels("idempotency").inc()
            replaced = stored
        raise Unavailable("This Idempotency-Key cannot be read. Try again shortly.")

    async def _ask(self, name: str, producer: str, mine: bytes, replaced: bytes) -> bytes:
        keys = [name, f"{self._prefix}:claims:{producer}"]
        # If the answer is lost, the next attempt, even the client's, finds what it stored: the same
        # fingerprint.
        stored: bytes | int = await self._server.ask(
            lambda: self._claim(keys=keys, args=[mine, _DAY_MS, self._most, replaced])
        )
        if isinstance(stored, int):
            metrics.LIMITED.labels(_LIMIT).inc()
            raise Limited(_LIMIT, stored / 1000)
        return stored
