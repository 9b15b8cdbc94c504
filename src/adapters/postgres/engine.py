"""Connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import msgspec
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool

from adapters import metrics
from adapters.postgres.errors import translated

# asyncpg waits for ever by default. The server's own limits come first, so that it cleans up.
_STATEMENT_SECONDS = 10
_CONNECT_SECONDS = 5
_POOL_WAIT_SECONDS = 2

_UNCERTAIN = (
    asyncpg.InterfaceError,
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
            "command_timeout": _STATEMENT_SECONDS + 2,
            "server_settings": {
                "application_name": application,
                "statement_timeout": f"{_STATEMENT_SECONDS}s",
                "lock_timeout": "5s",
                "idle_in_transaction_session_timeout": "15s",
                "jit": "off",
                # Planning over the partitions would cost more than running: plan each statement once.
                "plan_cache_mode": "force_generic_plan",
            },
        },
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    pool = engine.sync_engine.pool
    if isinstance(pool, QueuePool):
        metrics.POOL_IN_USE.set_function(pool.checkedout)
    return engine


def _refuse_closed(connection: Any, _record: object, _proxy: object) -> None:
    """Have the pool replace a connection that the server closed. Costs no round trip, unlike a ping."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError


@asynccontextmanager
async def driver(engine: AsyncEngine) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """Lend the driver's own connection from the pool: hot statements skip SQLAlchemy's layer, and
    asyncpg keeps them prepared. A connection that failed is not given back to the pool; neither is one whose
    user was cancelled, for it may be left inside a transaction that was only half begun.
    """
    with translated():
        async with engine.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            if raw is None:
                message = "the pool gave no connection"
                raise OSError(message)
            try:
                yield raw
            except _UNCERTAIN:
                await connection.invalidate()
                raise
