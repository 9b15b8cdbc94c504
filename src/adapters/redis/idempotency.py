"""RedisIdempotencyKeys: the notification that a producer's key stands for."""

from hashlib import sha256
from uuid import UUID

from adapters.redis import scripts
from adapters.redis.server import RedisServer
from application.errors import KeyReused
from domain.identifiers import NotificationId

_DAY_MS = 24 * 60 * 60 * 1000


class RedisIdempotencyKeys:
    """Idempotency keys in Redis, for 24 hours."""

    def __init__(self, server: RedisServer, prefix: str) -> None:
        self._server = server
        self._prefix = prefix
        self._claim = server.client.register_script(scripts.CLAIM)

    async def claim(
        self, producer: str, key: str, fingerprint: str, notification: NotificationId
    ) -> NotificationId:
        name = f"{self._prefix}:idempotency:{producer}:{sha256(key.encode()).hexdigest()}"
        value = f"{fingerprint}:{notification}"
        # If the answer is lost, the next attempt, even the client's, finds what it stored: the same
        # fingerprint.
        held: bytes = await self._server.ask(lambda: self._claim(keys=[name], args=[value, _DAY_MS]))
        held_fingerprint, _, held_id = held.decode().partition(":")
        if held_fingerprint != fingerprint:
            raise KeyReused
        return NotificationId(UUID(held_id))
