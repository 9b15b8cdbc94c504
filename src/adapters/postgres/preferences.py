"""PostgresPreferences: choosing is one statement, correct under READ COMMITTED for the reasons in mark.py."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import driver
from adapters.postgres.errors import retried
from adapters.postgres.rows import FEED_COLUMNS, feed_columns, read_choices, read_feed
from domain.category import CHOICES, check_total
from domain.errors import UnknownUser
from domain.feed import Chosen, Feed
from domain.identifiers import UserId

# $1 user, $2 all names, $3 those to mute, $4 those to want. Sorted, so that equal choices are equal arrays.
_NAMES = """ARRAY(
        SELECT name FROM (
            SELECT unnest({held}) EXCEPT SELECT unnest($2::text[]) UNION ALL SELECT unnest({added}::text[])
        ) AS kept (name) ORDER BY name COLLATE "C"
    )"""
_NOW = ", ".join(f"coalesce(bumped.{name}, feed.{name}) AS feed_{name}" for name in FEED_COLUMNS)
_CHOOSE = f"""
WITH feed AS MATERIALIZED (
    SELECT * FROM feeds WHERE user_id = $1 FOR NO KEY UPDATE
), chosen AS MATERIALIZED (
    SELECT user_id, {_NAMES.format(held="muted", added="$3")} AS muted,
    {_NAMES.format(held="wanted", added="$4")} AS wanted FROM feed
), bumped AS (
    UPDATE feeds SET version = feed.version + 1, preferences_version = feed.version + 1,
        muted = chosen.muted, wanted = chosen.wanted
    FROM feed JOIN chosen USING (user_id)
    WHERE feeds.user_id = feed.user_id AND (chosen.muted <> feed.muted OR chosen.wanted <> feed.wanted)
        AND cardinality(chosen.muted) + cardinality(chosen.wanted) <= {CHOICES}
    RETURNING feeds.*
)
SELECT feed.version AS prev, cardinality(chosen.muted) + cardinality(chosen.wanted) AS total, {_NOW}
FROM feed JOIN chosen USING (user_id) LEFT JOIN bumped USING (user_id)
"""  # noqa: S608 - ours
_CHOICES = f"""
SELECT muted, wanted, {feed_columns("feed")} FROM feeds AS feed WHERE user_id = $1
"""  # noqa: S608 - ours


class PostgresPreferences:
    """Users' choices in the rows of their feeds."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @retried
    async def choices(self, user: UserId) -> tuple[Feed, Mapping[str, bool]]:
        row = await self._row(_CHOICES, user)
        return read_feed(user, row), read_choices(row)

    @retried
    async def choose(self, user: UserId, choices: Mapping[str, bool | None]) -> Chosen:
        muted, wanted = ([name for name in choices if choices[name] is on] for on in (False, True))
        row = await self._row(_CHOOSE, user, list(choices), muted, wanted)
        check_total(row["total"])
        return Chosen(read_feed(user, row), row["prev"], choices)

    async def _row(self, statement: str, *arguments: object) -> Any:
        async with driver(self._engine) as connection:
            row = await connection.fetchrow(statement, *arguments)
        if row is None:
            raise UnknownUser
        return row
