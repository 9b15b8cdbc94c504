"""Taking a process out of service: its streams, the endpoint that asks for it, and the signals."""

import asyncio
import logging
import multiprocessing
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import asyncpg
import pytest
import redis.asyncio

from domain.identifiers import UserId
from entrypoints import lifespan
from entrypoints.commands import cli
from entrypoints.commands.asking import own
from entrypoints.live.session import Session
from entrypoints.live.sessions import Sessions
from entrypoints.settings import Settings
from entrypoints.timing import Timing
from tests.build import ADA, BOB, drafts
from tests.unit.test_live import deliver
from tests.wiring import SECRET, Service, Socket

LONG = 3_600.0


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service.run(live=True, timing=Timing(drain_step=0.001)) as service:
        await service.add(ADA, BOB)
        yield service


def streams(service: Service) -> Sessions:
    found: Sessions = service.sessions
    return found


def operator(service: Service) -> dict[str, str]:
    tokens = service.container.operator_tokens()
    assert tokens is not None
    token, _ = tokens.mint(UserId("operator"), service.memory.clock())
    return {"Authorization": f"Bearer {token}"}


async def readiness(service: Service) -> tuple[int, str]:
    answer = await service.client.get("/health/ready")
    return answer.status_code, answer.json()["checks"]["streams"]


async def welcomed(socket: Socket) -> Socket:
    await socket.frame("welcome")
    return socket


# --- the streams ------------------------------------------------------------------------------------------


async def test_a_process_that_is_drained_answers_requests(service: Service) -> None:
    assert await readiness(service) == (200, "ok")

    await streams(service).drain(0.0)

    assert await readiness(service) == (503, "draining")
    assert (await service.client.get("/notifications/ada", headers=service.bearer())).status_code == 200


async def test_asking_again_joins_the_drain_under_way(service: Service) -> None:
    async with service.socket(headers=service.bearer()) as socket:
        await welcomed(socket)
        first = streams(service).drain(LONG)
        second = streams(service).drain(0.0)

        assert first is second
        await second
        assert await socket.closed() == 4000
    assert streams(service).drain(LONG) is first


async def test_a_drain_goes_on_when_one_who_waits_for_it_is_cancelled(service: Service) -> None:
    async with service.socket(headers=service.bearer()) as socket:
        await welcomed(socket)
        drain = streams(service).drain(0.0, delay=0.01)
        waiting = asyncio.create_task(asyncio.wait([drain]))
        await asyncio.sleep(0)
        waiting.cancel()

        assert await socket.closed() == 4000


async def test_streams_go_on_until_the_delay_is_over(service: Service) -> None:
    """Meanwhile balancers see that it is not ready."""
    async with service.socket(headers=service.bearer()) as socket:
        await welcomed(socket)
        waiting = streams(service).drain(0.0, delay=LONG)
        assert await readiness(service) == (503, "draining")
        await deliver(service, drafts(1))
        assert (await socket.frame("notifications"))["items"]
        assert not waiting.done()


async def test_a_drain_that_fails_is_reported_and_can_be_tried_again(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise LookupError("a defect")

    async with service.socket(headers=service.bearer()) as socket:
        await welcomed(socket)
        with monkeypatch.context() as patch:
            patch.setattr(Session, "close", fail)
            with pytest.raises(LookupError):
                await streams(service).drain(0.0)
        assert "draining failed" in caplog.text

        await streams(service).drain(0.0, delay=LONG)  # the delay has been

        assert await socket.closed() == 4000


# --- the endpoint -----------------------------------------------------------------------------------------


async def test_the_operator_drains_and_is_told_how_far_it_is(service: Service) -> None:
    async with service.socket(headers=service.bearer()) as socket:
        await welcomed(socket)
        begun = await service.client.post("/drain", headers=operator(service))
        assert (begun.status_code, begun.json()) == (200, {"streams": 1, "draining": True})
        assert await socket.closed() == 4000
        await streams(service).drain(0.0)

        done = await service.client.post("/drain", headers=operator(service))
        assert (done.status_code, done.json()) == (200, {"streams": 0, "draining": True})


@pytest.mark.parametrize("who", ["nobody", "user", "producer", "late operator", "operator elsewhere"])
async def test_nobody_else_drains(service: Service, who: str) -> None:
    elsewhere = Settings(token_secret=SECRET, operator_secret="p" * 32)
    headers: dict[str, Callable[[], dict[str, str]]] = {
        "nobody": dict,
        "user": service.bearer,
        "producer": lambda: service.producer,
        "late operator": lambda: operator(service),
        "operator elsewhere": lambda: {"Authorization": f"Bearer {_minted(elsewhere, service)}"},
    }
    given = headers[who]()
    if who == "late operator":
        service.memory.clock.advance(seconds=60)

    answer = await service.client.post("/drain", headers=given)

    assert answer.status_code == 401, answer.text
    assert answer.json()["type"] == "urn:bellwire:problem:not-authenticated"
    assert not streams(service).draining


def _minted(settings: Settings, service: Service) -> str:
    from tests.whole import build

    tokens = build(settings).operator_tokens()
    assert tokens is not None
    return tokens.mint(UserId("operator"), service.memory.clock())[0]


async def test_an_operators_token_is_no_users(service: Service) -> None:
    await service.add(UserId("operator"))

    answer = await service.client.get("/notifications/operator", headers=operator(service))

    assert answer.status_code == 401


async def test_of_several_workers_behind_one_port_none_is_drained() -> None:
    async with Service.run(live=True, workers=2) as service:
        answer = await service.client.post("/drain", headers=operator(service))

        assert answer.status_code == 409
        assert "SIGTERM" in answer.json()["detail"]
        assert not streams(service).draining


# --- the command ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("::1", "http://[::1]:8000"),
        ("10.0.0.7", "http://10.0.0.7:8000"),
    ],
)
def test_it_asks_where_a_process_of_its_environment_listens(host: str, expected: str) -> None:
    assert own(Settings(host=host)) == expected


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://127.0.0.1", "http://", "file:///etc/passwd"])
def test_what_is_no_address_of_a_server_is_refused(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["drain", "--url", url])

    assert ended.value.code == 2
    assert "http://" in capsys.readouterr().err


# --- the signals ------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[list[int]]:
    """The signals that the server behind is told."""
    told: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, lambda number, _frame: told.append(number))
    yield told
    for number, handler in before.items():
        signal.signal(number, handler)


class Drain:
    """A drain that ends when it is told to."""

    def __init__(self) -> None:
        self.begun = 0
        self.end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None

    def __call__(self) -> "asyncio.Task[None]":
        self.begun += 1
        self._task = self._task or asyncio.create_task(self._run())
        return self._task

    async def _run(self) -> None:
        await self.end


async def settled() -> None:
    """Whatever can go on, has."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_server_is_told_of_a_signal_after_the_drain(server: list[int], number: int) -> None:
    drain = Drain()
    async with lifespan.drained_first(drain):
        signal.raise_signal(number)
        await settled()
        assert (drain.begun, server) == (1, [])

        drain.end.set_result(None)
        await settled()
        assert server == [number]


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_the_second_signal_does_not_wait_for_the_drain(server: list[int], second: int) -> None:
    drain = Drain()
    async with lifespan.drained_first(drain):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(second)
        await settled()

        assert (drain.begun, server) == (1, [second])
    assert server == [second]


async def test_in_a_worker_only_an_interrupt_means_haste(
    server: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One SIGTERM reaches it twice: sent to all of a service, and passed on by the supervisor."""
    monkeypatch.setattr(multiprocessing, "parent_process", object)
    drain = Drain()
    async with lifespan.drained_first(drain):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        await settled()
        assert (drain.begun, server) == (1, [])

        signal.raise_signal(signal.SIGINT)
        await settled()
        assert server == [signal.SIGINT]


async def test_a_drain_that_fails_does_not_keep_the_process(server: list[int]) -> None:
    drain = Drain()
    async with lifespan.drained_first(drain):
        signal.raise_signal(signal.SIGTERM)
        await settled()
        drain.end.set_exception(LookupError("a defect"))
        await settled()

        assert server == [signal.SIGTERM]
    with suppress(LookupError):
        await drain()


async def test_afterwards_signals_go_where_they_went_before(server: list[int]) -> None:
    drain = Drain()
    async with lifespan.drained_first(drain):
        pass

    signal.raise_signal(signal.SIGTERM)

    assert (drain.begun, server) == (0, [signal.SIGTERM])


async def test_a_process_that_ends_for_a_defect_says_so(
    server: list[int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lifespan, "_defects", [])
    caplog.set_level(logging.CRITICAL)

    async def fail() -> None:
        raise LookupError("a defect")

    assert lifespan.exit_status() == 0
    async with lifespan.background(fail()):
        await settled()

    assert server == [signal.SIGTERM]
    assert "a background task failed" in caplog.text
    assert lifespan.exit_status() == 1


# --- background work --------------------------------------------------------------------------------------


async def test_background_work_that_fails_in_a_driver_begins_again(
    server: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """The process once ended for what asyncpg raised on a connection that was ended under it."""
    begun = asyncio.Event()
    nothing: Any = None
    failures: list[Callable[[], Awaitable[object]]] = [
        partial(asyncpg.Connection._cleanup_stmts, _Ended()),
        partial(asyncpg.Connection.execute, nothing, "SELECT 1"),
        partial(redis.asyncio.Connection.disconnect, nothing),
    ]

    async def work() -> None:
        if failures:
            await failures.pop()()
        begun.set()
        await asyncio.Event().wait()

    async with lifespan.background(lifespan.repeated(work, again_seconds=0)):
        await asyncio.wait_for(begun.wait(), 5)

    assert server == []
    said = [record.getMessage() for record in caplog.records if record.exc_info]
    assert said == ["background work failed in a driver and begins again"] * 3


class _Ended:
    """A connection of asyncpg that was ended between an answer and its receiver."""

    _protocol = None

    def __init__(self) -> None:
        self._stmts_to_close = {object()}


async def test_a_defect_of_ours_is_not_repeated(server: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifespan, "_defects", [])
    times = 0

    async def fail() -> None:
        nonlocal times
        times += 1
        raise AttributeError("'NoneType' object has no attribute 'close_statement'")

    async with lifespan.background(lifespan.repeated(fail, again_seconds=0)):
        await settled()

    assert (times, server) == (1, [signal.SIGTERM])


async def test_background_work_ends_also_when_a_cancellation_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio.wait_for may return what it waited for instead."""
    monkeypatch.setattr(lifespan, "_CANCEL_SECONDS", 0.01)
    lost = 0

    async def work() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                lost += 1
                if lost > 2:
                    raise

    async with asyncio.timeout(30):
        async with lifespan.background(work()):
            await settled()

    assert lost == 3
