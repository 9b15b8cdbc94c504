"""The connection to Redis, which may become unavailable at any time, or another server."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, TypeVar, cast

from hiredis import Reader, pack_command
from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as Silence
from redis.maint_notifications import MaintNotificationsConfig

from adapters.once import Once
from adapters.redis import answers
from adapters.redis.evaluating import Call, Script
from adapters.redis.sentinel import SentinelConnection, Sentinels
from adapters.redis.tls import Certificates, TlsConnection
from application.errors import Unavailable
from application.ports import Monotonic
from common import sentinels

T = TypeVar("T")

logger = logging.getLogger(__name__)

# After a failure no command is sent for this long: a dead server must not cost every request its timeout.
_REST_SECONDS = 0.5
_COMMAND_SECONDS = 1.0
# A connection that was idle for this long is not used again: load balancers and firewalls forget idle ones,
# some without telling either side, and a command sent on such a connection is lost.
_IDLE_SECONDS = 20.0
# How long a failure or a refusal is reported after it was last seen.
_AWAY_SECONDS = 5.0
_REFUSED_SECONDS = 60.0

# How much may wait to be sent before a command waits for it to be sent.
_UNREAD_BYTES = 64 * 1024

# How much is read at once. Of what a subscriber is sent, that is delivered before other work has its turn.
_READ_BYTES = 64 * 1024

FAILURES = (RedisError, OSError, TimeoutError)
"""The errors with which redis-py commands fail."""


Mode = Literal["server", "sentinel"]
"""What an address leads to: the primary, or sentinels that name it."""


def connect(
    url: str,
    *,
    now: Monotonic,
    mode: Mode = "server",
    connections: int = 32,
    idle_seconds: float = _IDLE_SECONDS,
    certificates: Certificates | None = None,
) -> Redis:
    """Build a client that fails fast; nothing connects before the first command. A connection that was not
    used for `idle_seconds` is not used again. Clients with the same parameters about TLS share certificates.

    redis-py would retry ten times, up to 5 s per command. Callers here have better alternatives.
    """
    known = {
        "now": staticmethod(now),
        "idle_seconds": idle_seconds,
        "certificates": certificates or Certificates(),
    }
    pool = (_to_primary if mode == "sentinel" else _pool)(url, known, connections)
    return Redis.from_pool(pool)  # from_pool makes the client own the pool and close it


def _to_primary(url: str, known: dict[str, Any], connections: int) -> "_Pool":
    """To the server that sentinels name."""
    names = sentinels.parse(url)
    pool = _pool(names.server, known, connections)
    asked = [Redis.from_pool(_pool(each, known, connections=1)) for each in names.sentinels]
    pool.sentinels = Sentinels(names.master, asked, known["now"])
    parts = (SentinelConnection, pool.connection_class)
    pool.connection_class = type("Connection", parts, {"sentinels": pool.sentinels})
    return pool


def _pool(url: str, known: dict[str, Any], connections: int) -> "_Pool":
    """`known` is what its connections know."""
    pool = _Pool.from_url(
        url,
        max_connections=connections,
        timeout=_COMMAND_SECONDS,
        socket_timeout=_COMMAND_SECONDS,
        socket_connect_timeout=_COMMAND_SECONDS,
        retry=Retry(NoBackoff(), 0),
        driver_info=None,  # CLIENT SETINFO, which services and accounts often refuse
        # With these notifications redis-py 8.1 no longer checks whether the server closed a pooled
        # connection, or whether an unread answer is left on it.
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    kind = TlsConnection if pool.connection_class is SSLConnection else pool.connection_class
    pool.connection_class = type("Connection", (Connection, kind), known)
    return pool


class _Pool(BlockingConnectionPool):
    """Connections that can be dropped without waiting for their peers."""

    sentinels: Sentinels | None = None
    """Those that name the server."""

    async def drop_idle(self) -> None:
        """Close the connections that are not in use."""
        for connection in list(self._available_connections):
            await connection.disconnect(nowait=True)

    async def drop_all(self) -> None:
        """Use no existing connection again. Commands under way on them may finish."""
        for connection in self._in_use_connections:
            connection.mark_for_reconnect()  # type: ignore[no-untyped-call]
        await self.drop_idle()

    async def get_connection(self, *words: Any, **options: Any) -> AbstractConnection:
        """A connection. redis-py takes a lock and sets a timer even if it need not wait for one."""
        if not self._available_connections:
            waited: AbstractConnection = await super().get_connection(*words, **options)  # type: ignore[no-untyped-call]
            return waited
        connection: AbstractConnection = self.get_available_connection()  # type: ignore[no-untyped-call]
        try:
            await self.ensure_connection(connection)
        except BaseException:
            await self.release(connection)
            raise
        return connection

    async def release(self, connection: AbstractConnection) -> None:
        if connection.should_reconnect():  # type: ignore[no-untyped-call]
            await connection.disconnect(nowait=True)  # the pool and all others would wait for the peer
        await super().release(connection)


class Connection(AbstractConnection):
    """A connection that is closed rather than used after a long idle time, and raises one error when it is
    lost.
    """

    now: Monotonic
    idle_seconds: float
    _used = 0.0
    _messages: Reader | None = None

    async def connect(self) -> None:
        if self.is_connected and self.now() - self._used > self.idle_seconds:
            await self.disconnect(nowait=True)
        await super().connect()  # type: ignore[no-untyped-call]

    def pack_command(self, *args: Any) -> list[bytes]:
        """Write a command in the protocol, in C; redis-py does so only outside asyncio. A name of two words
        is two arguments.
        """
        try:
            return [pack_command((*args[0].split(), *args[1:]))]
        except TypeError:  # a type that only redis-py writes, or an error of its own
            return super().pack_command(*args)

    async def send_packed_command(self, command: Any, *args: Any, **options: Any) -> None:
        """Send a command. redis-py makes a task and a timer for each, although it need not wait unless the
        server does not read.
        """
        self._used = self.now()
        try:
            if self._takes_more() and isinstance(command, list):
                self._writer.writelines(command)  # type: ignore[union-attr]
            else:
                await super().send_packed_command(command, *args, **options)
        except RuntimeError as error:  # raised by uvloop for writing to a transport that was reset
            await self.disconnect(nowait=True)
            raise ConnectionLost("the connection was reset") from error

    def _takes_more(self) -> bool:
        """Whether it is connected, and the server reads what it is sent."""
        return (
            self.is_connected
            and self._writer is not None
            and self._writer.transport.get_write_buffer_size() < _UNREAD_BYTES
        )

    async def exchange(self, commands: Sequence[tuple[Any, ...]]) -> Sequence[Any]:
        """Send commands together. Return the answer to each, or its error. Raises what redis-py raises if the
        connection fails. redis-py's own pipeline takes several times as long for each command.
        """
        try:
            await self.send_packed_command([b"".join(map(pack_command, commands))])
            return await self._answers(len(commands))
        except BaseException as error:  # also if the caller is cancelled: the other answers are nobody's
            await self.disconnect(nowait=True)
            if isinstance(error, TimeoutError):
                raise Silence(f"no answer within {self.socket_timeout:g} s") from error
            raise

    async def _answers(self, count: int) -> Sequence[Any]:
        reader: Reader = cast(Any, self._parser)._reader  # noqa: SLF001 - which knows if an answer is left
        found: list[Any] = []
        while len(found) < count:
            answer = reader.gets()
            if answer is NOT_ENOUGH_DATA:
                async with asyncio.timeout(self.socket_timeout):
                    reader.feed(await self._received())
            elif isinstance(answer, ConnectionLost):
                raise answer
            else:
                found.append(answer)
        return found

    async def messages(self) -> Sequence[Any]:
        """Wait for messages to a subscriber, and return all that have arrived, each as its parts or an error.
        Not to be mixed with redis-py's own ways to read, which take several times as long for each message.
        """
        if self._messages is None:
            self._messages = Reader(replyError=self._parser.parse_error)
        found: list[Any] = []
        while not found:
            self._messages.feed(await self._received())
            while (message := self._messages.gets()) is not False:
                found.append(message)
        return found

    async def _received(self) -> bytes:
        data: bytes = await self._reader.read(_READ_BYTES)  # type: ignore[union-attr]
        if not data:
            raise ConnectionLost("the connection was closed")
        return data


class _Trouble:
    """A failure, until it was not seen for some seconds. Successes in between prove little: a server may
    execute one command and refuse another.
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
            self.over()

    def over(self) -> None:
        self.reason = ""
        self._once.well()


class RedisServer:
    """A Redis server with a circuit breaker: while it is unavailable, it costs its callers no time.

    A server that answers like one that is no longer the primary is left: all connections to it end, and new
    ones go to wherever the name, the address or the proxy leads by then.
    """

    clustered = False

    def __init__(
        self, client: Redis, now: Monotonic, *, refused_seconds: float = _REFUSED_SECONDS, name: str = "Redis"
    ) -> None:
        """A refusal is reported for `refused_seconds`, of a server with this name."""
        self.client = client
        self._now = now
        self.left = 0
        """How many times a server was left. A holder of its own connection gives it up when this changes."""
        self._pool: _Pool = cast(_Pool, client.connection_pool)
        if self._pool.sentinels is not None:
            self._pool.sentinels.moved = self.leave
        self._away_until = 0.0
        self._tried = False
        """Whether it is unknown if the server is back, and somebody has a command on the way to find out."""
        self._away = _Trouble(f"{name} is out of reach", _AWAY_SECONDS, now)
        self._refused = _Trouble(f"{name} refuses commands", refused_seconds, now)

    async def ask(self, operation: Callable[[], Awaitable[T]], *, repeatable: bool = True) -> T:
        """Run commands. Raises Unavailable.

        They are run once more, on a new connection, if the server answered that it does not execute them and
        another may; and, if they are `repeatable`, when the connection was lost before the answer. In that
        case they may have been executed: a second execution must have the same result.

        While the server is unavailable, one caller at a time tries it, and nobody else waits. If all did,
        their new connections would keep a server that is slow from recovering.
        """
        if self._tried or self._now() < self._away_until:
            raise Unavailable("Redis is out of reach. Try again shortly.")
        if not self._away_until:
            return await self._ask(operation, repeatable=repeatable)
        self._tried = True
        try:
            return await self._ask(operation, repeatable=repeatable)
        finally:
            self._tried = False

    async def _ask(self, operation: Callable[[], Awaitable[T]], *, repeatable: bool) -> T:
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

    def on(
        self, _key: str, operation: Callable[[Redis], Awaitable[T]], *, repeatable: bool = True
    ) -> Awaitable[T]:
        """Run commands, as `ask` does: every key is here."""
        return self.ask(lambda: operation(self.client), repeatable=repeatable)

    async def each(self, script: Script, calls: Sequence[Call], *, repeatable: bool = True) -> Sequence[Any]:
        """Run a script for each of these, in one round trip. Raises Unavailable if one fails."""

        async def run(client: Redis) -> Sequence[Any]:
            found = await script.each(client, calls)
            for answer in found:
                if isinstance(answer, Exception):
                    raise answer
            return found

        return await self.on("", run, repeatable=repeatable)

    async def masters(self) -> "Sequence[RedisServer]":
        return (self,)

    def subscriber(self) -> Connection:
        """A connection of its own, for a subscription. It is not connected yet."""
        return cast(Connection, self._pool.make_connection())  # type: ignore[no-untyped-call]

    async def ping(self) -> None:
        """Raise Unavailable, with the reason, if the server does not answer or recently refused a command."""
        try:
            await self.ask(self.client.ping)
        except Unavailable as error:
            cause = error.__cause__
            reason = answers.reason(cause) if isinstance(cause, Exception) else self._away.reason
            raise Unavailable(f"{self._away.what}: {reason}") from error
        if self._refused.reason:
            raise Unavailable(f"{self._refused.what}: {self._refused.reason}")

    async def judge(self, error: Exception, left: int) -> None:
        """Learn from an error on a connection that was made when `left` had this value."""
        if answers.refuses(error):
            self._refused.seen(answers.reason(error))
        elif answers.ends(error):
            if self.left == left:  # otherwise that server was left already
                await self.leave()
        elif answers.is_loss(error):
            await self._pool.drop_idle()  # the same cause has usually ended the others

    async def leave(self) -> None:
        """Have all commands from now on use new connections."""
        self.left += 1
        await self._pool.drop_all()

    async def close(self) -> None:
        """Close every connection."""
        await self.client.aclose()
        if self._pool.sentinels is not None:
            await self._pool.sentinels.close()

    async def _attempt(self, operation: Callable[[], Awaitable[T]]) -> T:
        left = self.left
        try:
            answer = await operation()
        except FAILURES as error:
            await self.judge(error, left)
            raise
        if self._tried:
            self._away_until = 0.0
        self._away.not_seen()
        self._refused.not_seen()
        return answer

    def _given_up(self, error: Exception) -> Unavailable:
        if answers.refuses(error) or answers.is_about_one_key(error):
            if self._tried:
                self._away_until = 0.0  # it answers
            return Unavailable("Redis refuses this. Try again shortly.")
        self._away.seen(answers.reason(error))
        self._away_until = self._now() + _REST_SECONDS
        return Unavailable("Redis is out of reach. Try again shortly.")
