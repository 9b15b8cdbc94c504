"""Marking, in one statement and therefore in one round trip.

The statement is correct under READ COMMITTED although its snapshot may be older than the locks it takes:

- `feed` locks the rows of the feeds and returns them as they are then, not as in the snapshot;
- `due` joins those rows, so it locks notifications only after their feed is locked, and FOR UPDATE checks the
  condition again on the current row; nobody else changes rows of a feed whose row is locked;
- a row inserted while the statement waited is not seen. Nobody could have named it when the statement began.

For several users there is a form that waits for no lock: a feed that somebody else has locked is left out. So
users do not wait for each other, and whoever holds some locks and waits for others never waits in a circle
with it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

import asyncpg

from adapters.postgres.rows import FEED_COLUMNS, columns, read_feed, read_notification, where
from application.feeds import MarkRequest
from domain.errors import UnknownUser
from domain.feed import Cursor, Marked
from domain.identifiers import UserId
from domain.states import RULES, UNREAD, UNSEEN, Mark, Rule, To

_MARK = """
WITH feed AS MATERIALIZED (
    SELECT user_id, epoch, version, unread_count, unseen_count, unread_in, preferences_version FROM feeds
    WHERE user_id = ANY($1::text[]) FOR NO KEY UPDATE {if_locked}
), due AS MATERIALIZED (
    SELECT n.user_id, n.id, {value} AS value, ({unread})::int AS unread, ({unseen})::int AS unseen
    FROM feed JOIN {chosen}
    WHERE {condition}
    FOR NO KEY UPDATE OF n {if_row_locked}
), numbered AS MATERIALIZED (
    SELECT user_id, id, value, unread, unseen,
        feed.version + row_number() OVER (PARTITION BY user_id ORDER BY id) AS version
    FROM due JOIN feed USING (user_id)
), changed AS (
    UPDATE notifications AS n SET {sets} = numbered.value, version = numbered.version
    FROM numbered WHERE n.user_id = numbered.user_id AND n.id = numbered.id
    RETURNING n.*, ({unread})::int - numbered.unread AS gained,
        ({unseen})::int - numbered.unseen AS gained_unseen
), by_category AS (
    SELECT user_id, category, count(*) AS changed, sum(gained) AS gained, sum(gained_unseen) AS gained_unseen
    FROM changed GROUP BY user_id, category
), total AS (
    SELECT user_id, sum(changed) AS changed, sum(gained) AS gained, sum(gained_unseen) AS gained_unseen,
        jsonb_object_agg(category, coalesce((unread_in ->> category)::bigint, 0) + gained) AS unread_in,
        array_agg(category) FILTER (WHERE coalesce((unread_in ->> category)::bigint, 0) + gained = 0) AS empty
    FROM by_category JOIN feed USING (user_id) GROUP BY user_id
), bumped AS (
    UPDATE feeds SET version = feed.version + total.changed, unread_count = feed.unread_count + total.gained,
        unseen_count = feed.unseen_count + total.gained_unseen,
        unread_in = (feed.unread_in || total.unread_in) - coalesce(total.empty, '{{}}')
    FROM feed JOIN total USING (user_id) WHERE feeds.user_id = feed.user_id
    RETURNING feeds.*
)
SELECT feed.user_id AS marked_user, feed.version AS prev, {feed}{result}
"""
_ASKED = """unnest($2::text[], $3::uuid[], $4::timestamptz[]) AS asked (user_id, id, value)
        ON asked.user_id = feed.user_id
    JOIN notifications AS n ON n.user_id = asked.user_id AND n.id = asked.id"""
_NAMED = f""", {columns("changed")}
FROM feed LEFT JOIN bumped USING (user_id) LEFT JOIN changed USING (user_id)
ORDER BY feed.user_id, changed.version
"""
_OLDER = "notifications AS n ON n.user_id = feed.user_id AND n.version <= $2::bigint AND feed.epoch = $3"
_COUNTED = " FROM feed LEFT JOIN bumped USING (user_id)"


# As it is now: changed, or as it was.
_FEED = ", ".join(f"coalesce(bumped.{name}, feed.{name}) AS feed_{name}" for name in FEED_COLUMNS)


def by_ids(rule: Rule, *, waits: bool = True) -> str:
    """The statement for $1 users, and for each id: $2 its user, $3 the id, $4 the value that the mark sets.

    Without `waits` it leaves out feeds that are locked, and raises LockNotAvailableError for a notification
    that is locked although its feed is not.
    """
    return _statement(rule, _ASKED, "asked.value", _NAMED, waits=waits)


def up_to(rule: Rule) -> str:
    """The statement for $1 a list of one user, $2 version, $3 epoch, $4 the value that the mark sets."""
    return _statement(rule, _OLDER, "$4::timestamptz", _COUNTED)


def _statement(rule: Rule, chosen: str, value: str, result: str, *, waits: bool = True) -> str:
    condition = where(rule.condition)
    if rule.to is To.GIVEN:
        condition += f" AND n.{rule.sets} IS DISTINCT FROM {value}"
    return _MARK.format(
        chosen=chosen,
        condition=condition,
        sets=rule.sets,
        value=value,
        unread=where(UNREAD),
        unseen=where(UNSEEN),
        feed=_FEED,
        result=result,
        if_locked="" if waits else "SKIP LOCKED",
        if_row_locked="" if waits else "NOWAIT",
    )


_BY_IDS = {mark: by_ids(rule) for mark, rule in RULES.items()}
_TOGETHER = {mark: by_ids(rule, waits=False) for mark, rule in RULES.items()}
_UP_TO = {mark: up_to(rule) for mark, rule in RULES.items()}


async def mark_ids(connection: Any, mark: Mark, request: MarkRequest) -> Marked:
    """Mark these notifications and return them as changed, in version order."""
    marked = await _mark(connection, _BY_IDS[mark], mark, [request])
    if not marked:
        raise UnknownUser
    return marked[request.user_id]


async def mark_together(
    connection: Any, mark: Mark, requests: Sequence[MarkRequest]
) -> Mapping[UserId, Marked]:
    """Do that for several users, without those who are unknown or whose feed is locked."""
    try:
        return await _mark(connection, _TOGETHER[mark], mark, requests)
    except asyncpg.LockNotAvailableError:
        return {}


async def _mark(
    connection: Any, statement: str, mark: Mark, requests: Sequence[MarkRequest]
) -> dict[UserId, Marked]:
    rule, at = RULES[mark], {request.user_id: request.at for request in requests}
    asked = [(request, one) for request in requests for one in dict.fromkeys(request.ids)]
    rows = await connection.fetch(
        statement,
        list(at),
        [request.user_id for request, _ in asked],
        [one for _, one in asked],
        [rule.value(request.at) for request, _ in asked],
    )
    found = groupby(rows, key=itemgetter("marked_user"))
    return {user: _marked(list(mine), mark, at[user]) for user, mine in found}


def _marked(rows: Sequence[Any], mark: Mark, at: datetime) -> Marked:
    changed = tuple(read_notification(row) for row in rows if row["id"] is not None)
    return Marked(read_feed(rows[0]["marked_user"], rows[0]), rows[0]["prev"], mark, at, changed)


async def mark_up_to(connection: Any, user: UserId, mark: Mark, cursor: Cursor, at: datetime) -> Marked:
    """Mark everything up to a position. Return no notifications: there may be too many."""
    value = RULES[mark].value(at)
    row = await connection.fetchrow(_UP_TO[mark], [user], cursor.version, cursor.epoch, value)
    if row is None:
        raise UnknownUser
    return Marked(read_feed(user, row), row["prev"], mark, at, None, up_to=cursor.version)
