"""Which server is the primary when sentinels disagree, are slow or are asked by many."""

import asyncio
from typing import Any, cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as ConnectionLost

from adapters.redis.sentinel import Sentinels
from workbench.soak.waiting import eventually


class Sentinel:
    """One that answers when the test says so."""

    def __init__(self) -> None:
        self.asked: list[asyncio.Future[Any]] = []

    async def sentinel_master(self, name: str) -> dict[str, object]:
        assert name == "master"
        self.asked.append(asyncio.get_running_loop().create_future())
        return cast(dict[str, object], await self.asked[-1])

    async def names(self, port: int, epoch: int) -> None:
        """Answer the last question."""
        await eventually(lambda: self.asked and not self.asked[-1].done(), "it is asked")
        self.asked[-1].set_result({"ip": "10.0.0.1", "port": port, "config-epoch": epoch})

    async def aclose(self) -> None:
        """Nothing is open."""


@pytest.fixture
def three() -> list[Sentinel]:
    return [Sentinel() for _ in range(3)]


@pytest.fixture
def seconds() -> list[float]:
    return [100.0]


@pytest.fixture
def sentinels(three: list[Sentinel], seconds: list[float]) -> Sentinels:
    return Sentinels("master", cast(list[Redis], three), lambda: seconds[0])


async def test_the_latest_failover_counts_and_one_that_is_slow_is_not_waited_for(
    three: list[Sentinel], sentinels: Sentinels
) -> None:
    asked = asyncio.create_task(sentinels.primary())
    await three[0].names(1, epoch=4)
    await three[2].names(2, epoch=5)

    assert await asked == ("10.0.0.1", 2)


async def test_those_that_answer_decide_if_the_others_cannot(
    three: list[Sentinel], sentinels: Sentinels
) -> None:
    asked = asyncio.create_task(sentinels.primary())
    await three[0].names(1, epoch=4)
    for other in three[1:]:
        other.asked[-1].set_exception(ConnectionLost("refused"))

    assert await asked == ("10.0.0.1", 1)


async def test_many_who_ask_at_once_ask_each_sentinel_once_and_learn_the_same_error(
    three: list[Sentinel], sentinels: Sentinels
) -> None:
    asked = asyncio.gather(*(sentinels.primary() for _ in range(9)), return_exceptions=True)
    await eventually(lambda: all(each.asked for each in three), "they are asked")
    for each in three:
        each.asked[-1].set_exception(ConnectionLost("no route"))

    for error in await asked:
        assert str(error) == "no sentinel names the primary of master: no route"
    assert [len(each.asked) for each in three] == [1, 1, 1]


async def test_who_gives_up_does_not_take_the_answer_from_the_others(
    three: list[Sentinel], sentinels: Sentinels
) -> None:
    impatient, asked = (asyncio.create_task(sentinels.primary()) for _ in range(2))
    await eventually(lambda: all(each.asked for each in three), "they are asked")
    impatient.cancel()
    for each in three:
        await each.names(1, epoch=1)

    assert await asked == ("10.0.0.1", 1)


async def test_another_primary_is_said_once_and_looked_for_now_and_then(
    three: list[Sentinel], sentinels: Sentinels, seconds: list[float]
) -> None:
    moves: list[int] = []

    async def moved() -> None:
        moves.append(1)

    sentinels.moved = moved
    for port, epoch in ((1, 1), (1, 1), (2, 2), (2, 2)):
        sentinels.look()
        sentinels.look()
        for each in three[:2]:
            await each.names(port, epoch)
        await eventually(lambda: sentinels._asking is None, "it is answered")
        sentinels.look()  # too early
        seconds[0] += 2.1

    assert len(moves) == 1
    assert [len(each.asked) for each in three] == [4, 4, 4]
    await sentinels.close()
