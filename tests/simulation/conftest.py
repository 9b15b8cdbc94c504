"""How many schedules are played: `pytest tests/simulation --schedules 10000 --seed 42`."""

import pytest


@pytest.fixture
def schedules(request: pytest.FixtureRequest) -> range:
    """The seeds."""
    first: int = request.config.getoption("--seed")
    return range(first, first + request.config.getoption("--schedules"))
