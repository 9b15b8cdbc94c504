"""Runs the migrations: one process at a time, in one transaction, with the asynchronous driver."""

import asyncio
import logging
from contextlib import aclosing
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from adapters.postgres.errors import FAILURES
from adapters.postgres.migrations import is_ours
from adapters.postgres.pooling import UNPREPARED, creator
from adapters.postgres.states import reason
from adapters.postgres.tables import metadata
from alembic import context
from application.errors import Unavailable
from entrypoints.settings import Settings

logger = logging.getLogger("alembic")

# A migration that waits for a lock on a busy table blocks everyone behind it, who give up after 5 s: it gives
# up earlier, and tries again. So it does after a deadlock with a running process.
LOCK_TIMEOUT = "2s"
IN_THE_WAY = {"55P03", "40P01"}
ATTEMPTS = 10
PAUSE_SECONDS = 1.0
CONNECT_SECONDS = 10


def main() -> None:
    """Run with the caller's connection (tests), or with one of our own."""
    connection = context.config.attributes.get("connection")
    if connection is not None:
        run(connection)
    else:
        asyncio.run(connect_and_run(context.config.attributes.get("url") or Settings.from_env().postgres_url))


async def connect_and_run(url: str) -> None:
    """Open a connection for the migrations alone. Try again if a running process was in the way."""
    # Whether there is a pooler or not.
    options = {
        "async_creator_fn": creator(url, "none"),
        "timeout": CONNECT_SECONDS,
        **UNPREPARED["transaction"],
    }
    engine = create_async_engine("postgresql+asyncpg://", poolclass=NullPool, connect_args=options)
    try:
        for _ in range(ATTEMPTS - 1):
            try:
                return await connect_and_run_once(engine)
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) not in IN_THE_WAY:
                    raise
                logger.warning("trying again: %s", error.orig)
            await asyncio.sleep(PAUSE_SECONDS)
        return await connect_and_run_once(engine)
    finally:
        await engine.dispose()


async def connect_and_run_once(engine: AsyncEngine) -> None:
    """Try once. A failed attempt changes nothing."""
    async with aclosing(await connected(engine)) as connection:
        await connection.run_sync(run)


async def connected(engine: AsyncEngine) -> AsyncConnection:
    """Connect. Raises Unavailable with the reason if that fails."""
    try:
        return await engine.connect()
    except FAILURES as error:
        raise Unavailable(f"PostgreSQL is out of reach: {reason(error)}") from error


def run(connection: Connection) -> None:
    """Run alembic's command. Several processes may start together; the lock queues them."""
    options: dict[str, Any] = {"target_metadata": metadata, "include_object": is_ours}
    context.configure(connection=connection, compare_type=True, compare_server_default=True, **options)
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('bellwire migrations'))"))
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
        context.run_migrations()
    connection.commit()


main()
