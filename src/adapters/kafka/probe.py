"""Whether a broker answers on a new connection."""

import asyncio

from aiokafka.client import AIOKafkaClient

from adapters.kafka.failures import FAILURES
from adapters.kafka.login import ANONYMOUS, Login

_ANSWER_SECONDS = 3.0


async def broker_answers(bootstrap: str, login: Login = ANONYMOUS) -> bool:
    """Whether a new connection reaches a broker."""
    client = AIOKafkaClient(**login, bootstrap_servers=bootstrap)
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            await client.bootstrap()
    except FAILURES:
        return False
    finally:
        await client.close()
    return True
