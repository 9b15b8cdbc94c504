"""Metrics without locks tell what prometheus_client's do."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram

from common.often import OftenCounted, OftenObserved

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


@given(st.lists(st.integers(0, 3)))
def test_a_counter_tells_the_same(amounts: list[int]) -> None:
    ours, theirs = counted(OftenCounted, amounts), counted(Counter, amounts)

    assert ours == theirs


def test_a_counter_tells_what_was_counted_since_it_was_last_read() -> None:
    registry = CollectorRegistry()
    counter = OftenCounted("sent", "What was sent", ["way"], registry=registry).labels("out")
    for total in (1, 2):
        counter.inc()
        assert registry.get_sample_value("sent_total", {"way": "out"}) == total


def counted(kind: type[Counter], amounts: list[int]) -> list[tuple[str, Any, float]]:
    """The samples of a counter with a label and one without."""
    registry = CollectorRegistry()
    plain = kind("plain", "Without labels", registry=registry)
    labelled = kind("labelled", "With a label", ["path"], registry=registry)
    for amount in amounts:
        plain.inc(amount)
        labelled.labels("/").inc(amount)
    return samples(registry)


def told(kind: type[Histogram], amounts: list[float]) -> list[tuple[str, Any, float]]:
    """The samples of a histogram with a label and one without."""
    registry = CollectorRegistry()
    plain = kind("plain", "Without labels", registry=registry, buckets=BUCKETS)
    labelled = kind("labelled", "With a label", ["path"], registry=registry, buckets=BUCKETS)
    for amount in amounts:
        plain.observe(amount)
        labelled.labels("/").observe(amount)
    return samples(registry)


def samples(registry: CollectorRegistry) -> list[tuple[str, Any, float]]:
    return [
        (sample.name, sample.labels, sample.value)
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    ]
