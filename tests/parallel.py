"""How tests are spread over processes: `pytest -n 4`, which `make test` uses.

Every process has servers of its own, so a test that kills or fills one disturbs no other. A file stays in one
process, because its tests may share what is expensive to make; the tests of the files in `SPREAD` take long
and share nothing, and go one by one to the process that is free. What takes long comes first, and what is
quick fills the gaps at the end.
"""

from typing import Final

import pytest
from xdist.scheduler import LoadScopeScheduling

from workbench import embedded

INTEGRATION: Final = "tests/integration/"
SPREAD: Final = frozenset(
    {
        "tests/integration/test_broker_away.py",
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
        "tests/integration/test_postgres_faults.py",
        "tests/integration/test_reading.py",
        "tests/integration/test_redis_faults.py",
        "tests/integration/test_serving.py",
        "tests/integration/test_soak_faults.py",
        "tests/integration/test_steps.py",
        "tests/model/test_every_schedule.py",
        "tests/simulation/test_simulation.py",
    }
)


class Schedule(LoadScopeScheduling):  # type: ignore[misc] # ships no types
    """Hands out files, and single tests of those in `SPREAD`, in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return nodeid if file in SPREAD else file


def last_in_its_file(items: list[pytest.Item]) -> None:
    """Move tests that look back at the others of their file behind them."""
    files = {item.path: nth for nth, item in enumerate(items)}
    items.sort(key=lambda item: (files[item.path], item.get_closest_marker("last") is not None))


def longest_first(items: list[pytest.Item]) -> None:
    """Sort what was collected, keeping the order within each kind."""
    items.sort(key=lambda item: _rank(item.nodeid.partition("::")[0]))


def _rank(file: str) -> int:
    if file in SPREAD:
        return 0
    return 1 if file.startswith(INTEGRATION) else 2


def keep_to_own_ports(worker: str, workers: int) -> None:
    """Take ports from a part of the range that no other process of this run uses.

    A port is free until its server listens, so two processes could choose the same one.
    """
    embedded.PORTS = share(embedded.PORTS, int(worker.removeprefix("gw")), workers)


def share(ports: range, number: int, of: int) -> range:
    size = len(ports) // of
    return ports[number * size : (number + 1) * size]
