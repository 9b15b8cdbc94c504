"""Sends records to the brokers that lead their partitions.

A record is sent at once, unless a request to its broker is in flight: what arrives while the broker answers
is sent together. aiokafka's producer would do the same, for several times the processor time. Its client is
used as it is: it knows the leaders, opens connections and logs in.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    LeaderNotAvailableError,
    ProducerClosed,
    TopicAuthorizationFailedError,
    UnknownError,
    for_code,
)
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.structs import TopicPartition

from adapters.kafka.batches import Batch, Outcomes, Record
from adapters.kafka.login import ANONYMOUS, Login
from adapters.kafka.produce_request import ProduceRequest
from adapters.kafka.topics import METADATA_SECONDS

logger = logging.getLogger(__name__)

REQUEST_SECONDS: Final = 5.0
_REQUEST_TIMEOUT_MS: Final = int(REQUEST_SECONDS * 1000)
_RETRY_SECONDS: Final = 0.1
_NOBODY: Final = -1
"""Leads a partition that has no leader."""
_PARTITIONER = DefaultPartitioner()


def build_client(bootstrap: str, client_id: str, login: Login = ANONYMOUS) -> AIOKafkaClient:
    """Build a client to produce with. Must be called in a running event loop."""
    return AIOKafkaClient(
        **login,
        bootstrap_servers=bootstrap,
        client_id=client_id,
        request_timeout_ms=_REQUEST_TIMEOUT_MS,
        metadata_max_age_ms=METADATA_SECONDS * 1000,
    )


class Producer:
    """Sends the records of a topic, and tells callers what all in-sync replicas have accepted.

    A broker has one request in flight, and a partition one batch, so that records stay in order when a batch
    is sent again. That happens after an error that may pass, for as long as a request may take. There is no
    idempotence: a batch that is sent again may be on the log twice. A caller that gives up affects no other.
    """

    def __init__(self, client: AIOKafkaClient, topic: str, failed: Callable[[BaseException], None]) -> None:
        """`failed` is told why a batch was not accepted."""
        self.client = client
        self._topic = topic
        self._failed = failed
        self._partitions: tuple[int, ...] = ()
        self._leaders: dict[int, int] = {}
        self._queued: dict[int, deque[Batch]] = {}
        """By partition, in order; never empty."""
        self._in_flight: dict[int, Batch] = {}
        """By partition."""
        self._serving: dict[int, asyncio.Task[None]] = {}
        """By broker, as long as there is something to send to it."""
        self._closed = False

    async def start(self) -> None:
        """Connect. Raises FAILURES."""
        self.client.cluster.add_listener(self._note_leaders)
        await self.client.bootstrap()

    async def close(self) -> None:
        """Send what is queued, or give it up after the request time-out, and disconnect."""
        self._closed = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REQUEST_SECONDS):
                while self._serving:
                    await asyncio.wait([*self._serving.values()])
        for serving in self._serving.values():
            serving.cancel()
        for batches in (self._in_flight.values(), *self._queued.values()):
            for batch in batches:
                batch.settle(accepted=False)
        await self._disconnect()

    async def _disconnect(self) -> None:
        """Close the client. One that learns of no leader any more would raise the reason, closing nothing."""
        if self.is_blind():
            reasons = await asyncio.gather(self.client._sync_task, return_exceptions=True)  # noqa: SLF001
            logger.warning("this producer learned of no leader any more: %r", *reasons)
            self.client._sync_task = None  # noqa: SLF001
        await self.client.close()

    def is_blind(self) -> bool:
        """Whether the client learns of no leader any more. Its task for that ends with an error that it does
        not expect, such as the RuntimeError of FAILURES, and nobody begins another.
        """
        learning = self.client._sync_task  # noqa: SLF001 - there is no other way
        return learning is not None and bool(learning.done())

    def knows_topic(self) -> bool:
        """Whether the partitions are known. They may change at any time."""
        return bool(self._partitions)

    async def learn_topic(self) -> None:
        """Wait until the partitions are known. Raises KafkaError if there is no such topic."""
        await self.client._wait_on_metadata(self._topic)  # noqa: SLF001 - as aiokafka's producer does

    def put_all(self, records: Iterable[Record], outcomes: Outcomes) -> None:
        """Put each record into its partition, in order. The topic must be known. Raises ProducerClosed."""
        if self._closed:
            raise ProducerClosed
        for nth, record in enumerate(records):
            partition = _partition(record[0], self._partitions)
            queued = self._queued.get(partition)
            if queued is None:
                queued = self._queued[partition] = deque()
                self._serve_leader(partition)
            if not queued or not queued[-1].append(record, outcomes, nth):
                queued.append(Batch())
                queued[-1].append(record, outcomes, nth)

    def _note_leaders(self, cluster: Any) -> None:
        """Take over what the client has learned of the topic."""
        known = cluster.partitions_for_topic(self._topic) or ()
        self._partitions = tuple(sorted(known))
        named = {each: TopicPartition(self._topic, each) for each in known}
        self._leaders = {each: cluster.leader_for_partition(name) for each, name in named.items()}
        for partition in self._queued:
            self._serve_leader(partition)

    def _leader(self, partition: int) -> int:
        return self._leaders.get(partition, _NOBODY)

    def _serve_leader(self, partition: int) -> None:
        """Have what is queued for a partition sent, once no request to its leader is in flight."""
        leader = self._leader(partition)
        if leader not in self._serving:
            self._serving[leader] = asyncio.create_task(self._serve(leader))

    async def _serve(self, broker: int) -> None:
        """Send what is queued for a broker, until nothing is."""
        try:
            while batches := self._take(broker):
                await self._deliver(broker, batches)
        finally:
            del self._serving[broker]

    async def _deliver(self, broker: int, batches: Mapping[int, Batch]) -> None:
        """Send batches to a broker, and put those back that are to be sent again."""
        again: Mapping[int, Batch] = {}
        try:
            again = self._settle(batches, await self._send(broker, batches))
            if again:
                self.client.force_metadata_update()
                await asyncio.sleep(_RETRY_SECONDS)
        finally:
            for partition in batches:
                del self._in_flight[partition]
        for partition, batch in again.items():
            self._queued.setdefault(partition, deque()).appendleft(batch)
        for partition in self._queued.keys() & batches.keys():
            self._serve_leader(partition)  # by now it may be another broker

    def _take(self, broker: int) -> dict[int, Batch]:
        """Take the next batch of each partition that a broker leads, and that has none in flight."""
        taken = {}
        until = asyncio.get_running_loop().time() + REQUEST_SECONDS
        for partition, queued in [*self._queued.items()]:
            if self._leader(partition) != broker or partition in self._in_flight:
                continue
            # Those that nobody waits for any more are left out: in a long outage they would only become more.
            while queued and not queued[0].awaited:
                queued.popleft()
            if queued:
                taken[partition] = batch = queued.popleft()
                batch.retried_until = min(batch.retried_until, until)
            if not queued:
                del self._queued[partition]
        self._in_flight |= taken
        return taken

    async def _send(self, broker: int, batches: Mapping[int, Batch]) -> Mapping[int, BaseException]:
        """Send batches to a broker. Return the errors, by partition."""
        if broker == _NOBODY:
            return dict.fromkeys(batches, LeaderNotAvailableError())
        try:
            sent = {partition: batch.sent() for partition, batch in batches.items()}
            codes = await self.client.send(broker, ProduceRequest(self._topic, sent, _REQUEST_TIMEOUT_MS))
        except Exception as error:  # noqa: BLE001 - whatever it is, these callers wait for it
            return dict.fromkeys(batches, error)
        unknown = UnknownError.errno
        return {each: self._error(code) for each in batches if (code := codes.get(each, unknown))}

    def _error(self, code: int) -> BaseException:
        error: type[BaseException] = for_code(code)
        return error(self._topic) if error is TopicAuthorizationFailedError else error()

    def _settle(self, batches: Mapping[int, Batch], errors: Mapping[int, BaseException]) -> dict[int, Batch]:
        """Tell the callers what became of batches. Return those that are to be sent again."""
        again = {}
        now = asyncio.get_running_loop().time()
        for partition, batch in batches.items():
            error = errors.get(partition)
            if error is None:
                batch.settle(accepted=True)
            # What is not an error of the protocol is one of the connection: see FAILURES.
            elif getattr(error, "retriable", True) and now < batch.retried_until:
                again[partition] = batch
            else:
                if batch.awaited:
                    self._failed(error)
                batch.settle(accepted=False)
        return again


@lru_cache(4_096)  # the hash is computed in Python
def _partition(key: bytes, partitions: tuple[int, ...]) -> int:
    """The partition that Kafka's own Java client chooses for a key (murmur2)."""
    chosen: int = _PARTITIONER(key, partitions, partitions)
    return chosen
