"""Monthly partitions of notifications, by the time in the UUIDv7 id.

They are made ahead of time. If one is missing when its month begins, rows go to the DEFAULT partition, which
is watched.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import driver, transaction
from adapters.postgres.errors import retried

MONTHS_AHEAD = 3
LOCK_PARTITIONS = "SELECT pg_advisory_xact_lock(hashtext('bellwire partitions'))"
# A function of the database, which runs with the rights of the role that migrated it (migration 0005): the
# service's own role need not be able to create tables.
_CREATE = text("SELECT bellwire_create_partition(:year, :month)")
_MONTHLY = re.compile(r"notifications_([0-9]{4})_([0-9]{2})")


def bound(year: int, month: int) -> UUID:
    """The lowest UUID whose time is in this month."""
    milliseconds = int(datetime(year, month, 1, tzinfo=UTC).timestamp() * 1000)
    return UUID(int=milliseconds << 80)


async def ensure_partitions(engine: AsyncEngine, now: datetime) -> None:
    """Make the partitions of this month and the next few, unless they exist. Several processes may call
    it.
    """
    await ensure_months(engine, months(now))


@retried
async def ensure_months(engine: AsyncEngine, wanted: Sequence[tuple[int, int]]) -> None:
    """Make the partitions of these years and months, unless they exist. Several processes may call it."""
    async with transaction(engine) as connection:
        await connection.execute(text("SET LOCAL lock_timeout = '2s'"))
        await connection.execute(text(LOCK_PARTITIONS))
        for year, month in wanted:
            name = f"notifications_{year}_{month:02}"
            exists = await connection.scalar(text("SELECT to_regclass(:name)"), {"name": name})
            if exists is None:
                await connection.execute(_CREATE, {"year": year, "month": month})


async def past_partitions(connection: Any, before: datetime) -> Sequence[str]:
    """The partitions of the months before this time, the oldest first. `connection` is the driver's."""
    held = await months_held(connection)
    past = [month for month in held if month < (before.year, before.month)]
    return [f"notifications_{year}_{month:02}" for year, month in past]


async def months_held(connection: Any) -> list[tuple[int, int]]:
    """The years and months that have a partition, in order. `connection` is the driver's."""
    children = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'notifications'::regclass"
    names = [row[0] for row in await connection.fetch(children)]
    matches = [match for name in names if (match := _MONTHLY.fullmatch(name))]
    return sorted((int(match[1]), int(match[2])) for match in matches)


@retried
async def count_strays(engine: AsyncEngine) -> int:
    """How many rows the DEFAULT partition holds (counted up to 10,000)."""
    query = "SELECT count(*) FROM (SELECT 1 FROM notifications_default LIMIT 10000) AS strays"
    async with driver(engine) as connection:
        return int(await connection.fetchval(query))


def months(now: datetime, ahead: int = MONTHS_AHEAD) -> list[tuple[int, int]]:
    """The current month and the next ones."""
    found = [(now.year, now.month)]
    for _ in range(ahead):
        found.append(_after(*found[-1]))
    return found


def _after(year: int, month: int) -> tuple[int, int]:
    return (year + 1, 1) if month == 12 else (year, month + 1)
