"""PostgresRevokedTokens."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.audit import record
from adapters.postgres.engine import driver, driver_transaction
from adapters.postgres.errors import retried
from application.audit import Entry
from application.credentials import LatestRevokedTokens, RevokedToken

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
# Read and deleted in pages, so that each statement is bounded.
_PAGE = 10_000
_ADD = """
    INSERT INTO revoked_tokens (token_id, revoked_at, expires_at) VALUES ($1, clock_timestamp(), $2)
    ON CONFLICT (token_id) DO UPDATE
    SET revoked_at = excluded.revoked_at, expires_at = excluded.expires_at
    WHERE revoked_tokens.expires_at < excluded.expires_at
"""
_LATEST = """
    SELECT token_id, revoked_at, expires_at
    FROM revoked_tokens
    WHERE (revoked_at, token_id) > ($1, $2) AND expires_at > now()
    ORDER BY revoked_at, token_id
    LIMIT $3
"""
_PRUNE = """
    DELETE FROM revoked_tokens
    WHERE token_id IN (SELECT token_id FROM revoked_tokens WHERE expires_at < now() LIMIT $1)
"""


class PostgresRevokedTokens:
    """Revoked tokens in PostgreSQL."""

    def __init__(self, engine: AsyncEngine, *, page: int = _PAGE) -> None:
        self._engine = engine
        self._page = page

    @retried
    async def add(self, token: RevokedToken, entry: Entry | None = None) -> None:
        async with driver_transaction(self._engine) as connection:
            await connection.execute(_ADD, token.token_id, token.expires_at)
            await record(connection, self._engine, entry)

    async def latest(self, since: datetime | None) -> LatestRevokedTokens:
        as_of, page = await self._latest(since or _LONG_AGO, "")
        found = list(page)
        while len(page) == self._page:
            last, _, at = page[-1]
            _, page = await self._latest(at, last)
            found += page
        return LatestRevokedTokens(as_of, [RevokedToken(token, expires) for token, expires, _ in found])

    @retried
    async def prune(self) -> int:
        async with driver(self._engine) as connection:
            done: str = await connection.execute(_PRUNE, self._page)
        return int(done.rpartition(" ")[2])

    @retried
    async def _latest(
        self, after: datetime, token: str
    ) -> tuple[datetime, Sequence[tuple[str, datetime, datetime]]]:
        """Return a page, and a time before it was read."""
        async with driver(self._engine) as connection:
            as_of: datetime = await connection.fetchval("SELECT now()")
            rows = await connection.fetch(_LATEST, after, token, self._page)
        return as_of, [(found, expires_at, revoked_at) for found, revoked_at, expires_at in rows]
