"""Floods of bad records: told from a mistake of this release, and what stands still until they are."""

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
    """How many in a row there have been."""
    unproven: int = 0
    """How many of them since this consumer last stored anything."""
    counted: int = 0
    """Up to which offset they are counted: what comes again is not counted again."""


@dataclass(slots=True)
class _Stop:
    offset: int
    reason: str
    end: int
    """Up to where the partition was read ahead."""
    until: float
    """When to look again at what stopped it."""
    returning: bool = False
    """Whether it is read from `offset` again, or about to be."""


class Floods:
    """Stops a partition when nothing proves that this service still works.

    So many bad records in a row are a producer's mistake, or one of this release, which would turn everything
    into dead letters. Any record that this consumer stores, of whatever partition, proves the former: then
    the bad ones become dead letters like others. While it stores none, the partition stops. It is still read,
    ahead of where it stopped; the first good record there is proof as well.
    """

    def __init__(self, limit: int, now: Monotonic, look_again_seconds: float = LOOK_AGAIN_SECONDS) -> None:
        """`limit` is how many bad records in a row stop a partition (0: none ever does)."""
        self._limit = limit
        self._look_again_seconds = look_again_seconds
        self._now = now
        self._rows: dict[Partition, _Row] = {}
        self._stops: dict[Partition, _Stop] = {}
        self._proven: dict[Partition, int] = {}
        """What goes on from where it stopped, with the next read."""

    def judge(self, partition: Partition, records: Iterable[tuple[int, bool]], *, proven: bool) -> int | None:
        """Count records in their order: the offset of each, and whether it is bad. `proven` is whether
        anything was stored together with them. Return the offset at which the partition must stop, if it
        must; that record is counted when it comes again.
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
        """Stop a partition that was read up to `end`. Return from where to read ahead: where it was read
        ahead already, it is not read again.
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
        """A partition that stopped was read up to here."""
        stop = self._stops.get(partition)
        if stop is not None:
            stop.end = max(stop.end, end)

    def prove(self) -> None:
        """Something was stored: what stopped goes on, and up to where it was read ahead nothing stops it."""
        for row in self._rows.values():
            row.unproven = 0
        for partition, stop in self._stops.items():
            self._rows[partition] = _Row(counted=stop.end)
            if not stop.returning:
                self._proven[partition] = stop.offset
            logger.warning(
                "partition %d goes on: others are stored, so the bad records from offset %d up to %d become"
                " dead letters",
                partition.partition,
                stop.offset,
                stop.end,
            )
        self._stops.clear()

    def due(self) -> Mapping[Partition, int]:
        """Which partitions to read from where they stopped: those that go on, and now and then the others,
        because their records may be good by now.
        """
        due, self._proven = self._proven, {}
        for partition, stop in self._stops.items():
            if stop.until <= self._now() and not stop.returning:
                stop.returning = True
                due[partition] = stop.offset
        return due

    def returned(self, partition: Partition) -> None:
        """A partition is read from where it stopped again, for another reason."""
        self._proven.pop(partition, None)
        if partition in self._stops:
            self._stops[partition].returning = True

    def clear(self) -> None:
        """Forget what stopped, and offsets: the partitions are others' now. That nothing was proven holds."""
        self._stops.clear()
        self._proven.clear()
        for row in self._rows.values():
            row.counted = 0

    @property
    def reasons(self) -> Mapping[Partition, str]:
        """What stopped, and why."""
        return {partition: stop.reason for partition, stop in self._stops.items()}

    @property
    def ahead(self) -> int:
        """How many records were read ahead and are still to be dealt with."""
        return sum(stop.end - stop.offset for stop in self._stops.values() if not stop.returning)
