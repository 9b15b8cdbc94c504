"""`python -m bench.sizes`: how many bytes things take where they are kept, on however busy a machine.

PostgreSQL and Redis start here and are removed at the end. Figures of PostgreSQL include indexes; those of
Redis are what it says of its keys (MEMORY USAGE).
"""

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from random import uniform
from secrets import token_hex
from typing import Any

from adapters.clock import NotificationIds
from adapters.kafka.codec import encode
from adapters.postgres.categories import PostgresCategories
from adapters.postgres.engine import create_engine, driver
from adapters.postgres.feeds import PostgresFeeds
from adapters.postgres.migrations import upgrade
from adapters.postgres.partitions import ensure_partitions
from adapters.postgres.users import PostgresUsers
from adapters.redis.names import index_keys
from domain.identifiers import UserId
from domain.metadata import NO_METADATA, Metadata
from domain.notification import Content, Draft
from domain.rich import Action, Actor, rich_of
from domain.user import User
from entrypoints.container.api import ApiContainer
from entrypoints.container.parts.base import build
from entrypoints.settings import Settings
from workbench.embedded import EmbeddedServers

_MANY, _TOGETHER, _USERS = 20_000, 500, 2_000
_INDEXED = (0, 1, 20, 200)
_PARTITIONS = "(SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('notifications'))"
_LOG = "pg_current_wal_lsn() - '0/0'"
_PEOPLE = "pg_total_relation_size('users') + pg_total_relation_size('feeds')"


def content(user: UserId, kind: str) -> Content:
    """A notification of 20 characters, or one with everything that the bell shows."""
    if kind == "plain":
        return Content(
            user_id=user, event="comment.created", message="Bob replied to you.", metadata=NO_METADATA
        )
    return Content(
        user_id=user,
        event="comment.created",
        title="New reply to your comment",
        message="Bob replied: " + "words and words " * 10,
        metadata=Metadata.of('{"post":4711,"thread":"018f-4711","tags":["a","b"]}'),
        action_url="/posts/4711#comment-815",
        rich=rich_of("info", "/images/4711.png", "reply", (Action(id="approve", label="Approve"),)),
        actor=Actor(name="Bob", id="bob", avatar_url="/avatars/bob.png"),
        collapse_key=None,
    )


def drafts(users: Sequence[UserId], kind: str, count: int) -> Iterator[list[Draft]]:
    """So many of them, in batches."""
    new_id, now = NotificationIds(), datetime.now(UTC)
    for start in range(0, count, _TOGETHER):
        chosen = (users[n % len(users)] for n in range(start, start + _TOGETHER))
        yield [Draft(new_id(), now, content(user, kind)) for user in chosen]


async def of_postgres(url: str) -> None:
    """Print what users and notifications take."""
    engine = create_engine(url, pool_size=2, application="bench", jitter=uniform)
    feeds, users = PostgresFeeds(engine), PostgresUsers(engine, token_hex)
    await ensure_partitions(engine, datetime.now(UTC))
    await PostgresCategories(engine).enter(["comment"])

    async def ask(what: str) -> int:
        async with driver(engine) as connection:
            return int(await connection.fetchval(f"SELECT {what}"))

    before = await ask(_PEOPLE)
    made = [UserId(f"u-{n:08}") for n in range(_USERS)]
    for user in made:
        await users.add(User(id=user, name=user, email=None, created_at=datetime.now(UTC)), None)
    print(f"PostgreSQL: a user with a feed: {(await ask(_PEOPLE) - before) / _USERS:,.0f} bytes")
    for kind in ("plain", "rich"):
        stored, log = await ask(_PARTITIONS), await ask(_LOG)
        record = 0
        for batch in drafts(made, kind, _MANY):
            record = len(encode(batch[0]))
            await feeds.append(batch, datetime.now(UTC))
        grown = (await ask(_PARTITIONS) - stored) / _MANY
        print(f"Kafka: the value of a {kind} record: {record:,} bytes, not compressed")
        logged = (await ask(_LOG) - log) / _MANY
        print(f"PostgreSQL: a {kind} notification: {grown:,.0f} bytes, {logged:,.0f} of log")
    await engine.dispose()


async def of_redis(settings: Settings) -> None:
    """Print what an entry of the index takes, as the service writes it."""
    container = build(ApiContainer, settings)
    (master,) = await container.redis_server().masters()
    client: Any = master.client
    now = datetime.now(UTC)
    try:
        for kind, count in product(("plain", "rich"), _INDEXED):
            user = UserId(f"{kind}-{count}")
            await container.users().add(User(id=user, name=user, email=None, created_at=now), None)
            for batch in drafts([user], kind, count):
                await container.feeds().append(batch[:count], now)
            await container.list_notifications()(user)
            sizes = [
                await client.execute_command("MEMORY", "USAGE", key, "SAMPLES", "0")
                for key in index_keys(settings.redis_prefix, user)
            ]
            print(f"Redis: an entry with {count} unread {kind} ones: {sum(filter(None, sizes)):,} bytes")
    finally:
        await container.redis_server().close()
        await container.engine().dispose()


def main() -> None:
    """Start servers, and print."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedServers.start(Path(folder)) as servers:
        upgrade(servers.postgres_url)
        asyncio.run(of_postgres(servers.postgres_url))
        settings = Settings(
            postgres_url=servers.postgres_url,
            redis_url=servers.redis_url,
            kafka_bootstrap=servers.kafka_bootstrap,
            token_secret=token_hex(32),
        )
        asyncio.run(of_redis(settings))


if __name__ == "__main__":
    main()
