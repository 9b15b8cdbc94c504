"""Metrics of what happens with every request."""

from bisect import bisect_left
from collections.abc import Iterable
from typing import Any

from prometheus_client import Counter, Histogram
from prometheus_client.samples import Sample


class OftenCounted(Counter):
    """Counts in a fifth of the time: without a lock. So only one thread may count. Metrics may be read in
    others.
    """

    def _metric_init(self) -> None:
        super()._metric_init()
        self._counted = 0.0

    def inc(self, amount: float = 1, exemplar: Any = None) -> None:
        """Count an amount, which is not negative."""
        self._counted += amount

    def _child_samples(self) -> Iterable[Sample]:
        """What was counted, as prometheus_client tells it."""
        self._value.set(self._counted)
        return super()._child_samples()


class OftenObserved(Histogram):
    """Observes in a quarter of the time: without the locks, of which an observation takes two, and without
    looking at each bucket. So only one thread may observe. Metrics may be read in others.
    """

    def _metric_init(self) -> None:
        super()._metric_init()
        self._observed = [0] * len(self._upper_bounds)
        self._together = 0.0

    def observe(self, amount: float, exemplar: Any = None) -> None:
        """Count an amount."""
        self._observed[bisect_left(self._upper_bounds, amount)] += 1
        self._together += amount

    def _child_samples(self) -> Iterable[Sample]:
        """What was observed, as prometheus_client tells it."""
        for bucket, observed in zip(self._buckets, self._observed, strict=True):
            bucket.set(observed)
        self._sum.set(self._together)
        return super()._child_samples()
