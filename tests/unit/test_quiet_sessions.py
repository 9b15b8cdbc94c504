"""A quiet stream is looked at only when something is due, and misses nothing because of that."""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime

import pytest

from domain.identifiers import UserId
from entrypoints.live import frames
from entrypoints.live.session import Session
from entrypoints.timing import Timing
from tests.build import ADA, BOB
from tests.unit.test_sessions import deliver, farewell, until
from tests.wiring import Service, Socket

TIMING = Timing(tick=0.01, ping=600)
A_FEW = 5


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service.run(live=True, timing=TIMING) as service:
        await service.add(ADA, BOB)
        yield service


@pytest.fixture
def looks(service: Service, monkeypatch: pytest.MonkeyPatch) -> Counter[UserId | str]:
    """How often the sessions of each user were looked at, and how often any could be."""
    found: Counter[UserId | str] = Counter()
    tick, due = Session.tick, service.sessions._due

    def noted(session: Session, now: float, at: datetime) -> float:
        found[session.user] += 1
        return tick(session, now, at)

    def counted() -> object:
        found["times"] += 1
        return due()

    monkeypatch.setattr(Session, "tick", noted)
    monkeypatch.setattr(service.sessions, "_due", counted)
    return found


async def asleep(service: Service, *sockets: Socket) -> None:
    """Wait until nothing more happens to these."""
    for socket in sockets:
        await socket.frame("welcome")
    await until(lambda: not service.sessions.streaming.awake)


async def pass_some_ticks(looks: Counter[UserId | str]) -> None:
    goal = looks["times"] + A_FEW
    await until(lambda: looks["times"] >= goal)


async def test_it_is_left_alone_while_others_are_busy(service: Service, looks: Counter[UserId | str]) -> None:
    async with (
        service.socket(headers=service.bearer()) as ada,
        service.socket("/ws/bob", headers=service.bearer(BOB)) as bob,
    ):
        await asleep(service, ada, bob)
        looks.clear()
        for number in (1, 2, 3):
            service.memory.live.deliver(await deliver(service, number))
            await ada.frame("notifications")
            await pass_some_ticks(looks)

    assert looks[ADA] >= 3
    assert looks[BOB] == 0


async def test_it_is_pinged_in_time_and_left_alone_until_then(
    service: Service, looks: Counter[UserId | str]
) -> None:
    async with service.socket(headers=service.bearer()) as socket:
        await asleep(service, socket)
        service.memory.seconds.advance(TIMING.ping - 60)  # the clock goes on by itself, too
        looks.clear()
        await pass_some_ticks(looks)
        assert looks[ADA] == 0
        service.memory.seconds.advance(60)
        assert await socket.frame() == {"type": "ping"}
        service.memory.seconds.advance(TIMING.pong)
        _, code = await farewell(socket)

    assert code == frames.NO_PONG


async def test_a_revocation_reaches_it(service: Service) -> None:
    async with service.socket(headers=service.bearer()) as socket:
        await asleep(service, socket)
        await service.container.disable_user()(ADA)
        await service.container.revocations().refresh()
        _, code = await farewell(socket)

    assert code == frames.REVOKED


async def test_while_its_client_reads_nothing_it_is_awake(
    service: Service, looks: Counter[UserId | str]
) -> None:
    async with service.socket(headers=service.bearer()) as socket:
        await asleep(service, socket)
        socket.stuck = True
        service.memory.live.deliver(await deliver(service, 1, 2))
        await until(lambda: service.sessions.streaming.awake)
        await pass_some_ticks(looks)
        service.memory.seconds.advance(TIMING.send)
        await pass_some_ticks(looks)
        socket.go_on()

        assert await socket.closed() == frames.SLOW_READER


async def test_a_new_token_that_expires_sooner_ends_it_in_time(service: Service) -> None:
    short = service.token()
    service.memory.clock.advance(seconds=3_590)
    async with service.socket(headers=service.bearer()) as socket:
        await asleep(service, socket)
        socket.send(type="refresh", token=short, ref="r")
        assert (await socket.frame("ok"))["token_expires_in"] <= 10
        await until(lambda: not service.sessions.streaming.awake)
        service.memory.clock.advance(seconds=10)
        service.memory.seconds.advance(10)
        _, code = await farewell(socket)

    assert code == frames.TOKEN_EXPIRED


async def test_one_that_has_ended_is_not_kept_until_it_would_have_been_due(service: Service) -> None:
    sessions = service.sessions
    async with service.socket(headers=service.bearer()) as ada:
        async with service.socket("/ws/bob", headers=service.bearer(BOB)) as bob:
            await asleep(service, ada, bob)
            await until(lambda: sum(map(len, sessions._waiting.values())) == 2)
            sessions._round = dict.fromkeys(sessions._open)
        await until(lambda: len(sessions._open) == 1)

        kept = {*sessions.streaming.awake, *sessions._round, *set().union(*sessions._waiting.values())}
        assert {session.user for session in kept} <= {ADA}
