"""Connections: time limits, and how connections that hang or failed are closed."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeVar

import asyncpg
import msgspec
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.exc import TimeoutError as NoneFree
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncTransaction, create_async_engine
from sqlalchemy.pool import PoolProxiedConnection, QueuePool

from adapters.once import Once
from adapters.postgres.errors import FAILURES, JITTER, translated, unreachable
from adapters.postgres.pooling import SESSION, UNPREPARED, Pooler, creator
from adapters.postgres.states import READ_ONLY, Fate, driver_error, fate, reason, sqlstate
from application.ports import Jitter, UserHash
from common import metrics
from domain.identifiers import UserId

T = TypeVar("T")

logger = logging.getLogger(__name__)

_POOL_WAIT_SECONDS = 2

_WATCH = "bellwire_watch"
_USER_HASH = "bellwire_user_hash"
_ENDED = (Fate.ENDS, Fate.ENDS_WITH_PEERS)
_WRITES = "SELECT current_setting('transaction_read_only'), pg_is_in_recovery()"


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits, in seconds; by default asyncpg waits forever. The server's own limits are shorter, so that
    it cleans up.
    """

    connect: float = 5
    command: float = 12
    in_use: float = 20
    """The longest use of a connection by one caller."""
    young: float = 1
    """The age below which a connection is not replaced, because a new one would not do better."""


def create_engine(
    url: str,
    *,
    pool_size: int,
    application: str,
    jitter: Jitter,
    limits: Limits | None = None,
    user_hash: UserHash | None = None,
    pooler: Pooler = "none",
) -> AsyncEngine:
    """Build an engine; nothing connects before the first use.

    Waiting for a connection is bounded: a caller that waits longer gets Unavailable. `user_hash` names users
    in rows that outlive them; by default without a key. `pooler` is the mode of a PgBouncer, or the like, in
    between. Raises InvalidAddress.
    """
    limits = limits or Limits()
    watch = _Watch(limits)
    engine = create_async_engine(
        "postgresql+asyncpg://",  # Hosts knows where
        execution_options={_WATCH: watch, JITTER: jitter, _USER_HASH: user_hash or _unkeyed},
        json_deserializer=msgspec.json.decode,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=_POOL_WAIT_SECONDS,
        connect_args={
            "async_creator_fn": creator(url, pooler),
            "connection_class": _Connection,
            "timeout": limits.connect,
            "command_timeout": limits.command,
            "server_settings": {"application_name": application, **SESSION},
            **UNPREPARED[pooler],
        },
    )
    watch.over(engine)
    pool = engine.sync_engine.pool
    if isinstance(pool, QueuePool):
        metrics.POOL_IN_USE.set_function(pool.checkedout)
    return engine


def hash_of(engine: AsyncEngine, user: UserId) -> bytes:
    """The keyed hash of a user's id."""
    user_hash: UserHash = engine.get_execution_options()[_USER_HASH]
    return user_hash(user)


def _unkeyed(user: UserId) -> bytes:
    return sha256(user.encode()).digest()


class _Connection(asyncpg.Connection):  # type: ignore[misc] # which is not typed
    """A driver connection that closes without waiting and knows whether a transaction was left open."""

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the caller's parameter
        """Close immediately: SQLAlchemy closes gracefully, even what it could not set up, and waits for the
        network.
        """
        self.terminate()

    def is_left_inside(self) -> bool:
        """Whether the next statements would become part of a transaction and not be committed; or the driver
        thinks so, as it does when one could not begin, and makes the next a savepoint.
        """
        return self.is_in_transaction() or self._top_xact is not None


class _Watch:
    """Ends connections that are in use for too long, and has the pool replace those that are dead or will not
    recover.

    In a network cut nothing arrives, not even an error; and a cancel request, a rollback and a graceful close
    need the network too (https://github.com/MagicStack/asyncpg/issues/1326). When the connection is ended on
    this side, everything that waits for it fails immediately.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.reach = Once(logger, "PostgreSQL is out of reach")
        self.writes = Once(logger, "PostgreSQL takes no writes")
        self._generation = 0
        """Of connections. Whatever ended one would end the others of its generation: none of them is lent
        again.
        """

    def over(self, engine: AsyncEngine) -> None:
        # First: setting up a new connection takes a few statements, which can hang too.
        event.listen(engine.sync_engine, "connect", self._connected, insert=True)
        event.listen(engine.sync_engine, "checkout", self._lent)
        event.listen(engine.sync_engine, "checkin", self._returned)
        event.listen(engine.sync_engine, "invalidate", self._failed)

    def _connected(self, connection: Any, record: Any) -> None:
        record.info["generation"] = self._generation
        record.info["opened"] = asyncio.get_running_loop().time()
        self._watch(connection, record)

    def _lent(self, connection: Any, record: Any, _proxy: object) -> None:
        """Check a connection without a round trip, unlike a ping."""
        driver = connection.driver_connection
        if (
            driver.is_closed()
            or record.info["generation"] != self._generation
            or self._should_be_replaced(driver, record)
        ):
            raise DisconnectionError
        self._watch(connection, record)

    def _watch(self, connection: Any, record: Any) -> None:
        self._returned(connection, record)
        record.record_info["deadline"] = asyncio.get_running_loop().call_later(
            self.limits.in_use, self._end, connection.driver_connection, record.info["generation"]
        )

    def _returned(self, _connection: object, record: Any) -> None:
        deadline = record.record_info.pop("deadline", None)
        if deadline is not None:
            deadline.cancel()

    def _end(self, connection: "asyncpg.Connection[Any]", generation: int) -> None:
        if connection.is_closed():  # not returned yet, or could not be set up
            return
        logger.warning("a connection to PostgreSQL was in use for %d s: closing it", self.limits.in_use)
        self._retire(generation)
        connection.terminate()

    def _failed(self, _connection: object, record: Any, error: BaseException | None) -> None:
        if error is not None and fate(error) in (Fate.ENDS_WITH_PEERS, Fate.ENDS_IF_OLD):
            self._retire(record.info["generation"])

    def met(self, error: BaseException, pooled: Any) -> None:
        """Log the error if it is why there is no connection, or none that can write."""
        if sqlstate(driver_error(error)) == READ_ONLY:
            self.writes.failed(reason(error))
        if fate(error) not in _ENDED:
            self.answered(pooled)
        elif isinstance(error, FAILURES) and not pooled.info.get("answered"):
            self.reach.failed(reason(error))

    def answered(self, pooled: Any) -> None:
        """Note that the server answers. Connecting proves nothing: a pooler accepts connections without a
        server.
        """
        if not pooled.info.get("answered"):
            pooled.info["answered"] = True
            self.reach.well()

    def _retire(self, generation: int) -> None:
        """Retire one generation for one failure, however many of its connections fail together."""
        if generation == self._generation:
            self._generation += 1

    def _should_be_replaced(self, driver: "asyncpg.Connection[Any]", record: Any) -> bool:
        """Whether the connection reports that it is read-only and is old enough for a new one to be better.

        PostgreSQL reports both parameters whenever they change
        (https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-ASYNC).
        """
        settings = driver.get_settings()
        said = (
            getattr(settings, name, "off") for name in ("default_transaction_read_only", "in_hot_standby")
        )
        return "on" in said and self.is_old(record)

    def is_old(self, record: Any) -> bool:
        """Whether it is old. While the store is read-only, not every write should open a new connection."""
        return bool(asyncio.get_running_loop().time() - record.info["opened"] > self.limits.young)


def _watch_of(engine: AsyncEngine) -> _Watch:
    watch: _Watch = engine.get_execution_options()[_WATCH]
    return watch


@asynccontextmanager
async def _lent(engine: AsyncEngine) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """Lend the driver's own connection, from the pool below SQLAlchemy's connections: those cost several
    times what a statement does.
    """
    watch = _watch_of(engine)
    with translated():
        pooled = await _taken(engine, engine.raw_connection())
        raw: Any = pooled.driver_connection
        try:
            yield raw
        except BaseException as error:
            if _is_unfit(watch, raw, pooled, error):
                pooled.invalidate(error)
            else:
                pooled.close()
            raise
        watch.answered(pooled)
        pooled.close()


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Lend a connection for one transaction."""
    watch = _watch_of(engine)
    with translated():
        connection = await _taken(engine, engine.connect().start())
        try:
            pooled = await connection.get_raw_connection()
            raw: Any = pooled.driver_connection
            try:
                async with _committed(await connection.begin()):
                    yield connection
            except BaseException as error:
                if _is_unfit(watch, raw, pooled, error):
                    await connection.invalidate(error)
                raise
            watch.answered(pooled)
        finally:
            await connection.close()


async def _taken(engine: AsyncEngine, taking: Awaitable[T]) -> T:
    """A connection of the pool. Raises Unavailable."""
    # Below its connections SQLAlchemy does not wrap the errors of those that it could not set up.
    dialect: Any = engine.dialect
    try:
        return await taking
    except (*FAILURES, dialect.loaded_dbapi.Error) as error:
        if not isinstance(error, NoneFree):
            _watch_of(engine).reach.failed(reason(error))
        raise unreachable() from error


def _is_unfit(watch: _Watch, raw: Any, pooled: PoolProxiedConnection, error: BaseException) -> bool:
    """Whether a connection is not fit for the next caller after this error. Neither is one whose caller was
    cancelled: it may be in the middle of something.
    """
    watch.met(error, pooled)
    if raw.is_closed() or raw.is_left_inside():
        return True
    found = fate(error)
    return found in _ENDED or (found is Fate.ENDS_IF_OLD and watch.is_old(pooled))


async def driver_of(connection: AsyncConnection) -> "asyncpg.Connection[Any]":
    """The driver's own connection, in the same transaction."""
    raw: asyncpg.Connection[Any] = (await connection.get_raw_connection()).driver_connection
    return raw


@asynccontextmanager
async def driver(engine: AsyncEngine, *, writes: bool = False) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """Lend the driver's own connection from the pool. Frequent statements bypass SQLAlchemy, and asyncpg
    keeps them prepared. Each statement is a transaction of its own. Where it `writes`, its success shows that
    the store takes writes.
    """
    async with _lent(engine) as raw:
        yield raw
    if writes:
        _watch_of(engine).writes.well()


@asynccontextmanager
async def driver_transaction(engine: AsyncEngine) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """Lend the driver's own connection for one transaction that writes.

    Not with asyncpg's context manager: that would roll back on a connection that does not answer.
    """
    async with _lent(engine) as raw:
        begun = raw.transaction()
        await begun.start()
        async with _committed(begun):
            yield raw
    _watch_of(engine).writes.well()


@asynccontextmanager
async def driver_snapshot(engine: AsyncEngine) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """Lend the driver's own connection for one transaction that reads everything as of one moment."""
    async with _lent(engine) as raw:
        begun = raw.transaction(isolation="repeatable_read", readonly=True)
        await begun.start()
        async with _committed(begun):
            yield raw


@asynccontextmanager
async def _committed(begun: "AsyncTransaction | asyncpg.transaction.Transaction") -> AsyncIterator[None]:
    """Commit, or roll back. A connection that will be closed takes its transaction with it."""
    try:
        yield
    except BaseException as error:
        if fate(error) not in _ENDED:
            await begun.rollback()
        raise
    await begun.commit()


async def check_writes(engine: AsyncEngine) -> None:
    """Raise Unavailable, with the reason as its cause, unless the store is reachable and writable."""
    async with driver(engine) as connection:
        read_only, standby = await connection.fetchrow(_WRITES)
        if read_only == "on":
            why = "it is a standby" if standby else "default_transaction_read_only is on"
            raise asyncpg.ReadOnlySQLTransactionError(why)
    _watch_of(engine).writes.well()
