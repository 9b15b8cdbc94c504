"""KafkaQueue: writes drafts to Kafka; when it returns, they are durable."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from uuid import UUID

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from adapters.kafka import codec
from adapters.kafka.headers import KEY
from adapters.kafka.login import ANONYMOUS, Login
from adapters.kafka.topics import METADATA_SECONDS
from application.errors import Unavailable, Unconfirmed
from application.ports import Monotonic
from common import metrics, tracing
from domain.notification import Draft

logger = logging.getLogger(__name__)

# With 16 KiB, the default, throughput collapses under concurrency: each full batch wakes all waiters
# (aiokafka#528).
_BATCH_BYTES = 512 * 1024
_LINGER_MS = 5
_REQUEST_TIMEOUT_MS = 5_000
_DEADLINE_SECONDS = 8.0
_IN_FLIGHT = 20_000
_LOOK_SECONDS = 1.0
# Longer than a publish may take, so that a producer that is only slow is kept.
_REPLACE_SECONDS = 10.0


def build_producer(bootstrap: str, client_id: str, login: Login = ANONYMOUS) -> AIOKafkaProducer:
    """Build a producer that waits for all in-sync replicas. Must be called in a running event loop.

    Idempotence stays off: in aiokafka it can make a send hang while brokers are unavailable (#1101) and can
    wedge a partition for good (#1017). PostgreSQL's primary key removes duplicates.
    """
    return AIOKafkaProducer(
        **login,
        bootstrap_servers=bootstrap,
        client_id=client_id,
        acks="all",
        enable_idempotence=False,
        max_batch_size=_BATCH_BYTES,
        max_request_size=2 * 1024 * 1024,
        linger_ms=_LINGER_MS,
        request_timeout_ms=_REQUEST_TIMEOUT_MS,
        retry_backoff_ms=100,
        metadata_max_age_ms=METADATA_SECONDS * 1000,
    )


class KafkaQueue:
    """The queue, keyed by user so that a user's notifications stay in order."""

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        now: Monotonic,
        *,
        producer: Callable[[str, str], AIOKafkaProducer] = build_producer,
    ) -> None:
        """`producer` builds a client from the servers and a client id."""
        self._bootstrap = bootstrap
        self._topic = topic
        self._now = now
        self._build_producer = producer
        self._producer: AIOKafkaProducer | None = None
        self._in_flight = 0
        self._well_at = now()
        """When something last succeeded, or when this producer was made."""
        self._failing_since: float | None = None
        self._told = ""
        self._abandoned: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Connect, and replace a producer with which nothing succeeds any more, until cancelled. Without a
        producer, publishing returns Unconfirmed.
        """
        while True:
            failing = self._failing_since is not None and self._now() - self._failing_since > _REPLACE_SECONDS
            if self._producer is None or failing:
                await self._replace()
            await asyncio.sleep(_LOOK_SECONDS)

    async def stop(self) -> None:
        """Send what is queued, within the request time-out."""
        if self._producer is not None:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                await self._producer.stop()

    async def ping(self) -> None:
        """Raise Unavailable if no broker answers."""
        if self._producer is None:
            raise Unavailable("Kafka is out of reach.")
        try:
            async with asyncio.timeout(2):
                await self._producer.client.fetch_all_metadata()
        except (KafkaError, TimeoutError) as error:
            raise Unavailable("Kafka is out of reach.") from error

    async def put(self, draft: Draft) -> None:
        failure = (await self.put_all([draft]))[0]
        if failure is not None:
            raise failure

    async def put_all(self, drafts: Sequence[Draft]) -> Sequence[Unconfirmed | None]:
        """See NotificationQueue. A send that timed out may still arrive: its outcome is unknown."""
        if not drafts:
            return []
        if self._producer is None or self._in_flight + len(drafts) > _IN_FLIGHT:
            metrics.PUBLISHED.labels("unavailable").inc(len(drafts))
            return [Unconfirmed(draft.id) for draft in drafts]
        self._in_flight += len(drafts)
        started = self._now()
        sent: list[asyncio.Future[object]] = []
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                for draft in drafts:
                    sent.append(await self._send(self._producer, draft))  # noqa: PERF401 - keeps the sends made before a failure
                await asyncio.wait(sent)
        except (TimeoutError, KafkaError) as error:
            self._log_failures(error)
        finally:
            self._in_flight -= len(drafts)
        took = self._now() - started
        metrics.PUBLISH_ACK.observe(took)
        self._log_failures(*filter(None, map(_failure, sent)))
        outcomes = [
            _outcome(draft.id, sent[nth] if nth < len(sent) else None) for nth, draft in enumerate(drafts)
        ]
        self._note_outcomes(len(drafts), sum(outcome is not None for outcome in outcomes), took)
        return outcomes

    def _note_outcomes(self, sent: int, failed: int, took: float) -> None:
        metrics.PUBLISHED.labels("accepted").inc(sent - failed)
        metrics.PUBLISHED.labels("unconfirmed").inc(failed)
        now = self._now()
        if failed < sent:
            self._failing_since, self._well_at = None, now
            self._told = ""
        elif self._failing_since is None:
            self._failing_since = max(now - took, self._well_at)

    def _log_failures(self, *errors: BaseException) -> None:
        """Log why publishes fail, each reason once until something succeeds: while brokers are unavailable
        each publish fails.
        """
        for reason in {repr(error): None for error in errors}:
            if reason != self._told:
                self._told = reason
                logger.warning("Kafka did not accept a notification: %s", reason)

    async def _replace(self) -> None:
        """Replace the producer as soon as a broker answers the new one."""
        producer = self._build_producer(self._bootstrap, "bellwire-api")
        try:
            await producer.start()
        except KafkaError as error:
            logger.warning("Kafka is out of reach: %s", error)
            await producer.stop()
            return
        except Exception:  # a surprise of the driver: nobody else closes this one
            await producer.stop()
            raise
        old, self._producer = self._producer, producer
        self._failing_since, self._well_at = None, self._now()
        if old is not None:
            metrics.PRODUCERS_REPLACED.inc()
            logger.warning("nothing could be published for some time: replacing the producer")
            abandoning = asyncio.create_task(_abandon(old))
            self._abandoned.add(abandoning)
            abandoning.add_done_callback(self._abandoned.discard)

    async def _send(self, producer: AIOKafkaProducer, draft: Draft) -> "asyncio.Future[object]":
        future: asyncio.Future[object] = await producer.send(
            self._topic, codec.encode(draft), key=draft.content.user_id.encode(), headers=_headers(draft)
        )
        return future


def _headers(draft: Draft) -> list[tuple[str, bytes]]:
    """The trace and the sender. Not fields of the value: earlier consumers refuse fields that they do not
    know.
    """
    trace = tracing.parent()
    headers = [("traceparent", trace.encode())] if trace else []
    if draft.key_id is not None:
        headers.append((KEY, draft.key_id.encode()))
    return headers


async def _abandon(producer: AIOKafkaProducer) -> None:
    """Close a producer without waiting for sends that will never succeed."""
    try:
        async with asyncio.timeout(_DEADLINE_SECONDS):
            await producer.stop()
    except (TimeoutError, KafkaError) as error:
        logger.warning("the replaced producer did not close: %r", error)


def _failure(sent: "asyncio.Future[object]") -> BaseException | None:
    return sent.exception() if sent.done() and not sent.cancelled() else None


def _outcome(notification_id: UUID, sent: "asyncio.Future[object] | None") -> Unconfirmed | None:
    if sent is not None and sent.done() and not sent.cancelled() and sent.exception() is None:
        return None
    if sent is not None:
        sent.cancel()
    return Unconfirmed(notification_id)
