"""Followers by the thousand, in a process of their own, and an account of their connections."""

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
    """What became of the connections. Times are time.perf_counter, which all processes share."""

    reconnects: list[float] = field(default_factory=list)
    """When a client came back that had been there; also in vain."""
    returns: list[float] = field(default_factory=list)
    """When it was welcomed again."""
    ends: Counter[str] = field(default_factory=Counter)
    """How connections ended that had been welcomed: the close code, or `cut`."""
    failures: Counter[str] = field(default_factory=Counter)
    """How those ended that were not."""
    open: Counter[int] = field(default_factory=Counter)
    """How many are welcomed now, by port."""
    samples: list[tuple[float, dict[int, int]]] = field(default_factory=list)
    """The same, over the time."""


@dataclass(frozen=True)
class Outcome:
    """What all clients were told in the end."""

    judgement: Judgement
    account: Account
    completed_at: float
    """When the last of them had got what was new last."""
    incomplete: Sequence[str]
    """Some of the users who have not got everything."""
    ages: Sequence[float]
    """Seconds from publishing to the client, of all that was new to one."""
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
        """Have users come back with these cursors, all at once."""
        for user, cursor in cursors:
            self._add(user, cursor)

    async def sample(self) -> None:
        """From now on note how many are where."""
        self._tasks.append(asyncio.create_task(self._sample()))

    async def complete(self, ends: Mapping[str, int], seconds: float) -> Outcome:
        """Wait until everybody has everything up to the version at which the feed has ended (0 if it is not
        named), and is connected; or until the time is over.
        """
        deadline = time.monotonic() + seconds
        late = self._late(ends)
        while any(not each.refused for each in late) and time.monotonic() < deadline:
            await asyncio.sleep(_STEP_SECONDS)
            late = self._late(ends)
        for task in self._tasks:
            if task.done():
                task.result()  # a mistake of ours is told
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
        """Have all of them go."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def stop_reading(self) -> None:
        """Have all of them read nothing from now on."""
        for follower in self.all:
            follower.slow = False  # the next connection is an ordinary one
            follower.stop_reading()

    async def read_again(self) -> None:
        """Have them read on."""
        for follower in self.all:
            follower.read_again()

    def connecting(self, follower: Follower) -> None:
        """Note one that comes back."""
        if follower.connections:
            self.account.reconnects.append(time.perf_counter())

    def connected(self, follower: Follower) -> None:
        """Note one that is there."""
        self.account.open[follower.port] += 1
        if follower.connections > 1:
            self.account.returns.append(time.perf_counter())

    def ended(self, follower: Follower, how: str, *, welcomed: bool) -> None:
        """Note one that has gone."""
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
