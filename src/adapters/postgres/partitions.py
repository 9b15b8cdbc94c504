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
_MONTHLY = re.compile(r"notifications_([0-9]{4})_([0-9]{2})")


def bound(year: int, month: int) -> UUID:
    """The lowest UUID whose time is in this month."""
    milliseconds = int(datetime(year, month, 1, tzinfo=UTC).timestamp() * 1000)
    return UUID(int=milliseconds << 80)


def create_statements(year: int, month: int) -> list[str]:
    """The DDL of one partition."""
    name = f"notifications_{year}_{month:02}"
    first, last = bound(year, month), bound(*_after(year, month))
    month_of_it = f"id >= '{first}' AND id < '{last}'"
    return [
        f"CREATE TABLE {name} (LIKE notifications)",
        # Rows with ids from a clock that was ahead are in the DEFAULT partition, and would prevent this one.
        # The lock ensures that nobody looks for them while they move.
        "LOCK TABLE notifications_default IN ACCESS EXCLUSIVE MODE",
        f"INSERT INTO {name} SELECT * FROM notifications_default WHERE {month_of_it}",  # noqa: S608 - ours
        f"DELETE FROM notifications_default WHERE {month_of_it}",  # noqa: S608 - ours
        f"ALTER TABLE notifications ATTACH PARTITION {name} FOR VALUES FROM ('{first}') TO ('{last}')",
        *index_statements(name),
    ]


def index_statements(partition: str) -> list[str]:
    """The DDL of what a partition does not inherit."""
    # Rows are updated in place once or twice, and autovacuum should not wait for a fifth of a month.
    return [
        f"CREATE UNIQUE INDEX IF NOT EXISTS {partition}_version_key ON {partition} (user_id, version)",
        f"ALTER TABLE {partition} SET (autovacuum_vacuum_scale_factor = 0.02, fillfactor = 90)",
    ]


@retried
async def ensure_partitions(engine: AsyncEngine, now: datetime) -> None:
    """Make the partitions of this month and the next few, unless they exist. Several processes may call
    it.
    """
    async with transaction(engine) as connection:
        await connection.execute(text("SET LOCAL lock_timeout = '2s'"))
        await connection.execute(text(LOCK_PARTITIONS))
        for year, month in months(now):
            name = f"notifications_{year}_{month:02}"
            exists = await connection.scalar(text("SELECT to_regclass(:name)"), {"name": name})
            if exists is None:
                for statement in create_statements(year, month):
                    await connection.execute(text(statement))


async def past_partitions(connection: Any, before: datetime) -> Sequence[str]:
    """The partitions of the months before this time, the oldest first. `connection` is the driver's."""
    children = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'notifications'::regclass"
    names = sorted(row[0] for row in await connection.fetch(children))
    matches = [match for name in names if (match := _MONTHLY.fullmatch(name))]
    return [match[0] for match in matches if (int(match[1]), int(match[2])) < (before.year, before.month)]


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
