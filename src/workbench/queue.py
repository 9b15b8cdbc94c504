"""The embedded broker's queue, when it stops."""

import asyncio
from collections.abc import Callable, Mapping

from adapters.kafka.inspection import KafkaInspection
from application.errors import Unavailable
from entrypoints.container.parts.base import build
from entrypoints.container.parts.kafka import WithTopics
from entrypoints.settings import Settings

_PAUSE_SECONDS = 0.1


def drain(environment: Mapping[str, str], goes_on: Callable[[], bool]) -> int:
    """Wait until everything in the queue is stored, as long as `goes_on`. Return how many records are not;
    0 if the broker does not answer.
    """
    settings = Settings.read(environment)
    parts = build(WithTopics, settings)
    kafka = KafkaInspection(
        settings.kafka_bootstrap, parts.topics(), settings.kafka_group, parts.kafka_login()
    )

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
