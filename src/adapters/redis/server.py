"""The connection to Redis, which may be away at any time, or have become another server."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

from adapters.once import Once
from adapters.redis import answers
from application.errors import Unavailable
from application.ports import Monotonic

T = TypeVar("T")

logger = logging.getLogger(__name__)

# After a failure nobody asks for this long: a dead server must not cost every request its time-out.
_REST_SECONDS = 0.5
_COMMAND_SECONDS = 1.0
# A connection that was not used for this long is not used again: balancers and firewalls forget idle ones,
# some without a word to either side, and then a command is lost on it.
_IDLE_SECONDS = 20.0
# How long it counts after it was last seen that the server is away, or refuses something.
_AWAY_SECONDS = 5.0
_REFUSED_SECONDS = 60.0

FAILURES = (RedisError, OSError, TimeoutError)
"""What redis-py raises when commands fail."""


def connect(url: str, *, now: Monotonic, connections: int = 32, idle_seconds: float = _IDLE_SECONDS) -> Redis:
    """Build a client that fails fast; nothing connects before the first command. A connection that was not
    used for `idle_seconds` is not used again.

    redis-py would retry ten times, for up to 5 s a command. Here whoever calls has something better to do.
    """
    pool = _Pool.from_url(
        url,
        max_connections=connections,
        timeout=_COMMAND_SECONDS,
        socket_timeout=_COMMAND_SECONDS,
        socket_connect_timeout=_COMMAND_SECONDS,
        retry=Retry(NoBackoff(), 0),
        # With them redis-py 8.1 no longer looks whether a connection of the pool was closed by the server, or
        # has an answer on it that nobody read.
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    known = {"now": staticmethod(now), "idle_seconds": idle_seconds}
    pool.connection_class = type("Connection", (_Connection, pool.connection_class), known)
    return Redis.from_pool(pool)  # which the client closes with itself, unlike one that is lent to it


class _Pool(BlockingConnectionPool):
    """Connections that can be given up without waiting for their peers."""

    async def drop_idle(self) -> None:
        """Close those that nobody uses."""
        for connection in list(self._available_connections):
            await connection.disconnect(nowait=True)

    async def drop_all(self) -> None:
        """Use none again that was made until now. What is under way on them may end."""
        for connection in self._in_use_connections:
            connection.mark_for_reconnect()  # type: ignore[no-untyped-call]
        await self.drop_idle()

    async def release(self, connection: AbstractConnection) -> None:
        if connection.should_reconnect():  # type: ignore[no-untyped-call]
            await connection.disconnect(nowait=True)  # the pool would wait for the peer, and all others too
        await super().release(connection)


class _Connection(AbstractConnection):
    """A connection that is closed rather than used after a long rest, and says in one way that it is gone."""

    now: Monotonic
    idle_seconds: float
    _used = 0.0

    async def connect(self) -> None:
        if self.is_connected and self.now() - self._used > self.idle_seconds:
            await self.disconnect(nowait=True)
        await super().connect()  # type: ignore[no-untyped-call]

    async def send_packed_command(self, *args: Any, **options: Any) -> None:
        self._used = self.now()
        try:
            await super().send_packed_command(*args, **options)
        except RuntimeError as error:  # what uvloop raises on writing to a transport that was reset
            raise ConnectionLost("the connection was reset") from error


class _Trouble:
    """What is wrong, until it was not seen for some seconds. What succeeds in between says little: a server
    may do one thing and refuse another.
    """

    def __init__(self, what: str, seconds: float, now: Monotonic) -> None:
        self.what = what
        self.reason = ""
        self._once = Once(logger, what)
        self._seconds = seconds
        self._now = now
        self._until = 0.0

    def seen(self, reason: str) -> None:
        self._once.failed(reason)
        self.reason, self._until = reason, self._now() + self._seconds

    def not_seen(self) -> None:
        if self.reason and self._now() >= self._until:
            self.reason = ""
            self._once.well()


class RedisServer:
    """A Redis server with a circuit breaker: away, it costs its callers nothing.

    A server that answers as one that is no longer the primary is left: its connections end, so that new ones
    lead to wherever the name, the address or the proxy leads by then.
    """

    def __init__(self, client: Redis, now: Monotonic, *, refused_seconds: float = _REFUSED_SECONDS) -> None:
        """What the server refused counts against it for `refused_seconds`."""
        self.client = client
        self._now = now
        self.left = 0
        """How often a server was left. Who holds a connection of its own gives it up when this changes."""
        self._pool: _Pool = cast(_Pool, client.connection_pool)
        self._away_until = 0.0
        self._away = _Trouble("Redis is out of reach", _AWAY_SECONDS, now)
        self._refused = _Trouble("Redis refuses what it is asked for", refused_seconds, now)

    async def ask(self, operation: Callable[[], Awaitable[T]], *, repeatable: bool = True) -> T:
        """Run commands. Raises Unavailable.

        They are run a second time, on a new connection, if the server said that it does not do them and that
        another one may; and, if they are `repeatable`, when the connection was lost on the way. Then they may
        have done their work already: a second time must come to the same.
        """
        if self._now() < self._away_until:
            raise Unavailable("Redis is out of reach. Try again shortly.")
        began = self._now()
        try:
            return await self._attempt(operation)
        except FAILURES as error:
            again = answers.ends(error) or (repeatable and answers.is_loss(error))
            if not again or self._now() - began >= _COMMAND_SECONDS:
                raise self._given_up(error) from error
        try:
            return await self._attempt(operation)
        except FAILURES as error:
            raise self._given_up(error) from error

    async def ping(self) -> None:
        """Raise Unavailable, which says why, if it does not answer, or refused something lately."""
        try:
            await self.ask(self.client.ping)
        except Unavailable as error:
            cause = error.__cause__
            reason = answers.reason(cause) if isinstance(cause, Exception) else self._away.reason
            raise Unavailable(f"{self._away.what}: {reason}") from error
        if self._refused.reason:
            raise Unavailable(f"{self._refused.what}: {self._refused.reason}")

    async def judge(self, error: Exception, left: int) -> None:
        """Learn from what a connection met that was made when `left` was this."""
        if answers.refuses(error):
            self._refused.seen(answers.reason(error))
        elif answers.ends(error):
            if self.left == left:  # else it is about a server that was left already
                await self.leave()
        elif answers.is_loss(error):
            await self._pool.drop_idle()  # what ended one has as a rule ended those beside it

    async def leave(self) -> None:
        """Have everything that is asked from now on go over new connections."""
        self.left += 1
        await self._pool.drop_all()

    async def close(self) -> None:
        """Close every connection."""
        await self.client.aclose()

    async def _attempt(self, operation: Callable[[], Awaitable[T]]) -> T:
        left = self.left
        try:
            answer = await operation()
        except FAILURES as error:
            await self.judge(error, left)
            raise
        self._away.not_seen()
        self._refused.not_seen()
        return answer

    def _given_up(self, error: Exception) -> Unavailable:
        if answers.refuses(error):
            return Unavailable("Redis refuses this. Try again shortly.")
        self._away.seen(answers.reason(error))
        self._away_until = self._now() + _REST_SECONDS
        return Unavailable("Redis is out of reach. Try again shortly.")
