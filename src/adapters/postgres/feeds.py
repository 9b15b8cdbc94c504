"""PostgresFeeds: every change takes the next versions of a feed while it holds the lock of the feed's row."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import driver
from adapters.postgres.erasures import erased_among
from adapters.postgres.errors import retried
from adapters.postgres.mark import mark_ids, mark_together, mark_up_to
from adapters.postgres.rows import columns, feed_columns, read_feed, read_notification, rich_text, where
from application.feeds import Appended, FeedHistory, FeedPage, MarkRequest, Standing
from domain.errors import UnknownNotification, UnknownUser
from domain.feed import Added, Cursor, Feed, Marked, Settled
from domain.identifiers import NotificationId, UserId
from domain.notification import Draft, Notification
from domain.states import RULES, VIEWS, VISIBLE, Mark, Status

# Everyone locks in the same order, so that two batches never wait for each other.
LOCK_FEEDS = """
SELECT user_id FROM feeds WHERE user_id = ANY($1::text[]) ORDER BY user_id FOR NO KEY UPDATE
"""
# One round trip, and one transaction. alembic/versions/0007_inbox.py has its statements.
_APPEND = """
SELECT * FROM bellwire_store(
    $1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
    $9::timestamptz[], $10::timestamptz[], $11::text[], $12::text[], $13::bigint[]
)
"""
# The feed and some of its notifications in one statement: one snapshot, so that the version and the count are
# true for exactly these rows. A feed without such rows gives one row of NULLs.
_PAGE = """
SELECT {feed}, {columns}
FROM feeds AS feed LEFT JOIN LATERAL (
    SELECT n.* FROM notifications AS n
    WHERE n.user_id = feed.user_id AND {listed} AND n.id < $3::uuid AND ($4::text IS NULL OR n.event = $4)
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
    async def append(self, drafts: Sequence[Draft]) -> Appended:
        by_key: dict[tuple[UserId, NotificationId], Draft] = {}
        for draft in drafts:  # of two with one id the first is kept, as if it came in an earlier batch
            by_key.setdefault((draft.content.user_id, draft.id), draft)
        rows = await self._append(list(by_key.values())) if by_key else ()
        feeds = {row["feed_user"]: read_feed(row["feed_user"], row) for row in rows}
        present = {(row["feed_user"], one) for row in rows for one in row["present_ids"] or ()}
        added = _number(feeds, [by_key[key] for key in by_key if key[0] in feeds and key not in present])
        strange = [draft for key, draft in by_key.items() if key[0] not in feeds]
        erased = await self._erased({draft.content.user_id for draft in strange})
        return Appended(
            added=tuple(added),
            # As they were before this batch: a follower at that version can apply what was added.
            present=tuple(Settled(feeds[user]) for user in sorted({user for user, _ in present})),
            unknown=tuple(draft for draft in strange if draft.content.user_id not in erased),
            erased=tuple(draft for draft in strange if draft.content.user_id in erased),
        )

    async def _append(self, drafts: Sequence[Draft]) -> Sequence[Any]:
        """Store drafts; return their feeds as they were before, each with the ids that it held already."""
        async with driver(self._engine, writes=True) as connection:
            rows: Sequence[Any] = await connection.fetch(_APPEND, *_columns(drafts))
        return rows

    async def _erased(self, users: Collection[UserId]) -> Collection[UserId]:
        """Which of these users, who have no feed, were erased. Asked after the locks, so that an erasure that
        took a feed away meanwhile is seen.
        """
        if not users:
            return ()
        async with driver(self._engine) as connection:
            return await erased_among(connection, self._engine, users)

    @retried
    async def mark(self, user: UserId, mark: Mark, ids: Sequence[NotificationId], at: datetime) -> Marked:
        async with driver(self._engine) as connection:
            return await mark_ids(connection, mark, MarkRequest(user, ids, at))

    @retried
    async def mark_together(self, mark: Mark, requests: Sequence[MarkRequest]) -> Mapping[UserId, Marked]:
        async with driver(self._engine) as connection:
            return await mark_together(connection, mark, requests)

    @retried
    async def mark_up_to(self, user: UserId, mark: Mark, cursor: Cursor, at: datetime) -> Marked:
        async with driver(self._engine) as connection:
            return await mark_up_to(connection, user, mark, cursor, at)

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
    ) -> FeedPage:
        async with driver(self._engine) as connection:
            rows = await connection.fetch(_PAGES[status], user, limit + 1, before or _LAST_ID, event)
        if not rows:
            raise UnknownUser
        feed, found = _read(user, rows)
        return FeedPage(feed, tuple(found[:limit]), more=len(found) > limit)

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


def _number(feeds: Mapping[str, Feed], drafts: Iterable[Draft]) -> list[Added]:
    """Give each feed's drafts its next versions, in their order, as the function in the store does."""
    by_user: dict[str, list[Draft]] = {}
    for draft in drafts:
        by_user.setdefault(draft.content.user_id, []).append(draft)
    return [_added(feeds[user], mine) for user, mine in by_user.items()]


def _added(feed: Feed, drafts: Sequence[Draft]) -> Added:
    stored = tuple(draft.stored(feed.version + nth) for nth, draft in enumerate(drafts, 1))
    return Added(feed.changed(stored[-1].version, [(None, item) for item in stored]), stored)


def _columns(drafts: Sequence[Draft]) -> list[list[Any]]:
    """The arguments of _APPEND."""
    contents = [draft.content for draft in drafts]
    return [
        [content.user_id for content in contents],
        [draft.id for draft in drafts],
        [content.event for content in contents],
        [content.category for content in contents],
        [content.title for content in contents],
        [content.message for content in contents],
        [content.metadata.text for content in contents],
        [content.action_url for content in contents],
        [draft.created_at for draft in drafts],
        [content.expires_at for content in contents],
        [draft.key_id for draft in drafts],
        [rich_text(content.rich) for content in contents],
        [draft.revision for draft in drafts],
    ]
