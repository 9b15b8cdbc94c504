"""Thousands of followers in a process of their own, with an account of their connections."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from bench.checking import Judgement
from bench.follower import Follower
from bench.hosted import hosted
from bench.user import User

_AT_ONCE = 50
_PATIENCE_SECONDS = 30
_STEP_SECONDS, _SAMPLE_SECONDS = 0.02, 0.25


@dataclass
class Account:
    """The history of the connections. Times are time.perf_counter, which all processes share."""

    reconnects: list[float] = field(default_factory=list)
    """When clients tried to reconnect, also in vain."""
    returns: list[float] = field(default_factory=list)
    """When they were welcomed again."""
    ends: Counter[str] = field(default_factory=Counter)
    """How connections that had been welcomed ended: the close code, or `cut`."""
    failures: Counter[str] = field(default_factory=Counter)
    """How the other connections ended."""
    open: Counter[int] = field(default_factory=Counter)
    """How many are connected now, by port."""
    samples: list[tuple[float, dict[int, int]]] = field(default_factory=list)
    """The same, over time."""


@dataclass(frozen=True)
class Outcome:
    """What all clients received in the end."""

    judgement: Judgement
    account: Account
    completed_at: float
    """When the last of them received its last new notification."""
    incomplete: Sequence[str]
    """Some of the users who have not received everything."""
    ages: Sequence[float]
    """Seconds from publishing to the client, for all new notifications."""
    resets: int
    refused: int
    away: int
    """How many were not connected."""

    @property
    def errors(self) -> int:
        return self.judgement.errors + self.resets + self.refused


class Followers:
    """The followers of this process; each begins at the next of the ports in turn."""

    def __init__(self, *ports: int) -> None:
        self._ports = ports
        self._tasks: list[asyncio.Task[None]] = []
        self.all: list[Follower] = []
        self.account = Account()

    async def start(self, users: Sequence[User], slow: bool = False) -> None:
        """Have users follow their feeds from now on; return when all were welcomed."""
        for first in range(0, len(users), _AT_ONCE):
            fresh = [self._add(user) for user in users[first : first + _AT_ONCE]]
            for follower in fresh:
                follower.slow = slow
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await asyncio.gather(*(follower.here.wait() for follower in fresh))

    async def start_from(self, cursors: Sequence[tuple[User, str]]) -> None:
        """Have users reconnect with these cursors, all together."""
        for user, cursor in cursors:
            self._add(user, cursor)

    async def sample(self) -> None:
        """From now on record how many are connected where."""
        self._tasks.append(asyncio.create_task(self._sample()))

    async def complete(self, ends: Mapping[str, int], seconds: float) -> Outcome:
        """Wait until everyone has everything up to the final version of the feed (0 if it is not named) and
        is connected, or until the time is over.
        """
        deadline = time.monotonic() + seconds
        late = self._late(ends)
        while any(not each.refused for each in late) and time.monotonic() < deadline:
            await asyncio.sleep(_STEP_SECONDS)
            late = self._late(ends)
        for task in self._tasks:
            if task.done():
                task.result()  # raises our own mistakes
        return Outcome(
            judgement=sum((each.told.judged(self._end(each, ends)) for each in self.all), Judgement()),
            account=self.account,
            completed_at=max((each.told_at for each in self.all), default=0.0),
            incomplete=[each.user.id for each in late[:10]],
            ages=[age for each in self.all for age in each.ages],
            resets=sum(each.resets for each in self.all),
            refused=sum(each.refused for each in self.all),
            away=sum(not each.here.is_set() for each in self.all),
        )

    async def stop(self) -> None:
        """Disconnect all of them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def stop_reading(self) -> None:
        """Have all of them stop reading."""
        for follower in self.all:
            follower.slow = False  # the next connection is an ordinary one
            follower.stop_reading()

    async def read_again(self) -> None:
        """Have them continue reading."""
        for follower in self.all:
            follower.read_again()

    def connecting(self, follower: Follower) -> None:
        """Note a client that reconnects."""
        if follower.connections:
            self.account.reconnects.append(time.perf_counter())

    def connected(self, follower: Follower) -> None:
        """Note a client that is connected."""
        self.account.open[follower.port] += 1
        if follower.connections > 1:
            self.account.returns.append(time.perf_counter())

    def ended(self, follower: Follower, how: str, *, welcomed: bool) -> None:
        """Note a client whose connection ended."""
        (self.account.ends if welcomed else self.account.failures)[how] += 1
        self.account.open[follower.port] -= welcomed

    def _add(self, user: User, cursor: str = "") -> Follower:
        turn = len(self.all) % len(self._ports)
        follower = Follower(self, user, self._ports[turn:] + self._ports[:turn], cursor)
        self.all.append(follower)
        self._tasks.append(asyncio.create_task(follower.follow()))
        return follower

    def _late(self, ends: Mapping[str, int]) -> list[Follower]:
        return [
            each
            for each in self.all
            if each.told.highest < self._end(each, ends) or not (each.here.is_set() or each.refused)
        ]

    @staticmethod
    def _end(follower: Follower, ends: Mapping[str, int]) -> int:
        return max(ends.get(follower.user.id, 0), follower.told.start)

    async def _sample(self) -> None:
        while True:
            self.account.samples.append((time.perf_counter(), dict(self.account.open)))
            await asyncio.sleep(_SAMPLE_SECONDS)


def followers(*ports: int) -> AbstractContextManager[Callable[..., Any]]:
    """Run followers in a new process; call it with a coroutine function, which gets its `Followers`."""
    return hosted(Followers, *ports)
