"""What happens before the process runs out of file descriptors."""

import asyncio
import logging
import resource
from collections.abc import Iterable
from heapq import nsmallest
from typing import Any, Protocol

from common import metrics

logger = logging.getLogger(__name__)

RESERVE = 64
"""Descriptors that are left to connections to servers, and to clients that connect at the same moment. Of a
small limit a quarter."""
_AT_ONCE = 16
"""How many connections give way for one, at most: looking through all of them for each takes long."""
_LOG_SECONDS = 10.0


class Dispensable(Protocol):
    """A connection that may have to end."""

    waiting_since: float | None

    def give_way(self) -> None:
        """End the connection."""


class Shortage:
    """Notices that descriptors run out, and ends connections that wait for their client.

    When there is no descriptor left, the event loop accepts connections and closes them, those of all clients
    alike, and tells nobody. So whoever opens enough connections and sends half a request on each would keep
    everybody out.
    """

    def __init__(self) -> None:
        self._logged_at = -_LOG_SECONDS
        self._unlogged = 0

    @staticmethod
    def at(transport: asyncio.Transport) -> bool:
        """Whether few descriptors are left. A new one has the lowest free number (POSIX), so its number says
        how many are in use.
        """
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limit == resource.RLIM_INFINITY:
            return False
        connection = transport.get_extra_info("socket")
        return connection is not None and connection.fileno() >= limit - min(RESERVE, limit // 4)

    def make_room(self, connections: Iterable[Any], newcomer: Dispensable) -> bool:
        """End the connections that have waited longest for their client, but not the newest one. Return
        whether there were any.
        """
        waiting: list[Dispensable] = [
            one
            for one in connections
            if getattr(one, "waiting_since", None) is not None and one is not newcomer
        ]
        chosen = nsmallest(min(_AT_ONCE, 1 + len(waiting) // 8), waiting, key=_waiting_since)
        for one in chosen:
            one.give_way()
        metrics.CONNECTIONS_DROPPED.labels("waiting" if chosen else "new").inc(len(chosen) or 1)
        self._log(len(chosen) or 1, asyncio.get_running_loop().time())
        return bool(chosen)

    def _log(self, dropped: int, now: float) -> None:
        self._unlogged += dropped
        if now - self._logged_at >= _LOG_SECONDS:
            logger.warning(
                "file descriptors are running out: %d connections were dropped; raise the limit (ulimit -n)",
                self._unlogged,
            )
            self._logged_at, self._unlogged = now, 0


def _waiting_since(connection: Dispensable) -> float:
    return connection.waiting_since or 0.0
