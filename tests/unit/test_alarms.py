"""Snoozing, and the loop that lets alarms ring."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from application.alarms import RingAlarms
from application.errors import Unavailable
from common import metrics
from domain.alarm import AlarmKind
from domain.errors import Invalid
from domain.feed import Marked
from domain.states import RULES, Mark
from entrypoints.consumer import process
from tests.build import ADA, BOB, LATER, NOW, a_draft, a_user, an_id, drafts
from tests.memory import MemoryAlarms
from tests.unit.test_http import broken, problem
from tests.wiring import Memory, Service

SOON = timedelta(seconds=1)
DAYS_90 = timedelta(days=90)


@pytest.fixture
async def memory() -> Memory:
    memory = Memory()
    for user in (ADA, BOB):
        await memory.users.add(a_user(user), None)
        await memory.feeds.append(drafts(2, user))
    return memory


@pytest.fixture
def ring(memory: Memory) -> RingAlarms:
    return RingAlarms(alarms=MemoryAlarms(memory.feeds, memory.clock), announcer=memory.announcer)


# --- how long ---


@pytest.mark.parametrize("after", [SOON, timedelta(hours=3), DAYS_90])
def test_it_is_put_off_for_a_second_to_ninety_days(after: timedelta) -> None:
    elsewhere = timezone(timedelta(hours=-5))

    until = RULES[Mark.SNOOZED].time(NOW, (NOW + after).astimezone(elsewhere))

    assert (until, until.tzinfo) == (NOW + after, UTC)


@pytest.mark.parametrize(
    "until",
    [
        NOW + SOON - timedelta(microseconds=1),
        NOW,
        NOW - DAYS_90,
        NOW + DAYS_90 + timedelta(microseconds=1),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
    ],
)
def test_it_is_put_off_for_no_other_time(until: datetime) -> None:
    with pytest.raises(Invalid) as refused:
        RULES[Mark.SNOOZED].time(NOW, until)

    assert [error.field for error in refused.value.errors] == ["until"]


# --- ringing ---


async def test_what_woke_is_announced(memory: Memory, ring: RingAlarms) -> None:
    for user in (ADA, BOB):
        await memory.feeds.mark(user, Mark.SNOOZED, [an_id(1)], LATER)
    assert (await ring(AlarmKind.WAKE)).count == 0
    memory.clock.at = LATER

    rung = await ring(AlarmKind.WAKE)

    assert (rung.count, rung.late) == (2, timedelta())
    told = [change for change in memory.announcer.announced if isinstance(change, Marked)]
    assert {(change.feed.user_id, change.mark, change.ids) for change in told} == {
        (user, Mark.WOKEN, (an_id(1),)) for user in (ADA, BOB)
    }


async def test_who_dies_before_announcing_leaves_a_feed_that_is_right(
    memory: Memory, ring: RingAlarms
) -> None:
    """Streams find it when they compare their positions, as after any change that nobody announced."""
    await memory.feeds.mark(ADA, Mark.SNOOZED, [an_id(1)], LATER)
    memory.clock.at = LATER

    class Dies:
        async def announce(self, changes: Any) -> None:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await RingAlarms(alarms=ring.alarms, announcer=Dies())(AlarmKind.WAKE)

    assert (await ring(AlarmKind.WAKE)).count == 0
    feed = (await memory.feeds.standings([ADA]))[ADA].feed
    assert (feed.version, feed.unread_count) == (4, 2)


class Enough(Exception):
    pass


async def test_the_loop_goes_on_at_once_while_more_is_due_and_survives_a_store_that_is_away(
    memory: Memory, ring: RingAlarms
) -> None:
    await memory.feeds.mark(ADA, Mark.SNOOZED, [an_id(1), an_id(2)], LATER)
    await memory.feeds.mark(BOB, Mark.SNOOZED, [an_id(1)], LATER)
    memory.clock.at = LATER + SOON
    before = metrics.ALARMS.labels("wake")._value.get()
    pauses: list[float] = []
    lags: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        lags.append(metrics.ALARM_LAG.labels("wake")._value.get())
        ring.alarms.away = len(pauses) == 4  # type: ignore[attr-defined]
        if len(pauses) == 6:
            raise Enough

    with pytest.raises(Enough):
        await process.ring(ring, AlarmKind.WAKE, limit=2, sleep=sleep)

    assert pauses == [0.5, 0.05, 0.5, 0.5, 0.5, 0.5]
    assert lags[1:] == [1.0, 1.0, 0.0, 0.0, 0.0]
    assert metrics.ALARMS.labels("wake")._value.get() == before + 3


async def test_a_store_that_is_away_is_told(ring: RingAlarms) -> None:
    ring.alarms.away = True  # type: ignore[attr-defined]

    with pytest.raises(Unavailable):
        await ring(AlarmKind.WAKE)


# --- over HTTP and on a socket ---

PATH = "/v1/users/ada/notifications"


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service.run() as running:
        await running.add(ADA)
        await running.add(BOB)
        yield running


async def test_it_leaves_unread_and_is_brought_back(service: Service) -> None:
    await service.memory.feeds.append([*drafts(2), a_draft(9, BOB)])
    ids = [str(an_id(n)) for n in (1, 9)]
    until = (service.memory.clock() + SOON).isoformat()

    away = await service.client.post(
        f"{PATH}/snooze", json={"ids": ids, "until": until}, headers=service.bearer()
    )
    listed = await service.client.get(f"{PATH}?status=snoozed", headers=service.bearer())
    back = await service.client.post(f"{PATH}/unsnooze", json={"ids": ids}, headers=service.bearer())

    assert (away.status_code, away.json()["changed"], away.json()["unread_count"]) == (200, 1, 1)
    assert [item["snoozed_until"] for item in listed.json()["items"]] == ["2026-03-14T09:26:54.589793Z"]
    assert (back.status_code, back.json()["changed"], back.json()["unseen_count"]) == (200, 1, 2)
    assert (await service.memory.feeds.feed(BOB)).version == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"ids": [], "until": "2026-03-14T09:26:54.589792Z"}, "until"),
        ({"ids": [], "until": "2026-06-12T09:26:53.589794Z"}, "until"),
        ({"ids": [], "until": "2026-03-15T09:26:53"}, "until"),
        ({"ids": [], "until": "tomorrow"}, "until"),
        ({"ids": [str(an_id(n)) for n in range(101)], "until": "2026-03-15T09:26:53Z"}, "ids"),
    ],
)
async def test_what_breaks_a_rule_is_refused(service: Service, body: Any, field: str) -> None:
    response = await service.client.post(f"{PATH}/snooze", json=body, headers=service.bearer())

    assert broken(problem(response, 422, "invalid")) == [field]


async def test_on_a_socket_it_is_told_and_answered(service: Service) -> None:
    await service.memory.feeds.append(drafts(1))
    ids = [str(an_id(1))]
    async with service.socket(headers=service.bearer()) as socket:
        await socket.frame("welcome")
        socket.send(type="snooze", ids=ids, until="2026-03-14T10:26:53+01:00", ref=1)
        too_soon = await socket.frame()
        socket.send(type="snooze", ids=ids, until="2026-03-14T12:00:00+01:00", ref=2)
        away = {frame["type"]: frame for frame in [await socket.frame(), await socket.frame()]}
        socket.send(type="unsnooze", ids=ids, ref=3)
        back = {frame["type"]: frame for frame in [await socket.frame(), await socket.frame()]}

    assert (too_soon["type"], too_soon["code"]) == ("error", "refused")
    assert (away["ok"]["changed"], away["update"]["ids"]) == (1, ids)
    assert away["update"]["set"] == {"snoozed_until": "2026-03-14T11:00:00Z"}
    assert (away["update"]["unread_count"], back["update"]["unread_count"]) == (0, 1)
    assert back["update"]["set"] == {"woken_at": "2026-03-14T09:26:53.589793Z"}
