"""Cuts all connections to the API, repeatedly."""

import asyncio
import itertools
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from bench.hosted import hosted
from workbench.soak.proxy import Proxy

_ROUND_SECONDS, _GONE_SECONDS = 6.0, 2.0
_LAST_SECONDS = 0.5
_WAYS = 2


class Cutter:
    """Proxies in front of a port, each for a part of the clients.

    In every other round all connections are broken together, in the others those of one proxy and then those
    of the next; new ones are refused for two seconds. The time ends in the last cut.
    """

    def __init__(self, port: int) -> None:
        self._proxies = [Proxy.to("127.0.0.1", port) for _ in range(_WAYS)]
        self._cutting: asyncio.Task[None] | None = None
        self.cuts = 0

    async def open(self) -> list[int]:
        """Start the proxies. Return their ports."""
        return [(await proxy.__aenter__()).port for proxy in self._proxies]

    async def begin(self, seconds: float) -> None:
        """Start cutting, for this many seconds."""
        self._cutting = asyncio.create_task(self._cut_for(seconds))

    async def finish(self) -> tuple[int, float]:
        """Wait for the last cut. Return the number of cuts, and when the last ended (time.perf_counter)."""
        if self._cutting is not None:
            await self._cutting
        return self.cuts, time.perf_counter()

    async def _cut_for(self, seconds: float) -> None:
        until = time.monotonic() + seconds - _ROUND_SECONDS
        for at_once in itertools.cycle((True, False)):
            if time.monotonic() >= until:
                break
            if at_once:
                await asyncio.sleep(_ROUND_SECONDS - _GONE_SECONDS)
                await self._cut(*self._proxies)
            else:
                await asyncio.sleep(_ROUND_SECONDS - _WAYS * _GONE_SECONDS)
                for proxy in self._proxies:
                    await self._cut(proxy)
        await asyncio.sleep(max(0.0, until + _ROUND_SECONDS - time.monotonic() - _LAST_SECONDS))
        await self._cut(*self._proxies)

    async def _cut(self, *proxies: Proxy) -> None:
        self.cuts += len(proxies)
        for proxy in proxies:
            proxy.reset()
            proxy.down()
        await asyncio.sleep(_GONE_SECONDS)
        for proxy in proxies:
            proxy.heal()


def cutter(port: int) -> AbstractContextManager[Callable[..., Any]]:
    """Run it in a new process; call it with a coroutine function, which gets its `Cutter`."""
    return hosted(Cutter, port)
