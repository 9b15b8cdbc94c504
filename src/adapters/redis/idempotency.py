"""RedisIdempotencyKeys: the notification that a producer's key stands for."""

from collections.abc import Sequence
from uuid import UUID

from adapters.redis import scripts
from adapters.redis.evaluating import Script
from adapters.redis.macs import Macs
from adapters.redis.names import claim_keys
from adapters.redis.nodes import Nodes
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

    def __init__(self, server: Nodes, prefix: str, macs: Macs, most: int) -> None:
        """A producer may use `most` new keys within 24 hours; 0 for any number."""
        self._server = server
        self._prefix = prefix
        self._macs = macs
        self._most = most or 2**53
        self._claim = Script(scripts.CLAIM)

    async def claim(
        self, producer: str, key: str, fingerprint: str, notification: NotificationId
    ) -> NotificationId:
        hidden = self._macs.hidden(producer, key)
        name, counter, most = claim_keys(
            self._prefix, producer, hidden, self._most, clustered=self._server.clustered
        )
        mine = self._macs.value(name, notification.bytes + fingerprint.encode())
        held = await self._held([name, counter], mine, most)
        if held[_ID_BYTES:] != fingerprint.encode():
            raise KeyReused
        return NotificationId(UUID(bytes=held[:_ID_BYTES]))

    async def _held(self, keys: Sequence[str], mine: bytes, most: int) -> bytes:
        """The value that the first of the keys has, after giving it this one if it had none."""
        replaced = b""
        for _ in range(_ATTEMPTS):
            stored = await self._ask(keys, mine, most, replaced)
            held = self._macs.opened(keys[0], stored)
            if held is not None and len(held) > _ID_BYTES:
                return held
            metrics.REDIS_REFUSED.labels("idempotency").inc()
            replaced = stored
        raise Unavailable("This Idempotency-Key cannot be read. Try again shortly.")

    async def _ask(self, keys: Sequence[str], mine: bytes, most: int, replaced: bytes) -> bytes:
        # If the answer is lost, the next attempt, even the client's, finds what it stored: the same
        # fingerprint.
        stored: bytes | int = await self._server.on(
            keys[0], lambda client: self._claim(client, keys=keys, args=[mine, _DAY_MS, most, replaced])
        )
        if isinstance(stored, int):
            metrics.LIMITED.labels(_LIMIT).inc()
            raise Limited(_LIMIT, stored / 1000)
        return stored
