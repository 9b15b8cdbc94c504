"""PostgresInspection: what the store says of itself."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import driver
from adapters.postgres.partitions import count_strays, months
from application.inspection import StoreState, ahead
from application.ports import Clock

_FOLDERS = (
    Path(__file__).resolve().parent / "alembic",  # in a wheel
    Path(__file__).resolve().parents[3] / "alembic",  # in a checkout
)
_REVISION = re.compile(r"([0-9]{4})_\w+\.py")
_SERVER = """
SELECT current_setting('server_version'), to_regclass('alembic_version') IS NOT NULL,
    CASE WHEN pg_is_in_recovery() THEN 'it is a standby'
        WHEN current_setting('transaction_read_only') = 'on' THEN 'default_transaction_read_only is on'
        ELSE '' END,
    current_setting('statement_timeout') <> '0'
"""
_COUNTS = "SELECT (SELECT count(*) FROM users), (SELECT coalesce(sum(unread_count), 0)::bigint FROM feeds)"
_EXISTS = "SELECT to_regclass($1) IS NOT NULL"
_AHEAD = 1


class PostgresInspection:
    """Reads only."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def look(self) -> StoreState:
        """The state of the store. Raises Unavailable."""
        async with driver(self._engine) as connection:
            version, begun, refuses_writes, time_limits = await connection.fetchrow(_SERVER)
            before = self._clock()
            now = await connection.fetchval("SELECT clock_timestamp()")
            offset = ahead(before, now, self._clock())
            revision = await connection.fetchval("SELECT version_num FROM alembic_version") if begun else None
            state = StoreState(
                version=version,
                ahead=offset,
                revision=revision,
                newest=newest_revision(),
                refuses_writes=refuses_writes,
                time_limits=time_limits,
            )
            if not state.migrated:
                return state
            users, unread = await connection.fetchrow(_COUNTS)
            missing = await self._missing(connection)
        return replace(
            state,
            missing_months=missing,
            strays=await count_strays(self._engine),
            users=users,
            unread=unread,
        )

    async def _missing(self, connection: Any) -> Sequence[str]:
        names = [f"notifications_{year}_{month:02}" for year, month in months(self._clock(), _AHEAD)]
        return [name for name in names if not await connection.fetchval(_EXISTS, name)]


def newest_revision() -> str:
    """The last migration of this release, by the names of the files: alembic takes long to import."""
    folder = next(folder for folder in _FOLDERS if folder.exists())
    names = (_REVISION.fullmatch(file.name) for file in (folder / "versions").iterdir())
    return max(name[1] for name in names if name)
