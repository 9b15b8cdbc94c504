"""Waiting for a condition, in bounded time."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

SETTLE_SECONDS = 90.0


class TooLate(Exception):
    """A condition did not become true in time."""


async def eventually(condition: Callable[[], Any], what: str, seconds: float = SETTLE_SECONDS) -> None:
    """Wait for a condition, a plain or an awaitable one. Raises TooLate."""
    deadline = time.monotonic() + seconds
    while True:
        met = condition()
        if asyncio.iscoroutine(met):
            met = await met
        if met:
            return
        if time.monotonic() >= deadline:
            raise TooLate(f"not within {seconds:.0f} s: {what}")
        await asyncio.sleep(0.05)
