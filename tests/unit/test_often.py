"""A histogram without locks tells what prometheus_client's does."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from common.often import OftenObserved

BUCKETS = (0.5, 1, 2.5)


@given(st.lists(st.sampled_from([0, 0.25, 0.5, 0.75, 1, 2.5, 2.75, 8]) | st.floats(0, 1e6)))
def test_it_tells_the_same(amounts: list[float]) -> None:
    ours, theirs = told(OftenObserved, amounts), told(Histogram, amounts)

    assert ours == theirs


def test_it_tells_what_was_observed_since_it_was_last_read() -> None:
    registry = CollectorRegistry()
    observed = OftenObserved("spent", "Time spent", registry=registry, buckets=BUCKETS)
    for total in (1, 2):
        observed.observe(0.75)
        assert registry.get_sample_value("spent_bucket", {"le": "0.5"}) == 0
        assert registry.get_sample_value("spent_bucket", {"le": "1.0"}) == total
        assert registry.get_sample_value("spent_sum") == pytest.approx(0.75 * total)


def told(kind: type[Histogram], amounts: list[float]) -> list[tuple[str, Any, float]]:
    """The samples of a histogram with a label and one without."""
    registry = CollectorRegistry()
    plain = kind("plain", "Without labels", registry=registry, buckets=BUCKETS)
    labelled = kind("labelled", "With a label", ["path"], registry=registry, buckets=BUCKETS)
    for amount in amounts:
        plain.observe(amount)
        labelled.labels("/").observe(amount)
    return [
        (sample.name, sample.labels, sample.value)
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    ]
