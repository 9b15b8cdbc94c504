"""Watchdog: ends a consumer that has work and makes no progress, so that its supervisor restarts it.

To a consumer an unavailable broker looks like a quiet topic, and so does a client that is stuck after a
rebalance (aiokafka#625, #847). The watchdog tells them apart.
"""

import asyncio
import faulthandler
from collections.abc import Awaitable, Callable

from application.errors import Stuck, Unavailable
from application.ports import Monotonic, QueueReader
from common import metrics
from entrypoints.consumer.worker import Worker

_LOOK_SECONDS = 5.0


class Watchdog:
    """Watches a worker."""

    def __init__(
        self,
        worker: Worker,
        reader: QueueReader,
        broker_answers: Callable[[], Awaitable[bool]],
        patience_seconds: float,
        now: Monotonic,
    ) -> None:
        """`broker_answers` tries a new connection; `now` is a monotonic clock."""
        self._worker = worker
        self._reader = reader
        self._broker_answers = broker_answers
        self._patience = patience_seconds
        self._now = now
        self._seen = (0, 0)
        self._well_at = self._now()

    async def run(self) -> None:
        """Check the worker regularly until cancelled. Raises Stuck.

        A blocked event loop cannot check anything: then a thread writes all stacks to standard error and ends
        the process with status 1.
        """
        try:
            while True:
                faulthandler.dump_traceback_later(self._patience + _LOOK_SECONDS, exit=True)
                await asyncio.sleep(min(_LOOK_SECONDS, self._patience / 4))
                await self.look()
        finally:
            faulthandler.cancel_dump_traceback_later()

    async def look(self) -> str:
        """Return the worker's state. Raises Stuck if it has been behind and idle for too long."""
        state = await self._state()
        metrics.CONSUMER.state(state)
        if state != "behind":
            self._well_at = self._now()
        elif self._now() - self._well_at > self._patience:
            raise Stuck(
                f"This consumer made no progress for {self._patience:.0f} s although a broker answers."
            )
        return state

    async def _state(self) -> str:
        seen = self._worker.turns, self._reader.assignments
        if seen != self._seen:
            self._seen = seen
            return "reading"
        try:
            waiting = await self._worker.waiting()
        except Unavailable:
            # Only a new connection shows whether this client is stuck.
            return "behind" if await self._broker_answers() else "broker_away"
        if waiting or self._worker.under_way or self._reader.rebalancing:
            return "behind"
        return "held" if self._worker.held else "idle"
