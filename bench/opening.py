"""Scenario: the cost of opening a socket."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bench.measured import Row, timed
from bench.scenario import Context
from bench.service import Service
from bench.sockets import Sockets, clients
from bench.user import User
from bench.websocket import WebSocket

_WARM = 200
_PAUSE_SECONDS = (1.0, 2.0)
"""The answer that turns a client away asks for a second; real clients add jitter."""
_CONNECTING = 256
"""How many connections the generator begins together: more would only wait in the kernel."""


def openings(context: Context) -> Iterator[Row]:
    """Clients open sockets: each of another user, all of one user, and thousands at the same moment."""
    count, storm = (1_000, 2_000) if context.quick else (3_000, 5_000)
    context.stack.topic("openings")
    users, rush = context.users("opening", _WARM + count), context.users("rush", storm)
    with context.stack.service("api", "openings") as api, clients(api.port) as watchers:
        watchers(Sockets.open, users[:_WARM])
        yield _opened("sockets opened, each of another user", api, watchers, users[_WARM:])
        yield _opened("sockets opened, all of one user", api, watchers, users[:1] * count)
    with context.stack.service("api", "openings") as api, clients(api.port) as watchers:
        watchers(Sockets.open, users[:_WARM])
        yield _storm(api, watchers, rush)


def _opened(what: str, api: Service, watchers: Callable[..., Any], users: Sequence[User]) -> Row:
    spent, began = api.cpu(), time.monotonic()
    watchers(Sockets.open, users)
    took, spent = time.monotonic() - began, api.cpu() - spent
    return Row(
        what=what, value=len(users) / took, unit="sockets/s", cpu=spent / len(users), note="50 at a time"
    )


def _storm(api: Service, watchers: Callable[..., Any], users: Sequence[User]) -> Row:
    spent, closed = api.cpu(), watchers(Sockets.closed_by_now)
    welcomes = watchers(_rush, users)
    spent, turned_away = api.cpu() - spent, watchers(Sockets.closed_by_now) - closed
    return timed(
        f"storm of {len(users):,} sockets: all welcomed after",
        welcomes,
        max(welcomes),
        "s",
        errors=len(users) - len(welcomes),
        note=f"{turned_away:,} times turned away, {spent / len(users) * 1e6:.0f} µs a socket",
    )


async def _rush(sockets: Sockets, users: Sequence[User]) -> list[float]:
    """Have everyone connect now, and again after a pause if turned away. Return the times of the welcomes."""
    began, connecting = time.perf_counter(), asyncio.Semaphore(_CONNECTING)
    loop = asyncio.get_running_loop()

    async def enter(user: User) -> float:
        while True:
            client = WebSocket(sockets, user)
            async with connecting:
                await loop.create_connection(lambda made=client: made, "127.0.0.1", sockets.port)  # type: ignore[misc]
            try:
                await client.welcomed
            except ConnectionError:
                await asyncio.sleep(random.uniform(*_PAUSE_SECONDS))
            else:
                sockets.clients.append(client)
                return time.perf_counter() - began

    return await asyncio.gather(*map(enter, users))
