"""What every part of a schedule shares: the seed's choices, the faults, the trace, and what must hold."""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from tests.build import NOW
from tests.simulation.loop import PROCESS, Process, SimulatedLoop

T = TypeVar("T")


class Violation(AssertionError):
    """A promise was broken."""


class Disconnected(Exception):
    """The other end of a connection is gone. What it did before that nobody can tell."""


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad this schedule is. Drawn by the seed, so that some schedules know only few kinds of faults
    (in a storm of everything, little ever gets far).
    """

    slow: float
    """How likely a message is slow."""
    fails: float
    """How likely a request fails, before or after it did what it was for."""
    crashes: float
    """How likely a process dies just when a server has done what it asked for."""
    splits: float
    """How likely another client's commands come between those of a pipeline."""
    garbles: float
    """How likely a live frame comes twice or too early."""
    duplicates: float
    """How likely Kafka takes a record twice."""
    restless: float
    """How likely a partition has nothing ready although it has records."""
    hasty: float
    """How likely a user closes a socket right after saying something on it."""
    foul: float
    """How likely a record that another service writes is bad."""
    damages: float
    """How likely a record cannot be unpacked: by aiokafka's consumer, or for a while by nobody."""

    @classmethod
    def draw(cls, source: random.Random) -> "Weather":
        def some(most: float) -> float:
            return source.choice([0.0, 0.0, source.random() * most])

        return cls(
            some(0.3),
            some(0.15),
            some(0.03),
            some(0.5),
            some(0.3),
            some(0.3),
            some(0.5),
            some(1.0),
            some(1.0),
            some(0.3),
        )


CALM = Weather(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(eq=False)
class Server:
    """Something that is asked over a network."""

    name: str
    patience: float
    """How long a client waits for an answer, in seconds."""
    away: bool = False


class World:
    """One schedule's choices and faults."""

    def __init__(self, loop: SimulatedLoop, source: random.Random, *, tracing: bool) -> None:
        self.loop = loop
        self.source = source
        self.service_chance = random.Random(source.getrandbits(64))
        """What the service itself draws from."""
        self.weather = CALM
        self.context: Context = copy_context()
        self.tracing = tracing
        self.trace: list[str] = []
        self.skew = timedelta()
        self.broken: list[str] = []
        self.crash: Callable[[Process], None] = lambda _: None
        """Called when a process is to die."""

    # --- what is seen ---

    def note(self, text: str) -> None:
        """Remember a step, if somebody is to read it."""
        if self.tracing:
            process = PROCESS.get()
            self.trace.append(f"{self.loop.time():9.4f}  {process.name if process else 'outside':<10} {text}")

    def check(self, holds: object, promise: str) -> None:
        """Have the schedule fail unless this holds, wherever it is noticed."""
        if not holds:
            self.note(f"BROKEN: {promise}")
            self.broken.append(promise)
            self.loop.stop()
            raise Violation(promise)

    # --- what the service is handed ---

    def new_token(self, size: int) -> str:
        """As secrets.token_hex."""
        return f"{self.service_chance.getrandbits(8 * size):0{2 * size}x}"

    def jitter(self, low: float, high: float) -> float:
        """As random.uniform."""
        return self.service_chance.uniform(low, high)

    def time_ns(self) -> int:
        """As time.time_ns."""
        return int(self.clock().timestamp() * 1e9)

    # --- time ---

    def clock(self) -> datetime:
        """The time on the wall, which may jump."""
        return NOW + timedelta(seconds=self.loop.time()) + self.skew

    def delay(self) -> float:
        """How long a message takes, in seconds."""
        draw = self.source.random()
        if draw < self.weather.slow:
            return self.source.choice([0.02, 0.3, 1.5]) * self.source.random()
        return 0.0 if draw < 0.6 else 0.004 * self.source.random()

    def soon(self, seconds: float, callback: Callable[..., object], *arguments: object) -> None:
        """Have something happen outside of every process."""
        if seconds > 0:
            self.loop.call_later(seconds, callback, *arguments, context=self.context)
        else:
            self.loop.call_soon(callback, *arguments, context=self.context)

    async def pause(self, seconds: float) -> None:
        """Wait up to so long."""
        await asyncio.sleep(seconds * self.source.random())

    async def until(self, condition: Callable[[], bool], promise: str, seconds: float = 120) -> None:
        """Wait for something that must come."""
        end = self.loop.time() + seconds
        while not condition():
            self.check(self.loop.time() < end, f"within {seconds:.0f} s: {promise}")
            await asyncio.sleep(0.1)

    def chance(self, probability: float) -> bool:
        """Draw."""
        return self.source.random() < probability

    def may_crash(self, process: Process | None) -> None:
        """Have a process die at this very moment, or not."""
        if process is not None and process.alive and self.chance(self.weather.crashes):
            self.crash(process)

    # --- requests ---

    async def ask(
        self,
        server: Server,
        what: str,
        operations: Sequence[Callable[[], T]],
        lost: Callable[[], Exception],
        cut: Callable[[], bool] = lambda: False,
    ) -> list[T]:
        """Have a server do things, in this order; each is atomic. Return what came of them.

        Raises `lost()` if no answer comes. Then all, some or none of it was done, or will be.
        """
        request = _Request(self, server, what, operations)
        request.lost, request.cut = lost, cut
        there, back = self.delay(), self.delay()
        if there + back > server.patience:
            self.soon(server.patience, request.lose, "it takes too long")
        self.soon(there, request.arrive, back)
        return await request.reply

    def now_or_never(self, work: Any) -> Any:
        """The result of a coroutine that waits for nothing."""
        try:
            work.send(None)
        except StopIteration as done:
            return done.value
        raise AssertionError("it waits for something")


class _Request:
    """One on its way."""

    def __init__(
        self,
        world: World,
        server: Server,
        what: str,
        operations: Sequence[Callable[[], Any]],
    ) -> None:
        self._world, self._server, self._what = world, server, what
        self._operations = operations
        self.lost: Callable[[], Exception] = Disconnected
        self.cut: Callable[[], bool] = bool
        self._results: list[Any] = []
        self._process: Process | None = PROCESS.get()
        self.reply: asyncio.Future[list[Any]] = world.loop.create_future()

    def arrive(self, back: float) -> None:
        """The server, or what refuses on its behalf, has received the request."""
        if self._server.away or self.cut():
            # Refused at once, or never answered.
            self._world.soon(self._world.source.choice([0.001, self._server.patience]), self.lose, "away")
        elif self._world.chance(self._world.weather.fails / 2):
            self._world.soon(back, self.lose, "not done")
        else:
            self._do(0, back)

    def _do(self, start: int, back: float) -> None:
        for number in range(start, len(self._operations)):
            if number > start and self._world.chance(self._world.weather.splits):
                self._world.soon(self._world.delay(), self._do, number, back)
                return
            if number > 0 and self._server.away:
                self._world.soon(0, self.lose, f"{number} of it done")
                return
            try:
                self._results.append(self._operations[number]())
            except Exception as error:  # noqa: BLE001 - an answer like any other
                self._results.append(error)
        self._note("done")
        self._world.may_crash(self._process)
        self._world.soon(back, self._respond)

    def _respond(self) -> None:
        if self._server.away or self.cut() or self._world.chance(self._world.weather.fails / 2):
            self.lose("done, but nobody is told")
        elif not self.reply.done():
            error = next((result for result in self._results if isinstance(result, Exception)), None)
            if error is None:
                self.reply.set_result(self._results)
            else:
                self._note(f"answers {error!r}")
                self.reply.set_exception(error)
                self.reply.exception()  # seen, even if the caller has gone

    def lose(self, how: str) -> None:
        """The caller gets no answer."""
        if not self.reply.done():
            self._note(f"LOST: {how}")
            self.reply.set_exception(self.lost())
            self.reply.exception()

    def _note(self, text: str) -> None:
        if self._world.tracing:
            process = self._process.name if self._process else "outside"
            self._world.note(f"{self._server.name}: {self._what} for {process}: {text}")
