"""The ways into the service that the load takes: both API processes, and Kafka itself."""

import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Self

import httpx
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from entrypoints.container.parts.base import build
from entrypoints.container.parts.kafka import WithKafka
from entrypoints.settings import Settings
from workbench.local_client import local_client
from workbench.soak.product import Api

AT_ONCE = 100
"""How many requests may be under way."""
_REQUEST_SECONDS = 15.0


class Doors:
    """Open while they are entered."""

    def __init__(self, apis: Sequence[Api], chance: random.Random) -> None:
        self.under_way = 0
        """How many requests are."""
        self._apis = apis
        self._chance = chance
        self._clients: list[httpx.AsyncClient] = []
        self._stack = AsyncExitStack()
        self._producer: AIOKafkaProducer | None = None

    async def __aenter__(self) -> Self:
        for api in self._apis:
            client = local_client(
                base_url=api.url,
                headers={"X-API-Key": api.product.api_key},
                timeout=_REQUEST_SECONDS,
                limits=httpx.Limits(max_connections=2 * AT_ONCE, max_keepalive_connections=20),
            )
            self._clients.append(await self._stack.enter_async_context(client))
        self._producer = AIOKafkaProducer(
            **build(WithKafka, self._settings).kafka_login(),
            bootstrap_servers=self._settings.kafka_bootstrap,
            acks="all",
            request_timeout_ms=5_000,
        )
        await self._stack.enter_async_context(self._producer)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def _settings(self) -> Settings:
        return self._apis[0].product.settings

    async def request(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """Return the status and the body of the answer; status 0 when none came."""
        self.under_way += 1
        try:
            async with asyncio.timeout(2 * _REQUEST_SECONDS):
                client = self._chance.choice(self._clients)
                response = await client.request(method, path, **options)
                return response.status_code, response.json()
        except (httpx.TransportError, TimeoutError) as error:
            return 0, {"error": repr(error)}
        finally:
            self.under_way -= 1

    async def as_user(self, user: str, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """The same with a user's token."""
        headers = {"Authorization": f"Bearer {self._apis[0].product.token(user)}"}
        return await self.request(method, path, headers=headers, **options)

    async def record(self, user: str, value: Mapping[str, Any]) -> int:
        """Write a record as another service would. Return 202 when it is durable, 0 when that is unknown."""
        if self._producer is None:
            return 0
        self.under_way += 1
        try:
            async with asyncio.timeout(2 * _REQUEST_SECONDS):
                topic, text = self._settings.kafka_topic, json.dumps(value).encode()
                await self._producer.send_and_wait(topic, text, key=user.encode())
                return 202
        except (KafkaError, TimeoutError):
            return 0
        finally:
            self.under_way -= 1
