"""The consumer process: from Kafka into the feeds, and the work that is due by time."""

import asyncio
import logging
import math
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import uvicorn
from litestar import Litestar

from application.alarms import ALARMS_A_BATCH, RingAlarms
from application.delivery import MarkDue
from application.erasing import ContinueErasures
from application.errors import Unavailable
from application.reconciling import Reconciled
from common import metrics
from domain.alarm import AlarmKind
from entrypoints import lifespan
from entrypoints.consumer.floods import Floods
from entrypoints.consumer.holds import Holds
from entrypoints.consumer.partitions import Partitions
from entrypoints.consumer.traced import TracedWorker
from entrypoints.consumer.watchdog import Watchdog
from entrypoints.consumer.worker import Worker
from entrypoints.container.consumer import ConsumerContainer
from entrypoints.container.parts.base import build
from entrypoints.container.telemetry import tracer
from entrypoints.listening import listening_sockets
from entrypoints.logs import configure
from entrypoints.loop import event_loop_factory
from entrypoints.serving import options
from entrypoints.settings import Settings
from entrypoints.version import app_version
from entrypoints.web import health, problems
from entrypoints.web.head import answering_head
from entrypoints.web.middleware import fronted
from entrypoints.web.state import Checks, Scraping, application_state

logger = logging.getLogger(__name__)

_MARK_DUE_EVERY_SECONDS = 1.0
_RING_EVERY_SECONDS = 0.5
_RING_AGAIN_SECONDS = 0.05  # if more is due; meanwhile batches are stored
_ERASE_EVERY_SECONDS = 1.0
_REACH_AGAIN_SECONDS = 1.0
_RECONCILE_EVERY_SECONDS = 10.0


async def make_due_marks(mark_due: MarkDue) -> None:
    """Make marks that are due, until cancelled."""
    while True:
        await asyncio.sleep(_MARK_DUE_EVERY_SECONDS)
        try:
            await mark_due()
        except Unavailable as error:
            logger.warning("expired notifications were not retracted: %s", error)


async def ring(
    ring_alarms: RingAlarms,
    kind: AlarmKind,
    *,
    limit: int = ALARMS_A_BATCH,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Let alarms of one kind ring in time, until cancelled."""
    pause = _RING_EVERY_SECONDS
    while True:
        await sleep(pause)
        pause = _RING_EVERY_SECONDS
        try:
            rung = await ring_alarms(kind, limit)
        except Unavailable as error:
            logger.warning("alarms wait: %s", error)
            continue
        metrics.ALARM_LAG.labels(kind).set(rung.late.total_seconds())
        metrics.ALARMS.labels(kind).inc(rung.count)
        if rung.count == limit:
            pause = _RING_AGAIN_SECONDS


async def erase(continue_erasures: ContinueErasures) -> None:
    """Continue the erasures of users, until cancelled."""
    while True:
        await asyncio.sleep(_ERASE_EVERY_SECONDS)
        try:
            await continue_erasures()
        except Unavailable as error:
            logger.warning("erasures wait: %s", error)


async def reconcile(
    reconcile_index: Callable[[int], Awaitable[Reconciled]],
    users_per_minute: int,
    *,
    every_seconds: float = _RECONCILE_EVERY_SECONDS,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Compare index entries with the store, some users at a time, until cancelled."""
    if not users_per_minute:
        return
    count = math.ceil(users_per_minute * every_seconds / 60)
    while True:
        await sleep(60 * count / users_per_minute)
        try:
            found = await reconcile_index(count)
        except Unavailable as error:
            logger.warning("the index was not compared with the store: %s", error)
            continue
        metrics.INDEX_CHECKED.inc(found.checked)
        for user, kind in found.mismatches.items():
            metrics.INDEX_MISMATCHES.labels(kind).inc()
            logger.warning("the index entry of user %s was %s and was dropped", user, kind)


def build_worker(container: ConsumerContainer) -> Worker:
    """The worker of this process."""
    reader, limit = container.queue_reader(), container.settings().bad_records_limit
    now = container.now()
    partitions = Partitions(reader, Holds(now, container.jitter()), Floods(limit, now))
    traces = container.batch_traces()
    kind = Worker if traces is None else partial(TracedWorker, traces=traces)
    return kind(
        reader,
        container.store(),
        container.dead_letters(),
        partitions,
        container.clock(),
        charge_refused=container.charge_refused(),
    )


def health_app(container: ConsumerContainer, joining: "Joining") -> Litestar:
    """Health and metrics of this process."""
    checks = {
        "postgres": container.maintenance().ping,
        "kafka": joining.ping,
        "partitions": joining.worker.check_partitions,
    }
    app = Litestar(
        health.HANDLERS,
        exception_handlers=problems.HANDLERS,
        openapi_config=None,
        logging_config=None,
        state=application_state(
            Checks(checks, {"redis": container.redis_server().ping}),
            Scraping(container.settings().metrics_token),
        ),
    )
    log = container.settings().access_log
    return answering_head(
        fronted(app, log=log, hosts=frozenset(), now=container.now(), chance=container.chance())
    )


async def consume(container: ConsumerContainer) -> None:
    """Run until SIGTERM or SIGINT. Raises InvalidSettings if it cannot listen."""
    settings = container.settings()
    with listening_sockets(settings.host, settings.consumer_port, "BELLWIRE_CONSUMER_PORT") as sockets:
        await _consume(container, sockets)


async def _consume(container: ConsumerContainer, sockets: list[socket.socket]) -> None:
    settings = container.settings()
    metrics.identify("consumer", app_version())
    worker = build_worker(container)
    joining = Joining(container, worker)
    patience = settings.stuck_seconds
    answers = container.broker_answers()
    watchdog = Watchdog(worker, container.queue_reader(), answers, patience, container.now())
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, worker.stop)
    server = _Server(
        uvicorn.Config(
            health_app(container, joining),
            **options(container) | {"lifespan": "off"},
        )
    )
    async with (
        lifespan.consumer(container),
        lifespan.background(server.serve(sockets)),
        lifespan.background(lifespan.repeated(partial(make_due_marks, container.mark_due()))),
        lifespan.background(lifespan.repeated(partial(ring, container.ring_alarms(), AlarmKind.WAKE))),
        lifespan.background(lifespan.repeated(partial(erase, container.continue_erasures()))),
        lifespan.background(
            lifespan.repeated(
                partial(reconcile, container.reconcile_index(), settings.reconcile_users_per_minute)
            )
        ),
    ):
        await joining.run()
        try:
            await _guarded(worker.run(), watchdog.run())
        finally:
            await worker.leave()


async def _guarded(work: Coroutine[Any, Any, None], watch: Coroutine[Any, Any, None]) -> None:
    """Run `work` to its end, or until the watchdog raises Stuck."""
    tasks = [asyncio.create_task(work), asyncio.create_task(watch)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            if not task.done():
                task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome


class Joining:
    """Joins the group, and knows why it could not yet."""

    def __init__(self, container: ConsumerContainer, worker: Worker) -> None:
        self._container = container
        self.worker = worker
        self._failure = ""

    async def run(self) -> None:
        """Wait until Kafka is available, and log each reason once."""
        bootstrap, topics = self._container.settings().kafka_bootstrap, self._container.topics()
        while not self.worker.stopping:
            try:
                await self._container.ensure_topics()(bootstrap, topics)
                await self.worker.join()
            except Unavailable as error:
                if str(error) != self._failure:
                    self._failure = str(error)
                    logger.warning("%s", error)
                await self.worker.stopped_within(_REACH_AGAIN_SECONDS)
            else:
                self._failure = ""
                return

    async def ping(self) -> None:
        """Raise Unavailable, with the reason."""
        if self._failure:
            raise Unavailable(self._failure)
        await self._container.queue_reader().ping()


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to the worker."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def main(settings: Settings) -> None:
    """Run the consumer until SIGTERM or SIGINT. Raises InvalidSettings if it cannot listen."""
    configure(settings.log_level, settings.log_format)
    container = build(ConsumerContainer, settings, tracer("consumer"))
    with asyncio.Runner(loop_factory=event_loop_factory()) as runner:
        runner.run(consume(container))
