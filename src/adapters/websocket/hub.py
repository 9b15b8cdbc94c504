"""Hub: the live streams of this process, by user."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import time

from adapters import metrics
from application.ports import Frame, Lagging, Received
from domain.identifiers import UserId

_QUEUED_FRAMES = 256
_QUEUED_BYTES = 1024 * 1024


class Stream:
    """The frames that wait for one socket. Bounded: one that is not read costs memory, then is dropped."""

    __slots__ = ("_bytes", "_frames", "_lagging", "_missed", "_waiter")

    def __init__(self) -> None:
        self._frames: list[Frame] = []
        self._bytes = 0
        self._missed = False
        self._lagging = False
        self._waiter: asyncio.Future[None] | None = None

    def put(self, frame: Frame) -> None:
        """Queue a frame. Never waits: a slow socket must not hold up the others."""
        self._bytes += len(frame.text)
        if len(self._frames) >= _QUEUED_FRAMES or self._bytes > _QUEUED_BYTES:
            self._lagging = True
            self._frames.clear()
        elif not self._lagging:
            self._frames.append(frame)
        self._wake()

    def miss(self) -> None:
        """Note that frames may have been lost."""
        self._missed = True
        self._wake()

    async def next(self, seconds: float) -> Received:
        if not (self._frames or self._missed or self._lagging):
            await self._wait(seconds)
        if self._lagging:
            raise Lagging
        received = Received(self._frames, self._missed)
        self._frames, self._bytes, self._missed = [], 0, False
        return received

    async def _wait(self, seconds: float) -> None:
        """A bare future and a timer: an Event and a timeout context for each of thousands cost more."""
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(seconds, self._wake)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Hub:
    """The LiveFeed of a process: whoever receives frames hands them to `deliver`."""

    def __init__(self) -> None:
        self._streams: dict[UserId, set[Stream]] = {}

    @asynccontextmanager
    async def subscribe(self, user: UserId) -> AsyncIterator[Stream]:
        stream = Stream()
        self._streams.setdefault(user, set()).add(stream)
        metrics.SOCKETS.inc()
        try:
            yield stream
        finally:
            metrics.SOCKETS.dec()
            mine = self._streams[user]
            mine.discard(stream)
            if not mine:
                del self._streams[user]

    def deliver(self, frames: Sequence[Frame]) -> None:
        """Queue frames for the streams of their users."""
        for frame in frames:
            streams = self._streams.get(frame.user_id)
            if streams:
                for stream in streams:
                    stream.put(frame)
                metrics.FRAMES.inc(len(streams))
                if frame.accepted_at is not None:
                    metrics.LIVE_LATENCY.observe(max(0.0, time() - frame.accepted_at))

    def lost(self) -> None:
        """Have every stream compare itself with the truth."""
        for streams in self._streams.values():
            for stream in streams:
                stream.miss()
