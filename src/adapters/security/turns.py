"""Turns: who may use what only a few can use at a time."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from application.errors import Busy


class Turns:
    """Lets a few in at a time. The parties that wait take turns, so that one that sends many does not hold up
    another that sends one. Those who come first do not wait for the others. Who would have to wait too long
    is refused at once.
    """

    def __init__(self, at_once: int, *, most: int, most_of_one: int) -> None:
        """`most` may wait, of one party `most_of_one`; and as many again of those who come first."""
        self._free = at_once
        self._first = _Queue(most, most_of_one)
        self._others = _Queue(most, most_of_one)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self._first.waiting + self._others.waiting

    @asynccontextmanager
    async def of(self, party: str, *, first: bool = False) -> AsyncIterator[None]:
        """Wait for a turn of this party, and hold it. Raises Busy."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(self._first if first else self._others, party)
        try:
            yield
        finally:
            self._next()

    async def _wait(self, queue: "_Queue", party: str) -> None:
        turn = queue.join(party)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._next()
            else:
                queue.leave(party, turn)
            raise

    def _next(self) -> None:
        """Give the turn to somebody who waits."""
        if not (self._first.serve() or self._others.serve()):
            self._free += 1


class _Queue:
    """Parties that take turns."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._parties: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self.waiting = 0

    def join(self, party: str) -> "asyncio.Future[None]":
        """A turn to wait for. Raises Busy."""
        if self.waiting >= self._most or len(self._parties.get(party, ())) >= self._most_of_one:
            raise Busy
        turn = asyncio.get_running_loop().create_future()
        self._parties.setdefault(party, deque()).append(turn)
        self.waiting += 1
        return turn

    def serve(self) -> bool:
        """Give a turn to the party that has waited for one the longest. Returns whether anybody waited."""
        while self._parties:
            party, turns = self._parties.popitem(last=False)
            turn = turns.popleft()
            self.waiting -= 1
            if turns:
                self._parties[party] = turns
            if not turn.done():  # its task was not cancelled
                turn.set_result(None)
                return True
        return False

    def leave(self, party: str, turn: "asyncio.Future[None]") -> None:
        """Wait no longer."""
        turns = self._parties.get(party, deque())
        if turn in turns:
            turns.remove(turn)
            self.waiting -= 1
            if not turns:
                del self._parties[party]
