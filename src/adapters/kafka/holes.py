"""Ends a broker's answer where offsets are missing, so that they are asked for again.

On Apache Kafka each record batch follows the one before it (the markers of transactions are batches too),
unless the topic is compacted. The embedded broker counts a batch before it can be read: `produce` in Tansu's
`dynostore.rs` raises the high watermark, then stores. When several producers write, an answer may contain a
batch and not yet the one before it. A consumer that goes on behind it never reads a record that was
acknowledged.
"""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, TypeVar

from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import PartitionRecords

from application.errors import Unavailable

logger = logging.getLogger(__name__)

Found = TypeVar("Found")

_LOOKS: Final = 4
_UNKNOWN: Final = -1


class Hole(Unavailable):
    """A broker returns records from beyond an offset, and none at it: not yet, or never."""

    def __init__(self, offset: int, end: int) -> None:
        super().__init__(f"offsets {offset} to {end - 1} are missing")


class Consecutive(PartitionRecords):  # type: ignore[misc]
    """aiokafka's reader of an answer, up to the first hole. Raises Hole if the answer begins with one."""

    def __init__(
        self, partition: Any, batches: Any, aborted: Any, offset: int, *options: Any, **named: Any
    ) -> None:
        super().__init__(partition, _UpToHole(batches, offset), aborted, offset, *options, **named)


class _UpToHole:
    """Replaces aiokafka's MemoryRecords: the same batches, as long as each follows the one before."""

    def __init__(self, batches: Any, offset: int) -> None:
        self._batches = batches
        self._start = self._next = offset
        self._batch: Any = None

    def has_next(self) -> bool:
        if not self._batches.has_next():
            return False
        self._batch = self._batches.next_batch()
        # Batches of the formats before 2 do not know their first offset.
        base = getattr(self._batch, "base_offset", _UNKNOWN)
        if base > self._next:
            if self._next == self._start:
                raise Hole(self._next, base)
            return False
        self._next = self._batch.next_offset
        return True

    def next_batch(self) -> Any:
        return self._batch


def stop_at_holes() -> None:
    """Have aiokafka's consumers read with `Consecutive`: they have no setting for that."""
    fetcher.PartitionRecords = Consecutive


class Patience(Generic[Found]):
    """Reads partitions alone, up to a hole, and over one that was there four times. The pauses between these
    reads (`Holds`) add up to about a second.
    """

    def __init__(self, read: Callable[..., Awaitable[Found]]) -> None:
        """`read` is `records.read`, or takes the same arguments."""
        self._read = read
        self._looks = Counter[tuple[TopicPartition, int]]()
        """How many reads found a hole, by where it begins."""

    async def __call__(self, client: Any, partition: TopicPartition, start: int, **bounds: int) -> Found:
        """Read a partition from an offset on. Raises Hole, and what `read` raises."""
        place = partition, start
        final = self._looks[place] >= _LOOKS
        try:
            found = await self._read(client, partition, start, over_holes=final, **bounds)
        except Hole:
            self._looks[place] += 1
            raise
        if final:
            logger.warning(
                "partition %d has a hole at offset %d; read on behind it", partition.partition, start
            )
        del self._looks[place]
        return found
