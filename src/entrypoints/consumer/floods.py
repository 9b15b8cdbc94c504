"""Floods of bad records: is a producer at fault, or this release? Partitions stop until that is known."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from application.ports import Monotonic
from application.records import Blame, Partition
from common import metrics

logger = logging.getLogger(__name__)

LOOK_AGAIN_SECONDS = 15.0
SENDERS = 5
"""A sender counts for at most a fifth of the limit, so at least so many must have failed in one way."""

_Sender: TypeAlias = tuple[str, str]
"""An API key and a user; either may be empty."""


@dataclass(slots=True)
class _Row:
    """The bad records of a partition."""

    length: int = 0
    """How many came in a row."""
    unproven: dict[str, Counter[_Sender]] = field(default_factory=dict)
    """Those since this consumer last stored anything, by error code and sender, up to a sender's share."""
    counted: int = 0
    """The offset up to which records are counted. Records that are read again are not counted again."""

    def admits(self, code: str, sender: _Sender, limit: int) -> bool:
        """Count a bad record, unless that reaches the limit; return whether it does not."""
        alike = self.unproven.setdefault(code, Counter())
        if alike[sender] >= max(1, limit // SENDERS):
            return True
        if alike.total() + 1 >= limit:
            return False
        alike[sender] += 1
        return True


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

    Bad records of few senders say nothing of the release: they become dead letters and stop nothing. A
    sender is an API key, or where no key is named, a user. Until this process has stored its first record,
    each user of a key is a sender: with one producer, a broken release looks just like that, and a stop holds
    up nobody else.
    """

    def __init__(self, limit: int, now: Monotonic, look_again_seconds: float = LOOK_AGAIN_SECONDS) -> None:
        """`limit` is the number of bad records in a row, alike and of different senders, that stop a
        partition (0: never).
        """
        self._limit = limit
        self._look_again_seconds = look_again_seconds
        self._now = now
        self._works = False
        """Whether this process has ever stored anything."""
        self._rows: dict[Partition, _Row] = {}
        self._stops: dict[Partition, _Stop] = {}
        self._proven: dict[Partition, int] = {}
        """The stops that end with the next read."""

    def judge(
        self, partition: Partition, records: Iterable[tuple[int, Blame | None]], *, proven: bool
    ) -> int | None:
        """Count records in order, each given as its offset and, if it is bad, why. `proven` says whether
        anything was stored together with them. Return the offset at which the partition must stop, or None.
        The record at that offset is counted when it is read again.
        """
        row = self._rows.setdefault(partition, _Row())
        for offset, blame in records:
            if offset < row.counted:
                continue
            if blame is not None and not proven and not self._admits(row, blame):
                return offset
            row.counted = offset + 1
            row.length = 0 if blame is None else row.length + 1
            if row.length == self._limit and blame is not None:
                metrics.FLOODS.inc()
                logger.warning(
                    "partition %d: %d bad records in a row, up to offset %d, become dead letters; %s",
                    partition.partition,
                    self._limit,
                    offset,
                    "others are stored" if proven else "they are of few senders",
                )
        return None

    def _admits(self, row: _Row, blame: Blame) -> bool:
        if not self._limit:
            return True
        user = "" if blame.key_id and self._works else blame.user
        return row.admits(blame.code, (blame.key_id or "", user), self._limit)

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
        self._works = True
        for row in self._rows.values():
            row.unproven.clear()
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
