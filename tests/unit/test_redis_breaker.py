"""Whom a Redis that does not answer costs time: one caller now and then, and nobody else."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import ResponseError

from adapters.redis.server import RedisServer, connect
from application.errors import Unavailable
from workbench.soak.waiting import eventually


class Redis:
    """What a server does to a command, until the test says what it answers."""

    def __init__(self) -> None:
        self.seconds = 100.0
        self.commands: list[asyncio.Future[str]] = []

    async def command(self) -> str:
        self.commands.append(asyncio.get_running_loop().create_future())
        return await self.commands[-1]


@pytest.fixture
def redis() -> Redis:
    return Redis()


@pytest.fixture
async def server(redis: Redis) -> AsyncIterator[RedisServer]:
    """One that was just found to be unavailable, and has rested since."""
    server = RedisServer(connect("redis://127.0.0.1:1/0", now=lambda: redis.seconds), lambda: redis.seconds)
    asked = asyncio.create_task(server.ask(redis.command, repeatable=False))
    await begun(redis, 1)
    redis.commands.pop().set_exception(ConnectionLost("gone"))
    with pytest.raises(Unavailable):
        await asked
    with pytest.raises(Unavailable):  # it rests
        await server.ask(redis.command)
    assert redis.commands == []
    redis.seconds += 1
    yield server
    await server.close()


async def begun(redis: Redis, count: int) -> None:
    await eventually(lambda: len(redis.commands) >= count, "the command was sent", 30)


async def test_one_caller_finds_out_whether_it_is_back_and_the_others_do_not_wait(
    redis: Redis, server: RedisServer
) -> None:
    first = asyncio.create_task(server.ask(redis.command))
    await begun(redis, 1)
    for _ in range(3):
        with pytest.raises(Unavailable, match="out of reach"):
            await server.ask(redis.command)
    assert len(redis.commands) == 1

    redis.commands[0].set_result("answer")
    assert await first == "answer"
    several = [asyncio.create_task(server.ask(redis.command)) for _ in range(3)]
    await begun(redis, 4)
    for command in redis.commands[1:]:
        command.set_result("another")
    assert await asyncio.gather(*several) == ["another"] * 3


async def test_it_rests_again_after_each_that_failed(redis: Redis, server: RedisServer) -> None:
    first = asyncio.create_task(server.ask(redis.command, repeatable=False))
    await begun(redis, 1)
    redis.commands[0].set_exception(ConnectionLost("still"))
    with pytest.raises(Unavailable):
        await first
    with pytest.raises(Unavailable):
        await server.ask(redis.command)
    assert len(redis.commands) == 1

    redis.seconds += 1
    second = asyncio.create_task(server.ask(redis.command))
    await begun(redis, 2)
    redis.commands[1].set_result("answer")
    assert await second == "answer"


async def test_one_who_gives_up_leaves_the_trial_to_the_next(redis: Redis, server: RedisServer) -> None:
    first = asyncio.create_task(server.ask(redis.command))
    await begun(redis, 1)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)

    second = asyncio.create_task(server.ask(redis.command))
    await begun(redis, 2)
    redis.commands[1].set_result("answer")
    assert await second == "answer"


async def test_a_refusal_is_an_answer(redis: Redis, server: RedisServer) -> None:
    first = asyncio.create_task(server.ask(redis.command))
    await begun(redis, 1)
    redis.commands[0].set_exception(ResponseError("OOM command not allowed"))
    with pytest.raises(Unavailable, match="refuses"):
        await first

    both = [asyncio.create_task(server.ask(redis.command)) for _ in range(2)]
    await begun(redis, 3)
    for command in redis.commands[1:]:
        command.set_result("answer")
    assert await asyncio.gather(*both) == ["answer"] * 2
