"""The schedule of faults: drawn from a seed, every fault before one comes again."""

from itertools import pairwise

from workbench.soak.faults import CATALOGUE, draw

HOUR = 3600.0


def test_a_seed_is_a_schedule() -> None:
    assert draw(7, HOUR, durable_broker=True) == draw(7, HOUR, durable_broker=True)


def test_seeds_differ() -> None:
    first, second = ([each.fault for each in draw(seed, HOUR, durable_broker=True)] for seed in (1, 2))

    assert first != second


def test_every_fault_comes_once_before_one_comes_twice() -> None:
    names = [each.fault for each in draw(3, HOUR, durable_broker=True)]

    assert set(names[: len(CATALOGUE)]) == set(CATALOGUE)


def test_what_neither_kills_nor_cuts_off_is_drawn_too() -> None:
    names = [each.fault for each in draw(3, HOUR, durable_broker=False)]

    assert {
        "read-only PostgreSQL",
        "demoted Redis",
        "demoted Redis that does not serve stale data",
        "Redis closes idle connections",
        "damaged records from Kafka",
    } <= set(names)


def test_faults_follow_one_another_within_the_time() -> None:
    planned = draw(11, HOUR, durable_broker=True)

    assert all(late.at >= early.at + early.seconds for early, late in pairwise(planned))
    assert planned[0].at > 0
    assert planned[-1].at + planned[-1].seconds <= HOUR


def test_a_broker_that_forgets_is_not_killed() -> None:
    names = {each.fault for each in draw(5, HOUR, durable_broker=False)}

    assert "kill Kafka" not in names
    assert "freeze Kafka" in names


def test_a_short_run_has_faults_too() -> None:
    assert len(draw(1, 40.0, durable_broker=False)) >= 2
