"""Holds: pauses of partitions that were put back."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from application.ports import Jitter, Monotonic
from application.records import Partition

RETRY_SECONDS = 0.1
_RETRY_SECONDS_MAX = 5.0


@dataclass(slots=True)
class _Hold:
    reason: str | None
    """Why; None if nothing is wrong with the partition itself."""
    until: float
    tried: bool = False
    """Whether it is being retried."""


class Holds:
    """When each partition that was put back is read again, alone."""

    def __init__(
        self,
        now: Monotonic,
        jitter: Jitter,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        """`retry_seconds` is the first pause."""
        self._now = now
        self._jitter = jitter
        self._retry_seconds = retry_seconds
        self._held: dict[Partition, _Hold] = {}
        self._failures: dict[Partition, int] = {}

    def hold(self, partition: Partition, reason: str) -> None:
        """Hold a partition, for longer each time it fails again. The jitter lets partitions that failed
        together return one by one.
        """
        failures = self._failures[partition] = self._failures.get(partition, 0) + 1
        seconds = min(self._retry_seconds * 2.0 ** min(failures - 1, 10), _RETRY_SECONDS_MAX)
        seconds *= self._jitter(0.5, 1)
        self._held[partition] = _Hold(reason, self._now() + seconds)

    def read_alone(self, partition: Partition, seconds: float = 0) -> None:
        """Have a partition read alone although it did not fail."""
        self._held[partition] = _Hold(None, self._now() + seconds)

    def due(self) -> Partition | None:
        """Return a partition whose pause is over, if any. Its hold and the reason stay until it fails again
        or succeeds.
        """
        now = self._now()
        for partition, hold in self._held.items():
            if hold.until <= now and not hold.tried:
                hold.tried = True
                return partition
        return None

    def over(self, partition: Partition) -> bool:
        """End a partition's hold, unless it was held again meanwhile. Return whether it had failed."""
        hold = self._held.get(partition)
        if hold is not None and hold.tried:
            del self._held[partition]
        return self._failures.pop(partition, None) is not None

    def failures(self, partition: Partition) -> int:
        """How many times in a row it has failed."""
        return self._failures.get(partition, 0)

    def succeeded(self, partitions: Iterable[Partition]) -> None:
        """End the holds of these partitions, which were stored. The others are due now."""
        recovered = [self.over(partition) for partition in partitions]
        if any(recovered):
            for partition, hold in self._held.items():
                if partition in self._failures:
                    hold.until = self._now()

    def clear(self) -> None:
        """Forget all holds after a rebalance."""
        self._held.clear()
        self._failures.clear()

    @property
    def reasons(self) -> Mapping[Partition, str]:
        """Why each partition is held."""
        return {partition: hold.reason for partition, hold in self._held.items() if hold.reason is not None}
