"""What an attack costs an honest client: how long its requests take at rest, meanwhile, and afterwards."""

import asyncio
import math
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import httpx

from tests.integration.conftest import Run
from tests.product import Api, Follower, Service, eventually
from workbench.local_client import local_client
from workbench.soak.watch import waited

RESTING, ATTACKED, AFTERWARDS = 110, 110, 30
"""How many requests are measured at least: so many that a p99 is not the longest of all."""
SLOWER = 10
FLOOR_SECONDS = 2.0
"""A p99 that is no sign of an attack: the machine is busy with other tests and their servers."""
DELAY_SECONDS = 5.0
"""Nothing honest is delayed by more."""


def p99(seconds: Sequence[float]) -> float:
    return sorted(seconds)[math.ceil(len(seconds) * 0.99) - 1]


@dataclass
class Measured:
    """How long things took for an honest client, in seconds. Those in which the process or this one had no
    processor do not count: attackers, who would be elsewhere, and other tests use them too.
    """

    process: Service
    requests: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    """Until a frame arrived, or what a test measures beside."""

    async def request(self, sent: Awaitable[httpx.Response], status: int = 200) -> httpx.Response:
        with self._into(self.requests):
            response = await sent
        assert response.status_code == status, response.text
        return response

    @contextmanager
    def other(self) -> Iterator[None]:
        with self._into(self.others):
            yield

    @contextmanager
    def _into(self, seconds: list[float]) -> Iterator[None]:
        began, waits = time.monotonic(), self._waits()
        yield
        waiting = max(after - before for after, before in zip(self._waits(), waits, strict=True))
        seconds.append(max(0.0, time.monotonic() - began - waiting))

    def _waits(self) -> tuple[float, float]:
        return waited(self.process.pid), waited(os.getpid())


def judge(run: Run, resting: Sequence[float], attacked: Measured, **figures: float) -> None:
    """Note both, and compare: the p99 of requests, and the longest that anything took."""
    rest, worst = p99(resting), p99(attacked.requests)
    longest = max([*attacked.requests, *attacked.others])
    count = len(attacked.requests)
    run.note(resting_p99=rest, attacked_p99=worst, attacked_longest=longest, requests=count, **figures)
    assert len(resting) >= RESTING
    assert count >= ATTACKED
    assert worst < max(SLOWER * rest, FLOOR_SECONDS)
    assert longest < DELAY_SECONDS


@dataclass
class Honest:
    """A client that reads, publishes to itself and is told, over connections that it keeps and new ones."""

    api: Api
    client: httpx.AsyncClient
    device: Follower
    user: str
    resting: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.now = Measured(self.api.process)

    @staticmethod
    @asynccontextmanager
    async def of(
        api: Api, user: str, device: Follower | None = None, *, key: str = ""
    ) -> AsyncIterator["Honest"]:
        """A client that is measured at rest already; with a device and an API key of its own, if none is
        given.
        """
        async with api.client(user) as client, device or api.follow(user) as follower:
            client.headers["X-API-Key"] = key or api.product.api_key
            honest = Honest(api, client, follower, user)
            await honest.once()  # what begins with the first
            await honest.rest(RESTING)
            yield honest

    async def rest(self, count: int) -> None:
        """Measure so many requests more at rest."""
        self.now = Measured(self.api.process)
        while len(self.now.requests) < count:
            await self.once()
        self.resting += self.now.requests

    async def during(self, attack: Callable[[Event], Coroutine[Any, Any, Any]]) -> Measured:
        """Go on during an attack, which ends soon after it is told that enough is measured."""
        enough = Event()
        self.now = attacked = Measured(self.api.process)
        attacking = asyncio.create_task(attack(enough))
        try:
            while not attacking.done():
                await self.once()
                if len(attacked.requests) >= ATTACKED:
                    enough.set()
        finally:
            enough.set()
            await asyncio.wait([attacking])
        await attacking
        await self.rest(AFTERWARDS)
        return attacked

    async def once(self) -> None:
        """Five requests, and a frame."""
        count = f"/v1/users/{self.user}/unread-count"
        async with local_client(base_url=self.api.url, timeout=60) as anew:
            await self.now.request(_again(lambda: anew.get("/health/live")))
        await self.now.request(_again(lambda: self.client.get(f"/notifications/{self.user}")))
        await self.now.request(_again(lambda: self.client.get(count)))
        async with self.api.client(self.user) as anew:
            await self.now.request(_again(lambda: anew.get(count)))
        item = {"user_id": self.user, "event": "drill.ticked", "message": "tick"}
        with self.now.other():
            publish = _again(lambda: self.client.post("/v1/notifications", json=item))
            identifier = (await self.now.request(publish, 202)).json()["id"]
            await eventually(lambda: identifier in self.device.created, "the frame has arrived")


async def _again(request: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    """As clients do when the server closed a connection that they keep."""
    try:
        return await request()
    except httpx.TransportError:
        return await request()
