"""Worker: batches from Kafka into the feeds.

For every batch: commit in PostgreSQL, then tell Redis and the live streams, then commit the offsets. Each
step may be repeated, so dying between any two loses nothing. While one batch is announced the next is
stored.
"""

import asyncio
import logging
import random
from collections.abc import Sequence
from time import perf_counter, time
from typing import Any

from adapters import metrics
from adapters.kafka.dead_letters import KafkaDeadLetters
from adapters.kafka.inlet import Batch, KafkaInlet
from application.delivery import Stored, StoreNotifications
from application.errors import Unavailable

logger = logging.getLogger(__name__)

_WAIT_SECONDS = 0.2
_RETRY_SECONDS = 0.1
_RETRY_SECONDS_MAX = 5.0


class Worker:
    """Reads batches and stores them, until it is told to stop."""

    def __init__(self, inlet: KafkaInlet, store: StoreNotifications, dead_letters: KafkaDeadLetters) -> None:
        self._inlet = inlet
        self._store = store
        self._dead_letters = dead_letters
        self._storing = asyncio.Lock()
        self._finishing: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._gave_up = False

    def stop(self) -> None:
        """Finish what is under way, then end."""
        self._stopping.set()

    async def join(self) -> None:
        """Take a place in the group. Raises Unavailable."""
        await self._dead_letters.start()
        try:
            await self._inlet.start(self.settle)
        except Unavailable:
            await self._dead_letters.stop()
            raise

    async def leave(self) -> None:
        """Give the place up, so that the others take over at once."""
        for part in (self._inlet, self._dead_letters):
            try:
                await part.stop()
            except TimeoutError:
                logger.warning("Kafka did not let go in time")

    async def run(self) -> None:
        """Work until told to stop; everything that was read is stored and committed, or comes again."""
        while not self._stopping.is_set():
            batch = await self._inlet.next_batch(_WAIT_SECONDS)
            if batch.size:
                await self._process(batch)
        await self.settle()

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stopping.is_set()

    async def settle(self) -> None:
        """Wait until nothing is under way. Awaited by a rebalance before partitions go, so it must never
        be held up by a read.
        """
        async with self._storing:
            await self._finished()

    async def ping(self) -> None:
        """Raise Unavailable while nothing can be read."""
        await self._inlet.ping()

    async def _process(self, batch: Batch) -> None:
        async with self._storing:
            started = perf_counter()
            stored = await self._insist(batch)
            if stored is None:
                return
            metrics.STORE.observe(perf_counter() - started)
            metrics.BATCH_SIZE.observe(batch.size)
            if batch.oldest is not None:
                metrics.QUEUE_WAIT.observe(max(0.0, time() - batch.oldest / 1000))
            # In order: what a batch announces follows what the batch before it announced.
            await self._finished()
            if self._gave_up:
                return  # a batch before this one comes again: no offset may pass it
            self._finishing = asyncio.create_task(self._finish(batch, stored))

    async def _insist(self, batch: Batch) -> Stored | None:
        """Store, however long the store is away. None if told to stop meanwhile: the batch comes again."""
        pause = _RETRY_SECONDS
        while True:
            try:
                return await self._store(batch.drafts)
            except Unavailable as error:
                metrics.STORE_RETRIES.inc()
                logger.warning("storing %d notifications failed, trying again: %s", batch.size, error)
            if await self.stopped_within(pause * random.uniform(0.5, 1)):  # noqa: S311 - jitter
                return None
            pause = min(pause * 2, _RETRY_SECONDS_MAX)

    async def _finish(self, batch: Batch, stored: Stored) -> None:
        await self._store.announce(stored)
        letters = _dead_letters(batch, stored)
        while True:
            try:
                await self._dead_letters.put(letters)
                break
            except Unavailable as error:
                logger.warning("%s", error)
                if await self.stopped_within(_RETRY_SECONDS_MAX / 5):
                    self._gave_up = True
                    return
        await self._inlet.commit(batch.offsets)
        metrics.CONSUMED.labels("stored").inc(
            sum(len(change.notifications) for change in stored.appended.added)
        )
        metrics.CONSUMED.labels("dead").inc(len(letters))

    async def _finished(self) -> None:
        if self._finishing is not None:
            finishing, self._finishing = self._finishing, None
            await finishing

    async def stopped_within(self, seconds: float) -> bool:
        """Wait; return whether it was told to stop meanwhile."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return False
        return True


def _dead_letters(batch: Batch, stored: Stored) -> Sequence[tuple[Any, str, str]]:
    """The records of a batch that are in no feed, with why."""
    return [
        *((record, error.code, str(error)) for record, error in batch.undecodable),
        *(
            (batch.records[draft.content.user_id, draft.id], "unknown-user", "there is no such user")
            for draft in stored.appended.unknown
        ),
        *(
            (batch.records[draft.content.user_id, draft.id], error.code, error.detail)
            for draft, error in stored.refused
        ),
    ]
