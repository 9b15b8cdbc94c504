"""Sockets of clients that are not known yet, or were refused: a bounded number, and of each address too."""

from collections import defaultdict
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from common import metrics

MOST = 1000
MOST_OF_ADDRESS = 500
"""Behind a proxy all have its address."""


class Newcomer(Protocol):
    """A socket that may have to end."""

    def give_way(self) -> None:
        """End the connection."""


class Newcomers:
    """Each newcomer beyond a limit ends the one that came first, of its address or of all. So whoever opens
    many sockets, and proves nothing, ends its own: a client with credentials is known within milliseconds.
    """

    def __init__(self, most: int = MOST, most_of_address: int = MOST_OF_ADDRESS) -> None:
        self._most = most
        self._most_of_address = most_of_address
        # Dictionaries, because they are ordered.
        self._all: dict[Newcomer, str] = {}
        self._of: defaultdict[str, dict[Newcomer, None]] = defaultdict(dict)

    def __len__(self) -> int:
        return len(self._all)

    def join(self, newcomer: Newcomer, address: str) -> None:
        """Add a newcomer, which may end another."""
        if len(self._of[address]) >= self._most_of_address:
            self._end(next(iter(self._of[address])))
        elif len(self._all) >= self._most:
            self._end(next(iter(self._all)))
        self._all[newcomer] = address
        self._of[address][newcomer] = None

    def leave(self, newcomer: Newcomer) -> None:
        """Remove one that is known by now, or has gone. Leaving twice is no error."""
        address = self._all.pop(newcomer, None)
        if address is None:
            return
        del self._of[address][newcomer]
        if not self._of[address]:
            del self._of[address]

    def _end(self, newcomer: Newcomer) -> None:
        self.leave(newcomer)
        metrics.NEWCOMERS_ENDED.inc()
        newcomer.give_way()


_SERVERS: WeakKeyDictionary[Any, Newcomers] = WeakKeyDictionary()


def newcomers_of(server: Any) -> Newcomers:
    """The newcomers of a server, which its state stands for."""
    found = _SERVERS.get(server)
    if found is None:
        found = _SERVERS[server] = Newcomers()
    return found
