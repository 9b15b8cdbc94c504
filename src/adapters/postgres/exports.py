"""PostgresExports: everything of a user, as of one moment."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import driver_snapshot
from adapters.postgres.rows import columns, feed_columns, read_choices, read_feed, read_notification
from application.exports import ExportedWithheld, ExportPage
from domain.errors import UnknownUser
from domain.feed import Feed
from domain.identifiers import NotificationId, UserId, is_user_id
from domain.user import User

_PAGE = 500
# A connection that is in use for 20 s is ended, and one that is idle in a transaction for 15 s (engine.py).
_SECONDS = 12.0

_USER = f"""
SELECT id, name, email, created_at, disabled_at, muted, wanted, {feed_columns("feeds")}
FROM users JOIN feeds ON feeds.user_id = users.id WHERE users.id = $1
"""  # noqa: S608 - the columns are ours
_NOTIFICATIONS = f"""
SELECT {columns("n")} FROM notifications AS n WHERE n.user_id = $1 AND n.id > $2 ORDER BY n.id LIMIT $3
"""  # noqa: S608 - as above
_WITHHELD = "SELECT id, reason, event, category, at FROM withheld WHERE user_id = $1 ORDER BY id"
_FIRST_ID = UUID(int=0)


class PostgresExports:
    """Exports from PostgreSQL, in a transaction that reads one snapshot."""

    def __init__(self, engine: AsyncEngine, *, seconds: float = _SECONDS, page: int = _PAGE) -> None:
        """`seconds`: how long a snapshot is held at most."""
        self._engine = engine
        self._seconds = seconds
        self._page = page

    async def pages(self, user: UserId, after: NotificationId | None) -> AsyncGenerator[ExportPage, None]:
        if not is_user_id(user):
            raise UnknownUser
        clock = asyncio.get_running_loop().time
        end = clock() + self._seconds
        async with driver_snapshot(self._engine) as connection:
            row = await connection.fetchrow(_USER, user)
            if row is None:
                raise UnknownUser
            known, feed = _read(row)
            more = True
            while more:
                found = await connection.fetch(_NOTIFICATIONS, user, after or _FIRST_ID, self._page + 1)
                items = tuple(map(read_notification, found[: self._page]))
                more = len(found) > len(items)
                after = items[-1].id if items else after
                withheld = () if more else await _withheld(connection, user)
                yield ExportPage(known, feed, read_choices(row), items, more, withheld)
                if clock() >= end:
                    return


async def _withheld(connection: Any, user: UserId) -> tuple[ExportedWithheld, ...]:
    return tuple(ExportedWithheld(**dict(row)) for row in await connection.fetch(_WITHHELD, user))


def _read(row: Any) -> tuple[User, Feed]:
    user = User(**{name: row[name] for name in ("id", "name", "email", "created_at", "disabled_at")})
    return user, read_feed(user.id, row)
