"""Whether a broker answers on a new connection."""

import asyncio

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

_ANSWER_SECONDS = 3.0


async def broker_answers(bootstrap: str) -> bool:
    """Whether a new connection reaches a broker."""
    client = AIOKafkaClient(bootstrap_servers=bootstrap)
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            await client.bootstrap()
    except (KafkaError, TimeoutError):
        return False
    finally:
        await client.close()
    return True
