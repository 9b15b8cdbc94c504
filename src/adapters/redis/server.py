"""The connection to Redis, which may be away at any time."""

import logging
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import RedisError, ResponseError

from application.errors import Unavailable

T = TypeVar("T")

logger = logging.getLogger(__name__)

# After a failure nobody asks for this long: a dead server must not cost every request its time-out.
_REST_SECONDS = 0.5
_COMMAND_SECONDS = 1.0


def connect(url: str, *, connections: int = 32) -> Redis:
    """Build a client that fails fast; nothing connects before the first command.

    redis-py would retry ten times, for up to 5 s a command. Here whoever calls has something better to do.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=_COMMAND_SECONDS,
        socket_timeout=_COMMAND_SECONDS,
        socket_connect_timeout=_COMMAND_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    pool.connection_class = type("Connection", (_Resettable, pool.connection_class), {})
    return Redis.from_pool(pool)  # which the client closes with itself, unlike one that is lent to it


class _Resettable(AbstractConnection):
    """A connection that was reset says so as every other failure does."""

    async def send_packed_command(self, *args: Any, **options: Any) -> None:
        try:
            await super().send_packed_command(*args, **options)
        except RuntimeError as error:  # what uvloop raises on writing to a transport that was reset
            raise ConnectionLost(str(error)) from error


class RedisServer:
    """A Redis server with a circuit breaker: away, it costs its callers nothing."""

    def __init__(self, client: Redis) -> None:
        self.client = client
        self._away_until = 0.0

    async def ask(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Run commands. Raises Unavailable."""
        if monotonic() < self._away_until:
            raise Unavailable("Redis is out of reach. Try again shortly.")
        try:
            return await operation()
        except (RedisError, OSError, TimeoutError) as error:
            if isinstance(error, ResponseError):
                logger.exception("Redis refused a command")
            self._away_until = monotonic() + _REST_SECONDS
            raise Unavailable("Redis is out of reach. Try again shortly.") from error

    async def ping(self) -> None:
        """Raise Unavailable if it does not answer."""
        await self.ask(self.client.ping)

    async def close(self) -> None:
        """Close every connection."""
        await self.client.aclose()
