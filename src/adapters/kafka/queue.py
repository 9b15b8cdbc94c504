"""KafkaQueue: writes drafts to Kafka; when it returns, they are durable."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from aiokafka.client import AIOKafkaClient

from adapters.kafka import codec
from adapters.kafka.batches import Deadlines, Outcomes, Record
from adapters.kafka.failures import FAILURES
from adapters.kafka.headers import KEY, OWN_ONLY
from adapters.kafka.obstacles import DENIALS, check, denial, why
from adapters.kafka.producer import Producer, build_client
from application.errors import Unavailable, Unconfirmed
from application.ports import Monotonic
from common import metrics, tracing
from domain.notification import Draft

logger = logging.getLogger(__name__)

_DEADLINE_SECONDS = 8.0
_IN_FLIGHT = 20_000
_LOOK_SECONDS = 1.0
# Longer than a publish may take, so that a producer that is only slow is kept.
_REPLACE_SECONDS = 10.0

_ACCEPTED, _UNCONFIRMED, _UNAVAILABLE = map(
    metrics.PUBLISHED.labels, ("accepted", "unconfirmed", "unavailable")
)


class KafkaQueue:
    """The queue, keyed by user so that a user's notifications stay in order."""

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        now: Monotonic,
        *,
        client: Callable[[str, str], AIOKafkaClient] = build_client,
    ) -> None:
        """`client` builds one from the servers and a client id."""
        self._bootstrap = bootstrap
        self._topic = topic
        self._now = now
        self._build_client = client
        self._producer: Producer | None = None
        self._deadlines = Deadlines(_DEADLINE_SECONDS)
        self._in_flight = 0
        self._well_at = now()
        """When something last succeeded, or when this producer was made."""
        self._failing_since: float | None = None
        self._told = ""
        self._abandoned: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Connect, and replace a producer with which nothing succeeds any more, or not everywhere, until
        cancelled. Without a producer, publishing returns Unconfirmed.
        """
        while True:
            failing = self._failing_since is not None and self._now() - self._failing_since > _REPLACE_SECONDS
            if self._producer is None or failing or self._producer.is_blind():
                await self._replace()
            await asyncio.sleep(_LOOK_SECONDS)

    async def stop(self) -> None:
        """Send what is queued, within the request time-out."""
        if self._producer is not None:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                await self._producer.close()

    async def ping(self) -> None:
        """Raise Unavailable if no broker answers."""
        if self._producer is None:
            raise Unavailable(self._told or "Kafka has not been reached yet.")
        await check(self._producer.client)

    async def put(self, draft: Draft) -> None:
        (accepted,) = await self._accepted([draft])
        if not accepted:
            raise Unconfirmed(draft.id)

    async def put_all(self, drafts: Sequence[Draft]) -> Sequence[Unconfirmed | None]:
        """See NotificationQueue. A record that timed out may still arrive: its outcome is unknown."""
        accepted = await self._accepted(drafts) if drafts else ()
        return [None if well else Unconfirmed(draft.id) for draft, well in zip(drafts, accepted, strict=True)]

    async def _accepted(self, drafts: Sequence[Draft]) -> Sequence[bool]:
        """Which of the drafts are known to be durable."""
        producer = self._producer
        if producer is None or self._in_flight + len(drafts) > _IN_FLIGHT:
            _UNAVAILABLE.inc(len(drafts))
            return [False] * len(drafts)
        self._in_flight += len(drafts)
        started = self._now()
        outcomes = Outcomes(len(drafts))
        try:
            if producer.knows_topic():
                await self._settled(producer, drafts, outcomes)
            else:
                async with asyncio.timeout(_DEADLINE_SECONDS):
                    await producer.learn_topic()
                    await self._settled(producer, drafts, outcomes)
            if outcomes.unknown:
                raise TimeoutError
        except FAILURES as error:
            self._log_failure(error)
        finally:
            self._in_flight -= len(drafts)
        ended = self._now()
        metrics.PUBLISH_ACK.observe(ended - started)
        self._note_outcomes(outcomes.accepted, started, ended)
        return outcomes.accepted

    def _settled(self, producer: Producer, drafts: Sequence[Draft], outcomes: Outcomes) -> Awaitable[None]:
        """Put the records. Return what ends when the fate of each is known, or at the deadline."""
        producer.put_all(map(_record, drafts), outcomes)
        return self._deadlines.completed(outcomes)

    def _note_outcomes(self, accepted: Sequence[bool], started: float, ended: float) -> None:
        well = sum(accepted)
        _ACCEPTED.inc(well)
        if well < len(accepted):
            _UNCONFIRMED.inc(len(accepted) - well)
        if well:
            self._failing_since, self._well_at = None, ended
            self._told = ""
        elif self._failing_since is None:
            self._failing_since = max(started, self._well_at)

    def _log_failure(self, error: BaseException) -> None:
        reason = repr(error)
        if self._producer is not None and isinstance(error, DENIALS):
            reason = denial(self._producer.client, error, "WRITE")
        self._tell(f"Kafka did not accept a notification: {reason}")

    def _tell(self, failure: str) -> None:
        """Log a failure, each once until something succeeds: while brokers are unavailable each publish and
        each new producer fails.
        """
        if failure != self._told:
            self._told = failure
            logger.warning("%s", failure)

    async def _replace(self) -> None:
        """Replace the producer as soon as a broker answers the new one."""
        producer = Producer(
            self._build_client(self._bootstrap, "bellwire-api"), self._topic, self._log_failure
        )
        try:
            await producer.start()
        except FAILURES as error:
            await producer.close()
            self._tell(await why(producer.client, error))
            return
        except Exception:  # a surprise of the driver: nobody else closes this one
            await producer.close()
            raise
        old, self._producer = self._producer, producer
        self._failing_since, self._well_at = None, self._now()
        self._told = ""
        if old is not None:
            metrics.PRODUCERS_REPLACED.inc()
            logger.warning("replacing the producer: nothing succeeds with it, or it learns of no leader")
            abandoning = asyncio.create_task(_abandon(old))
            self._abandoned.add(abandoning)
            abandoning.add_done_callback(self._abandoned.discard)


def _record(draft: Draft) -> Record:
    """The record of a draft. The trace and the sender are headers, not fields of the value: earlier consumers
    refuse fields that they do not know.
    """
    trace = tracing.parent()
    headers = [("traceparent", trace.encode())] if trace else []
    if draft.key_id is not None:
        headers.append((KEY, draft.key_id.encode()))
    if draft.own_only:
        headers.append((OWN_ONLY, b"1"))
    return draft.content.user_id.encode(), codec.encode(draft), headers


async def _abandon(producer: Producer) -> None:
    """Close a producer that was replaced. What it has may still be sent."""
    try:
        async with asyncio.timeout(_DEADLINE_SECONDS):
            await producer.close()
    except FAILURES as error:
        logger.warning("the replaced producer did not close: %r", error)
