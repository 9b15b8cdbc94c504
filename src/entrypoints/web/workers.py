"""Metrics of all workers of one `bellwire api`, whichever of them is asked.

Each worker holds a number, and tells its metrics over a socket file with that number, in a folder that only
the user of the service can open. Counting stays as cheap as in a single process. What a dead worker counted
ends with it: its successor takes its number and counts from 0, which Prometheus recognises as a restart.
"""

import asyncio
import fcntl
import itertools
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import msgspec
from prometheus_client import REGISTRY, Metric, generate_latest

from common import metrics

logger = logging.getLogger(__name__)

LABEL = "worker"
_ANSWER_SECONDS = 2.0
_RENDERING = ThreadPoolExecutor(1, "metrics")
"""Its own thread, so that metrics do not wait behind passwords; and one, so that two scrapes take turns."""


class Family(msgspec.Struct, array_like=True):
    """A metric of one worker: its samples have a name, labels and a value."""

    name: str
    documentation: str
    kind: str
    samples: list[tuple[str, dict[str, str], float]]


class Workers:
    """The workers of one `bellwire api`, as one of them knows them."""

    def __init__(self, folder: Path, *, answer_seconds: float = _ANSWER_SECONDS) -> None:
        """`folder` is private to the service and the same for all workers."""
        self._folder = folder
        self._answer_seconds = answer_seconds
        self._own: Path | None = None

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """Hold a number, and tell the others the metrics of this process."""
        with _number(self._folder) as number:
            own = self._folder / f"{number}.sock"
            own.unlink(missing_ok=True)  # of a worker that was killed
            server = await asyncio.start_unix_server(_tell, own)
            self._own = own
            try:
                yield
            finally:
                self._own = None
                server.close()
                own.unlink(missing_ok=True)

    async def scrape(self) -> bytes:
        """The metrics of all workers that answer in time, each with its number, as Prometheus reads them."""
        others = [path for path in sorted(self._folder.glob("*.sock")) if path != self._own]
        answers = await asyncio.gather(*map(self._ask, others))
        told = {path.stem: answer for path, answer in zip(others, answers, strict=True) if answer}
        metrics.TASKS.set(len(asyncio.all_tasks()))
        own = "" if self._own is None else self._own.stem
        return await _rendered(lambda: generate_latest(_Together(own, told)))

    async def _ask(self, path: Path) -> bytes:
        """What a worker tells; nothing if it has ended or does not answer in time."""
        try:
            async with asyncio.timeout(self._answer_seconds):
                reader, writer = await asyncio.open_unix_connection(path)
                try:
                    return await reader.read()
                finally:
                    writer.close()
        except OSError as error:  # TimeoutError is one
            logger.info("worker %s told no metrics: %r", path.stem, error)
            return b""


class _Together:
    """The families of several workers as a collector for `generate_latest`."""

    def __init__(self, own: str, others: dict[str, bytes]) -> None:
        self._own = own
        self._others = others

    def collect(self) -> Iterable[Metric]:
        workers = {self._own: _own_families()}
        for number, told in self._others.items():
            with suppress(msgspec.DecodeError):  # it ended while it told them
                workers[number] = msgspec.msgpack.decode(told, type=list[Family])
        together: dict[str, Metric] = {}
        for number in sorted(workers):
            for family in workers[number]:
                new = Metric(family.name, family.documentation, family.kind)
                metric = together.setdefault(family.name, new)
                for name, labels, value in family.samples:
                    metric.add_sample(name, {**labels, LABEL: number}, value)
        return together.values()


async def scrape_this_process() -> bytes:
    """The metrics of this process, as Prometheus reads them."""
    metrics.TASKS.set(len(asyncio.all_tasks()))
    return await _rendered(generate_latest)


async def _rendered(render: Callable[[], bytes]) -> bytes:
    # Tens of milliseconds, in which the event loop would do nothing else.
    return await asyncio.get_running_loop().run_in_executor(_RENDERING, render)


async def _tell(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    metrics.TASKS.set(len(asyncio.all_tasks()))
    try:
        writer.write(await _rendered(lambda: msgspec.msgpack.encode(_own_families())))
        await writer.drain()
    except ConnectionError:
        pass  # whoever asked did not wait
    finally:
        writer.close()


def _own_families() -> list[Family]:
    return [
        Family(
            family.name,
            family.documentation,
            family.type,
            [(sample.name, sample.labels, sample.value) for sample in family.samples],
        )
        for family in REGISTRY.collect()
    ]


@contextmanager
def _number(folder: Path) -> Iterator[int]:
    """The lowest number that no living worker holds. The kernel frees that of a worker that dies."""
    for number in itertools.count():
        lock = os.open(folder / f"{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        try:
            yield number
        finally:
            os.close(lock)
        return
