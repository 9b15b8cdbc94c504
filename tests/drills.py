"""What an attack costs an honest client: how long its requests take at rest, meanwhile, and afterwards."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import httpx

from tests.integration.conftest import Run
from tests.product import Api, Follower, eventually
from workbench.local_client import local_client

RESTING, ATTACKED, AFTERWARDS = 100, 60, 40
"""How many requests are measured at least, for a p99 that is not one request's luck."""
SLOWER = 10
FLOOR_SECONDS = 1.0
"""A p99 that is no sign of an attack: the machine is busy with other tests."""
DELAY_SECONDS = 5.0
"""Nothing honest is delayed by more."""


def p99(seconds: Sequence[float]) -> float:
    return sorted(seconds)[math.ceil(len(seconds) * 0.99) - 1]


@dataclass
class Measured:
    """How long an honest client's requests took, in seconds, and its frames."""

    requests: list[float] = field(default_factory=list)
    frames: list[float] = field(default_factory=list)

    async def request(self, sent: Awaitable[httpx.Response], status: int = 200) -> httpx.Response:
        began = time.monotonic()
        response = await sent
        self.requests.append(time.monotonic() - began)
        assert response.status_code == status, response.text
        return response


def judge(run: Run, resting: Sequence[float], attacked: Measured, **figures: float) -> None:
    """Note both, and compare: the p99 of requests, and the longest that anything took."""
    rest, worst = p99(resting), p99(attacked.requests)
    longest = max([*attacked.requests, *attacked.frames])
    run.note(resting_p99=rest, attacked_p99=worst, attacked_longest=longest, **figures)
    assert len(resting) >= RESTING
    assert len(attacked.requests) >= ATTACKED
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
    now: Measured = field(default_factory=Measured)

    @staticmethod
    @asynccontextmanager
    async def of(api: Api, user: str, device: Follower | None = None) -> AsyncIterator["Honest"]:
        """A client that is measured at rest already; on a device of its own, if none is given."""
        async with api.client(user) as client, device or api.follow(user) as follower:
            honest = Honest(api, client, follower, user)
            await honest.once()  # what begins with the first
            await honest.rest(RESTING)
            yield honest

    async def rest(self, count: int) -> None:
        """Measure so many requests more at rest."""
        self.now = Measured()
        while len(self.now.requests) < count:
            await self.once()
        self.resting += self.now.requests

    async def during(self, attack: Callable[[Event], Coroutine[Any, Any, Any]]) -> Measured:
        """Go on during an attack, which ends soon after it is told that enough is measured."""
        enough = Event()
        self.now = attacked = Measured()
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
            await self.now.request(anew.get("/health/live"))
        await self.now.request(self._again(lambda: self.client.get(f"/notifications/{self.user}")))
        await self.now.request(self._again(lambda: self.client.get(count)))
        async with self.api.client(self.user) as anew:
            await self.now.request(anew.get(count))
        began = time.monotonic()
        item = {"user_id": self.user, "event": "drill.ticked", "message": "tick"}
        publish = self._again(lambda: self.client.post("/v1/notifications", json=item))
        identifier = (await self.now.request(publish, 202)).json()["id"]
        await eventually(lambda: identifier in self.device.created, "the frame has arrived")
        self.now.frames.append(time.monotonic() - began)

    async def _again(self, request: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
        """As clients do when a connection that they keep was closed by the server meanwhile."""
        try:
            return await request()
        except httpx.TransportError:
            return await request()
