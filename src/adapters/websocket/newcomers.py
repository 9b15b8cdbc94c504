"""Sockets of clients that are not known yet, or were refused: a bounded number, and of each address too."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from common import metrics

MOST = 2000
MOST_OF_ADDRESS = 1000
"""Behind a proxy all have its address."""
AT_ONCE = 16
"""How many handshakes the application gets in one turn of the event loop: some milliseconds of work."""
GATHER_SECONDS = 0.01
"""How long those wait that come just after others. Together each costs a third less: they share commands and
statements, and each step finds its code in the caches of the processor.
"""


class Newcomer(Protocol):
    """A socket whose client is not known."""

    def start(self) -> None:
        """Hand the handshake to the application."""

    def give_way(self) -> None:
        """End the connection."""


def _gather(then: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(GATHER_SECONDS, then)


class Newcomers:
    """Newcomers beyond a limit end those that came first, of their address or of all. So whoever opens many
    sockets and proves nothing ends its own: a client with credentials is known within milliseconds.

    Handshakes start a few at a time, so that requests and streams go on between, of each address in turn, the
    latest first: those that have waited longest are those that nobody waits for any more.
    """

    def __init__(
        self,
        most: int = MOST,
        most_of_address: int = MOST_OF_ADDRESS,
        gather: Callable[[Callable[[], None]], None] = _gather,
    ) -> None:
        """`gather` calls back after GATHER_SECONDS."""
        self._gather = gather
        self._starting = False
        """Whether some are being started, or others wait for more to come."""
        self._most = most
        self._most_of_address = most_of_address
        # Dictionaries, because they are ordered.
        self._all: dict[Newcomer, str] = {}
        self._of: defaultdict[str, dict[Newcomer, None]] = defaultdict(dict)
        self._to_start: defaultdict[str, dict[Newcomer, None]] = defaultdict(dict)

    def __len__(self) -> int:
        return len(self._all)

    def join(self, newcomer: Newcomer, address: str) -> None:
        """Add a newcomer, which may end another, and start it soon."""
        if len(self._of[address]) >= self._most_of_address:
            self._end(next(iter(self._of[address])))
        elif len(self._all) >= self._most:
            self._end(next(iter(self._all)))
        self._all[newcomer] = address
        self._of[address][newcomer] = None
        self._to_start[address][newcomer] = None
        if not self._starting:
            self._starting = True
            asyncio.get_running_loop().call_soon(self._start_some)

    def leave(self, newcomer: Newcomer) -> None:
        """Remove one that is known by now, or has gone. Leaving twice is no error."""
        address = self._all.pop(newcomer, None)
        if address is not None:
            _remove(self._of, address, newcomer)
            _remove(self._to_start, address, newcomer)

    def _start_some(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(AT_ONCE):
            if not self._to_start:
                self._gather(self._start_gathered)
                return
            address = next(iter(self._to_start))
            others = self._to_start.pop(address)
            newcomer, _ = others.popitem()
            if others:
                self._to_start[address] = others  # behind the other addresses
            loop.call_soon(newcomer.start)
        loop.call_soon(self._start_some)

    def _start_gathered(self) -> None:
        """Start those that came meanwhile. If nobody did, the next one does not wait."""
        self._starting = bool(self._to_start)
        if self._starting:
            self._start_some()

    def _end(self, newcomer: Newcomer) -> None:
        self.leave(newcomer)
        metrics.NEWCOMERS_ENDED.inc()
        newcomer.give_way()


def _remove(by_address: dict[str, dict[Newcomer, None]], address: str, newcomer: Newcomer) -> None:
    some = by_address.get(address, {})
    some.pop(newcomer, None)
    if not some:
        by_address.pop(address, None)


_SERVERS: WeakKeyDictionary[Any, Newcomers] = WeakKeyDictionary()


def newcomers_of(server: Any) -> Newcomers:
    """The newcomers of a server, which its state stands for."""
    found = _SERVERS.get(server)
    if found is None:
        found = _SERVERS[server] = Newcomers()
    return found
