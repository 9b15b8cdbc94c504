"""The larger explorations of a live stream: more faults at once than the unit tests take time for."""

import pytest

from domain.feed import Cursor
from tests.model.following import Scenario, explore

LARGE = {
    "large changes, announced again": Scenario(commits=((0,), (1,), (0,)), large=True, again=True),
    "losses and repeats": Scenario(commits=((0,), (1,), (0,)), losses=1, repeats=1),
    "another epoch, announced again": Scenario(
        before=(0, 1), commits=((2,), (3,)), restores=1, losses=1, comparisons=1
    ),
    "pages of before, failures and retention": Scenario(
        before=(0, 1, 2, 3),
        asked=Cursor("e1", 0),
        commits=((3,), (0,)),
        old_pages=True,
        failures=1,
        prunes=1,
    ),
}


@pytest.mark.parametrize("fault", LARGE)
def test_the_stream_is_whole_in_every_schedule_with(fault: str) -> None:
    explored = explore(LARGE[fault])

    print(f"{explored.worlds:,} worlds, {explored.quiet} of them quiet")
    assert explored.violation is None, f"{explored.violation}, after:\n" + "\n".join(explored.schedule)
    assert explored.quiet > 0
