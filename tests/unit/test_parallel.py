"""How tests are spread over processes."""

from pathlib import Path

from tests.parallel import BROWSER, HEAVY, SPREAD, share, unit

ROOT = Path(__file__).resolve().parents[2]


def test_the_files_that_are_named_are_there() -> None:
    assert [file for file in HEAVY | SPREAD if not (ROOT / file).exists()] == []
    assert not HEAVY & SPREAD


def test_a_file_stays_together_unless_its_tests_are_spread() -> None:
    assert unit("tests/unit/test_feed.py::test_one") == unit("tests/unit/test_feed.py::test_other")
    steps = "tests/integration/test_steps.py"
    assert unit(f"{steps}::test_one[a]") != unit(f"{steps}::test_one[b]")
    assert len({unit(f"{file}::test_one") for file in HEAVY}) == 1
    assert unit(f"{BROWSER}test_bell.py::test_one") == unit(f"{BROWSER}test_tabs.py::test_one")


def test_no_two_processes_take_the_same_port() -> None:
    ports = range(100, 200)
    shares = [share(ports, number, 3) for number in range(3)]

    assert [len(taken) for taken in shares] == [33, 33, 33]
    assert len(set().union(*shares)) == 99
    assert set().union(*shares) <= set(ports)
