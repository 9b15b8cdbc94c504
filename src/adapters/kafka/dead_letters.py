"""KafkaDeadLetters: records that cannot be stored, kept byte for byte with the reason."""

import asyncio
import logging
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from adapters.kafka import headers
from adapters.kafka.failures import FAILURES
from adapters.kafka.login import ANONYMOUS, Login
from adapters.kafka.obstacles import DENIALS, denial, why
from adapters.kafka.records import UnreadableBatch
from adapters.kafka.topics import DEAD_LETTER_BYTES, METADATA_SECONDS
from application.errors import Unavailable
from application.ports import Clock
from application.printing import printable
from common import metrics

logger = logging.getLogger(__name__)

MESSAGE_BYTES = 1_000

_DEADLINE_SECONDS = 10.0
# Only the topic's own limit should count: it can be raised while a consumer waits, this one cannot.
_REQUEST_BYTES = 128 * 1024 * 1024


def build_producer(bootstrap: str, client_id: str, login: Login = ANONYMOUS) -> AIOKafkaProducer:
    """Build a producer that leaves the size limit to the topic, without idempotence like the queue's. Must be
    called in a running event loop.
    """
    return AIOKafkaProducer(
        **login,
        bootstrap_servers=bootstrap,
        client_id=client_id,
        acks="all",
        enable_idempotence=False,
        max_request_size=_REQUEST_BYTES,
        request_timeout_ms=5_000,
        retry_backoff_ms=100,
        metadata_max_age_ms=METADATA_SECONDS * 1000,
    )


class KafkaDeadLetters:
    """Writes dead letters, each to the partition with the number that its record came from."""

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        group: str,
        version: str,
        clock: Clock,
        *,
        producer: Callable[[str, str], AIOKafkaProducer] = build_producer,
    ) -> None:
        """`producer` builds a client from the servers and a client id."""
        self._build_producer = producer
        self._bootstrap = bootstrap
        self._topic = topic
        self._group = group
        self._version = version
        self._clock = clock
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect. Raises Unavailable."""
        producer = self._build_producer(self._bootstrap, "bellwire-dead-letters")
        try:
            await producer.start()
        except FAILURES as error:
            await producer.stop()
            raise Unavailable(await why(producer.client, error)) from error
        self._producer = producer

    async def stop(self) -> None:
        """Disconnect."""
        if self._producer is not None:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                await self._producer.stop()

    async def put(self, letters: Sequence[tuple[Any, str, str]]) -> None:
        """Write records, each with the error code and a readable reason. Raises Unavailable: then none may be
        skipped.
        """
        if not letters:
            return
        if self._producer is None:
            raise Unavailable("The dead-letter topic is out of reach.")
        failures = [_Failure(record, code, _shortened(detail)) for record, code, detail in letters]
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                partitions = await self._producer.partitions_for(self._topic)
                sent = [await self._send(self._producer, partitions, failure) for failure in failures]
                await asyncio.gather(*sent)
        except MessageSizeTooLargeError as error:
            raise Unavailable(
                f"A record is too large for {self._topic}: raise the topic's max.message.bytes."
            ) from error
        except DENIALS as error:
            raise Unavailable(denial(self._producer.client, error, "WRITE")) from error
        except FAILURES as error:
            raise Unavailable("The dead-letter topic is out of reach.") from error
        for failure in failures:
            metrics.DEAD_LETTERS.labels(failure.code).inc()
            logger.warning(
                "dead letter: %s %s",
                failure.code,
                failure.message,
                extra={"partition": failure.record.partition, "offset": failure.record.offset},
            )

    async def _send(
        self, producer: AIOKafkaProducer, partitions: Container[int], failure: "_Failure"
    ) -> "asyncio.Future[object]":
        record = failure.record
        # A producer accepts no record without key and value; the error code of this one says that it had
        # none.
        value = b"" if record.value is None and record.key is None else record.value
        future: asyncio.Future[object] = await producer.send(
            self._topic,
            value,
            key=record.key,
            # The same number, unless the dead-letter topic has fewer partitions.
            partition=record.partition if record.partition in partitions else None,
            headers=self._headers(failure, value),
        )
        return future

    def _headers(self, failure: "_Failure", value: bytes | None) -> headers.Headers:
        """The record's headers and ours. If they make the letter too large, the message is shortened."""
        record, at = failure.record, self._clock()
        reasons = {
            headers.GROUP: self._group,
            headers.ERROR_CLASS: headers.error_class(failure.code),
            headers.ERROR_CODE: failure.code,
            headers.VERSION: self._version,
        }
        if isinstance(record, UnreadableBatch):
            reasons[headers.LAST_OFFSET] = str(record.end - 1)

        def with_message(message: str) -> headers.Headers:
            return headers.of_letter(record, at, {**reasons, headers.ERROR_MESSAGE: message})

        made = with_message(failure.message)
        size = DefaultRecordBatchBuilder.estimate_size_in_bytes(record.key, value, made)
        if size <= DEAD_LETTER_BYTES:
            return made
        room = len(failure.message.encode()) - (size - DEAD_LETTER_BYTES)
        return with_message(_cut(failure.message, max(room, 0)))


@dataclass(frozen=True, slots=True)
class _Failure:
    record: Any
    code: str
    message: str


def _shortened(detail: str) -> str:
    """Shorten a text for a header and a log line, and make it printable: it may quote a producer's field
    names.
    """
    return _cut(printable(detail[:MESSAGE_BYTES]), MESSAGE_BYTES)


def _cut(text: str, size: int) -> str:
    """Cut a text to this many bytes of UTF-8, without splitting a character."""
    return text.encode()[:size].decode(errors="ignore")
