"""Watchdog: ends a consumer that could work and does not, so that its supervisor starts a new one.

To a consumer a broker that is away looks like a topic in which nothing happens, and so does a client that has
lost its way after a rebalance (aiokafka#625, #847). Here they are told apart.
"""

import asyncio
import faulthandler
from time import monotonic

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from adapters.kafka.inlet import KafkaInlet
from application.errors import Stuck, Unavailable
from common import metrics
from entrypoints.consumer.worker import Worker

_LOOK_SECONDS = 5.0
_ANSWER_SECONDS = 3.0


class Watchdog:
    """Looks after a worker."""

    def __init__(self, worker: Worker, inlet: KafkaInlet, bootstrap: str, patience_seconds: float) -> None:
        self._worker = worker
        self._inlet = inlet
        self._bootstrap = bootstrap
        self._patience = patience_seconds
        self._seen = (0, 0)
        self._well_at = monotonic()

    async def run(self) -> None:
        """Look now and then, for as long as the process lives. Raises Stuck.

        A loop that is blocked looks at nothing: then a thread writes every stack to standard error and ends
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
        """Return what the worker is doing. Raises Stuck if it has been behind, and idle, for too long."""
        state = await self._state()
        metrics.CONSUMER.state(state)
        if state != "behind":
            self._well_at = monotonic()
        elif monotonic() - self._well_at > self._patience:
            raise Stuck(f"This consumer got nowhere for {self._patience:.0f} s although a broker answers.")
        return state

    async def _state(self) -> str:
        seen = self._worker.turns, self._inlet.assignments
        if seen != self._seen:
            self._seen = seen
            return "reading"
        try:
            waiting = await self._worker.waiting()
        except Unavailable:
            # It may be this client that is lost: a new one tells.
            return "behind" if await broker_answers(self._bootstrap) else "broker_away"
        if waiting or self._worker.under_way or self._inlet.rebalancing:
            return "behind"
        return "held" if self._worker.held else "idle"


async def broker_answers(bootstrap: str) -> bool:
    """Whether somebody who comes anew reaches a broker."""
    client = AIOKafkaClient(bootstrap_servers=bootstrap)
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            await client.bootstrap()
    except (KafkaError, TimeoutError):
        return False
    finally:
        await client.close()
    return True
