"""RedisStages: when notifications reached each stage, for ten minutes."""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from typing import Final, get_args

from adapters.redis.evaluating import Script
from adapters.redis.nodes import Nodes
from application.errors import Unavailable
from application.ports import Stage
from domain.identifiers import NotificationId

_KEPT_SECONDS = 600
_STAGES: Final[tuple[Stage, ...]] = get_args(Stage)
_MOST = 100
"""How many notifications of a batch are noted: nobody watches more, and the rest is not held up."""

# KEYS stages. ARGV stage, time, seconds to live.
_NOTE = Script("""
redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 0
""")


class RedisStages:
    """A hash for each notification, from the stage to its time in microseconds since 1970."""

    def __init__(self, server: Nodes, prefix: str) -> None:
        self._server = server
        self._prefix = prefix
        self._writing: set[asyncio.Task[None]] = set()

    def note(self, stage: Stage, notifications: Iterable[NotificationId], at: datetime) -> None:
        keys = [self._key(notification) for notification in islice(notifications, _MOST)]
        if keys:
            task = asyncio.create_task(self._write(keys, stage, at))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)

    async def of(self, notification: NotificationId) -> Mapping[Stage, datetime]:
        key = self._key(notification)
        noted = await self._server.on(key, lambda client: client.hmget(key, _STAGES))
        times = zip(_STAGES, map(_time, noted), strict=True)
        return {stage: at for stage, at in times if at is not None}

    async def _write(self, keys: Iterable[str], stage: Stage, at: datetime) -> None:
        args = (stage, round(at.timestamp() * 1e6), _KEPT_SECONDS)
        with suppress(Unavailable):
            await self._server.each(_NOTE, [([key], args) for key in keys])

    def _key(self, notification: NotificationId) -> str:
        return f"{self._prefix}:stages:{notification}"


def _time(noted: bytes | str | None) -> datetime | None:
    """The time of a stage; None if there is none, or if somebody else wrote what is there."""
    try:
        return None if noted is None else datetime.fromtimestamp(int(noted) / 1e6, UTC)
    except (ValueError, OverflowError, OSError):
        return None
