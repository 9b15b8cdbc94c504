"""`python -m bench.staged api|consumer FILE`: a process of the product with a clock at every hop.

The methods through which a notification passes are replaced by ones that note the time and call the original,
so the product itself holds nothing of this. At the end the times are written to FILE, as JSON lines of the
hop, the time (time.time_ns, which all processes share) and the ids of the notifications.
"""

import asyncio
import atexit
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import asyncpg

from adapters.kafka.queue import KafkaQueue
from adapters.kafka.reader import KafkaQueueReader
from adapters.redis.announcer import RedisAnnouncer
from adapters.websocket.hub import Hub
from application.delivery import StoreNotifications
from domain.feed import Added, Marked

_noted: list[tuple[str, int, list[str]]] = []
_storing: ContextVar[list[str] | None] = ContextVar("storing", default=None)
"""The ids of the batch that this task stores."""


def _note(hop: str, ids: Iterable[object]) -> None:
    _noted.append((hop, time.time_ns(), [str(one) for one in ids]))


def _around(
    kind: type,
    method: str,
    ids: Callable[..., Iterable[object]],
    *,
    before: str,
    after: str,
) -> None:
    """Have a coroutine method note the ids of its arguments before and after its work."""
    original: Callable[..., Awaitable[Any]] = getattr(kind, method)

    async def timed(self: Any, *arguments: Any) -> Any:
        found = [str(one) for one in ids(*arguments)]
        _note(before, found)
        token = _storing.set(found if method == "__call__" else None)
        try:
            return await original(self, *arguments)
        finally:
            _storing.reset(token)
            _note(after, found)

    setattr(kind, method, timed)


def _time_api() -> None:
    _around(KafkaQueue, "put", lambda draft: [draft.id], before="checked", after="acknowledged")
    deliver = Hub.deliver

    def timed(self: Hub, frames: Sequence[Any]) -> None:
        ids = [one for frame in frames for one in frame.unread_ids]
        _note("heard", ids)
        deliver(self, frames)
        # The frames of a turn of the loop are written by a callback that `deliver` has just scheduled.
        asyncio.get_running_loop().call_soon(_note, "written", ids)

    Hub.deliver = timed  # type: ignore[method-assign]


def _time_consumer() -> None:
    next_batch = KafkaQueueReader.next_batch

    async def timed(self: KafkaQueueReader, wait_seconds: float) -> Any:
        batch = await next_batch(self, wait_seconds)
        _note("fetched", [draft.id for draft in batch.arrivals])
        return batch

    KafkaQueueReader.next_batch = timed  # type: ignore[method-assign]
    _around(
        StoreNotifications,
        "__call__",
        lambda drafts: [draft.id for draft in drafts],
        before="storing",
        after="committed",
    )
    _around(RedisAnnouncer, "announce", _changed, before="announcing", after="announced")
    for method in ("fetch", "execute"):
        _time_statements(method)


def _changed(changes: Iterable[Any]) -> Iterable[object]:
    return [
        item.id
        for change in changes
        if isinstance(change, Added | Marked)
        for item in change.notifications or ()
    ]


def _time_statements(method: str) -> None:
    original = getattr(asyncpg.Connection, method)

    async def timed(self: Any, query: str, *arguments: Any, **options: Any) -> Any:
        batch = _storing.get()
        try:
            return await original(self, query, *arguments, **options)
        finally:
            if batch is not None:
                _note(f"statement {' '.join(query.split()[:2])}", batch)

    setattr(asyncpg.Connection, method, timed)


def main(kind: str, file: str) -> int:
    """Run the process to its end."""
    (_time_api if kind == "api" else _time_consumer)()
    atexit.register(lambda: Path(file).write_text("".join(json.dumps(one) + "\n" for one in _noted)))
    from entrypoints.commands.cli import main as run

    return run([kind])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
