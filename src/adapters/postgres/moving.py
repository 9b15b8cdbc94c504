"""PostgresMoving: the rows of users, out of a database and into another.

A row travels as PostgreSQL prints and reads it, so that no type is translated on the way.
"""

from collections.abc import AsyncGenerator, Iterator, Sequence
from itertools import groupby
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.audit import record
from adapters.postgres.engine import driver, driver_snapshot, driver_transaction
from adapters.postgres.erasures import take_id
from adapters.postgres.errors import Taken, retried
from adapters.postgres.partitions import ensure_months, months_held
from adapters.postgres.rows import feed_columns, read_feed
from application.audit import Entry
from application.errors import Refused
from application.lines import FORMAT, Kind, Line, Unfit, UserLines
from application.ports import NewToken
from domain.category import CATEGORIES
from domain.errors import UserTaken
from domain.feed import Feed
from domain.identifiers import UserId

_PAGE = 500
# Behind every id that begins with the text before it: ids are ASCII, and none has a tilde.
_BEHIND = "~"
_FIRST_ID = UUID(int=0)
# Whoever reads or writes the lines may take a while.
_NO_HURRY = "SET LOCAL idle_in_transaction_session_timeout = 0"

_REVISION = "SELECT version_num FROM alembic_version"
_CATEGORIES = 'SELECT row_to_json(c)::text AS row FROM categories AS c ORDER BY id COLLATE "C"'
_USERS = """
SELECT id FROM users WHERE id ~>~ $1 AND id ~>=~ $2 AND id ~<~ $3 ORDER BY id USING ~<~ LIMIT $4
"""
_USER = """
SELECT row_to_json(u)::text AS user_row, row_to_json(f)::text AS feed_row
FROM users AS u JOIN feeds AS f ON f.user_id = u.id WHERE u.id = $1
"""
_ROWS = {
    Kind.NOTIFICATION: "notifications",
    Kind.WITHHELD: "withheld",
    Kind.ALARM: "alarms",
}
# With ties: a notification may have several alarms.
_OF_USER = """
SELECT id, row_to_json(r)::text AS row FROM {table} AS r
WHERE user_id = $1 AND id > $2 ORDER BY id FETCH FIRST $3 ROWS WITH TIES
"""

_LOCK_CATEGORIES = "LOCK TABLE categories IN SHARE ROW EXCLUSIVE MODE"
_ENTER = """
INSERT INTO categories SELECT * FROM json_populate_recordset(NULL::categories, $1::text::json)
ON CONFLICT (id) DO NOTHING
"""
_ADD_USER = """
INSERT INTO users SELECT * FROM json_populate_record(NULL::users, $1::text::json) WHERE id = $2
ON CONFLICT (id) DO NOTHING RETURNING id
"""
_ADD_FEED = f"""
INSERT INTO feeds SELECT * FROM json_populate_record(
    NULL::feeds, ($1::text::jsonb || jsonb_build_object('epoch', $3::text))::json
) WHERE user_id = $2 RETURNING {feed_columns("feeds")}
"""  # noqa: S608 - the columns are ours
_ADD = """
INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, $1::text::json) WHERE user_id = $2
"""


class _Head(msgspec.Struct):
    revision: str
    months: list[tuple[int, int]]


class PostgresMoving:
    """MovingOut and MovingIn in PostgreSQL.

    The engine's connections may be in use for long: a user is read in one snapshot and written in one
    transaction.
    """

    def __init__(self, engine: AsyncEngine, new_token: NewToken, *, page: int = _PAGE) -> None:
        self._engine = engine
        self._new_token = new_token
        self._page = page

    @retried
    async def head(self) -> Line:
        async with driver(self._engine) as connection:
            revision = await connection.fetchval(_REVISION)
            head = _Head(revision, await months_held(connection))
        return Line(Kind.HEAD, msgspec.json.encode(head).decode(), format=FORMAT)

    @retried
    async def categories(self) -> Sequence[Line]:
        async with driver(self._engine) as connection:
            return [Line(Kind.CATEGORY, row["row"]) for row in await connection.fetch(_CATEGORIES)]

    @retried
    async def users(self, prefix: str, after: UserId | None, limit: int) -> Sequence[UserId]:
        async with driver(self._engine) as connection:
            rows = await connection.fetch(_USERS, after or "", prefix, prefix + _BEHIND, limit)
        return [row["id"] for row in rows]

    async def rows(self, user: UserId) -> AsyncGenerator[Line, None]:
        async with driver_snapshot(self._engine) as connection:
            await connection.execute(_NO_HURRY)
            row = await connection.fetchrow(_USER, user)
            if row is None:
                return
            yield Line(Kind.USER, row["user_row"], user)
            yield Line(Kind.FEED, row["feed_row"])
            for kind in _ROWS:
                async for text in self._rows_of(connection, kind, user):
                    yield Line(kind, text)

    async def _rows_of(self, connection: Any, kind: Kind, user: UserId) -> AsyncGenerator[str, None]:
        query, after = _OF_USER.format(table=_ROWS[kind]), _FIRST_ID
        while rows := await connection.fetch(query, user, after, self._page):
            for row in rows:
                yield row["row"]
            after = rows[-1]["id"]

    async def prepare(self, head: Line) -> None:
        try:
            wanted = msgspec.json.decode(head.row, type=_Head)
        except msgspec.MsgspecError as error:
            raise Unfit(f"its first line is not readable: {error}") from error
        here = await self._revision()
        if here != wanted.revision:
            raise Unfit(f"its schema is {wanted.revision}, and the one here is {here}; migrate both alike")
        await ensure_months(self._engine, wanted.months)

    @retried
    async def _revision(self) -> str:
        async with driver(self._engine) as connection:
            return str(await connection.fetchval(_REVISION))

    @retried
    async def enter(self, categories: Sequence[Line]) -> None:
        async with driver_transaction(self._engine) as connection:
            await connection.execute(_LOCK_CATEGORIES)
            await connection.execute(_ENTER, _array(categories))
            # One more than `CATEGORIES`: the one that stands for all others.
            if await connection.fetchval("SELECT count(*) FROM categories") > CATEGORIES + 1:
                raise Refused("categories", f"Together there would be more than {CATEGORIES} categories.")

    async def take(self, user: UserLines, batches: Iterator[Sequence[Line]], entry: Entry) -> Feed | None:
        try:
            async with driver_transaction(self._engine) as connection:
                await connection.execute(_NO_HURRY)
                if await connection.fetchval(_ADD_USER, user.user.row, user.id) is None:
                    return None
                feed = await self._fill(connection, user, batches)
                await record(connection, self._engine, entry)
        except Taken:
            raise UserTaken("The e-mail address is that of another user.") from None
        return feed

    async def _fill(self, connection: Any, user: UserLines, batches: Iterator[Sequence[Line]]) -> Feed:
        epoch = self._new_token(4)
        row = await connection.fetchrow(_ADD_FEED, user.feed.row, user.id, epoch)
        if row is None:
            raise Unfit(f"the feed behind {user.id} is another user's")
        await take_id(connection, self._engine, user.id)
        for batch in batches:
            for kind, lines in groupby(batch, key=lambda line: line.kind):
                await _add(connection, user.id, kind, list(lines))
        return read_feed(user.id, row)


async def _add(connection: asyncpg.Connection, user: UserId, kind: Kind, lines: Sequence[Line]) -> None:
    if kind not in _ROWS:
        raise Unfit(f"a line of kind {kind} is among the rows of {user}")
    done = await connection.execute(_ADD.format(table=_ROWS[kind]), _array(lines), user)
    if done != f"INSERT 0 {len(lines)}":
        raise Unfit(f"rows of another user are among those of {user}")


def _array(lines: Sequence[Line]) -> str:
    return f"[{','.join(line.row for line in lines)}]"
