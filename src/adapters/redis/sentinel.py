"""Sentinels: they know which of several Redis servers is the primary.

They are asked whenever a connection is made, and every two seconds while connections are in use: a primary
that was cut off from them may go on serving those that it has, although another one was promoted.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.connection import Connection as Tcp
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import RedisError, ResponseError

from adapters.redis import answers
from application.ports import Monotonic

_EVERY_SECONDS = 2.0

_Address = tuple[str, int]


async def _stay() -> None:
    """What is done about a failover before anybody asked for something else."""


class Sentinels:
    """Some sentinels of one primary. A majority of those that are named here decides: the answer of the
    latest failover that one of them knows.
    """

    def __init__(self, master: str, clients: Sequence[Redis], now: Monotonic) -> None:
        """`master` is the name that they have for the primary."""
        self._master = master
        self._clients = clients
        self._now = now
        self._asked_at = 0.0
        self._asking: asyncio.Task[_Address] | None = None
        self._known: _Address | None = None
        self.moved: Callable[[], Awaitable[None]] = _stay
        """Called when they name another primary than before."""

    async def primary(self) -> _Address:
        """Host and port. Raises redis-py's ConnectionError, with what each sentinel answered."""
        return await asyncio.shield(self._ask())

    def look(self) -> None:
        """Ask again if that was some time ago, without waiting for the answer."""
        if self._asking is None and self._now() - self._asked_at > _EVERY_SECONDS:
            _ = self._ask()

    async def close(self) -> None:
        """Close the connections to them."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])
        for client in self._clients:
            await client.aclose()

    def _ask(self) -> asyncio.Task[_Address]:
        """The question that is under way, of everybody who asks meanwhile."""
        if self._asking is None:
            self._asked_at = self._now()
            self._asking = asyncio.create_task(self._answer())
            self._asking.add_done_callback(self._asked)
        return self._asking

    def _asked(self, task: asyncio.Task[_Address]) -> None:
        self._asking = None
        if not task.cancelled():
            task.exception()  # those who wait for it raise it

    async def _answer(self) -> _Address:
        found = await self._most()
        before, self._known = self._known, found
        if before not in (None, found):
            await self.moved()
        return found

    async def _most(self) -> _Address:
        asked = [asyncio.create_task(self._of(client)) for client in self._clients]
        named, failures = list[tuple[int, _Address]](), list[str]()
        try:
            for answer in asyncio.as_completed(asked):
                try:
                    named.append(await answer)
                except (RedisError, OSError, TimeoutError) as error:
                    failures.append(answers.reason(error))
                if len(named) > len(asked) // 2:
                    break
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        if not named:
            reasons = "; ".join(dict.fromkeys(failures))
            raise ConnectionLost(f"no sentinel names the primary of {self._master}: {reasons}")
        return max(named)[1]

    async def _of(self, client: Redis) -> tuple[int, _Address]:
        """The number of the last failover that one of them knows, and the primary since then."""
        state = cast(Mapping[str, Any], await client.sentinel_master(self._master))
        return int(state["config-epoch"]), (str(state["ip"]), int(state["port"]))


class SentinelConnection(Tcp):
    """A part of a connection class: it leads to the primary."""

    sentinels: Sentinels

    async def connect(self) -> None:
        if self.is_connected:
            self.sentinels.look()
        await super().connect()  # type: ignore[no-untyped-call]

    async def _connect(self) -> None:
        self.host, self.port = await self.sentinels.primary()
        await super()._connect()  # type: ignore[no-untyped-call]

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        """Refuse a server that is not the primary: one that was demoted a moment ago, or of which the
        sentinels do not know yet.
        """
        await super().on_connect_check_health(check_health)
        await self.send_command("HELLO", check_health=False)
        try:
            said = await self.read_response()
        except ResponseError:  # it has no such command, or the account may not use it
            return
        if b"replica" in (said.values() if isinstance(said, dict) else said):
            raise ConnectionLost(f"{self.host}:{self.port}, which the sentinels name, is a replica")
