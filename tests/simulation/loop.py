"""An event loop in which a seed decides everything: time is virtual, and what runs next is drawn.

Whatever runs belongs to a process, known by its context. A process that is killed never runs again: no
`finally`, no `except`, as with SIGKILL. What it asked a server for before may still happen there.
"""

import asyncio
import heapq
import random
import warnings
from collections.abc import Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from typing import Any

_STEPS = 400_000
"""No schedule takes nearly as many; one that does goes round in circles."""


class Stuck(Exception):
    """Nothing can run any more, or it never ends."""


@dataclass(eq=False)
class Process:
    """Something that can be killed."""

    name: str
    alive: bool = True
    context: Context = field(init=False)

    def __post_init__(self) -> None:
        self.context = copy_context()
        self.context.run(PROCESS.set, self)

    def start(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Run something in this process."""
        return asyncio.get_running_loop().create_task(work, context=self.context)


PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)


class SimulatedLoop(asyncio.BaseEventLoop):
    """Runs one ready callback at a time, in an order that the seed draws; nothing here waits in real time."""

    _ready: list[Any]
    _scheduled: list[Any]

    def __init__(self, source: random.Random, *, lag: float = 0.0) -> None:
        """`lag` is how likely a timer rings although something else is ready: a busy process is late."""
        super().__init__()
        self._ready = []
        self._source = source
        self._lag = lag
        self._now = 0.0
        self._buried: list[Any] = []
        self._tasks: list[asyncio.Task[Any]] = []
        self.steps = 0
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        """Seconds since the schedule began."""
        return self._now

    def _run_once(self) -> None:
        if self._scheduled and (not self._ready or self._source.random() < self._lag):
            self._ring()
        ready = self._ready
        if not ready:
            if self._scheduled:
                return
            raise Stuck("nothing is left to run")
        chosen = int(self._source.random() * len(ready))
        ready[chosen], ready[-1] = ready[-1], ready[chosen]
        handle = ready.pop()
        if handle._cancelled:
            return
        process = handle._context.get(PROCESS)
        if process is not None and not process.alive:
            self._buried.append(handle)  # kept: freeing it would run the `finally` of a dead process
            return
        self.steps += 1
        if self.steps > _STEPS:
            raise Stuck(f"still running after {_STEPS} steps")
        handle._run()

    def _ring(self) -> None:
        """Go on to the next timer."""
        scheduled = self._scheduled
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)._scheduled = False
        if scheduled:
            self._now = max(self._now, scheduled[0]._when)
        while scheduled and scheduled[0]._when <= self._now:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            self._ready.append(handle)

    def _make_task(self, loop: Any, work: Any, **options: Any) -> "asyncio.Task[Any]":
        task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **options)
        self._tasks.append(task)
        return task

    def bury(self) -> None:
        """End what is still under way, silently, and close."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of what was never begun
            for task in self._tasks:
                if not task.done():
                    task._log_destroy_pending = False  # type: ignore[attr-defined]
                    with suppress(BaseException):
                        task.get_coro().close()
        self._ready.clear()
        self._scheduled.clear()
        self.close()

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        """No thread, no name to be looked up, no file: nothing real takes part in a schedule."""
        raise Stuck(f"{func} is to run in a thread")

    def _write_to_self(self) -> None:
        """There is no other thread to wake it from."""
