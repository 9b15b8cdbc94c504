"""What a process opens and closes. It closes in reverse order, also when a step fails."""

import asyncio
import logging
import multiprocessing
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

from application.errors import ApplicationError
from common import metrics

if TYPE_CHECKING:  # neither process imports the other's container
    from entrypoints.container.api import ApiContainer
    from entrypoints.container.consumer import ConsumerContainer

logger = logging.getLogger(__name__)

_PREPARE_EVERY_SECONDS = 60.0
_PREPARE_AGAIN_SECONDS = 2.0
_AGAIN_SECONDS = 1.0
_CANCEL_SECONDS = 1.0
_DRIVERS = frozenset({"aiokafka", "asyncpg", "hiredis", "redis", "sqlalchemy"})
_BELOW_DRIVERS = frozenset({"asyncio", "uvloop"})
_STOPPING = (signal.SIGTERM, signal.SIGINT)

_defects: list[BaseException] = []


@asynccontextmanager
async def api(container: "ApiContainer") -> AsyncIterator[None]:
    """Run the background work of the API process."""
    async with AsyncExitStack() as stack:
        await _stores(container, stack)
        queue = container.kafka_queue()
        stack.push_async_callback(_close_safely, queue.stop)
        failed_log_ins = container.failed_log_ins()
        stack.push_async_callback(_close_safely, failed_log_ins.write)
        public_keys = container.public_keys()
        if public_keys is not None:
            await public_keys.renew()  # before the first request is answered
            await stack.enter_async_context(background(repeated(public_keys.run)))
        revocations, known_keys = container.revocations(), container.known_keys()
        # Before the first request is answered.
        await asyncio.gather(revocations.refresh(), known_keys.refresh())
        loops = (queue, container.live_frames(), container.limits(), revocations, known_keys, failed_log_ins)
        for loop in loops:
            await stack.enter_async_context(background(repeated(loop.run)))
        container.tune_gc()()
        yield


@asynccontextmanager
async def consumer(container: "ConsumerContainer") -> AsyncIterator[None]:
    """Run the background work of the consumer process, apart from its membership in the group."""
    async with AsyncExitStack() as stack:
        await _stores(container, stack)
        await stack.enter_async_context(background(repeated(partial(_prepare, container))))
        container.tune_gc()()
        yield


async def _stores(container: "ApiContainer | ConsumerContainer", stack: AsyncExitStack) -> None:
    tracer = container.tracer()
    if tracer is not None:
        stack.push_async_callback(_close_safely, partial(asyncio.to_thread, tracer.close))
    stack.push_async_callback(_close_safely, container.maintenance().close)
    stack.push_async_callback(_close_safely, container.redis_server().close)
    await stack.enter_async_context(background(repeated(container.redis_announcer().run)))


async def _prepare(container: "ConsumerContainer") -> None:
    """Create partitions of the table ahead of time, until cancelled."""
    maintenance = container.maintenance()
    while True:
        try:
            await maintenance.prepare()
            await asyncio.sleep(_PREPARE_EVERY_SECONDS)
        except ApplicationError as error:
            logger.warning("partitions were not checked: %s", error)
            await asyncio.sleep(_PREPARE_AGAIN_SECONDS)


@asynccontextmanager
async def background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `work` in the background. A process that lost one of its tasks would look healthy and do half of
    its work, so a defect in the task shuts the process down; its supervisor restarts it.
    """
    task = asyncio.create_task(work)
    task.add_done_callback(_report)
    try:
        yield
    finally:
        await _cancel(task)


async def _cancel(task: "asyncio.Task[None]") -> None:
    """Cancel a task until it ends. asyncio.wait_for, which drivers use, loses a cancellation that comes
    together with what it waits for (https://github.com/python/cpython/issues/86296).
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_CANCEL_SECONDS)
    await asyncio.gather(task, return_exceptions=True)


async def repeated(
    work: Callable[[], Coroutine[Any, Any, None]], *, again_seconds: float = _AGAIN_SECONDS
) -> None:
    """Run `work`, and again if it fails inside a driver. A driver whose connection ends at the wrong moment
    may raise anything: that is a failure of infrastructure, which must not end the process.
    """
    while True:
        try:
            return await work()
        except Exception as error:
            if not _is_of_driver(error):
                raise
            metrics.BACKGROUND_REPEATED.inc()
            logger.exception("background work failed in a driver and begins again")
        await asyncio.sleep(again_seconds)


def _is_of_driver(error: BaseException) -> bool:
    """Whether the error was raised by a driver, or by what a driver called."""
    packages = [
        str(frame.f_globals.get("__name__")).partition(".")[0] for frame, _ in walk_tb(error.__traceback__)
    ]
    while packages and packages[-1] in _BELOW_DRIVERS:
        packages.pop()
    return bool(packages) and packages[-1] in _DRIVERS


def _report(task: "asyncio.Task[None]") -> None:
    defect = None if task.cancelled() else task.exception()
    if defect is not None:
        logger.critical("a background task failed: this process ends", exc_info=defect)
        _defects.append(defect)
        signal.raise_signal(signal.SIGTERM)


def exit_status() -> int:
    """The exit status of this process: 1 after a defect, 0 if it was told to stop."""
    return 1 if _defects else 0


@asynccontextmanager
async def drained_first(drain: Callable[[], "asyncio.Task[None]"]) -> AsyncIterator[None]:
    """On the first SIGTERM or SIGINT, drain, then pass the signal to the server, which would otherwise close
    all connections together. A second signal is passed on immediately. Outside the main thread, do nothing.

    `drain` may return a drain that is already under way. If it fails, the process stops all the same.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    draining: list[asyncio.Task[None]] = []
    before: dict[int, Any] = {number: signal.getsignal(number) for number in _STOPPING}

    async def drain_then_stop(number: int) -> None:
        await asyncio.wait([drain()])
        _pass_on(before[number], number)

    def begin(number: int) -> None:
        if not draining:
            draining.append(loop.create_task(drain_then_stop(number)))
        elif number == signal.SIGINT or not _is_worker():
            _pass_on(before[number], number)

    for number in _STOPPING:
        signal.signal(number, lambda number, _frame: loop.call_soon_threadsafe(begin, number))
    try:
        yield
    finally:
        for stopping, handler in before.items():
            signal.signal(stopping, handler)
        for task in draining:
            task.cancel()


def _is_worker() -> bool:
    """Whether a supervisor started this process. When SIGTERM is sent to all processes of a service (as
    systemd does), a worker receives it twice, also from its supervisor: there only SIGINT means haste.
    """
    return multiprocessing.parent_process() is not None


def _pass_on(handler: Any, number: int) -> None:
    """Call the handler that was installed before."""
    if callable(handler):
        handler(number, None)
    elif handler == signal.SIG_DFL:
        signal.signal(number, handler)
        signal.raise_signal(number)


async def _close_safely(close: Callable[[], Awaitable[None]]) -> None:
    """Close something whose server may be unavailable."""
    try:
        await close()
    except Exception as error:  # noqa: BLE001 - the rest must be closed too
        logger.warning("closing failed: %r", error)
