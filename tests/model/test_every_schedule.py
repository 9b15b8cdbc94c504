"""The larger explorations of the protocol: more faults at once than the unit tests take time for."""

import pytest

from tests.model.protocol import Marking, Scenario, explore

READ, UNREAD = Marking(1), Marking(1, read=False)

LARGE = {
    "two crashes and a flush": Scenario(
        records=(1, 2), marks=((READ,),), fetches=(1, 1), crashes=2, flushes=1
    ),
    "three readers, everything once": Scenario(
        records=(1,), marks=((READ,),), fetches=(1, 1, 1), crashes=1, flushes=1, losses=1, leases_expire=True
    ),
    "two devices that crash": Scenario(
        records=(1, 2), marks=((READ, UNREAD), (Marking(3, named=False),)), fetches=(1,), crashes=1
    ),
    "an entry of one, and everything once": Scenario(
        records=(2, 4, 1), marks=((Marking(4),),), fetches=(2,), crashes=1, flushes=1, capacity=1
    ),
}


@pytest.mark.parametrize("fault", LARGE)
def test_the_index_is_right_in_every_schedule_with(fault: str) -> None:
    explored = explore(LARGE[fault])

    print(f"{explored.states:,} states, {explored.finals} of them quiet, {explored.warm} of those warm")
    assert explored.violation is None, (
        f"{explored.violation} (state {explored.states}), after:\n" + "\n".join(explored.schedule)
    )
    assert explored.warm > 0
