"""The faults, and a schedule of them drawn from a seed."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from workbench.embedded import DATABASE, LOOPBACK, Server, free_port
from workbench.processes import Process
from workbench.soak.product import Service
from workbench.soak.proxy import Proxy
from workbench.soak.stage import ROLES, Stage

_Applied = AbstractAsyncContextManager[None]


@dataclass(frozen=True)
class Fault:
    """Something that is wrong while it is entered.

    `severs` names the roles that lose a server they need: their `/health/ready` must report it.
    """

    name: str
    apply: Callable[[Stage], _Applied]
    severs: frozenset[tuple[str, str]] = frozenset()
    durable_broker: bool = False
    """Whether it needs a broker that keeps its records when it is killed."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault with its time, in seconds from the start of the load."""

    at: float
    seconds: float
    fault: str

    def __str__(self) -> str:
        return f"{self.at:7.1f} s  {self.seconds:5.1f} s  {self.fault}"


# --- servers that die, freeze or forget -------------------------------------------------------------------


def _server(stage: Stage, name: str) -> Server:
    server: Server | None = getattr(stage.servers, name)
    if server is None:
        raise LookupError(f"{name} does not run here")
    return server


def _killed(name: str) -> Callable[[Stage], _Applied]:
    @asynccontextmanager
    async def applied(stage: Stage) -> AsyncIterator[None]:
        server = _server(stage, name)
        await asyncio.to_thread(server.kill)
        if name == "redis":
            stage.forgot()
        try:
            yield
        finally:
            await asyncio.to_thread(server.start)

    return applied


def _frozen(process: Process) -> _Applied:
    @asynccontextmanager
    async def applied() -> AsyncIterator[None]:
        await asyncio.to_thread(process.pause)
        try:
            yield
        finally:
            await asyncio.to_thread(process.resume)

    return applied()


@asynccontextmanager
async def _flushed(stage: Stage) -> AsyncIterator[None]:
    client = stage.redis()
    try:
        await client.flushall()
    finally:
        await client.aclose()
    stage.forgot()
    yield


# --- servers that accept no writes, or close connections --------------------------------------------------


_END_SESSIONS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


@asynccontextmanager
async def _read_only(stage: Stage) -> AsyncIterator[None]:
    """As after a failover: connections are accepted, and nobody can write. After its end only new connections
    can write: a session keeps the setting it began with.
    """
    postgres = stage.servers.postgres
    if postgres is None:
        raise LookupError("PostgreSQL does not run here")
    setting = "default_transaction_read_only"
    await asyncio.to_thread(postgres.sql, f"ALTER DATABASE {DATABASE} SET {setting} = on")
    await asyncio.to_thread(postgres.sql, _END_SESSIONS, database=DATABASE)
    try:
        yield
    finally:
        await asyncio.to_thread(postgres.sql, f"ALTER DATABASE {DATABASE} RESET {setting}")


def _demoted(*, stale: str) -> Callable[[Stage], _Applied]:
    """A replica of an unavailable server: it answers writes with READONLY. One that must not serve stale data
    answers nearly everything with MASTERDOWN.
    """

    @asynccontextmanager
    async def applied(stage: Stage) -> AsyncIterator[None]:
        async with _configured("replica-serve-stale-data", stale)(stage):
            await _redis(stage, "REPLICAOF", LOOPBACK, free_port())
            try:
                yield
            finally:
                await _redis(stage, "REPLICAOF", "NO", "ONE")

    return applied


def _configured(name: str, value: str) -> Callable[[Stage], _Applied]:
    """Redis with a changed setting."""

    @asynccontextmanager
    async def applied(stage: Stage) -> AsyncIterator[None]:
        before = await _redis(stage, "CONFIG GET", name)
        await _redis(stage, "CONFIG SET", name, value)
        try:
            yield
        finally:
            await _redis(stage, "CONFIG SET", name, before[name])

    return applied


async def _redis(stage: Stage, *words: Any) -> Any:
    client = stage.redis()
    try:
        return await client.execute_command(*words)  # type: ignore[no-untyped-call]
    finally:
        await client.aclose()


# --- networks that are disturbed --------------------------------------------------------------------------


def _spoiled(
    server: str, roles: tuple[str, ...], spoil: Callable[[Proxy], None]
) -> Callable[[Stage], _Applied]:
    @asynccontextmanager
    async def applied(stage: Stage) -> AsyncIterator[None]:
        proxies = stage.proxies(server, roles)
        for proxy in proxies:
            spoil(proxy)
        try:
            yield
        finally:
            for proxy in proxies:
                proxy.heal()

    return applied


def _resets(server: str, roles: tuple[str, ...]) -> Callable[[Stage], _Applied]:
    """Repeatedly: a single reset is over before anybody notices."""

    @asynccontextmanager
    async def applied(stage: Stage) -> AsyncIterator[None]:
        async def again() -> None:
            while True:
                for proxy in stage.proxies(server, roles):
                    proxy.reset()
                await asyncio.sleep(1)

        task = asyncio.create_task(again())
        try:
            yield
        finally:
            task.cancel()

    return applied


@asynccontextmanager
async def _damaged(stage: Stage) -> AsyncIterator[None]:
    stage.damage.on = True
    try:
        yield
    finally:
        stage.damage.on = False


# --- our own processes ------------------------------------------------------------------------------------


def _of_ours(role: str, end: Callable[[Service], None]) -> Callable[[Stage], _Applied]:
    @asynccontextmanager
    async def applied(stage: Stage) -> AsyncIterator[None]:
        service = _first(stage, role)
        stage.held.add(service)
        try:
            await asyncio.to_thread(end, service)
            yield
        finally:
            service.start()
            stage.held.discard(service)

    return applied


def _first(stage: Stage, role: str) -> Service:
    return stage.apis[0].process if role == "api" else stage.consumers[0]


@asynccontextmanager
async def _another_consumer(stage: Stage) -> AsyncIterator[None]:
    extra = await stage.product.consumer()
    stage.consumers.append(extra)
    try:
        yield
    finally:
        stage.consumers.remove(extra)
        await asyncio.to_thread(extra.stop)
        stage.product.started.remove(extra)


# --- the catalogue ----------------------------------------------------------------------------------------


def _severing(server: str, roles: tuple[str, ...] = ROLES) -> frozenset[tuple[str, str]]:
    return frozenset((role, server) for role in roles)


def _catalogue() -> Sequence[Fault]:
    found = [
        Fault("flush Redis", _flushed),
        Fault("read-only PostgreSQL", _read_only, _severing("postgres")),
        Fault("demoted Redis", _demoted(stale="yes"), _severing("redis")),
        Fault("demoted Redis that does not serve stale data", _demoted(stale="no"), _severing("redis")),
        Fault("Redis closes idle connections", _configured("timeout", "1")),
        Fault("damaged records from Kafka", _damaged),
        Fault("a second consumer joins and leaves", _another_consumer),
    ]
    for role, word in (("api", "API"), ("consumer", "consumer")):
        found += [
            Fault(f"kill {word}", _of_ours(role, Process.kill)),
            Fault(f"stop {word}", _of_ours(role, Process.stop)),
            Fault(f"freeze {word}", lambda stage, role=role: _frozen(_first(stage, role))),  # type: ignore[misc]
        ]
    for server, name in (("postgres", "PostgreSQL"), ("redis", "Redis"), ("kafka", "Kafka")):
        found += [
            Fault(f"kill {name}", _killed(server), _severing(server), durable_broker=server == "kafka"),
            Fault(
                f"freeze {name}",
                lambda stage, server=server: _frozen(_server(stage, server)),  # type: ignore[misc]
                _severing(server),
            ),
            *_network(server, name, ROLES),
        ]
        if server != "kafka":  # where both roles share one address
            for role, word in (("api", "the API's"), ("consumer", "the consumer's")):
                found += _cuts(server, f"{word} {name}", (role,))
    return found


def _network(server: str, name: str, roles: tuple[str, ...]) -> Sequence[Fault]:
    def spoiled(words: str, spoil: Callable[[Proxy], None]) -> Fault:
        return Fault(f"{words} {name}", _spoiled(server, roles, spoil))

    return [
        *_cuts(server, name, roles),
        Fault(f"reset connections to {name}", _resets(server, roles)),
        spoiled("a slow way to", lambda proxy: proxy.slow(0.1, 0.2)),
        spoiled("a narrow way to", lambda proxy: proxy.narrow(100_000)),
        spoiled("small pieces to and from", lambda proxy: proxy.slice(200, 0.001)),
    ]


def _cuts(server: str, name: str, roles: tuple[str, ...]) -> Sequence[Fault]:
    severs = _severing(server, roles)
    return [
        Fault(f"black hole before {name}", _spoiled(server, roles, Proxy.black_hole), severs),
        Fault(f"refuse connections to {name}", _spoiled(server, roles, Proxy.down), severs),
    ]


CATALOGUE = {fault.name: fault for fault in _catalogue()}


def draw(seed: int, seconds: float, *, durable_broker: bool) -> Sequence[Planned]:
    """Draw faults one after another for this many seconds: the same for the same seed and duration.

    Every fault comes once before any comes twice. Times are the earliest: a fault waits until the product has
    recovered from the previous one.
    """
    chance = random.Random(seed)
    names = [name for name, fault in CATALOGUE.items() if durable_broker or not fault.durable_broker]
    deck: list[str] = []
    planned: list[Planned] = []
    at = min(10.0, seconds / 8)
    while True:
        lasts = round(chance.choice((chance.uniform(2, 6), chance.uniform(6, 20))), 1)
        lasts = min(lasts, round(seconds / 6, 1))
        if at + lasts > seconds:
            return planned
        if not deck:
            deck = chance.sample(names, len(names))
        planned.append(Planned(round(at, 1), lasts, deck.pop()))
        at += lasts + chance.uniform(4, 10)
