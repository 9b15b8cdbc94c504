"""PostgresRetention: deletes old notifications feed by feed, then drops their partitions."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import driver, driver_transaction, transaction
from adapters.postgres.errors import retried
from adapters.postgres.judging import LOCK_FEEDS
from adapters.postgres.partitions import LOCK_PARTITIONS, bound, past_partitions
from adapters.postgres.rows import feed_columns, read_feed, where
from application.errors import Unavailable
from application.feeds import Dropped, Pruned, Spot
from domain.identifiers import NotificationId, UserId
from domain.states import UNREAD, UNSEEN

# In the order of the primary key, from the end of the last batch: rows deleted by it are not scanned again
# before a vacuum has removed them.
_DUE = """
SELECT user_id, id FROM notifications
WHERE id < $1 AND (user_id, id) > ($2::text, $3::uuid) ORDER BY user_id, id LIMIT $4
"""
# A statement of its own, after the feeds are locked: it sees all marks until then. It counts what it deletes
# itself, so that nothing is counted twice when two processes prune.
_DELETE = f"""
WITH gone AS (
    DELETE FROM notifications AS n USING unnest($1::text[], $2::uuid[]) AS due (user_id, id)
    WHERE n.user_id = due.user_id AND n.id = due.id AND n.id < $3
    RETURNING n.user_id, n.id, n.category, ({where(UNREAD)})::int AS unread, ({where(UNSEEN)})::int AS unseen
), silenced AS (
    DELETE FROM alarms USING gone WHERE alarms.user_id = gone.user_id AND alarms.id = gone.id
), by_category AS (
    SELECT user_id, category, count(*) AS size, sum(unread) AS unread, sum(unseen) AS unseen
    FROM gone GROUP BY user_id, category
), total AS (
    SELECT user_id, sum(size) AS size, sum(by_category.unread) AS unread, sum(by_category.unseen) AS unseen,
        jsonb_object_agg(category, (unread_in ->> category)::bigint - by_category.unread)
            FILTER (WHERE by_category.unread > 0) AS unread_in,
        array_agg(category) FILTER (WHERE (unread_in ->> category)::bigint = by_category.unread) AS empty
    FROM by_category JOIN feeds USING (user_id) GROUP BY user_id
)
UPDATE feeds SET version = feeds.version + 1, horizon = feeds.version + 1,
    unread_count = feeds.unread_count - total.unread, unseen_count = feeds.unseen_count - total.unseen,
    unread_in = (feeds.unread_in || coalesce(total.unread_in, '{{}}')) - coalesce(total.empty, '{{}}')
FROM total WHERE feeds.user_id = total.user_id
RETURNING feeds.user_id, {feed_columns("feeds")}, total.size
"""  # noqa: S608 - the columns are ours
# While this waits for the table, everyone waits behind it: so it waits and scans dead rows for a short time
# only.
_DROP_LIMITS = ("SET LOCAL lock_timeout = '2s'", "SET LOCAL statement_timeout = '3s'")

# By the primary key: the ids are in the order of time.
_OLD_AUDIT = """
DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < $1 ORDER BY id LIMIT $2)
"""


_OLD_WITHHELD = """
DELETE FROM withheld WHERE (user_id, id) IN (
    SELECT user_id, id FROM withheld WHERE at < $1 ORDER BY at LIMIT $2
)
"""


class PostgresRetention:
    """Retention in PostgreSQL."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @retried
    async def prune(self, before: datetime, after: Spot | None, limit: int) -> Pruned:
        end = bound(before.year, before.month)
        user, notification = after or Spot(UserId(""), NotificationId(bound(1970, 1)))
        async with driver_transaction(self._engine) as connection:
            due = await connection.fetch(_DUE, end, user, notification, limit)
            if not due:
                return Pruned((), 0, None)
            users, ids = [row["user_id"] for row in due], [row["id"] for row in due]
            await connection.fetch(LOCK_FEEDS, sorted(set(users)))
            rows = await connection.fetch(_DELETE, users, ids, end)
        feeds = [read_feed(row["user_id"], row) for row in rows]
        return Pruned(feeds, sum(row["size"] for row in rows), Spot(users[-1], ids[-1]))

    async def drop(self, before: datetime) -> Dropped:
        dropped: list[str] = []
        kept: list[str] = []
        for name in await self._past(before):
            (dropped if await self._drop(name) else kept).append(name)
        return Dropped(dropped, kept)

    @retried
    async def forget_audit(self, before: datetime, limit: int) -> int:
        async with driver(self._engine) as connection:
            return _size(await connection.execute(_OLD_AUDIT, before, limit))

    @retried
    async def forget_withheld(self, before: datetime, limit: int) -> int:
        async with driver(self._engine) as connection:
            return _size(await connection.execute(_OLD_WITHHELD, before, limit))

    @retried
    async def _past(self, before: datetime) -> Sequence[str]:
        async with driver(self._engine) as connection:
            return await past_partitions(connection, before)

    async def _drop(self, name: str) -> bool:
        """Drop a partition if it is empty. The check without a lock, which takes longer, comes first."""
        try:
            return await self._is_empty(name) and await self._drop_empty(name)
        except Unavailable:
            return False

    @retried
    async def _is_empty(self, name: str) -> bool:
        async with driver(self._engine) as connection:
            return await connection.fetchval(_ANY.format(name=name)) is None

    @retried
    async def _drop_empty(self, name: str) -> bool:
        async with transaction(self._engine) as connection:
            for limit in _DROP_LIMITS:
                await connection.execute(text(limit))
            await connection.execute(text(LOCK_PARTITIONS))
            await connection.execute(text("LOCK TABLE ONLY notifications IN ACCESS EXCLUSIVE MODE"))
            if await connection.scalar(text(_ANY.format(name=name))) is not None:
                return False
            await connection.execute(text(f"DROP TABLE {name}"))
        return True


def _size(status: str) -> int:
    """The number in the status of a statement, such as `DELETE 3`."""
    return int(status.rpartition(" ")[2])


_ANY = "SELECT 1 FROM {name} LIMIT 1"
