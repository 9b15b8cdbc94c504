"""Judging arrivals under the locks of their feeds: reads what domain.arrivals must know, and writes what it
says.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from adapters.postgres.rows import (
    columns,
    feed_columns,
    group_text,
    json_text,
    read_feed,
    read_notification,
    rich_text,
    where,
)
from application.feeds import Appended
from domain.arrivals import Arrival, Known, Outcome, Reason, Withheld, arrive
from domain.category import Category
from domain.feed import Settled
from domain.group import OPEN_FOR
from domain.identifiers import NotificationId, UserId
from domain.notification import Draft, Notification
from domain.states import UNREAD, VISIBLE, Condition

# Everyone locks in the same order, so that two batches never wait for each other.
LOCK_FEEDS = f"""
SELECT user_id, muted, wanted, withheld_at, {feed_columns("feeds")} FROM feeds
WHERE user_id = ANY($1::text[]) ORDER BY user_id FOR NO KEY UPDATE
"""  # noqa: S608 - the columns are ours
# Statements of their own, after the lock: they see what its previous holder wrote.
_HELD = f"""
SELECT {columns("n")}, n.key_id FROM unnest($1::text[], $2::uuid[]) AS asked (user_id, id)
JOIN notifications AS n ON n.user_id = asked.user_id AND n.id = asked.id
"""  # noqa: S608 - as above
_WITHHELD = """
SELECT held.user_id, held.id, reason, event, category, revision
FROM unnest($1::text[], $2::uuid[]) AS asked (user_id, id)
JOIN withheld AS held ON held.user_id = asked.user_id AND held.id = asked.id
"""
_OPEN = where(VISIBLE & Condition(lacks=("archived_at",)))
# Of each key the newest, and the newest unread ones: more than one, because others may arrive with their
# retraction.
_HOLDERS = f"""
SELECT {columns("n")}, n.key_id FROM unnest($1::text[], $2::text[]) AS asked (user_id, key)
CROSS JOIN LATERAL (
    (SELECT * FROM notifications AS n WHERE n.user_id = asked.user_id AND n.collapse_key = asked.key
        AND {_OPEN} AND n.created_at > $3 ORDER BY n.id DESC LIMIT $4)
    UNION ALL
    (SELECT * FROM notifications AS n WHERE n.user_id = asked.user_id AND n.collapse_key = asked.key
        AND {where(UNREAD)} AND n.created_at > $3 ORDER BY n.id DESC LIMIT $4)
) AS n
"""  # noqa: S608 - as above
_CATEGORIES = "SELECT id, mandatory, default_on, expires_after FROM categories WHERE id = ANY($1::text[])"

_COLUMNS: Mapping[str, str] = {
    "user_id": "text",
    "id": "uuid",
    "version": "bigint",
    "event": "text",
    "category": "text",
    "title": "text",
    "message": "text",
    "metadata": "text",
    "action_url": "text",
    "created_at": "timestamptz",
    "seen_at": "timestamptz",
    "read_at": "timestamptz",
    "archived_at": "timestamptz",
    "acted_at": "timestamptz",
    "snoozed_until": "timestamptz",
    "woken_at": "timestamptz",
    "retracted_at": "timestamptz",
    "expires_at": "timestamptz",
    "edited_at": "timestamptz",
    "action": "text",
    "revision": "bigint",
    "collapse_key": "text",
    "rich": "text",
    "grouped": "text",
}
_ARRAYS = ", ".join(f"${nth}::{kind}[]" for nth, kind in enumerate(_COLUMNS.values(), 1))
_NAMES = ", ".join(_COLUMNS)
_INSERT = f"""
INSERT INTO notifications ({_NAMES}, key_id)
SELECT * FROM unnest({_ARRAYS}, ${len(_COLUMNS) + 1}::text[])
"""  # noqa: S608 - as above
_CHANGEABLE = [name for name in _COLUMNS if name not in {"user_id", "id", "event", "category", "created_at"}]
_UPDATE = f"""
UPDATE notifications AS n SET {", ".join(f"{name} = new.{name}" for name in _CHANGEABLE)}
FROM unnest({_ARRAYS}) AS new ({_NAMES}) WHERE n.user_id = new.user_id AND n.id = new.id
"""  # noqa: S608 - as above
_WITHHOLD = """
INSERT INTO withheld (user_id, id, reason, event, category, revision, at)
SELECT *, now() FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[])
ON CONFLICT (user_id, id) DO UPDATE SET reason = excluded.reason, event = excluded.event,
    category = excluded.category, revision = excluded.revision, at = excluded.at
"""
_RETURN = """
DELETE FROM withheld USING unnest($1::text[], $2::uuid[]) AS shown (user_id, id)
WHERE withheld.user_id = shown.user_id AND withheld.id = shown.id
"""
_BUMP = """
UPDATE feeds SET version = new.version, unread_count = new.unread_count, unseen_count = new.unseen_count,
    unread_in = new.unread_in, withheld_at = CASE WHEN new.withholds THEN now() ELSE withheld_at END
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::jsonb[], $6::boolean[])
    AS new (user_id, version, unread_count, unseen_count, unread_in, withholds)
WHERE feeds.user_id = new.user_id
"""


async def judge(
    connection: Any, arrivals: Mapping[UserId, Sequence[Arrival]], now: datetime
) -> tuple[Appended, Sequence[Arrival]]:
    """Apply arrivals, by user, in a transaction of this connection. Returns the outcome, and the arrivals of
    users without a feed.
    """
    known = await _look(connection, arrivals, now)
    outcomes = {user: arrive(known[user], mine, now) for user, mine in arrivals.items() if user in known}
    await _write(connection, outcomes)
    strange = [arrival for user, mine in arrivals.items() if user not in known for arrival in mine]
    told = Appended.together(_told(known[user], outcome) for user, outcome in outcomes.items())
    return told, strange


async def _look(
    connection: Any, arrivals: Mapping[UserId, Sequence[Arrival]], now: datetime
) -> Mapping[UserId, Known]:
    """Lock the feeds, and read what must be known of them."""
    feeds = await connection.fetch(LOCK_FEEDS, sorted(arrivals))
    asked = [arrival for row in feeds for arrival in arrivals[row["user_id"]]]
    pairs = [arrival.user_id for arrival in asked], [arrival.id for arrival in asked]
    drafts = [arrival for arrival in asked if isinstance(arrival, Draft)]
    rows = [*await connection.fetch(_HELD, *pairs), *await _holders(connection, asked, now)]
    held: dict[UserId, dict[NotificationId, Notification]] = defaultdict(dict)
    keys: dict[UserId, dict[NotificationId, str | None]] = defaultdict(dict)
    for row in rows:
        held[row["user_id"]][row["id"]] = read_notification(row)
        keys[row["user_id"]][row["id"]] = row["key_id"]
    withheld: dict[UserId, dict[NotificationId, Withheld]] = defaultdict(dict)
    if any(row["withheld_at"] is not None for row in feeds):
        for row in await connection.fetch(_WITHHELD, *pairs):
            withheld[row["user_id"]][row["id"]] = Withheld(**{**row, "reason": Reason(row["reason"])})
    names = {*(draft.content.category for draft in drafts), *(row["category"] for row in rows)}
    categories = await _categories(connection, names)
    return {
        user: Known(read_feed(user, row), held[user], keys[user], withheld[user], _choices(row), categories)
        for row in feeds
        for user in [row["user_id"]]
    }


async def _holders(connection: Any, arrivals: Iterable[Arrival], now: datetime) -> Sequence[Any]:
    keys = {(one.user_id, one.content.collapse_key) for one in arrivals if isinstance(one, Draft)}
    keys = {key for key in keys if key[1] is not None}
    if not keys:
        return ()
    users, names = [user for user, _ in keys], [key for _, key in keys]
    most = 1 + max(Counter(draft.user_id for draft in arrivals).values())
    rows: Sequence[Any] = await connection.fetch(_HOLDERS, users, names, now - OPEN_FOR, most)
    return rows


async def _categories(connection: Any, names: Iterable[str]) -> Mapping[str, Category]:
    rows = await connection.fetch(_CATEGORIES, list(names))
    return {row["id"]: Category(**dict(row)) for row in rows}


def _choices(row: Any) -> Mapping[str, bool]:
    return dict.fromkeys(row["muted"], False) | dict.fromkeys(row["wanted"], True)


async def _write(connection: Any, outcomes: Mapping[UserId, Outcome]) -> None:
    made = outcomes.values()
    changes = [change for one in made for change in (one.retracted, one.edited) if change is not None]
    changed = [item for change in changes for item in change.notifications or ()]
    added = [(item, one.senders[item.id]) for one in made if one.added for item in one.added.notifications]
    withheld = [item for one in made for item in one.withheld]
    returned = [(user, id_) for user, one in outcomes.items() for id_ in one.returned]
    if changed:
        await connection.execute(_UPDATE, *_columns(changed))
    if added:
        senders = [sender for _, sender in added]
        await connection.execute(_INSERT, *_columns([item for item, _ in added]), senders)
    if withheld:
        await connection.execute(_WITHHOLD, *_withheld_columns(withheld))
    if returned:
        await connection.execute(_RETURN, [user for user, _ in returned], [id_ for _, id_ in returned])
    grown = [one for one in made if one.retracted or one.edited or one.added or one.withheld]
    if grown:
        await connection.execute(_BUMP, *_feed_columns(grown))


def _told(known: Known, outcome: Outcome) -> Appended:
    return Appended(
        added=(outcome.added,) if outcome.added else (),
        changed=tuple(change for change in (outcome.retracted, outcome.edited) if change is not None),
        # As it was before: a follower at that version can apply what was changed.
        present=(Settled(known.feed),) if outcome.repeated else (),
        withheld=tuple(outcome.withheld),
        foreign=tuple(outcome.foreign),
    )


def _columns(items: Sequence[Notification]) -> list[list[Any]]:
    special: dict[str, list[Any]] = {
        "metadata": [item.metadata.text for item in items],
        "rich": [rich_text(item.rich) for item in items],
        "grouped": [group_text(item.group) for item in items],
    }
    return [
        special[name] if name in special else [getattr(item, name) for item in items] for name in _COLUMNS
    ]


def _withheld_columns(items: Sequence[Withheld]) -> list[list[Any]]:
    names = ("user_id", "id", "reason", "event", "category", "revision")
    return [[getattr(item, name) for item in items] for name in names]


def _feed_columns(outcomes: Sequence[Outcome]) -> list[Sequence[Any]]:
    names = ("user_id", "version", "unread_count", "unseen_count")
    counts = [json_text(one.feed.unread_in) for one in outcomes]
    return [
        *([getattr(one.feed, name) for one in outcomes] for name in names),
        counts,
        [bool(one.withheld) for one in outcomes],
    ]
