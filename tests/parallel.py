"""How tests are spread over processes: `pytest -n 4`, which `make test` uses.

Every process has servers of its own, so a test that kills or fills one disturbs no other. A file stays in
one process, because its tests may share what is expensive to make. The tests of the files in `SPREAD` take
long and share nothing: they go one by one to the process that is free. Those in `HEAVY` need a good part of
the machine: one process runs them one after another. So it does those in `BROWSER`, which share one browser
and one product. What takes long comes first; what is quick fills the gaps at the end.
"""

from typing import Final

import pytest
from xdist.scheduler import LoadScopeScheduling

from workbench import embedded

INTEGRATION: Final = "tests/integration/"
BROWSER: Final = "tests/browser/"
HEAVY: Final = frozenset(
    {
        "tests/integration/test_broker_away.py",
        "tests/integration/test_front_attacks.py",
        "tests/integration/test_soak.py",
        "tests/integration/test_stress.py",
    }
)
SPREAD: Final = frozenset(
    {
        "tests/integration/test_broker_faults.py",
        "tests/integration/test_client.py",
        "tests/integration/test_dead_letters.py",
        "tests/integration/test_drain.py",
        "tests/integration/test_end_to_end.py",
        "tests/integration/test_events.py",
        "tests/integration/test_faults.py",
        "tests/integration/test_flood.py",
        "tests/integration/test_groups.py",
        "tests/integration/test_hostile.py",
        "tests/integration/test_model_index.py",
        "tests/integration/test_people.py",
        "tests/integration/test_postgres_faults.py",
        "tests/integration/test_reading.py",
        "tests/integration/test_redis_faults.py",
        "tests/integration/test_serving.py",
        "tests/integration/test_soak_faults.py",
        "tests/integration/test_steps.py",
        "tests/integration/test_upgrading.py",
        "tests/model/test_every_schedule.py",
        "tests/simulation/test_simulation.py",
    }
)


class Schedule(LoadScopeScheduling):  # type: ignore[misc] # ships no types
    """Hands out units of tests in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)


def unit(nodeid: str) -> str:
    """What a test is handed out with."""
    file = nodeid.partition("::")[0]
    if file.startswith(BROWSER):
        return BROWSER
    if file in HEAVY:
        return "heavy"
    return nodeid if file in SPREAD else file


def in_order(items: list[pytest.Item]) -> None:
    """Put the tests of files that ask for it into the order in which they are written."""
    files = {item.path: nth for nth, item in enumerate(items)}
    items.sort(key=lambda item: (files[item.path], _line(item) if item.get_closest_marker("in_order") else 0))


def _line(item: pytest.Item) -> int:
    return item.location[1] or 0


def longest_first(items: list[pytest.Item]) -> None:
    """Sort what was collected, keeping the order within each kind."""
    items.sort(key=lambda item: _rank(item.nodeid.partition("::")[0]))


def _rank(file: str) -> int:
    kinds = (file in HEAVY, file.startswith(BROWSER), file in SPREAD, file.startswith(INTEGRATION), True)
    return kinds.index(True)


def keep_to_own_ports(worker: str, workers: int) -> None:
    """Take ports from a part of the range that no other process of this run uses.

    A port is free until its server listens, so two processes could choose the same one.
    """
    embedded.PORTS = share(embedded.PORTS, int(worker.removeprefix("gw")), workers)


def share(ports: range, number: int, of: int) -> range:
    size = len(ports) // of
    return ports[number * size : (number + 1) * size]
