"""PostgresAuditTrail, and the statement with which other adapters write an entry in their transaction."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import driver, hash_of
from adapters.postgres.errors import retried
from application.audit import ActorKind, Entry, Recorded, Search
from common import wire
from domain.identifiers import UserId

# A UUIDv7 (RFC 9562 §5.7) by the store's clock: PostgreSQL makes them itself only from version 18 on. The
# random UUID has the variant already. The 16 bits behind the milliseconds become the version and, in units of
# a 4,096th of a millisecond, how far the millisecond has gone (§6.2, method 3), so that ids sort by time.
NEW_ID = """(
    SELECT encode(overlay(uuid_send(gen_random_uuid()) PLACING
        substring(int8send(micros / 1000) FROM 3) || substring(
            int4send((7 << 12) + (micros % 1000 * 4096 / 1000)::int) FROM 3
        ) FROM 1 FOR 8), 'hex')::uuid
    FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS micros) AS clock
)"""
_INSERT = f"""
INSERT INTO audit (id, at, actor_kind, actor, action, target, detail, address, request_id)
VALUES ({NEW_ID}, clock_timestamp(), $1, $2, $3, $4, $5::text::jsonb, $6, $7)
"""  # noqa: S608 - ours
_PAGE = """
SELECT id, at, actor_kind, actor, action, target, detail::text AS detail, address, request_id FROM audit
WHERE ($1::text[] IS NULL OR actor = ANY($1)) AND ($2::text IS NULL OR action = $2)
    AND ($3::text[] IS NULL OR target = ANY($3)) AND ($4::timestamptz IS NULL OR at >= $4)
    AND ($5::uuid IS NULL OR id < $5)
ORDER BY id DESC LIMIT $6
"""


async def record(connection: Any, engine: AsyncEngine, entry: Entry | None) -> None:
    """Write an entry in the open transaction of the driver's connection. Nothing for None."""
    if entry is not None:
        await connection.execute(_INSERT, *_columns(engine, entry))


def pseudonym(engine: AsyncEngine, user: str) -> str:
    """How the trail names a user: it outlives the user, and nothing in it is ever changed."""
    return f"user:{hash_of(engine, UserId(user)).hex()[:32]}"


class PostgresAuditTrail:
    """The audit trail in PostgreSQL."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @retried
    async def add(self, entry: Entry) -> None:
        async with driver(self._engine) as connection:
            await record(connection, self._engine, entry)

    @retried
    async def page(self, search: Search, limit: int, before: UUID | None = None) -> Sequence[Recorded]:
        async with driver(self._engine) as connection:
            rows = await connection.fetch(
                _PAGE,
                self._named(search.actor),
                search.action,
                self._named(search.target),
                search.since,
                before,
                limit,
            )
        return [Recorded(**{**row, "detail": wire.decode(row["detail"])}) for row in map(dict, rows)]

    def _named(self, name: str | None) -> list[str] | None:
        return None if name is None else [name, pseudonym(self._engine, name)]


def _columns(engine: AsyncEngine, entry: Entry) -> list[str | None]:
    by, target = entry.by, entry.target
    actor = pseudonym(engine, by.id) if by.id is not None and by.kind is ActorKind.USER else by.id
    if target is not None and entry.action.startswith("user."):
        target = pseudonym(engine, target)
    texts = (actor, entry.action.value, target, wire.text(entry.detail), by.address or None, by.request_id)
    return [by.kind.value, *texts]
