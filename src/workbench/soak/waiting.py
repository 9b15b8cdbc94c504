"""Waiting for a condition, in bounded time."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

SETTLE_SECONDS = 90.0


class TooLate(Exception):
    """What was waited for did not happen in time."""


async def eventually(condition: Callable[[], Any], what: str, seconds: float = SETTLE_SECONDS) -> None:
    """Wait for a condition, plain or awaitable. Raises TooLate."""
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
