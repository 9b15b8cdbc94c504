"""KafkaDeadLetters: records that cannot be stored, kept byte for byte with the reason."""

import asyncio
import logging
from collections.abc import Container, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from adapters import metrics
from adapters.kafka.queue import build_producer
from application.errors import Unavailable

logger = logging.getLogger(__name__)

_DEADLINE_SECONDS = 10.0
_MESSAGE_LENGTH = 1_000


class KafkaDeadLetters:
    """Writes to the dead-letter topic, into the partition that the record came from."""

    def __init__(self, bootstrap: str, topic: str, group: str, version: str) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._group = group
        self._version = version
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect. Raises Unavailable."""
        producer = build_producer(self._bootstrap, "bellwire-dead-letters")
        try:
            await producer.start()
        except KafkaError as error:
            await producer.stop()
            raise Unavailable(f"Kafka is out of reach: {error!r}") from error
        self._producer = producer

    async def stop(self) -> None:
        """Disconnect."""
        if self._producer is not None:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                await self._producer.stop()

    async def put(self, letters: Sequence[tuple[Any, str, str]]) -> None:
        """Keep records with the code and the words of why. Raises Unavailable: then none may be passed."""
        if not letters:
            return
        if self._producer is None:
            raise Unavailable("The dead-letter topic is out of reach.")
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                partitions = await self._producer.partitions_for(self._topic)
                sent = [await self._send(self._producer, partitions, *letter) for letter in letters]
                await asyncio.gather(*sent)
        except (KafkaError, TimeoutError) as error:
            raise Unavailable("The dead-letter topic is out of reach.") from error
        for record, code, detail in letters:
            metrics.DEAD_LETTERS.labels(code).inc()
            logger.warning(
                "dead letter: %s %s",
                code,
                detail,
                extra={"partition": record.partition, "offset": record.offset},
            )

    async def _send(
        self, producer: AIOKafkaProducer, partitions: Container[int], record: Any, code: str, detail: str
    ) -> "asyncio.Future[object]":
        headers = {
            "dlq-original-topic": record.topic,
            "dlq-original-partition": str(record.partition),
            "dlq-original-offset": str(record.offset),
            "dlq-original-timestamp": str(record.timestamp),
            "dlq-consumer-group": self._group,
            "dlq-error-code": code,
            "dlq-error-message": detail[:_MESSAGE_LENGTH],
            "dlq-app-version": self._version,
        }
        future: asyncio.Future[object] = await producer.send(
            self._topic,
            # A producer takes no record with neither; the headers of this one say that it had none.
            b"" if record.value is None and record.key is None else record.value,
            key=record.key,
            # Its own, unless the topic was given more partitions than the dead letters have.
            partition=record.partition if record.partition in partitions else None,
            headers=[*record.headers, *((name, value.encode()) for name, value in headers.items())],
        )
        return future
