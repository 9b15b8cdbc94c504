"""Scenario: from Kafka into feeds, index and streams, by one consumer."""

import asyncio
import re
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg

from adapters.clock import NotificationIds
from adapters.kafka.codec import encode
from adapters.kafka.dead_letters import build_producer
from bench.measured import Row
from bench.scenario import Context
from bench.service import Service
from domain.identifiers import UserId
from domain.notification import Content, Draft

_USERS = 1_000
_PATIENCE_SECONDS = 120
_STORED = re.compile(r'bellwire_consumed_total\{outcome="stored"\} (\S+)')


def ingest(context: Context) -> Iterator[Row]:
    """One consumer processes a backlog for 1,000 users whose unread notifications are in the index."""
    count = 20_000 if context.quick else 60_000
    stack = context.stack
    ids = [user.id for user in context.users("ingest", _USERS)]
    stack.topic("ingest")
    stack.in_container("ingest", preload, ids, count)
    with stack.service("consumer", "ingest") as consumer:
        url = stack.servers.postgres_url.replace("+asyncpg", "")
        stored, seconds, done = asyncio.run(until_stored(url, "ingest", count, [consumer]))
        wrong = count - int(stack.sql(_total("ingest"))[0][0])
        yield Row(
            what="Kafka → stored, indexed, published",
            value=stored / seconds,
            unit="notifications/s",
            cpu=consumer.cpu() / count,
            errors=abs(wrong) + (count - done),
            note=f"{count:,} records; processor time includes the start",
        )


async def preload(container: Any, ids: list[str], count: int) -> None:
    """Fill the index and the topic."""
    fetch = container.fetch_unread()
    for user in ids:
        await fetch(UserId(user), 20)
    settings = container.settings()
    producer = build_producer(settings.kafka_bootstrap, "bench")
    new_id, now = NotificationIds(), datetime.now(UTC)
    await producer.start()
    try:
        for start in range(0, count, 2_000):
            sent = []
            for nth in range(start, min(start + 2_000, count)):
                user = UserId(ids[nth * 7 % len(ids)])
                content = Content(user_id=user, event="bench.done", message=f"Build {nth} has passed.")
                value = encode(Draft(new_id(), now, content))
                sent.append(await producer.send(settings.kafka_topic, value, key=user.encode()))
            await asyncio.gather(*sent)
    finally:
        await producer.stop()


def _total(prefix: str) -> str:
    return f"SELECT sum(version)::bigint FROM feeds WHERE user_id LIKE '{prefix}-%'"


async def until_stored(
    url: str, prefix: str, count: int, consumers: Sequence[Service]
) -> tuple[int, float, int]:
    """How many were stored after the first was seen, in how many seconds, and how many were announced.

    The consumers' start is not included, nor is announcing the last of them.
    """
    connection = await asyncpg.connect(url)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    try:
        first, began = 0, time.monotonic()
        stored = 0
        while stored < count and time.monotonic() < deadline:
            stored = await connection.fetchval(_total(prefix))
            if stored and not first:
                first, began = stored, time.monotonic()
            await asyncio.sleep(0.02)
        seconds, done = time.monotonic() - began, 0
        while done < count and time.monotonic() < deadline:
            done = sum(map(_announced, consumers))
        return stored - first, seconds, done
    finally:
        await connection.close()


def _announced(consumer: Service) -> int:
    found = _STORED.search(consumer.get("/metrics")[1])
    return int(float(found[1])) if found else 0
