"""Turns: who may use what only a few can use at a time."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from application.errors import Busy


class Turns:
    """Lets a few in at a time. The parties that wait take turns, so that one that sends many does not hold up
    another that sends one. Who would have to wait too long is refused at once.
    """

    def __init__(self, at_once: int, *, most: int, most_of_one: int) -> None:
        """`most` may wait, of one party `most_of_one`."""
        self._free = at_once
        self._most = most
        self._most_of_one = most_of_one
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self.waiting = 0
        """How many wait."""

    @asynccontextmanager
    async def of(self, party: str) -> AsyncIterator[None]:
        """Wait for a turn of this party, and hold it. Raises Busy."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(party)
        try:
            yield
        finally:
            self._next()

    async def _wait(self, party: str) -> None:
        mine = self._waiting.get(party, ())
        if self.waiting >= self._most or len(mine) >= self._most_of_one:
            raise Busy
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(party, deque()).append(turn)
        self.waiting += 1
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._next()
            else:
                self._forget(party, turn)
            raise

    def _next(self) -> None:
        """Give a turn to the party that has waited for one the longest."""
        while self._waiting:
            party, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            self.waiting -= 1
            if turns:
                self._waiting[party] = turns
            if not turn.done():  # its task was not cancelled
                turn.set_result(None)
                return
        self._free += 1

    def _forget(self, party: str, turn: "asyncio.Future[None]") -> None:
        turns = self._waiting.get(party, deque())
        if turn in turns:
            turns.remove(turn)
            self.waiting -= 1
            if not turns:
                del self._waiting[party]
