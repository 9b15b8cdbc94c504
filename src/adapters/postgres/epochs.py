"""PostgresEpochs."""

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import driver
from adapters.postgres.errors import retried
from domain.identifiers import UserId

# Eight hexadecimal digits, as every feed begins with.
_RENEW = """
WITH due AS (
    SELECT user_id FROM feeds WHERE user_id > $1 ORDER BY user_id LIMIT $2 FOR NO KEY UPDATE
), renewed AS (
    UPDATE feeds SET epoch = substr(md5(gen_random_uuid()::text), 1, 8)
    FROM due WHERE feeds.user_id = due.user_id RETURNING feeds.user_id
)
SELECT count(*) AS size, max(user_id) AS last FROM renewed
"""


class PostgresEpochs:
    """Epochs in PostgreSQL."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @retried
    async def renew(self, after: UserId | None, limit: int) -> tuple[int, UserId | None]:
        async with driver(self._engine, writes=True) as connection:
            row = await connection.fetchrow(_RENEW, after or "", limit)
        return row["size"], row["last"]
