"""The contents of PostgreSQL, Redis and Kafka, read without the product."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Self
from uuid import UUID

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from redis.asyncio import Redis, RedisCluster
from redis.maint_notifications import MaintNotificationsConfig

from adapters.kafka.login import ANONYMOUS, Login
from adapters.postgres.rows import where
from common import clusters
from domain.states import SNOOZED, STATES, UNREAD, UNSEEN
from entrypoints.settings import Settings

# When the server ends an idle session, asyncpg may raise InternalClientError, which has no common base class.
AWAY = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
"""Raised while PostgreSQL is unavailable."""

_DETAILS = ("category", "collapse_key", "revision", "edited_at", "action", "grouped")
_ROWS = f"SELECT id, user_id, version, message, {', '.join([*_DETAILS, *STATES])} FROM notifications"  # noqa: S608 - ours
_COUNTED = """
SELECT f.user_id, f.version, count(n.id) AS stored, count(DISTINCT n.version) AS versions,
    greatest(max(n.version), f.preferences_version) AS highest
FROM feeds f LEFT JOIN notifications n USING (user_id) GROUP BY f.user_id
"""
_COUNTS = f"""
SELECT f.user_id, f.version, f.unread_count, f.unseen_count, f.unread_in::text, counted.*
FROM feeds f, LATERAL (
    SELECT coalesce(sum(size), 0) AS unread, coalesce(sum(unseen), 0) AS unseen,
        coalesce(jsonb_object_agg(category, size), '{{}}') AS by_category
    FROM (
        SELECT category, count(*) AS size, count(*) FILTER (WHERE {where(UNSEEN)}) AS unseen
        FROM notifications AS n WHERE n.user_id = f.user_id AND {where(UNREAD)} GROUP BY category
    ) AS each
) AS counted
WHERE (f.unread_count, f.unseen_count, f.unread_in) <>
    (counted.unread, counted.unseen, counted.by_category)
"""  # noqa: S608 - as above
_FEEDS = "SELECT user_id, version, preferences_version, muted, wanted FROM feeds"
_WITHHELD = "SELECT id, user_id, reason, category FROM withheld"
_KNOWN = """
SELECT id FROM notifications WHERE id = ANY($1::uuid[])
UNION ALL SELECT id FROM withheld WHERE id = ANY($1::uuid[])
"""
_COUNT = "SELECT (SELECT count(*) FROM notifications) + (SELECT count(*) FROM withheld)"
_EXPIRING = """
SELECT count(*) FROM notifications WHERE expires_at IS NOT NULL AND retracted_at IS NULL
"""
_WAKING = f"""
SELECT count(*) FROM notifications AS n
WHERE {where(SNOOZED)} AND snoozed_until < now() + interval '1 minute'
"""  # noqa: S608 - as above
_UNREAD = f"SELECT id FROM notifications AS n WHERE user_id = $1 AND {where(UNREAD)} ORDER BY id DESC"  # noqa: S608 - as above

_FETCH_SECONDS = 20.0
_READ_SECONDS = 300.0
_QUIET_FETCHES = 3


class Row(NamedTuple):
    """A notification in PostgreSQL."""

    id: str
    user: str
    version: int
    message: str
    times: Mapping[str, datetime | None]
    """The times set by marks: `STATES`."""
    category: str = "soak"
    collapse_key: str | None = None
    revision: int = 0
    edited: bool = False
    action: str | None = None
    stands_for: int = 1
    """How many notifications became this one."""

    @property
    def retracted(self) -> bool:
        return self.times["retracted_at"] is not None

    @property
    def untouched(self) -> bool:
        """Whether it is as it was stored, so that its version is that of then."""
        return not self.edited and self.stands_for == 1 and not any(self.times.values())


class Withheld(NamedTuple):
    """A notification that was accepted and not stored."""

    id: str
    user: str
    reason: str
    category: str | None


class Feed(NamedTuple):
    """A feed's position, and what its user chose."""

    user: str
    version: int
    preferences_version: int
    choices: Mapping[str, bool | None]


class Stores:
    """The contents of PostgreSQL and Redis."""

    def __init__(self, postgres: "asyncpg.Pool[Any]", redis: "Redis", prefix: str) -> None:
        self.postgres = postgres
        self.redis = redis
        self._prefix = prefix

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator[Self]:
        url = settings.postgres_url.replace("+asyncpg", "")
        async with asyncpg.create_pool(url, min_size=1, max_size=2) as pool:
            # With these notifications redis-py 8.1 does not notice that a pooled connection was closed.
            without = MaintNotificationsConfig(enabled=False)
            if settings.redis_mode == "cluster":
                first = clusters.parse(settings.redis_url)
                redis: Any = RedisCluster.from_url(first.of(first.nodes[0]))
            else:
                redis = Redis.from_url(settings.redis_url, maint_notifications_config=without)
            try:
                yield cls(pool, redis, settings.redis_prefix)
            finally:
                await redis.aclose()

    async def count(self) -> int:
        """How many notifications are stored or withheld."""
        return int(await self.postgres.fetchval(_COUNT))

    async def ids(self) -> list[str]:
        return [str(row["id"]) for row in await self.postgres.fetch("SELECT id FROM notifications")]

    async def known(self, ids: list[str]) -> set[str]:
        """Which of these ids are stored or withheld."""
        rows = await self.postgres.fetch(_KNOWN, ids)
        return {str(row["id"]) for row in rows}

    async def rows(self) -> list[Row]:
        found = await self.postgres.fetch(_ROWS)
        return [_row(*values) for values in found]

    async def versions(self) -> dict[str, int]:
        """The version of each user's feed."""
        rows = await self.postgres.fetch("SELECT user_id, version FROM feeds")
        return {row["user_id"]: row["version"] for row in rows}

    async def withheld(self) -> list[Withheld]:
        return [
            Withheld(str(id_), user, reason, category)
            for id_, user, reason, category in await self.postgres.fetch(_WITHHELD)
        ]

    async def feeds(self) -> list[Feed]:
        return [
            Feed(user, version, chosen_at, dict.fromkeys(muted, False) | dict.fromkeys(wanted, True))
            for user, version, chosen_at, muted, wanted in await self.postgres.fetch(_FEEDS)
        ]

    async def broken_feeds(self) -> list[str]:
        """Feeds whose versions collide or exceed the feed's own, or whose counts are wrong."""
        rows = await self.postgres.fetch(_COUNTED)
        collide = [
            str(dict(row))
            for row in rows
            if row["stored"] != row["versions"] or row["highest"] != row["version"]
        ]
        return collide + await self.miscounted_feeds()

    async def miscounted_feeds(self) -> list[str]:
        """Feeds whose counts differ from their notifications."""
        return [str(dict(row)) for row in await self.postgres.fetch(_COUNTS)]

    async def expiring(self) -> int:
        """How many notifications have yet to be retracted because they expire."""
        return int(await self.postgres.fetchval(_EXPIRING))

    async def waking(self) -> int:
        """How many notifications are to come back within a minute."""
        return int(await self.postgres.fetchval(_WAKING))

    async def indexed(self) -> int:
        """The number of entries in the index."""
        # A scan may return a key more than once.
        return len({key async for key in self.redis.scan_iter(f"{self._prefix}:feed:*", count=1000)})

    async def disagreements(self) -> list[str]:
        """Users for whom the unread index disagrees with PostgreSQL."""
        feeds = await self.postgres.fetch("SELECT * FROM feeds")
        found = [await self._disagreement(feed) for feed in feeds]
        return [words for words in found if words]

    async def _disagreement(self, feed: Mapping[str, Any]) -> str | None:
        user = feed["user_id"]
        held: Any = await self.redis.hgetall(f"{self._prefix}:feed:{{{user}}}")
        if not held:
            return None
        items: Any = await self.redis.zrange(f"{self._prefix}:unread:{{{user}}}", 0, -1, desc=True)
        unread = await self.postgres.fetch(_UNREAD, user)
        expected = [str(row["id"]) for row in unread]
        indexed = [json.loads(item)["id"] for item in items]
        told = int(held[b"v"]), int(held[b"n"]), held[b"e"].decode(), json.loads(held[b"k"])
        others = [feed["unseen_count"], json.loads(feed["unread_in"]), feed["preferences_version"]]
        if told != (feed["version"], feed["unread_count"], feed["epoch"], others):
            return f"{user}: index is at {told}, feed at {dict(feed)}"
        if indexed != expected[: len(indexed)] or (held[b"c"] == b"1" and indexed != expected):
            return f"{user}: index holds {len(indexed)}, {len(expected)} are unread"
        return None


def _row(identifier: UUID, user: str, version: int, message: str, *more: Any) -> Row:
    details = dict(zip(_DETAILS, more, strict=False))
    return Row(
        str(identifier),
        user,
        version,
        message,
        dict(zip(STATES, more[len(_DETAILS) :], strict=True)),
        category=details["category"],
        collapse_key=details["collapse_key"],
        revision=details["revision"],
        edited=details["edited_at"] is not None,
        action=details["action"],
        stands_for=json.loads(details["grouped"] or "{}").get("count", 1),
    )


@dataclass(frozen=True, slots=True)
class Record:
    """A record of a Kafka topic, and the id in its value."""

    partition: int
    offset: int
    id: str | None
    headers: Mapping[str, str]


class Topic:
    """One topic, read without joining the group."""

    def __init__(
        self, bootstrap: str, topic: str, group: str, partitions: int, login: Login = ANONYMOUS
    ) -> None:
        self._bootstrap = bootstrap
        self._login = login
        self._group = group
        self._parts = [TopicPartition(topic, number) for number in range(partitions)]

    async def committed(self) -> dict[int, int]:
        """The group's committed offsets, 0 where there is none. Raises KafkaError, TimeoutError."""
        async with self._consumer(self._group) as consumer, asyncio.timeout(_FETCH_SECONDS):
            return {part.partition: await consumer.committed(part) or 0 for part in self._parts}

    async def read(self, start: Mapping[int, int], end: Mapping[int, int]) -> list[Record]:
        """The records from one offset up to another, exclusive. Raises KafkaError, TimeoutError."""
        wanted = {number for number in end if start.get(number, 0) < end[number]}
        records: list[Record] = []
        if not wanted:
            return records
        async with self._consumer(None) as consumer:
            self._seek(consumer, start)
            consumer.pause(*(part for part in self._parts if part.partition not in wanted))
            while wanted:
                async with asyncio.timeout(_FETCH_SECONDS):
                    fetched = await consumer.getmany(timeout_ms=500, max_records=5000)
                for part, batch in fetched.items():
                    limit = end[part.partition]
                    records += [_record(record) for record in batch if record.offset < limit]
                    if batch and batch[-1].offset >= limit - 1:
                        wanted.discard(part.partition)
        return records

    async def rest(self, start: Mapping[int, int]) -> list[Record]:
        """The records from these offsets on, or from the first. Raises KafkaError, TimeoutError.

        A broker may give an end before the last records of its last batch, as the embedded one does, so this
        reads until nothing more comes.
        """
        records: list[Record] = []
        async with self._consumer(None) as consumer, asyncio.timeout(_READ_SECONDS):
            ends = await consumer.end_offsets(self._parts)
            self._seek(consumer, start)
            quiet = 0
            while quiet < _QUIET_FETCHES:
                fetched = await consumer.getmany(timeout_ms=500, max_records=5000)
                records += [_record(record) for batch in fetched.values() for record in batch]
                reached = [await consumer.position(part) >= ends[part] for part in self._parts]
                quiet = quiet + 1 if not fetched and all(reached) else 0
        return records

    def _seek(self, consumer: Any, offsets: Mapping[int, int]) -> None:
        for part in self._parts:
            consumer.seek(part, offsets.get(part.partition, 0))

    @asynccontextmanager
    async def _consumer(self, group: str | None) -> AsyncIterator[Any]:
        consumer = AIOKafkaConsumer(
            **self._login,
            bootstrap_servers=self._bootstrap,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            request_timeout_ms=10_000,
        )
        try:
            async with asyncio.timeout(_FETCH_SECONDS):
                await consumer.start()
            consumer.assign(self._parts)
            yield consumer
        finally:
            async with asyncio.timeout(_FETCH_SECONDS):
                await consumer.stop()


def _record(record: Any) -> Record:
    try:
        identifier = json.loads(record.value)["id"]
    except (ValueError, TypeError, KeyError):
        identifier = None
    headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
    return Record(record.partition, record.offset, identifier, headers)
