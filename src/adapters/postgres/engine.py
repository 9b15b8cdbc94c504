"""Connections: how long each thing may take, and how one that hangs or failed is let go."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import msgspec
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool

from adapters import metrics
from adapters.postgres.errors import translated

logger = logging.getLogger(__name__)

# asyncpg waits for ever by default. The server's own limits come first, so that it cleans up.
_STATEMENT_SECONDS = 10
_COMMAND_SECONDS = 12
_IN_USE_SECONDS = 20
_CONNECT_SECONDS = 5
_POOL_WAIT_SECONDS = 2

# https://www.postgresql.org/docs/current/runtime-config-client.html and runtime-config-connection.html
_SERVER_SETTINGS = {
    "statement_timeout": f"{_STATEMENT_SECONDS}s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "15s",
    # What a client leaves behind when it ends a connection in mid-statement must not hold its locks on.
    "client_connection_check_interval": "1s",
    # And a client that a network cut took away is noticed within a minute, not in two hours.
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "30s",
    # What the statements are written for (mark.py), whatever the database's default is.
    "default_transaction_isolation": "read committed",
    "jit": "off",
    # Planning over the partitions would cost more than running: plan each statement once.
    "plan_cache_mode": "force_generic_plan",
}

# After these nobody knows what the connection would answer next; or its prepared statements are outdated.
_UNCERTAIN = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.InvalidCachedStatementError,
    asyncpg.PostgresConnectionError,
    OSError,
    TimeoutError,
    asyncio.CancelledError,
)


def create_engine(url: str, *, pool_size: int, application: str) -> AsyncEngine:
    """Build an engine; nothing connects before the first use.

    Waiting for a connection is bounded: past it the caller gets Unavailable, not a queue.
    """
    engine = create_async_engine(
        url,
        json_deserializer=msgspec.json.decode,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=_POOL_WAIT_SECONDS,
        connect_args={
            "timeout": _CONNECT_SECONDS,
            "command_timeout": _COMMAND_SECONDS,
            "server_settings": {"application_name": application, **_SERVER_SETTINGS},
        },
    )
    _Watch().over(engine)
    pool = engine.sync_engine.pool
    if isinstance(pool, QueuePool):
        metrics.POOL_IN_USE.set_function(pool.checkedout)
    return engine


class _Watch:
    """Ends connections that are in use for too long, and has the pool replace those that are dead.

    In a network cut nothing comes back, not even an error; and a cancel request, a rollback and a graceful
    close need the network as well (https://github.com/MagicStack/asyncpg/issues/1326). Once the connection
    is ended on this side, all that waits for it fails at once.
    """

    def __init__(self) -> None:
        self._generation = 0
        """Of connections. What ended one the others of its generation would meet too: none is lent again."""

    def over(self, engine: AsyncEngine) -> None:
        # First of all: setting a new connection up takes a few statements, which can hang too.
        event.listen(engine.sync_engine, "connect", self._connected, insert=True)
        event.listen(engine.sync_engine, "checkout", self._lent)
        event.listen(engine.sync_engine, "checkin", self._returned)
        event.listen(engine.sync_engine, "invalidate", self._failed)
        event.listen(engine.sync_engine, "close", self._closing)

    def _connected(self, connection: Any, record: Any) -> None:
        record.info["generation"] = self._generation
        self._returned(connection, record)
        record.record_info["deadline"] = asyncio.get_running_loop().call_later(
            _IN_USE_SECONDS, self._end, connection.driver_connection
        )

    def _lent(self, connection: Any, record: Any, _proxy: object) -> None:
        """Costs no round trip, unlike a ping."""
        if connection.driver_connection.is_closed() or record.info["generation"] != self._generation:
            raise DisconnectionError
        self._connected(connection, record)

    def _returned(self, _connection: object, record: Any) -> None:
        deadline = record.record_info.pop("deadline", None)
        if deadline is not None:
            deadline.cancel()

    def _end(self, connection: "asyncpg.Connection[Any]") -> None:
        logger.warning("a connection to PostgreSQL was in use for %d s and is ended", _IN_USE_SECONDS)
        self._generation += 1
        connection.terminate()

    def _failed(self, _connection: object, _record: object, error: BaseException | None) -> None:
        if isinstance(error, TimeoutError | asyncpg.InvalidCachedStatementError):
            self._generation += 1

    def _closing(self, connection: Any, _record: object) -> None:
        """SQLAlchemy would close gracefully, and wait for it."""
        connection.driver_connection.terminate()


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Lend a connection for one transaction. One that failed is not given back to the pool; neither is one
    whose user was cancelled, for it may be left inside a transaction that was only half begun.
    """
    with translated():
        async with engine.begin() as connection:
            try:
                yield connection
            except _UNCERTAIN as error:
                await connection.invalidate(error)
                raise


@asynccontextmanager
async def driver(engine: AsyncEngine) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """Lend the driver's own connection from the pool: hot statements skip SQLAlchemy's layer, and
    asyncpg keeps them prepared. Given back as by `transaction`; each statement is a transaction of its own.
    """
    with translated():
        async with engine.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            if raw is None:
                message = "the pool gave no connection"
                raise OSError(message)
            try:
                yield raw
            except _UNCERTAIN as error:
                await connection.invalidate(error)
                raise


@asynccontextmanager
async def driver_transaction(engine: AsyncEngine) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """Lend the driver's own connection for one transaction.

    Not asyncpg's own context manager: that would roll back on a connection that does not answer.
    """
    async with driver(engine) as connection:
        begun = connection.transaction()
        await begun.start()
        try:
            yield connection
        except _UNCERTAIN:
            raise  # the connection ends, and the transaction with it
        except BaseException:
            await begun.rollback()
            raise
        await begun.commit()
