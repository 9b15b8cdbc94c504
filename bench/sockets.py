"""Thousands of WebSocket clients in a process of their own."""

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any

from bench.hosted import hosted
from bench.user import User
from bench.websocket import WebSocket

_SENT = re.compile(rb'"sent":(\d{19})')
_AT_ONCE = 50
_COLLECT_SECONDS = 20


class Sockets:
    """The clients of this process, and what they received."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.clients: list[WebSocket] = []
        self.timed = True
        self.prepared: list[dict[str, bytes]] = []
        self.frames = 0
        self._goal = 0
        self._reached = asyncio.Event()
        self.closed = 0
        self.latencies: list[float] = []

    async def open(self, users: Sequence[User]) -> None:
        """Connect, and wait until every client is welcomed."""
        for start in range(0, len(users), _AT_ONCE):
            fresh = [self._client(user) for user in users[start : start + _AT_ONCE]]
            loop = asyncio.get_running_loop()
            for client in fresh:
                await loop.create_connection(lambda made=client: made, "127.0.0.1", self.port)  # type: ignore[misc]
            async with asyncio.timeout(20):
                await asyncio.gather(*(client.welcomed for client in fresh))
            self.clients += fresh

    def _client(self, user: User) -> WebSocket:
        return WebSocket(self, user)

    def welcome(self, payload: bytes) -> None:
        """Do nothing: only later frames are counted."""

    def got(self, payload: bytes) -> None:
        """Count a frame; in `timed` ones compute the age of its content."""
        self.frames += 1
        if self.frames == self._goal:
            self._reached.set()
        if self.timed:
            now = time.time_ns()
            self.latencies += [(now - int(sent)) / 1e9 for sent in _SENT.findall(payload)]

    def lost(self) -> None:
        """Count a socket that ended."""
        self.closed += 1

    async def reach(self, frames: int, *, until: float) -> None:
        """Wait until this many frames have arrived in total, or the time is over."""
        if self.frames >= frames or (left := until - time.monotonic()) <= 0:
            return
        self._goal = frames
        self._reached.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(left):
                await self._reached.wait()

    async def collect(self, expected: int) -> list[float]:
        """Wait, for a limited time, until this many notifications have arrived. Return their ages."""
        deadline = time.monotonic() + _COLLECT_SECONDS
        while len(self.latencies) < expected and time.monotonic() < deadline:
            await self.reach(self.frames + 1, until=deadline)
        found, self.latencies = self.latencies, []
        return found

    async def closed_by_now(self) -> int:
        """How many sockets have ended."""
        return self.closed


def clients(port: int) -> AbstractContextManager[Callable[..., Any]]:
    """Run clients in a new process; call it with a coroutine function, which gets its `Sockets`."""
    return hosted(Sockets, port)
