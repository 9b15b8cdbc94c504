"""PostgresDirectory."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.audit import record
from adapters.postgres.engine import driver, driver_transaction, hash_of
from adapters.postgres.erasures import erased_among, take_id
from adapters.postgres.errors import Taken, retried
from application.audit import Entry
from application.directory import Put, UserPage, UserSearch
from application.ports import NewToken
from common import metrics
from domain.errors import FieldError, Invalid, UserTaken
from domain.identifiers import UserId
from domain.user import User

logger = logging.getLogger(__name__)

# A name is looked for in so many users at a time: there is no index for parts of names.
WALK = 10_000
_NAMED_IN_LOG = 10
# Behind every id that begins with the text before it: ids are ASCII, and none has a tilde.
_BEHIND = "~"

# Everyone inserts in the same order, so that two transactions never wait for each other.
_CREATE = """
INSERT INTO users (id, name, created_at)
SELECT missing.id, missing.id, $3 FROM unnest($1::text[], $2::bytea[]) AS missing (id, user_hash)
WHERE NOT EXISTS (SELECT FROM erasures WHERE erasures.user_hash = missing.user_hash)
ORDER BY missing.id
ON CONFLICT (id) DO NOTHING RETURNING id
"""
_UNDO = "DELETE FROM users WHERE id = ANY($1::text[])"
_OPEN = "INSERT INTO feeds (user_id, epoch) SELECT * FROM unnest($1::text[], $2::text[])"
_ADD = """
INSERT INTO users (id, name, email, created_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (id) DO NOTHING RETURNING id
"""
_FIELDS = "id, name, email, created_at, disabled_at"
_HOLD = f"""
SELECT {_FIELDS}, password_hash IS NOT NULL AS has_password FROM users WHERE id = $1 FOR NO KEY UPDATE
"""  # noqa: S608 - ours
_CHANGE = "UPDATE users SET name = $2, email = $3 WHERE id = $1"
# Compared and sorted by bytes, as the class text_pattern_ops of an index does: in the order of most
# collations, ids with one prefix are not next to each other.
_PAGE = """
WITH walked AS MATERIALIZED (
    SELECT {fields} FROM users WHERE id ~>~ $1 AND id ~>=~ $2 AND id ~<~ $3 AND {also}
    ORDER BY id USING ~<~ LIMIT $4
), found AS (
    SELECT * FROM walked WHERE strpos(lower(name), lower($5)) > 0 ORDER BY id USING ~<~ LIMIT $6
)
SELECT walk.size, walk.last, found.*
FROM (SELECT count(*) AS size, max(id COLLATE "C") AS last FROM walked) AS walk LEFT JOIN found ON true
ORDER BY found.id USING ~<~
"""
_ALL = _PAGE.format(fields=_FIELDS, also="true")
_BY_EMAIL = _PAGE.format(fields=_FIELDS, also="email = ANY($7::text[])")


class PostgresDirectory:
    """Users in PostgreSQL, as they are created just in time, kept up to date, and looked up."""

    def __init__(self, engine: AsyncEngine, new_token: NewToken, *, walk: int = WALK) -> None:
        self._engine = engine
        self._new_token = new_token
        self._walk = walk

    @retried
    async def create(self, users: Collection[UserId], at: datetime) -> frozenset[UserId]:
        hashes = [hash_of(self._engine, user) for user in users]
        async with driver_transaction(self._engine) as connection:
            made = [row["id"] for row in await connection.fetch(_CREATE, list(users), hashes, at)]
            # Once more: an insert may have waited for an erasure, which the statement did not see yet.
            erased = await erased_among(connection, self._engine, made)
            if erased:
                await connection.execute(_UNDO, list(erased))
            created = frozenset(made) - erased
            await self._open(connection, created)
        if created:
            metrics.USERS_CREATED.inc(len(created))
            some = ", ".join(sorted(created)[:_NAMED_IN_LOG])
            logger.info("created %d users just in time: %s", len(created), some)
        return created

    @retried
    async def put(self, user: User, *, keeps_email: bool, created: Entry, changed: Entry) -> Put:
        try:
            async with driver_transaction(self._engine) as connection:
                if await connection.fetchval(_ADD, user.id, user.name, user.email, user.created_at) is None:
                    return await self._change(connection, user, changed, keeps_email=keeps_email)
                await self._open(connection, [user.id])
                await take_id(connection, self._engine, user.id)
                await record(connection, self._engine, created)
        except Taken:
            raise UserTaken from None
        return Put(user, created)

    async def page(self, search: UserSearch, limit: int, after: UserId | None = None) -> UserPage:
        walk = self._walk if search.name else limit + 1
        bounds = after or "", search.prefix, search.prefix + _BEHIND
        by_email = () if search.emails is None else (search.emails,)
        async with driver(self._engine) as connection:
            query = _BY_EMAIL if by_email else _ALL
            rows = await connection.fetch(query, *bounds, walk, search.name, limit + 1, *by_email)
        walked_to = rows[0]["last"] if rows[0]["size"] == walk else None
        users = [_user(row) for row in rows if row["id"] is not None]
        return UserPage(users[:limit], _next(users, limit, walked_to))

    async def _change(self, connection: Any, user: User, entry: Entry, *, keeps_email: bool) -> Put:
        row = await connection.fetchrow(_HOLD, user.id)
        if row is None:
            raise UserTaken("A user with this id was erased; the id cannot be used again.")
        held = _user(row)
        new = replace(held, name=user.name, email=held.email if keeps_email else user.email)
        if new == held:
            return Put(held, None)
        if new.email is None and row["has_password"]:
            raise Invalid([FieldError("email", "is required to log in with a password")])
        await connection.execute(_CHANGE, new.id, new.name, new.email)
        await record(connection, self._engine, entry)
        return Put(new, entry)

    async def _open(self, connection: Any, users: Collection[UserId]) -> None:
        epochs = [self._new_token(4) for _ in users]
        await connection.execute(_OPEN, list(users), epochs)


def _user(row: Any) -> User:
    return User(**{name: row[name] for name in _FIELDS.split(", ")})


def _next(users: Sequence[User], limit: int, walked_to: str | None) -> UserId | None:
    """After whom the next page begins. `walked_to`: the last user examined, if there may be more."""
    if len(users) > limit:
        return users[limit - 1].id
    return None if walked_to is None else UserId(walked_to)
