"""PostgresApiKeys."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import RowMapping, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres import tables
from adapters.postgres.audit import record
from adapters.postgres.engine import driver_of, driver_transaction, transaction
from adapters.postgres.errors import retried
from application.audit import Entry
from application.credentials import ApiKey, LatestKeys

_KEYS = tables.api_keys
_FIELDS = [name for name in ApiKey.__dataclass_fields__ if name != "scopes"]
# Not now(): that is when the transaction began.
_NOW = func.clock_timestamp()
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_NOTE_USES = """
UPDATE api_keys SET last_used_at = used.at
FROM unnest($1::text[], $2::timestamptz[]) AS used (id, at)
WHERE api_keys.id = used.id
    AND (api_keys.last_used_at IS NULL OR api_keys.last_used_at <= used.at - interval '1 minute')
"""


class PostgresApiKeys:
    """API keys in PostgreSQL."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @retried
    async def add(self, key: ApiKey, entry: Entry | None = None) -> None:
        async with transaction(self._engine) as connection:
            await connection.execute(insert(_KEYS).values(_row(key)))
            await record(await driver_of(connection), self._engine, entry)

    @retried
    async def get(self, key_id: str) -> ApiKey | None:
        async with transaction(self._engine) as connection:
            query = select(_KEYS).where(_KEYS.c.id == key_id)
            row = (await connection.execute(query)).mappings().one_or_none()
        return None if row is None else _key(row)

    @retried
    async def all(self) -> Sequence[ApiKey]:
        async with transaction(self._engine) as connection:
            query = select(_KEYS).order_by(_KEYS.c.created_at, _KEYS.c.id)
            return [_key(row) for row in (await connection.execute(query)).mappings()]

    @retried
    async def revoke(self, key_id: str, at: datetime, entry: Entry | None = None) -> bool:
        async with transaction(self._engine) as connection:
            query = update(_KEYS).where(_KEYS.c.id == key_id, _KEYS.c.revoked_at.is_(None))
            result = await connection.execute(query.values(revoked_at=at, changed_at=_NOW))
            if result.rowcount > 0:
                await record(await driver_of(connection), self._engine, entry)
        return result.rowcount > 0

    @retried
    async def replace(
        self, key_id: str, successor: ApiKey, until: datetime, entry: Entry | None = None
    ) -> bool:
        in_use = (
            (_KEYS.c.id == key_id)
            & _KEYS.c.revoked_at.is_(None)
            & _KEYS.c.replaced_by.is_(None)
            & or_(_KEYS.c.expires_at.is_(None), _KEYS.c.expires_at > successor.created_at)
        )
        values = {
            "replaced_by": successor.id,
            "expires_at": func.least(_KEYS.c.expires_at, until),
            "changed_at": _NOW,
        }
        async with transaction(self._engine) as connection:
            result = await connection.execute(update(_KEYS).where(in_use).values(values))
            if result.rowcount == 0:
                return False
            await connection.execute(insert(_KEYS).values(_row(successor)))
            await record(await driver_of(connection), self._engine, entry)
        return True

    @retried
    async def changed(self, since: datetime | None) -> LatestKeys:
        after = since or _LONG_AGO
        # The previous release, which may still be running, sets no `changed_at`. Keys are few.
        recently = or_(*(_KEYS.c[name] >= after for name in ("changed_at", "created_at", "revoked_at")))
        async with transaction(self._engine) as connection:
            as_of = (await connection.execute(select(func.now()))).scalar_one()
            rows = (await connection.execute(select(_KEYS).where(recently))).mappings().all()
        return LatestKeys(as_of, [_key(row) for row in rows])

    @retried
    async def note_uses(self, uses: Mapping[str, datetime]) -> None:
        async with driver_transaction(self._engine) as connection:
            await connection.execute(_NOTE_USES, list(uses), list(uses.values()))


def _row(key: ApiKey) -> dict[str, Any]:
    fields = {name: getattr(key, name) for name in _FIELDS}
    return fields | {"scopes": sorted(key.scopes), "changed_at": _NOW}


def _key(row: RowMapping) -> ApiKey:
    return ApiKey(**{name: row[name] for name in _FIELDS}, scopes=frozenset(row["scopes"]))
