"""The algebra of limits, against a model that counts exactly."""

from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.rates import Patience, Rate

MICRO = Fraction(1, 1_000_000)

rates = st.builds(Rate, st.integers(1, 5_000), st.integers(1, 3_600))
requests = st.lists(st.tuples(st.integers(0, 2_000_000), st.integers(1, 1_000)), max_size=60)
"""Milliseconds since the one before, and the cost."""


class Bucket:
    """A token bucket, in fractions."""

    def __init__(self, rate: Rate) -> None:
        self._most = Fraction(rate.count)
        self._speed = Fraction(rate.count, rate.seconds)
        self.tokens = self._most
        self._at = Fraction(0)

    def at(self, now: Fraction) -> None:
        self.tokens = min(self._most, self.tokens + (now - self._at) * self._speed)
        self._at = now

    def lacks(self, cost: int) -> Fraction:
        """The seconds until there is enough; all of it for what costs more."""
        return max(Fraction(0), min(Fraction(cost), self._most) - self.tokens) / self._speed


def replay(rate: Rate, asked: Sequence[tuple[int, int]], start: float = 0.0) -> list[tuple[Fraction, int]]:
    """What is admitted, and when; every decision is compared with the bucket."""
    bucket, due, now, admitted = Bucket(rate), 0.0, Fraction(0), []
    for pause, cost in asked:
        now += Fraction(pause, 1000)
        bucket.at(now)
        wait, exact = rate.wait(due, start + float(now), cost), bucket.lacks(cost)
        assert abs(Fraction(wait) - exact) <= 4 * MICRO
        if wait == 0.0:
            due = rate.after(due, start + float(now), cost)
            bucket.tokens -= cost
            admitted.append((now, cost))
    return admitted


@given(rates, requests)
def test_a_rate_decides_as_a_token_bucket_does(rate: Rate, asked: list[tuple[int, int]]) -> None:
    replay(rate, asked)


@given(rates, requests)
def test_no_window_has_more_than_the_count_and_what_came_back(
    rate: Rate, asked: list[tuple[int, int]]
) -> None:
    admitted = replay(rate, [(pause, min(cost, rate.count)) for pause, cost in asked])

    for first, (began, _) in enumerate(admitted):
        total = 0
        for at, cost in admitted[first:]:
            total += cost
            back = (at - began) / rate.seconds * rate.count
            assert total <= rate.count + back + 4 * MICRO * rate.count / rate.seconds + Fraction(1, 1_000)


@given(rates, st.integers(1, 1_000), st.integers(0, 10_000))
def test_who_waits_as_long_as_told_is_admitted(rate: Rate, cost: int, taken: int) -> None:
    due = rate.after(0.0, 0.0, taken)
    wait = rate.wait(due, 0.0, cost)

    assert rate.wait(due, wait + 2e-6, cost) == 0.0


@given(rates, st.integers(0, 10_000))
def test_what_is_left_can_be_taken_and_no_more(rate: Rate, taken: int) -> None:
    due = rate.after(0.0, 0.0, taken)
    left = rate.left(due, 0.0)

    assert left == max(0, rate.count - taken)
    assert left == 0 or rate.wait(due, 0.0, left) == 0.0
    assert left == rate.count or rate.wait(due, 0.0, left + 1) > 0.0


def test_what_costs_more_than_the_count_is_admitted_when_all_is_there_and_paid_off_later() -> None:
    rate = Rate(10, 1)

    assert rate.wait(0.0, 0.0, 25) == 0.0
    due = rate.after(0.0, 0.0, 25)
    assert rate.wait(due, 0.0, 1) == pytest.approx(1.6)
    assert rate.wait(due, 0.0, 25) == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("text", "count", "seconds"),
    [
        ("100/s", 100, 1),
        ("10/m", 10, 60),
        ("5000/h", 5000, 3600),
        ("1/d", 1, 86_400),
        ("300/10s", 300, 10),
        ("30000/5m", 30_000, 300),
    ],
)
def test_a_rate_is_read(text: str, count: int, seconds: int) -> None:
    assert Rate.parse(text) == Rate(count, seconds)


@pytest.mark.parametrize("text", ["0", "off"])
def test_a_limit_can_be_switched_off(text: str) -> None:
    assert Rate.parse(text) is None


@pytest.mark.parametrize(
    "text",
    ["", "100", "100/", "/s", "0/s", "-1/s", "1.5/s", "100 / s", "100/0s", "1/w", "OFF", "1/s 2/m", "١/s"],
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a count and a time"):
        Rate.parse(text)


def test_delays_begin_after_some_failures_and_double_up_to_a_limit() -> None:
    patience = Patience(free=3)

    assert [patience.delay(failures, 60) for failures in range(12)] == [
        0,
        0,
        0,
        1,
        2,
        4,
        8,
        16,
        32,
        60,
        60,
        60,
    ]
    assert patience.delay(10**9, 900) == 900
    assert Patience(free=0).delay(100, 900) == 0
