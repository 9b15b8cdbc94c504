"""Scenario: how many frames one API process delivers."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from redis.asyncio import Redis

from adapters.clock import NotificationIds
from adapters.redis.announcer import _packed, message
from adapters.redis.macs import Macs
from adapters.redis.names import channel
from bench.measured import Row
from bench.scenario import Context
from bench.sockets import Sockets, clients
from common import wire
from domain.feed import Added, Feed
from domain.identifiers import UserId
from domain.notification import Content, Draft
from entrypoints.settings import Settings

_AHEAD = 20_000
_PATIENCE_SECONDS = 5
_AHEAD_EACH = 100
"""How many frames a socket may be behind; with 256 in its queue it is closed."""
_TOGETHER = 500
_MOST_DELIVERIES = 2_000_000
_API, _PLAIN = ("bench.unstored",), ("bench.unstored", "plain")
_SHOWN = (
    ("one user's socket", 1, 1, _API),
    ("one user's 500 sockets", 1, 500, _API),
    ("one user's 500 sockets, as ASGI has it", 1, 500, _PLAIN),
    ("one user's 5,000 sockets", 1, 5_000, _API),
    ("500 users, a socket each", 500, 1, _API),
    ("500 users, a socket each, as ASGI has it", 500, 1, _PLAIN),
    ("5,000 users, a socket each", 5_000, 1, _API),
)


def fanout(context: Context) -> Iterator[Row]:
    """Prepared frames pass through Redis as fast as one API process writes them to 1 to 5,000 sockets."""
    stack = context.stack
    stack.topic("fanout")
    frames = 50_000 if context.quick else 200_000
    for number, (name, followed, each, words) in enumerate(_SHOWN):
        prefix = f"fanout{number}x{followed}x{each}"
        users = context.users(prefix, followed)
        rows = stack.sql(f"SELECT user_id, epoch FROM feeds WHERE user_id LIKE '{prefix}-%'")
        feeds = [Feed(UserId(row[0]), row[1], 0, 0) for row in rows]
        with stack.service("api", "fanout", words=words) as api, clients(api.port) as watchers:
            watchers(Sockets.open, users * each)
            rounds = min(frames // followed, _MOST_DELIVERIES // (followed * each))
            watchers(_prepare, stack.settings("fanout"), feeds, rounds)
            before = api.cpu()
            count, seconds, lost, busy = watchers(_storm, stack.settings("fanout"), context.seconds)
            spent = api.cpu() - before
            yield Row(
                what=f"deliveries to {name}",
                value=count / seconds,
                unit="frames/s",
                cpu=spent / max(count, 1),
                errors=lost,
                note=f"of a core the API had {spent / seconds:.0%}, the clients {busy / seconds:.0%}",
                details={"frames": count, "seconds": seconds, "api_cpu": spent, "clients_cpu": busy},
            )


async def _prepare(sockets: Sockets, settings: Settings, feeds: list[Feed], rounds: int) -> None:
    """Encode the frames, as the announcer does."""
    prefix = settings.redis_prefix
    macs = Macs(settings.index_secret, prefix)
    new_id, now, sockets.prepared = NotificationIds(), datetime.now(UTC), []
    for version in range(1, rounds + 1):
        messages: dict[str, bytes] = {}
        for feed in feeds:
            content = Content(user_id=feed.user_id, event="bench.done", message="Build 7 has passed.")
            item = Draft(new_id(), now, content).stored(version)
            change = Added(replace(feed, version=version, unread_count=version), (item,))
            name = channel(prefix, feed.user_id)
            messages[name] = message(macs, name, [_packed(wire.frame(change, [wire.render(item)]))])
        sockets.prepared.append(messages)


async def _storm(sockets: Sockets, settings: Settings, seconds: float) -> tuple[int, float, int, float]:
    """Publish, never further ahead than sockets may be behind. Return frames, seconds, lost frames, and the
    clients' processor time.
    """
    redis = Redis.from_url(settings.redis_url)
    count = len(sockets.clients)
    ahead = min(_AHEAD, _AHEAD_EACH * count)
    together = max(1, min(_TOGETHER, ahead // 2) // count)
    sockets.timed, sent, began, busy = False, 0, time.monotonic(), time.process_time()
    for first in range(0, len(sockets.prepared), together):
        await sockets.reach(sent - ahead + together * count, until=began + seconds)
        if time.monotonic() >= began + seconds:
            break
        rounds = sockets.prepared[first : first + together]
        async with redis.pipeline(transaction=False) as pipeline:
            for channels in rounds:
                for name, payload in channels.items():
                    pipeline.execute_command("PUBLISH", name, payload)
            await pipeline.execute()
        sent += len(rounds) * count
    await sockets.reach(sent, until=time.monotonic() + _PATIENCE_SECONDS)
    await redis.aclose()
    spent = time.process_time() - busy
    return sockets.frames, time.monotonic() - began, sent - sockets.frames, spent
