"""The embedded broker's queue, when it stops."""

import asyncio
from collections.abc import Callable, Mapping

from application.errors import Unavailable
from entrypoints.container.inspection import InspectionContainer
from entrypoints.container.parts.base import build
from entrypoints.settings import Settings

_PAUSE_SECONDS = 0.1


def drain(environment: Mapping[str, str], goes_on: Callable[[], bool]) -> int:
    """Wait until everything in the queue is stored, as long as `goes_on`. Return how many records are not;
    0 if the broker does not answer.
    """
    kafka = build(InspectionContainer, Settings.read(environment)).kafka()

    async def drained() -> int:
        while True:
            lag = (await kafka.look()).lag or 0
            if not lag or not goes_on():
                return lag
            await asyncio.sleep(_PAUSE_SECONDS)

    try:
        return asyncio.run(drained())
    except Unavailable:
        return 0
