"""Turns at what only a few can use at a time."""

import asyncio
from contextlib import suppress

import pytest

from adapters.security.turns import Turns
from application.errors import Busy


class Bench:
    """Work of parties; each piece goes on until it is let go."""

    def __init__(self, at_once: int = 1, most: int = 100, most_of_one: int = 50) -> None:
        self.turns = Turns(at_once, most=most, most_of_one=most_of_one)
        self.begun: list[str] = []
        self.open = asyncio.Event()

    async def work(self, party: str, first: bool = False) -> None:
        async with self.turns.of(party, first=first):
            self.begun.append(party)
            await self.open.wait()

    async def start(self, *parties: str) -> list["asyncio.Task[None]"]:
        tasks = [asyncio.create_task(self.work(party)) for party in parties]
        await asyncio.sleep(0)
        return tasks


async def test_only_a_few_work_at_a_time_and_all_get_their_turn() -> None:
    bench = Bench(at_once=2)
    tasks = await bench.start(*"abcde")
    assert bench.begun == ["a", "b"]
    assert bench.turns.waiting == 3

    bench.open.set()
    await asyncio.gather(*tasks)
    assert bench.begun == list("abcde")
    assert bench.turns.waiting == 0


async def test_one_that_asks_for_many_does_not_hold_up_one_that_asks_for_one() -> None:
    bench = Bench()
    tasks = await bench.start(*["flood"] * 40, "honest", "honest")

    bench.open.set()
    await asyncio.gather(*tasks)

    assert bench.begun[:5] == ["flood", "flood", "honest", "flood", "honest"]


@pytest.mark.parametrize(
    ("parties", "refused"), [(["a"] * 7, 1), ([*"aaaa", *"bbbb", *"cccc"], 1), ([*"abcdefghijkl"], 1)]
)
async def test_who_would_wait_too_long_is_refused_at_once(parties: list[str], refused: int) -> None:
    bench = Bench(most=10, most_of_one=5)
    tasks = await bench.start(*parties)

    assert sum(isinstance(task.exception(), Busy) for task in tasks if task.done()) == refused
    bench.open.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(bench.begun) == len(parties) - refused


async def test_who_gives_up_frees_the_place() -> None:
    bench = Bench()
    working, waiting, last = await bench.start(*"aab")
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    assert bench.turns.waiting == 1

    bench.open.set()
    await asyncio.gather(working, last)
    assert bench.begun == ["a", "b"]
    assert (bench.turns.waiting, bench.turns._free) == (0, 1)


async def test_who_gives_up_at_the_moment_of_the_turn_passes_it_on() -> None:
    bench = Bench()
    working, waiting, last = await bench.start(*"aab")
    bench.open.set()
    await asyncio.sleep(0)  # the first has ended, the second has its turn and does not know yet
    waiting.cancel()
    await asyncio.gather(working, waiting, last, return_exceptions=True)

    assert bench.begun[-1] == "b"
    assert (bench.turns.waiting, bench.turns._free) == (0, 1)


async def test_a_cancelled_wait_that_was_not_noticed_yet_gets_no_turn() -> None:
    bench = Bench()
    working, waiting, last = await bench.start(*"aab")
    bench.open.set()
    waiting.cancel()
    await asyncio.gather(working, waiting, last, return_exceptions=True)

    assert bench.begun == ["a", "b"]
    assert (bench.turns.waiting, bench.turns._free) == (0, 1)


async def test_who_comes_first_waits_for_nobody_else_and_has_room() -> None:
    bench = Bench(most=5)
    tasks = await bench.start(*"abcdefgh")
    tasks.append(asyncio.create_task(bench.work("known", first=True)))
    await asyncio.sleep(0)

    bench.open.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert bench.begun == ["a", "known", *"bcdef"]


async def test_a_failure_gives_the_turn_back() -> None:
    turns = Turns(1, most=1, most_of_one=1)
    with pytest.raises(ZeroDivisionError):
        async with turns.of("a"):
            _ = 1 / 0

    async with turns.of("a"):
        pass
