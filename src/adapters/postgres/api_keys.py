"""PostgresApiKeys."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres import tables
from adapters.postgres.audit import record
from adapters.postgres.engine import driver_of, transaction
from adapters.postgres.errors import retried
from application.audit import Entry
from application.credentials import ApiKey
from application.errors import Unavailable

_REMEMBERED_FOR = timedelta(seconds=30)
# While PostgreSQL is unavailable, producers whose key was valid recently may go on publishing.
_TRUSTED_FOR = timedelta(minutes=10)
_USED_EVERY = timedelta(minutes=1)


class PostgresApiKeys:
    """API keys in PostgreSQL, cached for 30 s: a revoked key is refused everywhere within that time."""

    def __init__(self, engine: AsyncEngine, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._clock = clock
        self._remembered: dict[str, tuple[datetime, ApiKey]] = {}

    @retried
    async def add(self, key: ApiKey, entry: Entry | None = None) -> None:
        async with transaction(self._engine) as connection:
            await connection.execute(insert(tables.api_keys).values(_row(key)))
            await record(await driver_of(connection), self._engine, entry)

    async def get(self, key_id: str) -> ApiKey | None:
        now = self._clock()
        remembered = self._remembered.get(key_id)
        if remembered and now - remembered[0] < _REMEMBERED_FOR:
            return remembered[1]
        try:
            key, used_at = await self._read(key_id)
        except Unavailable:
            if remembered and now - remembered[0] < _TRUSTED_FOR:
                return remembered[1]
            raise
        if key is None:
            self._remembered.pop(key_id, None)
            return None
        self._remembered[key_id] = (now, key)
        if used_at is None or now - used_at > _USED_EVERY:
            with suppress(Unavailable):  # no reason to refuse a producer: the store may be read-only
                await self._note_use(key_id, now)
        return key

    @retried
    async def all(self) -> Sequence[ApiKey]:
        async with transaction(self._engine) as connection:
            query = select(tables.api_keys).order_by(tables.api_keys.c.created_at)
            return [_key(row) for row in (await connection.execute(query)).mappings()]

    @retried
    async def revoke(self, key_id: str, at: datetime, entry: Entry | None = None) -> bool:
        keys = tables.api_keys
        async with transaction(self._engine) as connection:
            query = update(keys).where(keys.c.id == key_id, keys.c.revoked_at.is_(None))
            revoked = (await connection.execute(query.values(revoked_at=at))).rowcount > 0
            if revoked:
                await record(await driver_of(connection), self._engine, entry)
        self._remembered.pop(key_id, None)
        return revoked

    @retried
    async def _read(self, key_id: str) -> tuple[ApiKey | None, datetime | None]:
        """Return the key, and when it was last used."""
        keys = tables.api_keys
        async with transaction(self._engine) as connection:
            query = select(keys).where(keys.c.id == key_id)
            row = (await connection.execute(query)).mappings().one_or_none()
        return (None, None) if row is None else (_key(row), row["last_used_at"])

    @retried
    async def _note_use(self, key_id: str, now: datetime) -> None:
        keys = tables.api_keys
        async with transaction(self._engine) as connection:
            await connection.execute(update(keys).where(keys.c.id == key_id).values(last_used_at=now))


def _row(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "secret_hash": key.secret_hash,
        "scopes": sorted(key.scopes),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }


def _key(row: RowMapping) -> ApiKey:
    return ApiKey(
        id=row["id"],
        name=row["name"],
        secret_hash=row["secret_hash"],
        scopes=frozenset(row["scopes"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
    )
