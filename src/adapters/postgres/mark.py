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
from domain.alarm import AlarmKind
from domain.errors import UnknownUser
from domain.feed import MARK_LIMIT, Cursor, Marked
from domain.identifiers import UserId
from domain.notification import Notification
from domain.states import RULES, SNOOZED, UNREAD, UNSEEN, Mark, Rule, To

_MARK = """
WITH feed AS MATERIALIZED (
    SELECT user_id, seen_version, {feed_columns} FROM feeds
    WHERE user_id = ANY($1::text[]) {if_any} FOR NO KEY UPDATE {if_locked}
), due AS MATERIALIZED (
    SELECT n.user_id, n.id, {values}, ({unread})::int AS unread, ({unseen})::int AS unseen
    FROM feed JOIN {chosen}
    WHERE {condition}
    FOR NO KEY UPDATE OF n {if_row_locked}
), numbered AS MATERIALIZED (
    SELECT due.*,
        feed.version + row_number() OVER (PARTITION BY user_id ORDER BY id) AS version
    FROM due JOIN feed USING (user_id)
), changed AS (
    UPDATE notifications AS n SET {sets}, version = numbered.version
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
        unread_in = (feed.unread_in || total.unread_in) - coalesce(total.empty, '{{}}'){seen}
    FROM feed JOIN total USING (user_id) WHERE feeds.user_id = feed.user_id
    RETURNING feeds.*
){alarms}
SELECT feed.user_id AS marked_user, feed.version AS prev, {feed}, {columns}
FROM {standing} AS feed LEFT JOIN bumped USING (user_id) LEFT JOIN changed ON {listed}
ORDER BY feed.user_id, changed.version
"""
_ASKED = """unnest($2::text[], $3::uuid[], $4::timestamptz[]{more}) AS asked (user_id, id, value{names})
        ON asked.user_id = feed.user_id
    JOIN notifications AS n ON n.user_id = asked.user_id AND n.id = asked.id"""
_OLDER = """notifications AS n ON n.user_id = feed.user_id AND n.version <= $2::bigint AND feed.epoch = $3
        AND ($5::text IS NULL OR n.category = $5)"""
# What is unseen changed last after seen_version: each notification is looked at once.
_UNSEEN = f"{_OLDER} AND n.version > feed.seen_version"
# The client's position may be ahead of the feed. What comes next is unseen.
_SEEN = """, seen_version = CASE WHEN $5::text IS NULL
            THEN greatest(feed.seen_version, least($2::bigint, feed.version)) ELSE feed.seen_version END"""
# If nothing is unseen, no row is locked: a lock is a write.
_IF_UNSEEN = "AND unseen_count > 0"
# One that is there is replaced. One that is not needed any more stays, and has no effect when it goes off.
_ALARMS = f""", alarms AS (
    INSERT INTO alarms (user_id, id, kind, due_at)
    SELECT n.user_id, n.id, '{AlarmKind.WAKE}', n.snoozed_until FROM changed AS n WHERE {where(SNOOZED)}
    ON CONFLICT (user_id, id, kind) DO UPDATE SET due_at = excluded.due_at
)"""  # noqa: S608 - ours
_STANDING = """(
    SELECT * FROM feed
    UNION ALL
    SELECT user_id, seen_version, {feed_columns} FROM feeds
    WHERE user_id = ANY($1::text[]) AND NOT EXISTS (SELECT FROM feed)
)"""

# As it is now: changed, or as it was.
_FEED_COLUMNS = ", ".join(FEED_COLUMNS)
_FEED = ", ".join(f"coalesce(bumped.{name}, feed.{name}) AS feed_{name}" for name in FEED_COLUMNS)


def by_ids(rule: Rule, *, waits: bool = True) -> str:
    """The statement for $1 users, and for each id: $2 its user, $3 the id, $4 the value that the mark sets,
    and $5 the action if the mark names one.

    Without `waits` it leaves out feeds that are locked, and raises LockNotAvailableError for a notification
    that is locked although its feed is not.
    """
    more, names = (", $5::text[]", ", action") if rule.names_action else ("", "")
    return _statement(
        rule,
        "asked.value",
        chosen=_ASKED.format(more=more, names=names),
        values="asked.value" + (", asked.action" if rule.names_action else ""),
        sets=_sets(rule) + (", action = numbered.action" if rule.names_action else ""),
        if_locked="" if waits else "SKIP LOCKED",
        if_row_locked="" if waits else "NOWAIT",
    )


def up_to(rule: Rule) -> str:
    """The statement for $1 a list of one user, $2 version, $3 epoch, $4 the value that the mark sets, $5 the
    category or NULL. It returns no notifications if it changes more than MARK_LIMIT.
    """
    value, few = "$4::timestamptz", f"bumped.version - feed.version <= {MARK_LIMIT}"
    words = {"values": f"{value} AS value", "listed": f"changed.user_id = feed.user_id AND {few}"}
    if rule is not RULES[Mark.SEEN]:
        return _statement(rule, value, chosen=_OLDER, **words)
    standing = _STANDING.format(feed_columns=_FEED_COLUMNS)
    return _statement(rule, value, chosen=_UNSEEN, if_any=_IF_UNSEEN, seen=_SEEN, standing=standing, **words)


def _statement(rule: Rule, value: str, **words: str) -> str:
    condition = where(rule.condition)
    if rule.to is To.GIVEN:
        condition += f" AND n.{rule.sets} IS DISTINCT FROM {value}"
    usual = {
        "sets": _sets(rule),
        "if_any": "",
        "if_locked": "",
        "if_row_locked": "",
        "seen": "",
        "alarms": _ALARMS if rule.may_snooze else "",
        "standing": "feed",
        "listed": "changed.user_id = feed.user_id",
    }
    return _MARK.format(
        condition=condition,
        unread=where(UNREAD),
        unseen=where(UNSEEN),
        feed=_FEED,
        feed_columns=_FEED_COLUMNS,
        columns=columns("changed"),
        **{**usual, **words},
    )


def _sets(rule: Rule) -> str:
    """What a mark sets, as `Rule.changed` says."""
    missing = [f"{time} = coalesce(n.{time}, numbered.value)" for time in rule.also]
    return ", ".join([f"{rule.sets} = numbered.value", *missing, *(f"{time} = NULL" for time in rule.clears)])


_BY_IDS = {mark: by_ids(rule) for mark, rule in RULES.items()}
_TOGETHER = {mark: by_ids(rule, waits=False) for mark, rule in RULES.items()}
_UP_TO = {mark: up_to(rule) for mark, rule in RULES.items()}


async def mark_ids(connection: Any, mark: Mark, request: MarkRequest) -> Marked:
    """Mark these notifications and return them as changed, in version order."""
    marked = await _mark(connection, _BY_IDS[mark], mark, [request])
    if not marked:
        raise UnknownUser
    return marked[request.user_id]


async def mark_locked(
    connection: Any, mark: Mark, requests: Sequence[MarkRequest]
) -> Mapping[UserId, Marked]:
    """Do that for several users, in a transaction of this connection that has locked their feeds."""
    return await _mark(connection, _BY_IDS[mark], mark, requests)


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
    rule, by_user = RULES[mark], {request.user_id: request for request in requests}
    asked = [(request, one) for request in requests for one in dict.fromkeys(request.ids)]
    rows = await connection.fetch(
        statement,
        list(by_user),
        [request.user_id for request, _ in asked],
        [one for _, one in asked],
        [rule.value(request.at) for request, _ in asked],
        *([[request.action for request, _ in asked]] if rule.names_action else ()),
    )
    found = groupby(rows, key=itemgetter("marked_user"))
    return {user: _marked(list(mine), mark, by_user[user]) for user, mine in found}


def _marked(rows: Sequence[Any], mark: Mark, request: MarkRequest) -> Marked:
    feed = read_feed(request.user_id, rows[0])
    return Marked(feed, rows[0]["prev"], mark, request.at, _changed(rows), action=request.action)


def _changed(rows: Sequence[Any]) -> tuple[Notification, ...]:
    return tuple(read_notification(row) for row in rows if row["id"] is not None)


async def mark_up_to(
    connection: Any, user: UserId, mark: Mark, cursor: Cursor, at: datetime, *, category: str | None
) -> Marked:
    """Mark everything up to a position, or of a category. Return the notifications unless they are more than
    MARK_LIMIT.
    """
    value = RULES[mark].value(at)
    rows = await connection.fetch(_UP_TO[mark], [user], cursor.version, cursor.epoch, value, category)
    if not rows:
        raise UnknownUser
    feed, prev = read_feed(user, rows[0]), rows[0]["prev"]
    changed = _changed(rows) if feed.version - prev <= MARK_LIMIT else None
    return Marked(feed, prev, mark, at, changed, up_to=cursor.version, category=category)
