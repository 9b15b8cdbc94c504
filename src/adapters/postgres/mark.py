"""Marking, in one statement and therefore in one round trip.

The statement is correct under READ COMMITTED although its snapshot may be older than the lock it waits for:

- `feed` locks the feed's row and returns it as it is then, not as in the snapshot;
- `due` joins that row, so it locks notifications only after the feed is locked, and FOR UPDATE checks the
  condition again on the current row; nobody else changes rows of a feed whose row is locked;
- a row inserted while the statement waited is not seen. Nobody could have named it when the statement began.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from adapters.postgres.rows import columns, read_notification, where
from domain.errors import UnknownUser
from domain.feed import Feed, Marked
from domain.identifiers import NotificationId, UserId
from domain.states import RULES, UNREAD, Mark, Rule, To

_MARK = """
WITH feed AS MATERIALIZED (
    SELECT user_id, epoch, version, unread_count FROM feeds WHERE user_id = $1 FOR NO KEY UPDATE
), due AS MATERIALIZED (
    SELECT n.id, ({unread})::int AS unread
    FROM feed JOIN notifications AS n ON n.user_id = feed.user_id
    WHERE {chosen} AND {condition}
    FOR NO KEY UPDATE OF n
), numbered AS MATERIALIZED (
    SELECT id, unread, row_number() OVER (ORDER BY id) AS nth FROM due
), changed AS (
    UPDATE notifications AS n SET {sets} = $3, version = feed.version + numbered.nth
    FROM feed, numbered WHERE n.user_id = $1 AND n.id = numbered.id
    RETURNING n.*, ({unread})::int - numbered.unread AS gained
), bumped AS (
    UPDATE feeds SET version = feed.version + total.changed, unread_count = feed.unread_count + total.gained
    FROM feed, (SELECT count(*) AS changed, sum(gained) AS gained FROM changed) AS total
    WHERE feeds.user_id = feed.user_id AND total.changed > 0
    RETURNING feeds.version, feeds.unread_count
)
SELECT feed.epoch, feed.version AS prev, coalesce(bumped.version, feed.version) AS feed_version,
    coalesce(bumped.unread_count, feed.unread_count) AS unread_count, {result}
"""
_NAMED = f"""{columns("changed")}
FROM feed LEFT JOIN bumped ON true LEFT JOIN changed ON true ORDER BY changed.version
"""
_COUNTED = "(SELECT count(*) FROM changed) AS changed FROM feed LEFT JOIN bumped ON true"


def by_ids(rule: Rule) -> str:
    """The statement for $1 user, $2 ids, $3 the value that the mark sets."""
    return _statement(rule, "n.id = ANY($2::uuid[])", _NAMED)


def up_to(rule: Rule) -> str:
    """The statement for $1 user, $2 version, $3 the value that the mark sets."""
    return _statement(rule, "n.version <= $2::bigint", _COUNTED)


def _statement(rule: Rule, chosen: str, result: str) -> str:
    condition = where(rule.condition)
    if rule.to is To.GIVEN:
        condition += f" AND n.{rule.sets} IS DISTINCT FROM $3"
    return _MARK.format(
        unread=where(UNREAD), chosen=chosen, condition=condition, sets=rule.sets, result=result
    )


_BY_IDS = {mark: by_ids(rule) for mark, rule in RULES.items()}
_UP_TO = {mark: up_to(rule) for mark, rule in RULES.items()}


async def mark_ids(
    connection: Any, user: UserId, mark: Mark, ids: Sequence[NotificationId], at: datetime
) -> Marked:
    """Mark these notifications and return them as changed, in version order."""
    rows = await connection.fetch(_BY_IDS[mark], user, list(ids), RULES[mark].value(at))
    if not rows:
        raise UnknownUser
    changed = tuple(read_notification(row) for row in rows if row["id"] is not None)
    return Marked(_feed(user, rows[0]), rows[0]["prev"], mark, at, changed)


async def mark_up_to(connection: Any, user: UserId, mark: Mark, version: int, at: datetime) -> Marked:
    """Mark everything up to a version. Return no notifications: there may be too many."""
    row = await connection.fetchrow(_UP_TO[mark], user, version, RULES[mark].value(at))
    if row is None:
        raise UnknownUser
    return Marked(_feed(user, row), row["prev"], mark, at, None, up_to=version)


def _feed(user: UserId, row: Any) -> Feed:
    return Feed(user, row["epoch"], row["feed_version"], row["unread_count"])
