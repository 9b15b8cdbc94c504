"""The rules between the feeds and the unread index: right in every schedule, and none of them can go."""

import pytest

from tests.model.protocol import Marking, Protocol, Scenario, explore

READ, UNREAD = Marking(1), Marking(1, read=False)

RIGHT = {
    "a crash": Scenario(records=(1, 2), marks=((READ,),), fetches=(2,), crashes=1),
    "a flush": Scenario(records=(1, 2), marks=((READ,),), fetches=(1, 1), flushes=1),
    "a crash and a flush": Scenario(
        records=(1,), marks=((READ, UNREAD),), fetches=(1, 1), crashes=1, flushes=1
    ),
    "two devices": Scenario(
        records=(1, 2), marks=((READ,), (Marking(3, named=False),)), fetches=(1,), flushes=1
    ),
    "a record twice in the topic": Scenario(records=(1, 1), marks=((READ,),), fetches=(1, 1)),
    "lost announcements": Scenario(records=(1,), marks=((READ, UNREAD),), fetches=(1, 1), losses=2),
    "leases that expire": Scenario(
        records=(1,), marks=((READ,),), fetches=(1, 1), crashes=1, flushes=1, leases_expire=True
    ),
    "an entry of one": Scenario(records=(2, 4, 1), marks=((Marking(4),),), fetches=(2,), capacity=1),
}

# Each with what it takes to go wrong, and no more.
WRONG = {
    "applied whatever the version": (
        Protocol(checks_versions=False),
        Scenario(records=(1,), marks=((READ,),)),
    ),
    "kept over a gap": (Protocol(drops_on_gap=False), Scenario(records=(1,), marks=((READ,),))),
    "begun by a change": (Protocol(needs_entry=False), Scenario(records=(1, 2), flushes=1)),
    "loaded without a lease": (Protocol(leases=False), Scenario(records=(1,))),
    "leases outlive an announcement": (Protocol(voids_leases=False), Scenario(records=(1,))),
    "leases are counted": (
        Protocol(random_leases=False),
        Scenario(records=(1,), fetches=(1, 1), flushes=1),
    ),
    "a redelivered batch says nothing": (
        Protocol(settles_redelivered=False),
        Scenario(records=(1,), crashes=1),
    ),
    "a repeated mark says nothing": (
        Protocol(settles_marked=False),
        Scenario(records=(1,), marks=((READ,),), crashes=1),
    ),
    "a lost announcement is forgotten": (
        Protocol(remembers_untold=False),
        Scenario(records=(1,), losses=1),
    ),
    "anything enters a full entry": (
        Protocol(knows_window=False),
        Scenario(records=(2, 4, 1), marks=((Marking(4),),), capacity=1),
    ),
}


@pytest.mark.parametrize("fault", RIGHT)
def test_the_index_is_right_in_every_schedule_with(fault: str) -> None:
    explored = explore(RIGHT[fault])

    print(f"{explored.states:,} states, {explored.finals} of them quiet, {explored.warm} of those warm")
    assert explored.violation is None, (
        f"{explored.violation} (state {explored.states}), after:\n" + "\n".join(explored.schedule)
    )
    assert explored.warm > 0
    assert explored.states > 1_000, f"only {explored.states} states"


@pytest.mark.parametrize("shortcut", WRONG)
def test_the_index_goes_wrong_in_some_schedule_if(shortcut: str) -> None:
    rules, scenario = WRONG[shortcut]

    assert explore(scenario, rules).violation is not None
    assert explore(scenario).violation is None


def test_counted_leases_are_only_wrong_because_a_flush_starts_the_count_again() -> None:
    scenario = Scenario(records=(1,), marks=((READ,),), fetches=(1, 1), crashes=1)

    assert explore(scenario, Protocol(random_leases=False)).violation is None


def test_a_violation_comes_with_a_shortest_schedule() -> None:
    explored = explore(Scenario(records=(1,)), Protocol(voids_leases=False))

    assert explored.violation == "the entry is older than an announcement that arrived"
    assert [step.partition(":")[0] for step in explored.schedule] == [
        "a reader misses and has lease 1",
        "a reader reads version 0",
        "consumer stores up to record 1",
        "announced",
        "a reader loads version 0",
    ]
