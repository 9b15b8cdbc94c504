"""A consumer that something happens to at a chosen step: `python -m tests.failpoints STEP ACTION [TIMES]`.

The steps are those of docs/architecture.md; each is passed once a batch. The action is carried out at the
second batch and the next ones, TIMES in all, so that there is a before and an after:

    kill          the process is gone, as by SIGKILL
    block         the event loop stands still for BLOCK_SECONDS
    freeze        the event loop stands still for good
    hang          the step never ends; all else goes on
    lose          what Redis was to be told is lost, and nobody notices
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

from dependency_injector import providers

from adapters.postgres import arrivals
from application.feeds import Appended
from domain.arrivals import Arrival
from domain.feed import FeedChange
from entrypoints.consumer.process import consume
from entrypoints.container.consumer import ConsumerContainer
from entrypoints.container.parts.base import build
from entrypoints.logs import configure
from entrypoints.loop import event_loop_factory
from entrypoints.settings import Settings

STEPS = (
    "before-store",
    "halfway",
    "stored",
    "announced",
    "buried",
    "committed",
)  # and "telling", for what is lost
BLOCK_SECONDS = 8.0
FREEZE_SECONDS = 600.0


class Failpoint:
    def __init__(self, step: str, action: str, times: int) -> None:
        self._step, self._action, self._times = step, action, times
        self._passed = 0

    async def reach(self, step: str) -> bool:
        """Carry the action out if it is due. Return whether something is to be lost."""
        if step != self._step:
            return False
        self._passed += 1
        if not 1 < self._passed <= 1 + self._times:
            return False
        print(f"failpoint: {self._action} at {step}, batch {self._passed}", file=sys.stderr, flush=True)
        if self._action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._action == "block":
            time.sleep(BLOCK_SECONDS)  # noqa: ASYNC251 - as a defect would
        if self._action == "freeze":
            time.sleep(FREEZE_SECONDS)  # noqa: ASYNC251
        if self._action == "hang":
            await asyncio.Event().wait()
        return self._action == "lose"


class Wrapped:
    """A part with a step before or after one of its methods; all else is the part's own."""

    def __init__(self, part: Any) -> None:
        self._part = part

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)


class Feeds(Wrapped):
    reach: Callable[[str], Awaitable[bool]]

    async def append(self, batch: Sequence[Arrival], now: datetime) -> Appended:
        await self.reach("before-store")
        appended: Appended = await self._part.append(batch, now)
        await self.reach("stored")
        return appended


def stop_halfway(reach: Callable[[str], Awaitable[bool]]) -> None:
    """The step between the two transactions of storing: what is plain is committed, the rest is not."""
    judge = arrivals._judge

    async def judged(*arguments: Any) -> Any:
        await reach("halfway")
        return await judge(*arguments)

    arrivals._judge = judged  # type: ignore[assignment]


class Announcer(Wrapped):
    reach: Callable[[str], Awaitable[bool]]

    async def announce(self, changes: Sequence[FeedChange]) -> None:
        if not await self.reach("telling"):
            await self._part.announce(changes)
        await self.reach("announced")


class Reader(Wrapped):
    reach: Callable[[str], Awaitable[bool]]

    async def commit(self, offsets: Any) -> None:
        await self.reach("buried")
        await self._part.commit(offsets)
        await self.reach("committed")


def main() -> None:
    step, action, *times = sys.argv[1:]
    failpoint = Failpoint(step, action, int(times[0]) if times else 1)
    settings = Settings.from_env()
    configure(settings.log_level, settings.log_format)
    stop_halfway(failpoint.reach)
    container = build(ConsumerContainer, settings)
    for provider, kind in (
        (container.feeds, Feeds),
        (container.announcer, Announcer),
        (container.queue_reader, Reader),
    ):
        wrapped = kind(provider())
        wrapped.reach = failpoint.reach
        provider.override(providers.Object(wrapped))
    with asyncio.Runner(loop_factory=event_loop_factory()) as runner:
        runner.run(consume(container))


if __name__ == "__main__":
    main()
