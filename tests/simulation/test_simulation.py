"""Thousands of schedules, each with its own crashes, cuts and orders; all of them must come right."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.processes import Parts
from tests.simulation.schedule import Outcome, play
from tests.simulation.weakened import WEAKENED

_SHOWN = 60
_ENOUGH = 2_000
"""Schedules after which every weakness must have shown."""
_PARTS = 4
"""The schedules are played by so many tests, which may run at the same time."""
_RARE = {"a change leaves leases alone": 380}
"""Weaknesses that schedules before this one do not show; only --long plays those."""


def failure(outcome: Outcome, parts: Parts | None = None) -> str:
    """What was broken, the last steps before, and how to see it again."""
    steps = "\n".join(play(outcome.seed, parts, tracing=True).trace[-_SHOWN:])
    again = f"seed {outcome.seed}; to see it again: python -m tests.simulation {outcome.seed}"
    return f"{outcome.broken}\n\nthe last steps:\n{steps}\n\n{again}"


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(_PARTS))
def test_every_promise_is_kept_in_every_schedule(schedules: range, part: int) -> None:
    schedules = schedules[part::_PARTS]
    stored = dead = excused = steps = 0
    for seed in schedules:
        outcome = play(seed)
        if outcome.broken is not None:
            pytest.fail(failure(outcome), pytrace=False)
        stored, dead = stored + outcome.stored, dead + outcome.dead
        excused, steps = excused + (outcome.excused > 0), steps + outcome.steps
    print(
        f"{len(schedules):,} schedules of {steps // len(schedules):,} steps; {stored:,} stored, {dead:,} dead"
        f"; in {excused:,} of them Redis could be behind for a while"
    )
    # Schedules in which nothing happens would prove nothing.
    assert stored > 3 * len(schedules)
    assert dead > len(schedules) // 3
    assert excused < len(schedules) // 2


@pytest.mark.parametrize("bug", WEAKENED)
def test_the_simulation_notices_when(bug: str, request: pytest.FixtureRequest) -> None:
    first = 0 if request.config.getoption("--long") else _RARE.get(bug, 0)
    for seed in range(first, first + _ENOUGH):
        outcome = play(seed, WEAKENED[bug])
        if outcome.broken is not None:
            print(f"after {seed + 1} schedules: {outcome.broken[:160]}")
            return
    pytest.fail(f"nobody noticed in {_ENOUGH} schedules that {bug}")


def test_a_seed_is_the_same_schedule_wherever_it_is_played() -> None:
    root = Path(__file__).parents[2]

    def digest(hash_seed: str) -> bytes:
        environment = {
            **os.environ,
            "PYTHONHASHSEED": hash_seed,
            "PYTHONPATH": os.pathsep.join([str(root / "src"), str(root)]),
        }
        command = [sys.executable, "-m", "tests.simulation", "0", "--count", "40", "--digest"]
        played = subprocess.run(command, cwd=root, env=environment, stdout=subprocess.PIPE, check=True)
        return played.stdout

    assert digest("1") == digest("2")


def test_looking_at_a_schedule_does_not_change_it() -> None:
    for seed in range(20):
        seen, unseen = play(seed, tracing=True), play(seed)
        assert (seen.steps, seen.seconds, seen.stored) == (unseen.steps, unseen.seconds, unseen.stored)
        assert seen.trace
