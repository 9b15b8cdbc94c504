"""PostgresErasures.

The feed's row goes first, in the transaction that begins an erasure: every writer of a feed needs its lock.
Whoever comes later finds no feed, looks here, and drops what it has. So no notification is stored behind the
deletion, however long that takes.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.audit import NEW_ID, record
from adapters.postgres.engine import driver, driver_transaction, hash_of
from adapters.postgres.errors import retried
from application.audit import Entry
from application.erasures import Erasure
from application.errors import UnknownErasure
from common import wire
from domain.errors import UnknownUser, UserTaken
from domain.identifiers import NotificationId, UserId, is_user_id

# Longer than a process needs to notice it (Revocations), with a failed attempt or two.
SETTLE = timedelta(seconds=10)

_FIELDS = "id, user_id, requested_at, deleted::text AS deleted, finished_at, kafka_until"
_BEGIN = f"""
INSERT INTO erasures (id, user_hash, user_id, requested_at, deleted, reusable)
VALUES ({NEW_ID}, $1, $2, clock_timestamp(), '{{"users": 1}}', $3) RETURNING {_FIELDS}
"""  # noqa: S608 - ours
_AGAIN = f"""
UPDATE erasures SET reusable = reusable OR $2 WHERE user_hash = $1 RETURNING {_FIELDS}
"""  # noqa: S608 - ours
_GET = f"SELECT {_FIELDS} FROM erasures WHERE id = $1"  # noqa: S608 - ours
_UNFINISHED = f"""
SELECT {_FIELDS}, requested_at <= clock_timestamp() - $2::interval AS settled FROM erasures
WHERE finished_at IS NULL ORDER BY requested_at LIMIT $1
"""  # noqa: S608 - ours
# Whoever holds the row works on this erasure; others go on to the next.
_TAKE = """
SELECT user_id FROM erasures
WHERE id = $1 AND finished_at IS NULL AND requested_at <= clock_timestamp() - $2::interval
FOR UPDATE SKIP LOCKED
"""
_NEXT = "SELECT id FROM notifications WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3"
_DELETE = "DELETE FROM notifications WHERE user_id = $1 AND id = ANY($2::uuid[])"
_COUNT = """
UPDATE erasures SET deleted = jsonb_set(
    deleted, '{notifications}', to_jsonb(coalesce((deleted->>'notifications')::bigint, 0) + $2::bigint)
) WHERE id = $1
"""
_ANY_LEFT = "SELECT EXISTS (SELECT FROM notifications WHERE user_id = $1)"
_FINISH = """
UPDATE erasures SET user_id = NULL, finished_at = clock_timestamp(),
    kafka_until = clock_timestamp() + $2::interval
WHERE id = $1
"""
_REST = tuple(f"DELETE FROM {table} WHERE user_id = $1" for table in ("withheld", "alarms"))  # noqa: S608 - ours
_FIRST_ID = UUID(int=0)
_ERASED = "SELECT user_hash FROM erasures WHERE user_hash = ANY($1::bytea[])"
_FREE = """
UPDATE erasures SET user_hash = NULL
WHERE user_hash = $1 AND reusable AND finished_at IS NOT NULL RETURNING id
"""
_REVOKE = "UPDATE users SET tokens_revoked_at = date_trunc('second', clock_timestamp()) WHERE id = $1"


class PostgresErasures:
    """Erasures in PostgreSQL."""

    def __init__(self, engine: AsyncEngine, *, settle: timedelta = SETTLE) -> None:
        self._engine = engine
        self._settle = settle

    @retried
    async def begin(self, user: UserId, entry: Entry, *, reusable: bool) -> Erasure:
        if not is_user_id(user):
            raise UnknownUser
        user_hash = hash_of(self._engine, user)
        async with driver_transaction(self._engine) as connection:
            await connection.execute("DELETE FROM feeds WHERE user_id = $1", user)
            await connection.execute("DELETE FROM alarms WHERE user_id = $1", user)
            if await connection.execute("DELETE FROM users WHERE id = $1", user) == "DELETE 1":
                row = await connection.fetchrow(_BEGIN, user_hash, user, reusable)
            else:
                row = await connection.fetchrow(_AGAIN, user_hash, reusable)
            if row is None:
                raise UnknownUser
            await record(connection, self._engine, entry)
        return _erasure(row)

    @retried
    async def get(self, erasure: UUID) -> Erasure:
        async with driver(self._engine) as connection:
            row = await connection.fetchrow(_GET, erasure)
        if row is None:
            raise UnknownErasure
        return _erasure(row)

    @retried
    async def unfinished(self, limit: int) -> Sequence[Erasure]:
        async with driver(self._engine) as connection:
            rows = await connection.fetch(_UNFINISHED, limit, self._settle)
        return [_erasure(row) for row in rows]

    @retried
    async def delete_some(
        self, erasure: UUID, after: NotificationId | None, limit: int
    ) -> NotificationId | None:
        async with driver_transaction(self._engine) as connection:
            user = await connection.fetchval(_TAKE, erasure, timedelta())
            if user is None:
                return None
            rows = await connection.fetch(_NEXT, user, after or _FIRST_ID, limit)
            ids = [row["id"] for row in rows]
            if ids:
                await connection.execute(_DELETE, user, ids)
                await connection.execute(_COUNT, erasure, len(ids))
        return NotificationId(ids[-1]) if ids else None

    @retried
    async def finish(self, erasure: UUID, kafka_keeps: timedelta | None, entry: Entry) -> bool:
        async with driver_transaction(self._engine) as connection:
            user = await connection.fetchval(_TAKE, erasure, self._settle)
            if user is None or await connection.fetchval(_ANY_LEFT, user):
                return False
            for statement in _REST:
                await connection.execute(statement, user)
            await connection.execute(_FINISH, erasure, kafka_keeps)
            await record(connection, self._engine, entry)
        return True


async def erased_among(connection: Any, engine: AsyncEngine, users: Iterable[UserId]) -> frozenset[UserId]:
    """Which of these ids were erased and are not in use again. `connection` is the driver's."""
    hashes = {hash_of(engine, user): user for user in users}
    if not hashes:
        return frozenset()
    return frozenset(hashes[row["user_hash"]] for row in await connection.fetch(_ERASED, list(hashes)))


async def take_id(connection: Any, engine: AsyncEngine, user: UserId) -> None:
    """Check the id of a user who was inserted in this transaction of the driver's connection.

    Raises UserTaken if it was erased and cannot be used again. If it can, its hash is removed, and the tokens
    from before are invalidated: those of the second in which the user is created are valid, because their
    time may be a whole second.
    """
    if not await erased_among(connection, engine, [user]):
        return
    if await connection.fetchval(_FREE, hash_of(engine, user)) is None:
        raise UserTaken("A user with this id was erased; the id cannot be used again.")
    await connection.execute(_REVOKE, user)


def _erasure(row: Any) -> Erasure:
    fields = dict(row)
    return Erasure(**{**fields, "deleted": wire.decode(fields["deleted"])})
