"""Floods of bad records: is a producer at fault, or this release? Partitions stop until that is known."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from application.ports import Monotonic
from application.records import Partition
from common import metrics

logger = logging.getLogger(__name__)

LOOK_AGAIN_SECONDS = 15.0


@dataclass(slots=True)
class _Row:
    """The bad records of a partition."""

    length: int = 0
    """How many came in a row."""
    unproven: int = 0
    """How many of them came since this consumer last stored anything."""
    counted: int = 0
    """The offset up to which records are counted. Records that are read again are not counted again."""


@dataclass(slots=True)
class _Stop:
    offset: int
    reason: str
    end: int
    """The offset up to which the partition was read ahead."""
    until: float
    """When to retry the records at the stop."""
    returning: bool = False
    """Whether the partition is being read from `offset` again, or is about to be."""


class Floods:
    """Stops a partition while nothing proves that this service works.

    Many bad records in a row are either a producer's mistake or a defect of this release, which would turn
    everything into dead letters. Any record that this consumer stores, from any partition, proves the former:
    the bad records become dead letters as usual. While it stores none, the partition stops. It is still read
    ahead; the first good record there is a proof too.
    """

    def __init__(self, limit: int, now: Monotonic, look_again_seconds: float = LOOK_AGAIN_SECONDS) -> None:
        """`limit` is the number of bad records in a row that stop a partition (0: never)."""
        self._limit = limit
        self._look_again_seconds = look_again_seconds
        self._now = now
        self._rows: dict[Partition, _Row] = {}
        self._stops: dict[Partition, _Stop] = {}
        self._proven: dict[Partition, int] = {}
        """The stops that end with the next read."""

    def judge(self, partition: Partition, records: Iterable[tuple[int, bool]], *, proven: bool) -> int | None:
        """Count records in order, each given as its offset and whether it is bad. `proven` says whether
        anything was stored together with them. Return the offset at which the partition must stop, or None.
        The record at that offset is counted when it is read again.
        """
        row = self._rows.setdefault(partition, _Row())
        for offset, bad in records:
            if offset < row.counted:
                continue
            if bad and not proven and self._limit and row.unproven + 1 >= self._limit:
                return offset
            row.counted = offset + 1
            row.length = row.length + 1 if bad else 0
            row.unproven += bad and not proven
            if row.length == self._limit and bad:
                metrics.FLOODS.inc()
                logger.warning(
                    "partition %d: %d bad records in a row, up to offset %d, become dead letters; others are"
                    " stored",
                    partition.partition,
                    self._limit,
                    offset,
                )
        return None

    def stop(self, partition: Partition, offset: int, end: int, reason: str) -> int:
        """Stop a partition that was read up to `end`. Return the offset from which to read ahead; what was
        read ahead before is skipped.
        """
        before = self._stops.get(partition)
        if before is None:
            metrics.FLOODS.inc()
            logger.error("partition %d is %s", partition.partition, reason)
        else:
            end = max(end, before.end)
        self._stops[partition] = _Stop(offset, reason, end, self._now() + self._look_again_seconds)
        return end

    def read_ahead(self, partition: Partition, end: int) -> None:
        """Note that a stopped partition was read ahead up to here."""
        stop = self._stops.get(partition)
        if stop is not None:
            stop.end = max(stop.end, end)

    def prove(self) -> None:
        """Something was stored: end all stops. Nothing that was read ahead stops its partition again."""
        for row in self._rows.values():
            row.unproven = 0
        for partition, stop in self._stops.items():
            self._rows[partition] = _Row(counted=stop.end)
            if not stop.returning:
                self._proven[partition] = stop.offset
            logger.warning(
                "partition %d continues: other records are stored, so the bad records from offset %d up to %d"
                " become dead letters",
                partition.partition,
                stop.offset,
                stop.end,
            )
        self._stops.clear()

    def due(self) -> Mapping[Partition, int]:
        """Return the partitions to read again from their stop, with its offset: those whose stop ends, and
        from time to time the others, because their records may be good by now.
        """
        due, self._proven = self._proven, {}
        for partition, stop in self._stops.items():
            if stop.until <= self._now() and not stop.returning:
                stop.returning = True
                due[partition] = stop.offset
        return due

    def returned(self, partition: Partition) -> None:
        """Note that a partition is read from its stop again, for another reason."""
        self._proven.pop(partition, None)
        if partition in self._stops:
            self._stops[partition].returning = True

    def clear(self) -> None:
        """Forget stops and offsets after a rebalance. Bad records stay counted since the last proof."""
        self._stops.clear()
        self._proven.clear()
        for row in self._rows.values():
            row.counted = 0

    @property
    def reasons(self) -> Mapping[Partition, str]:
        """Why each stopped partition stopped."""
        return {partition: stop.reason for partition, stop in self._stops.items()}

    @property
    def ahead(self) -> int:
        """How many records were read ahead and are not yet stored or dead letters."""
        return sum(stop.end - stop.offset for stop in self._stops.values() if not stop.returning)
