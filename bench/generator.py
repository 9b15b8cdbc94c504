"""Sends load from one process with plain asyncio protocols on uvloop: an HTTP library would be the
bottleneck.
"""

import asyncio
import contextlib
import itertools
import time
from collections import deque
from collections.abc import Iterator

import uvloop

from bench.connection import Connection
from bench.load import STAMP, Job, Outcome

_PATIENCE_SECONDS = 20


def send(job: Job) -> Outcome:
    """Run a job in this process."""
    return uvloop.run(_Load(job).run())


class _Load:
    def __init__(self, job: Job) -> None:
        self.job = job
        self.outcome = Outcome()
        self._idle: deque[Connection] = deque()
        self._due: deque[tuple[float, bytes]] = deque()
        self._requests: Iterator[bytes] = iter(job.requests if job.once else itertools.cycle(job.requests))
        self._from = self._until = 0.0
        self._last_sent = False
        self._settled = asyncio.Event()

    async def run(self) -> Outcome:
        loop, job, busy = asyncio.get_running_loop(), self.job, time.process_time()
        everybody = [Connection(self) for _ in range(job.connections)]
        for connection in everybody:
            await loop.create_connection(lambda made=connection: made, "127.0.0.1", job.port)  # type: ignore[misc]
        start = time.perf_counter()
        self._from, self._until = start + job.warmup, start + job.warmup + job.seconds
        if job.rate:
            self._idle.extend(everybody)
            await self._paced(start)
        else:
            self._last_sent = True
            for connection in everybody:
                connection.proceed()
        self._settle()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(loop.time() + job.warmup + job.seconds + _PATIENCE_SECONDS):
                await self._settled.wait()
        self.outcome.seconds = min(time.perf_counter(), self._until) - self._from
        self.outcome.cpu = time.process_time() - busy
        self.outcome.errors += self.outcome.sent - self.outcome.answered
        for connection in everybody:
            connection.close()
        return self.outcome

    async def _paced(self, start: float) -> None:
        """Send on time, whether or not the answers keep up: a request that waits for a connection is late."""
        for nth in range(int(self.job.rate * (self.job.warmup + self.job.seconds))):
            due = start + nth / self.job.rate
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            wall = time.time_ns() - int((time.perf_counter() - due) * 1e9)
            self._due.append((due, next(self._requests).replace(STAMP, b"%d" % wall)))
            if self._idle:
                self._idle.popleft().proceed()
        self._last_sent = True

    def next(self) -> tuple[float, bytes] | None:
        """Return the next request, and the time at which it was due."""
        if self.job.rate:
            found = self._due.popleft() if self._due else None
        else:
            now = time.perf_counter()
            wanted = next(self._requests, None) if now < self._until else None
            found = None if wanted is None else (now, wanted)
        self.outcome.sent += found is not None
        return found

    def answered(self, since: float, status: bytes, answer: bytes) -> None:
        """Check an answer."""
        now = time.perf_counter()
        self.outcome.answered += 1
        if int(status) != self.job.expect or self.job.refuse in answer:
            self.outcome.fail(answer[-300:].decode(errors="replace"))
        elif self._from <= now and (self.job.rate or now <= self._until):
            self.outcome.latencies.append(now - since)
            self.outcome.times.append(since)

    def rest(self, connection: Connection) -> None:
        """Keep a connection that has nothing to send."""
        self._idle.append(connection)
        self._settle()

    def lost(self, error: Exception | None) -> None:
        """Count a connection that the server closed."""
        self.outcome.fail(f"connection lost: {error}")

    def _settle(self) -> None:
        if self._last_sent and len(self._idle) == self.job.connections:
            self._settled.set()
