"""The worker: what it may commit, and when."""

import asyncio
from types import SimpleNamespace
from typing import Any

from adapters.kafka.codec import Undecodable
from adapters.kafka.inlet import Batch
from adapters.kafka.worker import Worker
from application.delivery import StoreNotifications
from application.errors import Unavailable
from tests.build import ADA, a_draft, a_user
from tests.wiring import Memory


class Inlet:
    """Hands out batches, then nothing; keeps what was committed."""

    def __init__(self, *batches: Batch) -> None:
        self._batches = list(batches)
        self.committed: list[Any] = []

    async def next_batch(self, _seconds: float) -> Batch:
        await asyncio.sleep(0)
        return self._batches.pop(0) if self._batches else Batch()

    async def commit(self, offsets: Any) -> None:
        self.committed.append(offsets)


class DeadLettersAway:
    """Is out of reach, and has the worker told to stop as soon as that was noticed."""

    def __init__(self) -> None:
        self.noticed = asyncio.Event()

    async def put(self, letters: Any) -> None:
        if letters:
            self.noticed.set()
            raise Unavailable


def poison() -> Batch:
    return Batch(
        undecodable=[(SimpleNamespace(), Undecodable("malformed", "no JSON"))], offsets={"partition": 1}
    )


def good() -> Batch:
    draft = a_draft(1)
    return Batch(drafts=[draft], records={(ADA, draft.id): SimpleNamespace()}, offsets={"partition": 2})


async def test_no_later_batch_commits_past_a_dead_letter_that_was_not_kept() -> None:
    memory = Memory()
    await memory.users.add(a_user(ADA), None)
    letters, inlet = DeadLettersAway(), Inlet(poison(), good())
    store = StoreNotifications(feeds=memory.feeds, announcer=memory.announcer)
    worker = Worker(inlet, store, letters)  # type: ignore[arg-type]

    running = asyncio.create_task(worker.run())
    await letters.noticed.wait()
    async with asyncio.timeout(5):
        while (await memory.feeds.feed(ADA)).version == 0:  # noqa: ASYNC110 - in a moment
            await asyncio.sleep(0)
        worker.stop()
        await running

    assert inlet.committed == []
