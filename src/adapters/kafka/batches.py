"""Record batches, and who waits for their records."""

import asyncio
from collections.abc import Sequence
from math import inf
from typing import TypeAlias

from aiokafka.record.default_records import DefaultRecordBatchBuilder

MAX_BYTES = 512 * 1024
"""Of a batch. A partition has one in flight, so this bounds what it accepts in a round trip. It is below the
megabyte that brokers accept by default.
"""

_SHARES = 32

Record: TypeAlias = tuple[bytes, bytes, Sequence[tuple[str, bytes]]]
"""A record as it is sent: its key, its value and its headers."""


class Outcomes:
    """Which records of one caller the brokers accepted."""

    __slots__ = ("accepted", "complete", "unknown")

    def __init__(self, count: int) -> None:
        self.accepted = [False] * count
        self.complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the fate of every record is known, or when the caller no longer waits."""
        self.unknown = count
        """How many records have no fate yet."""

    def settle(self, nth: int, *, accepted: bool) -> None:
        """Note what became of a record, once."""
        self.accepted[nth] = accepted
        self.unknown -= 1
        if not self.unknown:
            self.expire()

    def expire(self) -> None:
        """Have the caller wait no longer."""
        if not self.complete.done():
            self.complete.set_result(None)


class Deadlines:
    """Has callers wait for `seconds`, or up to a 32nd less: those that begin within the same 32nd share a
    timer. To make and cancel one for each costs as much as to encode its record.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = -inf
        """When a timer of its own begins, in seconds of the event loop."""
        self._waiting: set[Outcomes] = set()

    async def completed(self, outcomes: Outcomes) -> None:
        """Return when the outcomes are complete, or at the deadline."""
        loop = outcomes.complete.get_loop()
        now = loop.time()
        if now >= self._until:
            self._waiting, self._until = set(), now + self._seconds / _SHARES
            loop.call_at(now + self._seconds, _expire, self._waiting)
        waiting = self._waiting
        waiting.add(outcomes)
        try:
            await outcomes.complete
        finally:
            waiting.discard(outcomes)


def _expire(waiting: set[Outcomes]) -> None:
    for outcomes in waiting:
        outcomes.expire()


class Batch:
    """Records for one partition that are sent together."""

    __slots__ = ("_builder", "_bytes", "_places", "retried_until")

    def __init__(self) -> None:
        self._builder = DefaultRecordBatchBuilder(
            magic=2,
            compression_type=0,
            is_transactional=0,
            producer_id=-1,  # without idempotence
            producer_epoch=-1,
            base_sequence=0,
            batch_size=MAX_BYTES,
        )
        self._bytes: bytearray | None = None
        self._places: list[tuple[Outcomes, int]] = []
        """Whose record each is."""
        self.retried_until = inf
        """In seconds of the event loop."""

    def append(self, record: Record, outcomes: Outcomes, nth: int) -> bool:
        """Take a record, whose fate becomes the nth outcome. Return False, without taking it, if the batch
        was sent or the record does not fit. The first one may be of any size.
        """
        key, value, headers = record
        if self._bytes is not None:
            return False
        if self._builder.append(len(self._places), None, key, value, headers) is None:
            return False
        self._places.append((outcomes, nth))
        return True

    def sent(self) -> bytearray:
        """The bytes to send. The batch takes no more records."""
        if self._bytes is None:
            self._bytes = self._builder.build()
            del self._builder  # it has a copy
        return self._bytes

    def settle(self, *, accepted: bool) -> None:
        """Tell the callers what became of their records."""
        for outcomes, nth in self._places:
            outcomes.settle(nth, accepted=accepted)

    @property
    def awaited(self) -> bool:
        """Whether any caller still waits for it."""
        return any(not outcomes.complete.done() for outcomes, _ in self._places)
