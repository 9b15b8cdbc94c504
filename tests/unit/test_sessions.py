"""All live streams of a process: who is admitted, what time does to them, how they end together."""

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from application.errors import Unavailable
from application.feeds import Standing
from application.following import EARLY_FRAMES, GIVE_UP_SECONDS
from application.streams import Frame
from common import metrics
from domain.identifiers import UserId
from domain.states import Mark
from entrypoints.live import frames
from entrypoints.live.sessions import Full, Sessions
from entrypoints.timing import Timing
from tests.build import ADA, BOB, a_draft, an_id, drafts, told_counts
from tests.memory import MemoryCarrier
from tests.wiring import Json, Service, Socket, change_frame

FAR = 600.0
TIMING = Timing(tick=0.01, drain_step=0.01, on_its_way=0.01)


def timed(**changes: float) -> pytest.MarkDecorator:
    """A service with other times."""
    return pytest.mark.parametrize("timing", [replace(TIMING, **changes)], ids=[str(changes)])


@pytest.fixture
def timing() -> Timing:
    return TIMING


@pytest.fixture
async def service(timing: Timing) -> AsyncIterator[Service]:
    async with Service.run(live=True, timing=timing) as service:
        await service.add(ADA, BOB)
        yield service


def of(service: Service) -> Sessions:
    found: Sessions = service.sessions
    return found


def value(metric: Any) -> float:
    found: float = metric._value.get()
    return found


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0.005)


async def deliver(service: Service, *numbers: int) -> list[Frame]:
    """Store these, and have their frames without anybody being told."""
    found = []
    for number in numbers:
        appended = await service.memory.feeds.append([a_draft(number)])
        found += [change_frame(change) for change in appended.added]
    return found


async def farewell(socket: Socket) -> tuple[Json, int]:
    bye = await socket.frame("bye")
    return bye, await socket.closed()


# --- joining ---


class Slow(MemoryCarrier):
    """A carrier that takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.joins = asyncio.Event()

    async def join(self, user: UserId) -> None:
        await super().join(user)
        await self.joins.wait()


async def test_the_feed_is_read_once_the_carrier_brings_its_frames(service: Service) -> None:
    """A change between the reading and the joining would be neither read nor heard of."""
    carrier = service.memory.live.carrier = Slow()
    async with service.socket(headers=service.bearer()) as socket:
        await until(lambda: carrier.joined == [ADA])
        (missed,) = await deliver(service, 1)
        carrier.joins.set()

        welcome = await socket.frame("welcome")

    assert welcome["cursor"] == f"{missed.epoch}.{missed.version}"


async def test_a_client_that_leaves_while_it_joins_leaves_the_carrier_too(service: Service) -> None:
    carrier = service.memory.live.carrier = Slow()
    async with service.socket(headers=service.bearer()):
        await until(lambda: carrier.joined == [ADA])
        drain = of(service).drain(0)
        carrier.joins.set()

    await drain
    assert carrier.left == [ADA]


# --- a frame that comes too early -------------------------------------------------------------------------


@timed(tick=FAR)
class TestGaps:
    """Nothing is filled but by a gap that stays: comparing positions would make up for it."""

    async def test_frames_in_another_order_are_put_in_order(self, service: Service) -> None:
        async with service.socket(headers=service.bearer()) as socket:
            await socket.frame("welcome")
            one, two, three, four = await deliver(service, 1, 2, 3, 4)
            service.memory.live.deliver([three, two, four, one])

            found = [await socket.frame() for _ in range(4)]

        assert [frame["items"][0]["id"] for frame in found] == [str(an_id(n)) for n in (1, 2, 3, 4)]
        assert not any("replay" in frame for frame in found)

    async def test_what_came_twice_is_passed_on_once(self, service: Service) -> None:
        before = value(metrics.DUPLICATES)
        async with service.socket(headers=service.bearer()) as socket:
            await socket.frame("welcome")
            one, two, three = await deliver(service, 1, 2, 3)
            service.memory.live.deliver([two, two, one, one, two, three])

            found = [await socket.frame() for _ in range(3)]

        assert [frame["items"][0]["version"] for frame in found] == [1, 2, 3]
        assert value(metrics.DUPLICATES) == before + 2

    async def test_a_gap_that_stays_is_filled_from_the_store(self, service: Service) -> None:
        before = value(metrics.GAPS)
        async with service.socket(headers=service.bearer()) as socket:
            await socket.frame("welcome")
            _, two, three = await deliver(service, 1, 2, 3)
            service.memory.live.deliver([three, two])

            replay, end = await socket.frame(), await socket.frame()

        assert [item["version"] for item in replay["items"]] == [1, 2, 3]
        assert end["type"] == "replayed"
        assert value(metrics.GAPS) == before + 1

    async def test_more_than_can_be_kept_is_read_from_the_store(self, service: Service) -> None:
        count = EARLY_FRAMES + 10
        async with service.socket(headers=service.bearer()) as socket:
            await socket.frame("welcome")
            one, *later = await deliver(service, *range(1, count + 1))
            service.memory.live.deliver([*later, one])
            first = await socket.frame()
            versions = [item["version"] for item in first["items"]]
            while len(versions) < count:
                frame = await socket.frame("notifications")
                versions += [item["version"] for item in frame["items"]]

        assert versions == list(range(1, count + 1))
        assert "replay" not in first
        assert frame["replay"] is True

    async def test_frames_kept_from_another_life_of_the_feed_are_not_passed_on(
        self, service: Service
    ) -> None:
        async with service.socket(headers=service.bearer()) as socket:
            await socket.frame("welcome")
            _, _, three = await deliver(service, 1, 2, 3)
            service.memory.live.deliver([three])  # kept until the two before it have come
            feeds = service.memory.feeds._feeds
            feeds[ADA] = replace(feeds[ADA], epoch="zzz", version=2)
            service.memory.live.lost()
            reset = await socket.frame()
            service.memory.live.deliver(await deliver(service, 4))
            following = await socket.frame()

        assert (reset["type"], reset["cursor"]) == ("reset", "zzz.2")
        assert (following["prev"], following["cursor"]) == ("zzz.2", "zzz.3")


# --- while the store is asked -----------------------------------------------------------------------------


class Held:
    """A store whose answers are held back."""

    def __init__(self, service: Service) -> None:
        self.go = asyncio.Event()
        self.asked = 0
        self._standings = service.memory.feeds.standings
        service.memory.feeds.standings = self  # type: ignore[method-assign]

    async def __call__(self, users: Collection[UserId]) -> Mapping[UserId, Standing]:
        found = await self._standings(users)
        self.asked += 1
        await self.go.wait()
        return found


async def test_what_comes_between_the_reading_and_the_welcome_follows_it(service: Service) -> None:
    held = Held(service)
    async with service.socket(headers=service.bearer()) as socket:
        await until(lambda: held.asked)
        service.memory.live.deliver(await deliver(service, 1, 2))
        held.go.set()

        welcome = await socket.frame()
        found = [await socket.frame(), await socket.frame()]

    assert (welcome["type"], welcome["cursor"]) == ("welcome", "e1.0")
    assert [frame["items"][0]["version"] for frame in found] == [1, 2]


async def test_a_bare_position_that_comes_meanwhile_is_not_forgotten(service: Service) -> None:
    held = Held(service)
    async with service.socket(headers=service.bearer()) as socket:
        await until(lambda: held.asked)
        await deliver(service, 1)
        service.memory.live.deliver([Frame(ADA, "e1", 1, 1, "")])
        held.go.set()

        assert (await socket.frame())["cursor"] == "e1.0"
        assert [item["version"] for item in (await socket.frame())["items"]] == [1]


async def test_a_loss_that_is_told_meanwhile_is_not_forgotten(service: Service) -> None:
    held = Held(service)
    async with service.socket(headers=service.bearer()) as socket:
        await until(lambda: held.asked)
        await deliver(service, 1)
        service.memory.live.lost()
        held.go.set()

        assert (await socket.frame())["cursor"] == "e1.0"
        assert [item["version"] for item in (await socket.frame())["items"]] == [1]


async def test_while_the_store_is_away_a_stream_waits_and_then_goes_on(
    service: Service,
) -> None:
    async with service.socket(headers=service.bearer()) as socket:
        await socket.frame("welcome")
        await deliver(service, 1)
        service.memory.feeds.away = True
        service.memory.live.lost()
        socket.send(type="read", ids=[], ref="still there")
        await socket.frame("error")
        service.memory.feeds.away = False

        assert [item["version"] for item in (await socket.frame("notifications"))["items"]] == [1]


async def test_a_store_that_stays_away_costs_the_position(service: Service) -> None:
    async with service.socket(headers=service.bearer()) as socket:
        await socket.frame("welcome")
        service.memory.feeds.away = True
        service.memory.live.lost()
        service.memory.seconds.advance(GIVE_UP_SECONDS)

        bye, code = await farewell(socket)

    assert (code, bye["resume"]) == (4003, True)
    assert bye["retry_ms"] >= 1_000


@pytest.mark.parametrize("live", [True, False])
async def test_a_position_that_cannot_be_replayed_any_more_is_a_reset(service: Service, live: bool) -> None:
    await deliver(service, 1, 2, 3)
    feeds = service.memory.feeds
    real = feeds.standings

    async def pruned(users: Collection[UserId]) -> Mapping[UserId, Standing]:
        return {user: replace(found, horizon=3) for user, found in (await real(users)).items()}

    if not live:
        feeds.standings = pruned  # type: ignore[method-assign]
    async with service.socket(query="cursor=e1.2", headers=service.bearer()) as socket:
        if live:
            await socket.frame("replayed")
            await deliver(service, 4)
            feeds.standings = pruned  # type: ignore[method-assign]
            feeds._feeds[ADA] = replace(feeds._feeds[ADA], version=9)
            monkey = Standing(feeds._feeds[ADA], 9)

            async def later(_users: Collection[UserId]) -> Mapping[UserId, Standing]:
                return {ADA: monkey}

            feeds.standings = later  # type: ignore[assignment,method-assign]
            service.memory.live.lost()
        reset = await socket.frame("reset")

    assert reset["reason"] == "retention"
    assert reset["cursor"] == ("e1.9" if live else "e1.3")


async def test_a_page_of_large_notifications_comes_in_frames_that_clients_take(service: Service) -> None:
    large = [
        replace(a_draft(n), content=replace(a_draft(n).content, message="é" * 4_000)) for n in range(1, 251)
    ]
    await service.memory.feeds.append(large)
    await service.container.mark_notifications()(ADA, Mark.READ, [an_id(1)])
    async with service.socket(query="cursor=e1.0", headers=service.bearer()) as socket:
        cursor, found = (await socket.frame("welcome"))["cursor"], []
        while (frame := await socket.frame())["type"] == "notifications":
            assert frame["prev"] == cursor
            assert len(json.dumps(frame, ensure_ascii=False).encode()) < 1024 * 1024
            cursor = frame["cursor"]
            found += [item["version"] for item in frame["items"]]
            assert cursor == f"e1.{found[-1]}"

    assert found == list(range(2, 252))
    assert frame == {
        "type": "replayed",
        "cursor": "e1.251",
        **told_counts(249),
        "preferences_version": 0,
    }


async def test_more_than_fits_into_a_frame_is_read_by_the_followers(service: Service) -> None:
    large = [
        replace(a_draft(n), content=replace(a_draft(n).content, message="é" * 4_000)) for n in range(1, 101)
    ]
    async with service.socket(headers=service.bearer()) as socket:
        await socket.frame("welcome")
        await service.container.store().announce(await service.container.store()(large))
        found: list[int] = []
        while len(found) < 100:
            frame = await socket.frame("notifications")
            assert frame["replay"] is True
            found += [item["version"] for item in frame["items"]]

    assert found == list(range(1, 101))


# --- silence --------------------------------------------------------------------------------------------


@timed(tick=FAR)
async def test_a_client_that_is_sent_much_and_says_nothing_is_asked_too(service: Service) -> None:
    count = 2 * int(TIMING.ping)
    service.memory.seconds.stand_at(1_000)
    async with service.socket(headers=service.bearer()) as socket:
        await socket.frame("welcome")
        kinds: list[str] = []
        for number in range(1, count + 1):
            service.memory.live.deliver(await deliver(service, number))
            kinds.append((await socket.frame())["type"])
            service.memory.seconds.stand_at(1_000 + number)
            await of(service)._tick()
        kinds.append((await socket.frame())["type"])

    assert kinds == ["notifications"] * count + ["ping"]


# --- positions ------------------------------------------------------------------------------------------


@timed(check=0.02)
async def test_a_stream_that_was_told_of_nothing_finds_out_by_comparing(service: Service) -> None:
    before = value(metrics.POSITION_MISSES)
    async with (
        service.socket(headers=service.bearer()) as socket,
        service.socket("/ws/bob", headers=service.bearer(BOB)) as other,
    ):
        await socket.frame("welcome")
        await other.frame("welcome")
        await deliver(service, 1)

        assert [item["version"] for item in (await socket.frame())["items"]] == [1]
        other.send(type="read", ids=[], ref="nothing else came")
        assert (await other.frame())["ref"] == "nothing else came"

    assert value(metrics.POSITION_MISSES) == before + 1


@timed(check=FAR, uncarried_check=0.02)
async def test_without_a_carrier_positions_are_compared_more_often(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with service.socket(headers=service.bearer()) as socket:
        await socket.frame("welcome")
        of(service)._round.clear()
        monkeypatch.setattr(of(service), "_carried", lambda: False)
        await deliver(service, 1)

        assert [item["version"] for item in (await socket.frame())["items"]] == [1]


@timed(check=0.02)
async def test_who_is_ahead_of_a_store_that_has_lost_changes_is_reset(service: Service) -> None:
    """As after a failover to a standby that was behind."""
    await deliver(service, 1, 2, 3)
    async with service.socket(query="cursor=e1.3", headers=service.bearer()) as socket:
        await socket.frame("replayed")
        feeds = service.memory.feeds._feeds
        feeds[ADA] = replace(feeds[ADA], version=2)

        reset = await socket.frame("reset")

    assert (reset["reason"], reset["cursor"]) == ("future", "e1.2")


@timed(check=0.02, on_its_way=FAR)  # one of the two at a time
async def test_those_that_are_late_do_not_keep_others_from_being_compared(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What may be on its way to one is waited for while the next ones are looked at."""
    compared: set[UserId] = set()
    standings = of(service).streaming.catch_ups.standings

    async def noted(users: Collection[UserId]) -> Mapping[UserId, Standing]:
        compared.update(users)
        return await standings(users)

    monkeypatch.setattr(of(service).streaming.catch_ups, "standings", noted)
    async with (
        service.socket(headers=service.bearer()) as socket,
        service.socket("/ws/bob", headers=service.bearer(BOB)) as other,
    ):
        await socket.frame("welcome")
        await other.frame("welcome")
        for number, user in ((1, ADA), (2, BOB)):
            await service.memory.feeds.append([a_draft(number, user)])
        compared.clear()

        await until(lambda: compared == {ADA, BOB})


@timed(tick=FAR, check=8 * FAR)
async def test_those_that_have_left_do_not_keep_others_from_being_compared(service: Service) -> None:
    """However many they were when the round began."""
    async with service.socket(headers=service.bearer()) as stays:
        await stays.frame("welcome")
        async with contextlib_sockets(service, 8):
            of(service)._round.clear()
            of(service)._next_of_round()
        await until(lambda: len(of(service)) == 1)

        (compared,) = of(service)._next_of_round()
        assert compared in of(service)._open


@timed(check=0.02)
async def test_comparing_without_the_store_is_no_error(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    async with service.socket(headers=service.bearer()) as socket:
        await socket.frame("welcome")
        service.memory.feeds.away = True
        await deliver_nothing(service)
        service.memory.feeds.away = False
        await deliver(service, 1)

        assert [item["version"] for item in (await socket.frame())["items"]] == [1]
    assert not [record for record in caplog.records if record.levelname in {"ERROR", "CRITICAL"}]


async def deliver_nothing(service: Service) -> None:
    """Wait until a comparison has met a store that is away."""
    checking = of(service)._checking
    await until(lambda: of(service)._checking is not checking)


# --- who may have a stream ----------------------------------------------------------------------------------


async def test_a_user_may_have_so_many_streams() -> None:
    async with Service.run(live=True, sockets_per_user=1) as service:
        await service.add(ADA, BOB)
        async with service.socket(headers=service.bearer()) as first:
            await first.frame("welcome")
            async with service.socket(headers=service.bearer()) as second:
                bye, code = await farewell(second)
            async with service.socket("/ws/bob", headers=service.bearer(BOB)) as other:
                await other.frame("welcome")
        async with service.socket(headers=service.bearer()) as third:
            await third.frame("welcome")

    assert (code, bye["code"], bye["resume"], bye["retry_ms"]) == (4514, 4514, False, None)


async def test_a_process_has_room_for_so_many_streams() -> None:
    async with Service.run(live=True, sockets=1) as service:
        await service.add(ADA)
        async with service.socket(headers=service.bearer()) as first:
            await first.frame("welcome")
            async with service.socket(headers=service.bearer()) as second:
                start, body = await second.event(), await second.event()

    assert (start["type"], start["status"]) == ("websocket.http.response.start", 503)
    assert 1 <= int(dict(start["headers"])[b"retry-after"]) <= 5
    assert b'"urn:bellwire:problem:unavailable"' in body["body"]


async def test_a_path_for_sockets_says_so_over_http(service: Service) -> None:
    answer = await service.client.get("/ws/ada")

    assert answer.status_code == 426
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["upgrade"] == "websocket"


@timed(commands_at_once=5, commands_a_second=0)
async def test_one_who_says_too_much_is_told_to_come_back_later(service: Service) -> None:
    async with service.socket(headers=service.bearer()) as socket:
        await socket.frame("welcome")
        for number in range(6):
            socket.send(type="read", ids=[], ref=number)
        answers = [(await socket.frame())["ref"] for _ in range(5)]

        bye, code = await farewell(socket)

    assert answers == [0, 1, 2, 3, 4]
    assert (code, bye["resume"]) == (4005, True)
    assert bye["retry_ms"] >= 5_000


async def test_streams_of_a_user_who_is_locked_out_end_and_no_other_begins(service: Service) -> None:
    headers = service.bearer()
    async with (
        service.socket(headers=headers) as adas,
        service.socket("/ws/bob", headers=service.bearer(BOB)) as bobs,
    ):
        await adas.frame("welcome")
        await bobs.frame("welcome")
        await service.container.disable_user()(ADA)
        await service.container.revocations().refresh()

        bye, code = await farewell(adas)
        async with service.socket(headers=headers) as again:
            _, code_again = await farewell(again)
        bobs.send(type="read", ids=[], ref="here")
        assert (await bobs.frame())["ref"] == "here"

    assert (code, code_again, bye["resume"]) == (4513, 4513, False)


async def test_streams_of_a_token_that_was_logged_out_end_and_others_do_not(service: Service) -> None:
    headers = service.bearer()
    service.memory.clock.advance(seconds=1)
    newer = service.token()
    async with (
        service.socket(headers=headers) as one,
        service.socket(headers=service.bearer()) as other,
        service.socket(headers=headers) as refreshed,
    ):
        for socket in (one, other, refreshed):
            await socket.frame("welcome")
        refreshed.send(type="refresh", token=newer, ref="new")
        assert (await refreshed.frame("ok"))["ref"] == "new"
        await service.client.post("/v1/sessions/end", headers=headers)

        bye, code = await farewell(one)
        for socket in (other, refreshed):
            old = headers["Authorization"].removeprefix("Bearer ")
            socket.send(type="refresh", token=old, ref="old")
            refused = await socket.frame("error")
            assert (refused["code"], refused["ref"]) == ("refused", "old")

    assert (code, bye["resume"]) == (4513, False)


@timed(check=0.02)
async def test_a_stream_whose_feed_is_gone_ends_although_no_revocation_was_seen(service: Service) -> None:
    async with service.socket(headers=service.bearer()) as socket:
        await socket.frame("welcome")
        del service.memory.users.held[ADA]

        bye, code = await farewell(socket)

    assert (code, bye["resume"]) == (4513, False)


async def test_of_those_that_come_at_once_no_more_are_let_in_than_there_is_room_for() -> None:
    """They pass the handshake together, while their tickets are looked up."""
    async with Service.run(live=True, sockets=2) as service:
        await service.add(ADA)
        release = asyncio.Event()
        redeem = service.memory.tickets.redeem

        async def slow(ticket: str) -> Any:
            await release.wait()
            return await redeem(ticket)

        service.memory.tickets.redeem = slow  # type: ignore[method-assign]
        claims = await service.container.authenticate_user().token(service.token())
        async with AsyncExitStack() as stack:
            sockets = []
            for _ in range(3):
                ticket, _ = await service.container.issue_ticket()(claims)
                socket = await stack.enter_async_context(service.socket(query=f"ticket={ticket}"))
                assert (await socket.event())["type"] == "websocket.accept"
                sockets.append(socket)
            release.set()
            said = [await socket.frame() for socket in sockets]

    assert sorted(frame["type"] for frame in said) == ["bye", "welcome", "welcome"]
    (bye,) = [frame for frame in said if frame["type"] == "bye"]
    assert (bye["code"], bye["resume"]) == (frames.INTERNAL, True)
    assert 1_000 <= bye["retry_ms"] <= 10_000


# --- the end ------------------------------------------------------------------------------------------------


class TestDrain:
    @pytest.fixture(autouse=True)
    def _once(self, service: Service) -> Iterator[None]:
        yield
        of(service)._draining = None

    async def test_all_are_asked_to_come_back_each_after_a_time_of_its_own(self, service: Service) -> None:
        async with contextlib_sockets(service, 12) as sockets:
            await of(service).drain(0.1)
            byes = [await farewell(socket) for socket in sockets]

        assert {code for _, code in byes} == {4000}
        assert len({bye["retry_ms"] for bye, _ in byes}) > 6
        assert all(0 <= bye["retry_ms"] <= 3_000 and bye["resume"] for bye, _ in byes)

    @timed(drained_a_second=1, tick=FAR)
    async def test_they_do_not_end_at_once(self, service: Service) -> None:
        service.memory.seconds.stand_at(0)
        async with contextlib_sockets(service, 10) as sockets:
            draining = of(service).drain(FAR)
            for _ in range(5):  # it has looked at the clock
                await asyncio.sleep(0)
            for seconds in range(1, 11):
                service.memory.seconds.stand_at(seconds)
                await until(lambda left=10 - seconds: open_(service) <= left)
                assert open_(service) == 10 - seconds
            service.memory.seconds.stand_at(70)
            for socket in sockets:
                await socket.closed()
            draining.cancel()

    async def test_meanwhile_no_stream_begins_and_the_process_is_not_ready(self, service: Service) -> None:
        await of(service).drain(0)

        async with service.socket(headers=service.bearer()) as late:
            assert (await late.event())["status"] == 503
        answer = await service.client.get("/health/ready")
        assert (answer.status_code, answer.json()["checks"]["streams"]) == (503, "draining")
        with pytest.raises(Full):
            of(service).check_room()
        with pytest.raises(Unavailable):
            await of(service).check_serving()

    async def test_one_that_was_just_let_in_is_asked_to_come_back(self, service: Service) -> None:
        release = asyncio.Event()
        redeem = service.memory.tickets.redeem

        async def slow(ticket: str) -> Any:
            await release.wait()
            return await redeem(ticket)

        service.memory.tickets.redeem = slow  # type: ignore[method-assign]
        claims = await service.container.authenticate_user().token(service.token())
        ticket, _ = await service.container.issue_ticket()(claims)
        async with service.socket(query=f"ticket={ticket}") as socket:
            await socket.event()
            await of(service).drain(0)
            release.set()

            assert await socket.closed() == frames.DRAIN


def open_(service: Service) -> int:
    return len(service.memory.live._followers.get(ADA, ()))


def contextlib_sockets(service: Service, count: int) -> Any:
    return _Sockets(service, count)


class _Sockets:
    """So many sockets of one user."""

    def __init__(self, service: Service, count: int) -> None:
        self._entered = [service.socket(headers=service.bearer()) for _ in range(count)]

    async def __aenter__(self) -> list[Socket]:
        sockets = [await socket.__aenter__() for socket in self._entered]
        for socket in sockets:
            await socket.frame("welcome")
        return sockets

    async def __aexit__(self, *_: object) -> None:
        for socket in self._entered:
            await socket.__aexit__(None, None, None)


async def test_marks_of_one_device_reach_another_in_order_across_a_reconnect(service: Service) -> None:
    await service.container.store().announce(await service.container.store()(drafts(4)))
    async with service.socket(headers=service.bearer()) as tab:
        cursor = (await tab.frame("welcome"))["cursor"]
        await service.container.mark_notifications()(ADA, Mark.READ, [an_id(1)])
        cursor = (await tab.frame("update"))["cursor"]
    await service.container.mark_notifications()(ADA, Mark.READ, [an_id(2)])
    await service.container.mark_notifications()(ADA, Mark.UNREAD, [an_id(1)])
    async with service.socket(query=f"cursor={cursor}", headers=service.bearer()) as tab:
        await tab.frame("welcome")
        replay = await tab.frame("notifications")
        await tab.frame("replayed")
        await service.container.mark_notifications()(ADA, Mark.READ, [an_id(3)])
        update = await tab.frame("update")

    assert [(item["id"], item["read_at"] is None) for item in replay["items"]] == [
        (str(an_id(2)), False),
        (str(an_id(1)), True),
    ]
    assert replay["prev"] == cursor
    assert update["prev"] == replay["cursor"]
