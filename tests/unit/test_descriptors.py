"""Who gives way when descriptors run out."""

import logging
import resource
from dataclasses import dataclass
from typing import Any

import pytest

from adapters.websocket.descriptors import RESERVE, Shortage


@dataclass
class Connection:
    waiting_since: float | None
    dropped: bool = False

    def give_way(self) -> None:
        self.dropped = True


class Established:
    """A connection that cannot give way, as a socket."""


@dataclass
class Transport:
    descriptor: int

    def get_extra_info(self, _name: str) -> Any:
        return self

    def fileno(self) -> int:
        return self.descriptor


async def test_the_connection_that_has_waited_longest_gives_way() -> None:
    newest = Connection(9.0)
    busy, old, older = Connection(None), Connection(5.0), Connection(1.0)

    assert Shortage().make_room([Established(), busy, old, older, newest], newest)

    assert [one.dropped for one in (busy, old, older, newest)] == [False, False, True, False]


async def test_of_many_an_eighth_gives_way_and_not_more_than_sixteen() -> None:
    newest = Connection(1e9)
    for number, expected in ((15, 2), (1000, 16)):
        many = [Connection(float(nth)) for nth in range(number)]
        assert Shortage().make_room([*reversed(many), newest], newest)
        assert [one.waiting_since for one in many if one.dropped] == list(range(expected))


async def test_when_nobody_waits_there_is_no_room() -> None:
    newest = Connection(1.0)

    assert not Shortage().make_room([Connection(None), Established(), newest], newest)
    assert not newest.dropped


async def test_it_is_logged_but_not_for_each_connection(caplog: pytest.LogCaptureFixture) -> None:
    shortage, newest = Shortage(), Connection(1.0)
    for _ in range(100):
        shortage.make_room([Connection(0.0), newest], newest)

    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "file descriptors are running out" in record.getMessage()


@pytest.mark.parametrize(
    ("limit", "first_short"), [(1024, 1024 - RESERVE), (100, 75), (1 << 20, (1 << 20) - RESERVE)]
)
def test_few_are_left_when_a_new_one_has_a_high_number(
    monkeypatch: pytest.MonkeyPatch, limit: int, first_short: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (limit, limit))

    assert not Shortage.at(Transport(first_short - 1))  # type: ignore[arg-type]
    assert Shortage.at(Transport(first_short))  # type: ignore[arg-type]


def test_without_a_limit_they_never_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: unlimited)

    assert not Shortage.at(Transport(10**9))  # type: ignore[arg-type]
