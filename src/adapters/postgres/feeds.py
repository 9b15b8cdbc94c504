"""PostgresFeeds: every change takes the next versions of a feed while it holds the lock of the feed's row."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.arrivals import append
from adapters.postgres.engine import driver
from adapters.postgres.errors import retried
from adapters.postgres.mark import mark_ids, mark_together, mark_up_to
from adapters.postgres.rows import columns, feed_columns, read_feed, read_notification, render_row, where
from application.errors import NotAllowed
from application.feeds import Appended, FeedHistory, FeedPage, MarkRequest, Retracted, Standing
from application.pages import RenderedPage, rendered
from domain.arrivals import Arrival
from domain.errors import UnknownNotification, UnknownUser
from domain.feed import Cursor, Feed, Marked
from domain.identifiers import NotificationId, UserId
from domain.notification import BEFORE_ALL, Notification, Retraction
from domain.states import RULES, VIEWS, VISIBLE, Mark, Status

# The feed and some of its notifications in one statement: one snapshot, so that the version and the count are
# true for exactly these rows. A feed without such rows gives one row of NULLs.
_PAGE = """
SELECT {feed}, {columns}
FROM feeds AS feed LEFT JOIN LATERAL (
    SELECT n.* FROM notifications AS n
    WHERE n.user_id = feed.user_id AND {listed} AND n.id < $3::uuid AND ($4::text IS NULL OR n.event = $4)
        AND ($5::text[] IS NULL OR n.category = ANY($5))
    ORDER BY n.id DESC LIMIT $2
) AS found ON true
WHERE feed.user_id = $1 ORDER BY found.id DESC
"""
_PAGES = {
    status: _PAGE.format(feed=feed_columns("feed"), listed=where(view), columns=columns("found"))
    for status, view in VIEWS.items()
}
# Each feed costs a lookup in the index on (user_id, version) of each partition, and the rows of its page.
_HISTORIES = f"""
SELECT wanted.nth, feed.horizon, {feed_columns("feed")}, {columns("found")}
FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS wanted (user_id, after, nth)
JOIN feeds AS feed ON feed.user_id = wanted.user_id
LEFT JOIN LATERAL (
    SELECT n.* FROM notifications AS n
    WHERE n.user_id = feed.user_id AND n.version > wanted.after ORDER BY n.version LIMIT $3
) AS found ON true
ORDER BY wanted.nth, found.version
"""  # noqa: S608 - the columns are ours
_STANDINGS = f"""
SELECT user_id, horizon, {feed_columns("feed")} FROM feeds AS feed WHERE user_id = ANY($1::text[])
"""  # noqa: S608 - as above
_GET = f"""
SELECT {columns("n")} FROM notifications AS n WHERE user_id = $1 AND id = $2 AND {where(VISIBLE)}
"""  # noqa: S608 - as above
_HOLDS = "SELECT true FROM notifications WHERE user_id = $1 AND id = $2"
_LAST_ID = UUID(int=(1 << 128) - 1)
_DUE = """
SELECT n.user_id, n.id FROM notifications AS n WHERE n.{due} <= $1 AND {waiting} ORDER BY n.{due} LIMIT $2
"""
_DUE_MARKS = {
    mark: _DUE.format(due=rule.due, waiting=where(rule.waiting)) for mark, rule in RULES.items() if rule.due
}


class PostgresFeeds:
    """Feeds in PostgreSQL."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @retried
    async def append(self, arrivals: Sequence[Arrival], now: datetime = BEFORE_ALL) -> Appended:
        return await append(self._engine, arrivals, now)

    async def retract(
        self, user: UserId, notification: NotificationId, at: datetime, key_id: str | None = None
    ) -> Retracted:
        order = Retraction(user, notification, key_id, own_only=key_id is not None)
        appended = await append(self._engine, [order], at)
        if appended.unknown or appended.erased:
            raise UnknownUser
        if appended.foreign:
            raise NotAllowed("Another API key sent this notification.")
        for change in appended.changed:
            if isinstance(change, Marked):
                return Retracted(change)
        async with driver(self._engine) as connection:
            held = await connection.fetchval(_HOLDS, user, notification)
        feed = await self.feed(user)
        return Retracted(Marked(feed, feed.version, Mark.RETRACTED, at, ()) if held else None)

    @retried
    async def mark(
        self,
        user: UserId,
        mark: Mark,
        ids: Sequence[NotificationId],
        at: datetime,
        *,
        action: str | None = None,
    ) -> Marked:
        async with driver(self._engine) as connection:
            return await mark_ids(connection, mark, MarkRequest(user, ids, at, action))

    @retried
    async def mark_together(self, mark: Mark, requests: Sequence[MarkRequest]) -> Mapping[UserId, Marked]:
        async with driver(self._engine) as connection:
            return await mark_together(connection, mark, requests)

    @retried
    async def mark_up_to(
        self, user: UserId, mark: Mark, cursor: Cursor, at: datetime, *, category: str | None = None
    ) -> Marked:
        async with driver(self._engine) as connection:
            return await mark_up_to(connection, user, mark, cursor, at, category=category)

    async def feed(self, user: UserId) -> Feed:
        standing = (await self.standings([user])).get(user)
        if standing is None:
            raise UnknownUser
        return standing.feed

    @retried
    async def get(self, user: UserId, notification: NotificationId) -> Notification:
        async with driver(self._engine) as connection:
            row = await connection.fetchrow(_GET, user, notification)
        if row is None:
            raise UnknownNotification
        return read_notification(row)

    @retried
    async def page(
        self,
        user: UserId,
        status: Status,
        *,
        limit: int,
        before: NotificationId | None = None,
        event: str | None = None,
        categories: Sequence[str] = (),
    ) -> FeedPage:
        feed, rows = await self._page(user, status, limit, before, event, categories)
        return FeedPage(feed, tuple(map(read_notification, rows[:limit])), more=len(rows) > limit)

    @retried
    async def rendered_page(
        self,
        user: UserId,
        status: Status,
        *,
        limit: int,
        before: NotificationId | None = None,
        event: str | None = None,
        categories: Sequence[str] = (),
    ) -> RenderedPage:
        feed, rows = await self._page(user, status, limit, before, event, categories)
        return rendered(feed, rows[:limit], render_row, more=len(rows) > limit)

    async def _page(  # noqa: PLR0917 - as above
        self,
        user: UserId,
        status: Status,
        limit: int,
        before: NotificationId | None,
        event: str | None,
        categories: Sequence[str],
    ) -> tuple[Feed, Sequence[Any]]:
        """The feed, and the rows of up to one notification more."""
        async with driver(self._engine) as connection:
            rows = await connection.fetch(
                _PAGES[status], user, limit + 1, before or _LAST_ID, event, list(categories) or None
            )
        if not rows:
            raise UnknownUser
        return read_feed(user, rows[0]), rows if rows[0]["id"] is not None else ()

    @retried
    async def standings(self, users: Collection[UserId]) -> Mapping[UserId, Standing]:
        async with driver(self._engine) as connection:
            rows = await connection.fetch(_STANDINGS, list(users))
        return {row["user_id"]: Standing(read_feed(row["user_id"], row), row["horizon"]) for row in rows}

    @retried
    async def histories(
        self, wanted: Sequence[tuple[UserId, int]], limit: int
    ) -> Sequence[FeedHistory | None]:
        users, versions = [user for user, _ in wanted], [after for _, after in wanted]
        async with driver(self._engine) as connection:
            rows = await connection.fetch(_HISTORIES, users, versions, limit + 1)
        histories: list[FeedHistory | None] = [None] * len(wanted)
        for nth, mine in groupby(rows, key=itemgetter("nth")):
            page = list(mine)
            feed, found = _read(users[nth - 1], page)
            more, horizon = len(found) > limit, page[0]["horizon"]
            histories[nth - 1] = FeedHistory(feed, tuple(found[:limit]), more, horizon)
        return histories

    @retried
    async def due(self, mark: Mark, at: datetime, limit: int) -> Sequence[tuple[UserId, NotificationId]]:
        async with driver(self._engine) as connection:
            rows = await connection.fetch(_DUE_MARKS[mark], at, limit)
        return [(row["user_id"], row["id"]) for row in rows]


def _read(user: UserId, rows: Sequence[Any]) -> tuple[Feed, list[Notification]]:
    """Read a feed, and the notifications that came with it."""
    return read_feed(user, rows[0]), [read_notification(row) for row in rows if row["id"] is not None]
