"""How migrations run: one at a time, in one transaction, on the asynchronous driver."""

import asyncio
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from adapters.postgres.migrations import is_ours
from adapters.postgres.tables import metadata
from alembic import context
from entrypoints.settings import Settings

# Waiting for a lock on a busy table blocks everybody behind it: give up and let it be tried again.
LOCK_TIMEOUT = "5s"


def main() -> None:
    """Run with the connection of whoever called (tests), or with one of our own."""
    connection = context.config.attributes.get("connection")
    if connection is not None:
        run(connection)
    else:
        asyncio.run(connect_and_run(context.config.attributes.get("url") or Settings.from_env().postgres_url))


async def connect_and_run(url: str) -> None:
    """Open a connection for the migrations alone."""
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(run)
    finally:
        await engine.dispose()


def run(connection: Connection) -> None:
    """Run what alembic was asked for. Several processes may start at once; the lock queues them."""
    options: dict[str, Any] = {"target_metadata": metadata, "include_object": is_ours}
    context.configure(connection=connection, compare_type=True, compare_server_default=True, **options)
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('bellwire migrations'))"))
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
        context.run_migrations()
    connection.commit()


main()
