"""A worker on real topics, with stores in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import uniform
from time import monotonic
from typing import Any

from adapters import clock as system
from adapters.clock import now
from adapters.kafka.dead_letters import KafkaDeadLetters
from adapters.kafka.reader import KafkaQueueReader
from adapters.kafka.topics import Topics
from adapters.websocket.hub import Hub
from application.delivery import StoreNotifications
from common import metrics
from domain.identifiers import NotificationId, UserId
from entrypoints.consumer.floods import Floods
from entrypoints.consumer.holds import Holds
from entrypoints.consumer.partitions import Partitions
from entrypoints.consumer.worker import Worker
from tests import contracts
from tests.build import ADA
from tests.memory import MemoryAnnouncer, MemoryCarrier, MemoryFeeds, MemoryIndex, MemoryUsers
from tests.product import eventually
from tests.wiring import change_frame


def an_inlet(
    bootstrap: str, topics: Topics, *, session_seconds: float, group: str | None = None, **more: Any
) -> KafkaQueueReader:
    options: dict[str, Any] = {"fetch_wait_ms": 20, "batch_records": 100, "clock": system.now, **more}
    return KafkaQueueReader(
        bootstrap, topics.name, group or topics.name, session_seconds=session_seconds, **options
    )


class Stage:
    """A worker whose stores can be cut off."""

    def __init__(
        self,
        bootstrap: str,
        topics: Topics,
        *,
        session_seconds: float,
        feeds: MemoryFeeds | None = None,
        bad_records_limit: int = 50,
        **more: Any,
    ) -> None:
        """`feeds` if it shares its store with others; `more` goes to the inlet."""
        self.users = MemoryUsers()
        self.feeds = feeds or MemoryFeeds(self.users)
        announcer = MemoryAnnouncer(
            MemoryIndex(contracts.body), Hub(system.now, MemoryCarrier()), change_frame
        )
        self.letters = KafkaDeadLetters(bootstrap, topics.dead_letters, topics.name, "1.2.3", system.now)
        self.inlet = an_inlet(bootstrap, topics, session_seconds=session_seconds, **more)
        self.worker = Worker(
            self.inlet,
            StoreNotifications(feeds=self.feeds, announcer=announcer, clock=now),
            self.letters,
            Partitions(self.inlet, Holds(monotonic, uniform), Floods(bad_records_limit, monotonic)),
            now,
        )

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        await self.worker.join()
        running = asyncio.create_task(self.worker.run())
        try:
            yield
        finally:
            self.worker.stop()
            try:
                async with asyncio.timeout(60):
                    await running
            finally:
                await self.worker.leave()

    def ids(self, user: UserId) -> set[NotificationId]:
        """What of a user's is stored."""
        return set(self.feeds._held.get(user, ()))

    async def tried(self) -> None:
        """Wait until it has tried in vain to store."""
        before = metrics.STORE_RETRIES._value.get()
        await eventually(lambda: metrics.STORE_RETRIES._value.get() > before, "it has tried")

    async def stored(self, count: int, user: UserId = ADA) -> None:

        async def there() -> bool:
            return (await self.feeds.feed(user)).version >= count

        await eventually(there, f"{count} are stored")
