"""Arrivals in PostgreSQL, as domain.arrivals says.

What is plain, and that is nearly everything, is stored in one round trip by a function of the database. What
needs a look at what is stored (an edit, a retraction, a key to collapse by, a preference, what arrives again)
is judged here, in a transaction that holds the locks of the feeds.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import driver, driver_transaction
from adapters.postgres.erasures import erased_among
from adapters.postgres.judging import judge
from adapters.postgres.rows import group_text, json_text, read_feed, rich_text
from application.feeds import Appended
from domain.arrivals import Arrival
from domain.feed import Added, Feed
from domain.group import Group
from domain.identifiers import UserId
from domain.notification import Draft

# One round trip, and one transaction. alembic/versions/0008_store.py has its statements. What every draft has
# is sent as the text of an array: to encode arrays is most of what a batch costs the driver.
_STORE = """
SELECT * FROM bellwire_store(
    $1::text::text[], $2::text::uuid[], $3::text::text[], $4::text::text[], $5::text[], $6::text::text[],
    $7::text::text[], $8::text[], $9::text::timestamptz[], $10::timestamptz[], $11::text[], $12::text[],
    $13::text[], $14::text::bigint[], $15::text::text[], $16::text::bigint[], $17::text[], $18::text[]
)
"""
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class _Sorted:
    """Arrivals by what they need. All of a user are on the same side, so that they stay in order."""

    plain: Mapping[UserId, Sequence[Draft]]
    others: Mapping[UserId, Sequence[Arrival]]


async def append(engine: AsyncEngine, arrivals: Sequence[Arrival], now: datetime) -> Appended:
    """Apply arrivals to their feeds."""
    found = _sort_out(arrivals, now)
    stored, left, strangers = await _store(engine, found.plain)
    judged, more_strangers = await _judge(engine, {**found.others, **left}, now)
    strange = [*strangers, *more_strangers]
    erased = await _erased(engine, {arrival.user_id for arrival in strange})
    return (
        stored
        + judged
        + Appended(
            unknown=tuple(arrival for arrival in strange if arrival.user_id not in erased),
            erased=tuple(arrival for arrival in strange if arrival.user_id in erased),
        )
    )


def _sort_out(arrivals: Sequence[Arrival], now: datetime) -> _Sorted:
    by_user: dict[UserId, list[Any]] = {}
    special: set[UserId] = set()
    for arrival in arrivals:
        user = arrival.user_id
        if user in by_user:
            by_user[user].append(arrival)
        else:
            by_user[user] = [arrival]
        if not _is_plain(arrival, now):
            special.add(user)
    special |= {user for user, mine in by_user.items() if len(mine) > 1 and _has_repeated(mine)}
    if not special:
        return _Sorted(by_user, {})
    plain = {user: mine for user, mine in by_user.items() if user not in special}
    return _Sorted(plain, {user: by_user[user] for user in by_user if user in special})


def _has_repeated(arrivals: Sequence[Arrival]) -> bool:
    return len({arrival.id for arrival in arrivals}) < len(arrivals)


def _is_plain(arrival: Arrival, now: datetime) -> bool:
    """Whether it is stored as it is if nothing is known of it, and the user wants its category."""
    if type(arrival) is not Draft or arrival.revision:
        return False
    content = arrival.content
    if content.collapse_key is not None:
        return False
    return content.expires_at is None or content.expires_at > now


async def _store(
    engine: AsyncEngine, plain: Mapping[UserId, Sequence[Draft]]
) -> tuple[Appended, Mapping[UserId, Sequence[Draft]], Sequence[Draft]]:
    """Store what can be stored without a look. Returns the outcome, what needs one, and the drafts of users
    without a feed.
    """
    if not plain:
        return Appended(), {}, ()
    async with driver(engine, writes=True) as connection:
        rows = await connection.fetch(_STORE, *_columns(plain), *_growth(plain))
    added = [
        _added(read_feed(row["feed_user"], row), plain[row["feed_user"]]) for row in rows if row["stored"]
    ]
    left = {row["feed_user"]: plain[row["feed_user"]] for row in rows if not row["stored"]}
    if len(rows) == len(plain):
        return Appended(tuple(added)), left, ()
    known = {row["feed_user"] for row in rows}
    strangers = [draft for user, mine in plain.items() if user not in known for draft in mine]
    return Appended(tuple(added)), left, strangers


async def _judge(
    engine: AsyncEngine, arrivals: Mapping[UserId, Sequence[Arrival]], now: datetime
) -> tuple[Appended, Sequence[Arrival]]:
    """Judge what is not plain. Returns the outcome, and the arrivals of users without a feed."""
    if not arrivals:
        return Appended(), ()
    async with driver_transaction(engine) as connection:
        return await judge(connection, arrivals, now)


async def _erased(engine: AsyncEngine, users: Collection[UserId]) -> Collection[UserId]:
    """Which of these users, who have no feed, were erased. Asked after the locks, so that an erasure that
    took a feed away meanwhile is seen.
    """
    if not users:
        return ()
    async with driver(engine) as connection:
        return await erased_among(connection, engine, users)


def _added(feed: Feed, drafts: Iterable[Draft]) -> Added:
    """Give drafts the next versions of a feed, in their order, as the function in the database does."""
    stored = tuple(draft.stored(version) for version, draft in enumerate(drafts, feed.version + 1))
    return Added(feed.grown(stored), stored)


def _columns(plain: Mapping[UserId, Sequence[Draft]]) -> list[str | Sequence[Any]]:
    """What _STORE inserts."""
    drafts = [draft for mine in plain.values() for draft in mine]
    contents = [draft.content for draft in drafts]
    return [
        _texts([content.user_id for content in contents]),
        _values([draft.id for draft in drafts]),
        _texts([content.event for content in contents]),
        _texts([content.category for content in contents]),
        _column([content.title for content in contents]),
        _texts([content.message for content in contents]),
        _texts([content.metadata.text for content in contents]),
        _column([content.action_url for content in contents]),
        _values([draft.created_at.astimezone(UTC) for draft in drafts]),  # it reads no offset of 16 hours
        _column([content.expires_at for content in contents]),
        _column([draft.key_id for draft in drafts]),
        _column([rich_text(content.rich) for content in contents]),
        _column([group_text(Group.of(content.actor)) for content in contents]),
        _values([place for mine in plain.values() for place in range(1, len(mine) + 1)]),
    ]


def _texts(values: Sequence[str]) -> str:
    """An array as PostgreSQL reads it. NUL is in no text that can be stored (`domain.text.UNSTORABLE`)."""
    joined = "\0".join(values)
    if joined.count("\0") >= len(values):
        return joined  # refused as it is, before one text becomes two
    joined = joined.replace("\\", r"\\").replace('"', r"\"")
    return '{"' + joined.replace("\0", '","') + '"}'


def _values(values: Sequence[UUID | datetime | int]) -> str:
    """The same of what has no escapes, and so is in JSON as PostgreSQL reads it."""
    return "{" + _encode(values)[1:-1].decode() + "}"


def _column(values: list[Any]) -> Sequence[Any]:
    """A column that may be empty: nothing is sent of one that is."""
    return values if values.count(None) < len(values) else ()


def _growth(plain: Mapping[UserId, Sequence[Draft]]) -> list[str | Sequence[Any]]:
    """By how much _STORE counts up each feed: all of it, and each of its categories."""
    categories = [[draft.content.category for draft in drafts] for drafts in plain.values()]
    same = [mine.count(mine[0]) == len(mine) for mine in categories]
    return [
        _texts(list(plain)),
        _values([len(mine) for mine in categories]),
        [mine[0] if alike else None for mine, alike in zip(categories, same, strict=True)],
        [None if alike else json_text(Counter(mine)) for mine, alike in zip(categories, same, strict=True)],
    ]
