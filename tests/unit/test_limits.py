"""Limits as one process applies them, and what several admit together."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

import pytest

from application.errors import Limited
from application.limits import (
    FAILURES,
    LOG_INS,
    MARKS,
    OPENINGS,
    PUBLISH,
    REFUSED,
    REQUESTS,
    SIGN_UPS,
    TICKETS,
    Limits,
)
from application.ports import Use
from application.refused import ChargeRefused
from domain.rates import Rate
from tests.build import TestSeconds
from tests.memory import MemoryRates
from tests.product import eventually

NAMES = (FAILURES, LOG_INS, MARKS, OPENINGS, PUBLISH, REFUSED, REQUESTS, SIGN_UPS, TICKETS)


class Installation:
    """Processes with the same limits, whose clock stands still until it is moved."""

    def __init__(self, rate: Rate | None, processes: int = 1) -> None:
        self.seconds = TestSeconds()
        self.seconds.stand_at(1_000.0)
        self.rates = MemoryRates(self.seconds)
        self.processes = [
            Limits(dict.fromkeys(NAMES, rate), self.rates, self.seconds) for _ in range(processes)
        ]

    def at(self, seconds: float) -> None:
        self.seconds.stand_at(1_000.0 + seconds)


def taken(take: Callable[[], object], most: int = 10_000) -> int:
    """How many are admitted before one is refused."""
    for number in range(most):
        try:
            take()
        except Limited:
            return number
    return most


def test_a_process_alone_admits_the_count_and_then_what_comes_back() -> None:
    alone = Installation(Rate(100, 10))
    publish = alone.processes[0].publish

    assert taken(lambda: publish.take("key")) == 100
    alone.at(1)
    assert taken(lambda: publish.take("key")) == 10
    assert taken(lambda: publish.take("another key")) == 100


def test_without_a_limit_nothing_is_refused_or_remembered() -> None:
    publish = Installation(None).processes[0].publish

    assert taken(lambda: publish.take("key")) == 10_000
    assert len(publish) == 0


def test_a_refusal_says_how_long_to_wait_and_takes_nothing() -> None:
    alone = Installation(Rate(10, 60))
    publish = alone.processes[0].publish
    publish.take("key", 10)

    with pytest.raises(Limited) as refused:
        publish.take("key", 3)
    assert (refused.value.limit, refused.value.retry_seconds) == ("publish", 18)
    alone.at(18)
    publish.take("key", 3)


def test_what_is_left_is_told() -> None:
    publish = Installation(Rate(10, 60)).processes[0].publish

    told = publish.take("key", 4)

    assert told is not None
    assert (told.rate.left(told.behind, 0), told.behind) == (6, 24)
    assert publish.policy == '"publish";q=10;w=60;bellwire-unit="notifications"'


async def test_processes_that_take_turns_admit_the_count_and_a_tenth_more_for_each() -> None:
    """The bound that docs/operations.md states."""
    together = Installation(Rate(1_000, 100), processes=4)
    admitted = 0
    for nth in range(4_000):
        process = together.processes[nth % 4]
        try:
            process.publish.take("key")
            admitted += 1
        except Limited:
            pass
        await process.settle()

    assert 1_000 <= admitted <= 1_000 + 4 * 100


async def test_in_the_long_run_all_processes_together_admit_the_rate() -> None:
    together = Installation(Rate(100, 1), processes=3)
    admitted = 0
    for tick in range(20 * 100):
        together.at(tick / 100)
        for process in together.processes:
            admitted += taken(lambda process=process: process.publish.take("key"), 10)  # type: ignore[misc]
            await process.settle()

    assert 20 * 100 <= admitted <= 100 + 20 * 100 + 3 * 10 + 3 * 10


async def test_what_took_little_is_not_settled() -> None:
    alone = Installation(Rate(1_000, 10))
    for _ in range(99):
        alone.processes[0].publish.take("key")
    await alone.processes[0].settle()
    assert alone.rates.settled == []

    alone.processes[0].publish.take("key")
    await alone.processes[0].settle()
    assert [use.cost for use in alone.rates.settled] == [100]


async def test_a_running_process_settles_by_itself() -> None:
    alone = Installation(Rate(10, 10))
    running = asyncio.create_task(alone.processes[0].run())
    try:
        await asyncio.sleep(0)
        alone.processes[0].publish.take("key")
        await eventually(lambda: len(alone.rates.settled) == 1, "it was settled")
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_while_the_others_are_away_a_process_counts_alone_and_nothing_is_charged_later() -> None:
    together = Installation(Rate(100, 10), processes=2)
    first, second = together.processes
    together.rates.away = True
    for _ in range(50):  # an outage of ten minutes, at half the rate
        assert taken(lambda: first.publish.take("key"), 100) == 100
        await first.settle()
        together.at(together.seconds() - 1_000 + 12)
    together.rates.away = False

    assert taken(lambda: first.publish.take("key")) == 100
    await first.settle()
    assert taken(lambda: second.publish.take("key"), 1) == 1


async def test_what_is_asked_together_is_exact() -> None:
    together = Installation(Rate(10, 60), processes=3)
    for nth in range(10):
        await together.processes[nth % 3].sign_ups.take_together("192.0.2.1")
    for process in together.processes:
        with pytest.raises(Limited) as refused:
            await process.sign_ups.take_together("192.0.2.1")
        assert refused.value.retry_seconds == 6


async def test_what_is_asked_together_is_counted_here_while_the_others_are_away() -> None:
    alone = Installation(Rate(10, 60))
    alone.rates.away = True

    for _ in range(10):
        await alone.processes[0].sign_ups.take_together("192.0.2.1")
    with pytest.raises(Limited):
        await alone.processes[0].sign_ups.take_together("192.0.2.1")


async def test_a_server_that_says_nonsense_does_not_shut_anybody_out_for_long() -> None:
    alone = Installation(Rate(10, 60))
    publish = alone.processes[0].publish
    publish.take("key")

    publish.learn("key", 10**9)
    alone.at(3 * 60)
    publish.take("key")


async def test_parties_that_have_everything_again_are_forgotten() -> None:
    alone = Installation(Rate(10, 60))
    publish = alone.processes[0].publish
    publish.take("early")
    alone.at(5)
    publish.take("late")
    alone.at(7)

    await publish.sweep()

    assert len(publish) == 1
    with pytest.raises(Limited):
        publish.take("late", 10)


def test_a_process_remembers_a_bounded_number_of_parties() -> None:
    publish = Installation(Rate(10, 60)).processes[0].publish
    publish._most_parties = 100

    for party in range(1_000):
        publish.take(str(party))

    assert len(publish) == 100


async def test_what_another_process_charges_refuses_a_party_within_a_second_or_so() -> None:
    there = Installation(Rate(100, 1_000))
    refused, charge = there.processes[0].refused, ChargeRefused(Rate(100, 1_000), there.rates)
    refused.check("key")
    await there.processes[0].settle()
    await charge(["key"] * 150 + ["another"] * 99)

    there.at(1.1)
    for party in ("key", "another"):
        with suppress(Limited):
            refused.check(party)
    await there.processes[0].settle()

    with pytest.raises(Limited) as error:
        refused.check("key")
    assert error.value.retry_seconds == 509
    assert taken(lambda: refused.check("another"), 10) == 10
    there.at(511)
    assert taken(lambda: refused.check("key"), 10) == 10


async def test_a_party_is_asked_about_once_a_second_and_nothing_is_taken() -> None:
    there = Installation(Rate(100, 1_000))
    limits = there.processes[0]
    asked: list[Sequence[Use]] = []
    settle = there.rates.settle

    async def settling(uses: Sequence[Use]) -> Sequence[float]:
        asked.append(uses)
        return await settle(uses)

    there.rates.settle = settling  # type: ignore[method-assign]
    for tenth in range(30):
        there.at(tenth / 10)
        limits.refused.check("key")
        await limits.settle()

    assert [[use.cost for use in uses] for uses in asked] == [[0]] * 3


async def test_while_the_others_are_away_no_key_is_charged_and_nothing_waits() -> None:
    there = Installation(Rate(100, 1_000))
    there.rates.away = True
    await ChargeRefused(Rate(100, 1_000), there.rates)(["key"] * 1_000)
    there.processes[0].refused.check("key")
    await there.processes[0].settle()
    there.rates.away = False
    there.at(2)
    there.processes[0].refused.check("key")
    await there.processes[0].settle()

    assert taken(lambda: there.processes[0].refused.check("key"), 10) == 10


async def test_without_a_limit_no_key_is_charged() -> None:
    there = Installation(None)
    await ChargeRefused(None, there.rates)(["key"] * 1_000)

    there.processes[0].refused.check("key")
    assert len(there.processes[0].refused) == 0
