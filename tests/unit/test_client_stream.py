"""The stream of the Python client: every rule of docs/live-stream.md, "What a client does"."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any, TypeVar

import pytest

from bellwire_client import (
    Bellwire,
    CommandRefused,
    Connected,
    Disconnected,
    NotConnected,
    Notifications,
    OutcomeUnknown,
    Replayed,
    Reset,
    Stream,
    StreamRefused,
    Update,
)
from bellwire_client import stream as module
from bellwire_client.errors import ConnectionLost
from bellwire_client.tokens import Token
from bellwire_client.websocket import ended
from tests.line import Line, Lines, counts, following, in_virtual_time, item, play

Failure = TypeVar("Failure", bound=Exception)


def now() -> float:
    return asyncio.get_running_loop().time()


def numbered() -> Token:
    """Makes t1, t2 and so on."""
    made = 0

    async def token() -> str:
        nonlocal made
        made += 1
        return f"t{made}"

    return token


async def welcomed(lines: Lines, stream: Stream, number: int = 1, version: int = 0) -> Line:
    """Wait for the nth connection, and greet."""
    line = await lines.line(number)
    line.welcome(version)
    await following(stream, Connected)
    return line


async def raised(work: Awaitable[object], kind: type[Failure]) -> Failure:
    """What it raises, which must be of this kind."""
    with pytest.raises(kind) as failure:
        await work
    return failure.value


# --- following ---


@in_virtual_time
async def test_without_a_cursor_it_starts_at_now(lines: Lines) -> None:
    async with lines.stream() as stream:
        line = await lines.line()
        line.welcome(7)
        event = await anext(stream)

    assert line.url.startswith("ws://b.test/ws/ada?")
    assert (line.query, line.token) == ({"view": "manual"}, "t")
    assert isinstance(event, Connected)
    assert (event.cursor, event.unread_count, event.resumed) == ("e.7", 7, False)
    assert (stream.cursor, stream.unread_count) == ("e.7", 7)


@in_virtual_time
async def test_an_integer_of_any_length_is_no_reason_to_connect_anew(lines: Lines) -> None:
    async with lines.stream() as stream:
        line = await welcomed(lines, stream)
        frame = {
            "type": "notifications",
            "items": [item(1)],
            "prev": "e.0",
            "cursor": "e.1",
            **counts(1),
        }
        line.garble(json.dumps(frame).replace('"metadata": {}', f'"metadata": {{"n": {"7" * 5_000}}}'))
        told = await following(stream, Notifications)

    assert told.items[0].metadata == {"n": Decimal("7" * 5_000)}


@in_virtual_time
async def test_events_are_typed_and_in_order(lines: Lines) -> None:
    async with lines.stream(cursor="e.3") as stream:
        line = await lines.line()
        line.welcome(3)
        line.notify(5, 6, replay=True, prev=3)
        line.say("replayed", cursor="e.6", **counts(6), preferences_version=0)
        line.say("surprise", cursor="e.9")
        line.say(
            "update",
            ids=["id-00005"],
            set={"read_at": "2026-11-22T10:09:44.743609Z"},
            prev="e.6",
            cursor="e.7",
            **counts(5),
        )
        line.say("update", up_to="e.7", set={"archived_at": None}, prev="e.7", cursor="e.8", **counts(5))
        _, replay, replayed, by_ids, up_to = [await anext(stream) for _ in range(5)]

    assert line.query["cursor"] == "e.3"
    assert isinstance(replay, Notifications)
    assert replay.replay
    assert [(one.id, one.version, one.read_at) for one in replay.items] == [
        ("id-00005", 5, None),
        ("id-00006", 6, None),
    ]
    assert replay.items[0].created_at == datetime(2026, 11, 22, 10, 9, 43, 177090, tzinfo=UTC)
    assert replayed == Replayed(cursor="e.6", **counts(6), preferences_version=0)
    assert by_ids == Update(
        ids=("id-00005",),
        up_to=None,
        set={"read_at": datetime(2026, 11, 22, 10, 9, 44, 743609, tzinfo=UTC)},
        prev="e.6",
        cursor="e.7",
        **counts(5),
    )
    assert isinstance(up_to, Update)
    assert (up_to.ids, up_to.up_to, up_to.set) == (None, "e.7", {"archived_at": None})
    assert (stream.cursor, stream.unread_count) == ("e.8", 5)


@in_virtual_time
async def test_it_comes_back_with_the_position_it_has_been_told_of(lines: Lines) -> None:
    async with lines.stream() as stream:
        first = await lines.line()
        first.welcome(1)
        first.notify(2)
        first.notify(3)
        first.lose()
        second = await lines.line(2)
        second.welcome(3)
        second.notify(4)
        events = [await anext(stream) for _ in range(6)]

    assert second.query["cursor"] == "e.3"
    assert [type(event) for event in events] == [
        Connected,
        Notifications,
        Notifications,
        Disconnected,
        Connected,
        Notifications,
    ]
    assert isinstance(events[3], Disconnected)
    assert (events[3].reason, events[3].code, events[3].retry_in) == ("it broke", None, 0.25)


@in_virtual_time
async def test_the_cursor_to_keep_is_of_what_was_taken_not_of_what_came(lines: Lines) -> None:
    async with lines.stream() as stream:
        line = await welcomed(lines, stream)
        line.notify(1)
        line.notify(2)
        await asyncio.sleep(1)
        before = stream.cursor
        await anext(stream)

        assert line.read == 3
        assert (before, stream.cursor) == ("e.0", "e.1")


@in_virtual_time
async def test_what_it_has_had_is_dropped(lines: Lines) -> None:
    async with lines.stream() as stream:
        line = await welcomed(lines, stream, version=5)
        for version in (4, 5, 6, 6, 5, 7):
            line.notify(version)
        events = [await anext(stream) for _ in range(2)]
        line.lose()

        assert [event.cursor for event in events if isinstance(event, Notifications)] == ["e.6", "e.7"]
        assert isinstance(await anext(stream), Disconnected)


@pytest.mark.parametrize("prev", ["e.6", "e.4", "f.5"])
def test_after_a_hole_it_comes_back_with_its_own_position(prev: str) -> None:
    async def scenario(lines: Lines) -> None:
        async with lines.stream() as stream:
            line = await welcomed(lines, stream, version=5)
            epoch = prev.partition(".")[0]
            line.say("notifications", items=[item(7)], prev=prev, cursor=f"{epoch}.7", **counts(7))
            event = await anext(stream)
            again = await lines.line(2)

            assert isinstance(event, Disconnected)
            assert "gap" in event.reason
            assert again.query["cursor"] == "e.5"
            assert not line.open

    play(scenario)


@in_virtual_time
async def test_a_replay_without_items_moves_the_position_too(lines: Lines) -> None:
    async with lines.stream(cursor="e.2") as stream:
        line = await lines.line()
        line.welcome(2)
        line.say("replayed", cursor="e.9", **counts(0), preferences_version=0)
        line.notify(10)
        last = await following(stream, Notifications)

    assert (last.cursor, len(lines.all)) == ("e.10", 1)


@in_virtual_time
async def test_a_frame_of_a_later_release_moves_it_if_it_follows(lines: Lines) -> None:
    async with lines.stream() as stream:
        line = await welcomed(lines, stream, version=5)
        line.say("weather", prev="e.8", cursor="e.9")
        line.say("weather", prev="e.5")
        line.say("weather", prev="e.5", cursor="e.6")
        line.say("weather", prev="e.6", cursor="e.7", sky="blue", **counts(2))
        line.notify(8)
        first, second, last = [await anext(stream) for _ in range(3)]

    nothing = Update(ids=(), up_to=None, set={}, prev="e.5", cursor="e.6", **counts(5))
    assert first == nothing
    assert second == replace(nothing, prev="e.6", cursor="e.7", **counts(2))
    assert isinstance(last, Notifications)
    assert (last.cursor, len(lines.all)) == ("e.8", 1)


@in_virtual_time
async def test_an_edit_and_a_choice_are_told(lines: Lines) -> None:
    async with lines.stream() as stream:
        line = await welcomed(lines, stream, version=5)
        line.say("notifications", items=[item(6)], changed=True, prev="e.5", cursor="e.6", **counts(5))
        chosen = {"preferences": {"billing": False, "comment": None}}
        line.say("update", ids=[], set={}, **chosen, prev="e.6", cursor="e.7", **counts(5))
        acted = {"acted_at": "2026-11-22T10:09:44Z"}
        line.say("update", ids=["id-6"], set=acted, action="ok", prev="e.7", cursor="e.8", **counts(4))
        edit, choice, action = [await anext(stream) for _ in range(3)]

    assert isinstance(edit, Notifications)
    assert (edit.changed, edit.replay) == (True, False)
    assert isinstance(choice, Update)
    assert choice.preferences == chosen["preferences"]
    assert isinstance(action, Update)
    assert (action.action, action.set["acted_at"]) == ("ok", datetime(2026, 11, 22, 10, 9, 44, tzinfo=UTC))
    assert stream.counts == action


@in_virtual_time
async def test_a_reset_is_told_and_the_stream_goes_on_from_there(lines: Lines) -> None:
    async with lines.stream(cursor="old.9") as stream:
        line = await lines.line()
        line.welcome(3, resumed=False)
        connected = await anext(stream)
        kept = stream.cursor
        line.say("reset", cursor="e.3", **counts(1), preferences_version=0, reason="epoch")
        reset = await anext(stream)
        line.notify(4)
        last = await anext(stream)

    assert isinstance(connected, Connected)
    assert not connected.resumed
    assert kept == "old.9"
    assert reset == Reset(reason="epoch", cursor="e.3", **counts(1), preferences_version=0)
    assert isinstance(last, Notifications)
    assert stream.cursor == "e.4"


@in_virtual_time
async def test_a_reset_that_did_not_arrive_is_met_again(lines: Lines) -> None:
    async with lines.stream(cursor="old.9") as stream:
        first = await lines.line()
        first.welcome(3, resumed=False)
        first.lose()
        second = await lines.line(2)

        assert second.query["cursor"] == "old.9"
        assert (await following(stream, Disconnected)).reason == "it broke"
        assert stream.cursor == "old.9"


# --- staying alive ---


@in_virtual_time
async def test_a_ping_is_answered(lines: Lines) -> None:
    async with lines.stream() as stream:
        line = await welcomed(lines, stream)
        line.say("ping")

        assert await line.asked() == {"type": "pong"}


@in_virtual_time
async def test_a_ping_is_answered_while_the_application_is_busy(lines: Lines) -> None:
    async with lines.stream():
        line = await lines.line()
        line.welcome()
        line.say("ping")

        assert await line.asked() == {"type": "pong"}


@in_virtual_time
async def test_a_silent_connection_is_dead_after_the_ping_interval_and_ten_seconds(lines: Lines) -> None:
    async with lines.stream() as stream:
        line = await welcomed(lines, stream)
        await asyncio.sleep(30)
        line.say("ping")
        told = now()
        event = await anext(stream)

        assert isinstance(event, Disconnected)
        assert now() - told == pytest.approx(35)
        assert (await lines.line(2)).query["cursor"] == "e.0"


@in_virtual_time
async def test_a_service_that_does_not_greet_is_left_after_ten_seconds(lines: Lines) -> None:
    async with lines.stream() as stream:
        await lines.line()
        event = await anext(stream)

        assert isinstance(event, Disconnected)
        assert now() == pytest.approx(10)


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[]",
        "7",
        "{}",
        '{"type": "notifications"}',
        '{"type": "notifications", "items": 3, "cursor": "e.1"}',
        '{"type": "update", "set": 3}',
        '{"type": "reset", "cursor": "nothing"}',
        '{"type": "bye"}',
    ],
)
def test_a_frame_that_makes_no_sense_is_a_reason_to_connect_anew(text: str) -> None:
    async def scenario(lines: Lines) -> None:
        async with lines.stream() as stream:
            line = await welcomed(lines, stream)
            line.garble(text)

            assert "malformed" in (await following(stream, Disconnected)).reason
            assert (await lines.line(2)).query["cursor"] == "e.0"

    play(scenario)


# --- coming back ---


@in_virtual_time
async def test_pauses_grow_from_half_a_second_to_twenty(lines: Lines) -> None:
    lines.failures = [ConnectionLost("away")] * 8
    async with lines.stream(random=lambda: 1.0) as stream:
        pauses = [(await following(stream, Disconnected)).retry_in for _ in range(8)]
        await lines.line()

        assert pauses == [0.5, 1, 2, 4, 8, 16, 20, 20]
        assert now() == sum(pauses)


@in_virtual_time
async def test_pauses_are_drawn_from_their_whole_length(lines: Lines) -> None:
    lines.failures = [ConnectionLost("away")] * 3
    drawn = iter([0.0, 0.5, 0.25])
    async with lines.stream(random=lambda: next(drawn)) as stream:
        pauses = [(await following(stream, Disconnected)).retry_in for _ in range(3)]

    assert pauses == [0, 0.5, 0.5]


@pytest.mark.parametrize(("lasted", "pause"), [(29, 4.0), (31, 0.5)])
def test_pauses_are_short_again_after_half_a_minute_of_stability(lasted: float, pause: float) -> None:
    async def scenario(lines: Lines) -> None:
        lines.failures = [ConnectionLost("away")] * 3
        async with lines.stream(random=lambda: 1.0) as stream:
            line = await welcomed(lines, stream)
            await asyncio.sleep(lasted)
            line.lose()

            assert (await following(stream, Disconnected)).retry_in == pause

    play(scenario)


@in_virtual_time
async def test_it_stays_away_for_as_long_as_it_is_told(lines: Lines) -> None:
    async with lines.stream() as stream:
        line = await welcomed(lines, stream)
        line.bye(4002, retry_ms=7_000)
        event = await anext(stream)
        again = await lines.line(2)

        assert event == Disconnected(reason="because of 4002", code=4002, retry_in=7.25)
        assert again.opened_at == pytest.approx(line.closed_at + 7.25)


@pytest.mark.parametrize("code", [1000, 1006, 1012, 4000, 4001, 4002, 4003, 4004, 4005, 4006, 4499, 5000])
def test_after_these_codes_it_comes_back(code: int) -> None:
    async def scenario(lines: Lines) -> None:
        async with lines.stream() as stream:
            line = await welcomed(lines, stream)
            line.end(ended(code, ""))

            assert (await following(stream, Disconnected)).code == code
            assert (await lines.line(2)).query["cursor"] == "e.0"

    play(scenario)


@pytest.mark.parametrize("code", [4500, 4510, 4511, 4513, 4514, 4515, 4999])
@pytest.mark.parametrize("greeted", [True, False])
@pytest.mark.parametrize("said", [True, False])
def test_after_these_codes_it_does_not(code: int, *, greeted: bool, said: bool) -> None:
    async def scenario(lines: Lines) -> None:
        async with lines.stream() as stream:
            line = await lines.line()
            if greeted:
                line.welcome()
            if said:
                line.bye(code)
            else:
                line.end(ended(code, f"because of {code}"))
            with pytest.raises(StreamRefused) as refused:
                await following(stream, Disconnected)
            with pytest.raises(StreamRefused):
                await anext(stream)
            with pytest.raises(NotConnected):
                await stream.mark_read("id-00001")

        assert (refused.value.code, refused.value.reason) == (code, f"because of {code}")
        assert len(lines.all) == 1

    play(scenario)


# --- tokens ---


@in_virtual_time
async def test_a_token_that_expired_is_replaced(lines: Lines) -> None:
    async with lines.stream(token=numbered()) as stream:
        line = await welcomed(lines, stream)
        line.bye(4004, retry_ms=1_000)
        again = await lines.line(2)

        assert (line.token, again.token) == ("t1", "t2")


@in_virtual_time
async def test_a_token_that_is_refused_is_replaced_once(lines: Lines) -> None:
    async with lines.stream(token=numbered()) as stream:
        (await lines.line(1)).bye(4511)
        (await lines.line(2)).bye(4511)
        with pytest.raises(StreamRefused):
            await following(stream, Connected)

    assert [line.token for line in lines.all] == ["t1", "t2"]


@in_virtual_time
async def test_once_means_once_for_each_time_that_it_was_let_in(lines: Lines) -> None:
    async with lines.stream(token=numbered()) as stream:
        (await lines.line(1)).bye(4511)
        await welcomed(lines, stream, 2)
        (await lines.line(2)).bye(4511)
        await welcomed(lines, stream, 3)

    assert [line.token for line in lines.all] == ["t1", "t2", "t3"]


@in_virtual_time
async def test_tokens_are_renewed_in_place_before_they_expire(lines: Lines) -> None:
    async with lines.stream(token=numbered()) as stream:
        line = await lines.line()
        line.welcome(expires=20)
        renewals = []
        for number in range(1, 4):
            refresh = await line.asked(number)
            renewals.append(now())
            line.say("ok", ref=refresh["ref"], changed=0)
            assert (refresh["type"], refresh["token"]) == ("refresh", f"t{number + 1}")
        assert isinstance(await anext(stream), Connected)

    assert renewals == pytest.approx([16, 32, 48])
    assert len(lines.all) == 1


@in_virtual_time
async def test_a_renewal_that_fails_is_tried_again_while_there_is_time(lines: Lines) -> None:
    async with lines.stream(token=numbered()) as stream:
        line = await lines.line()
        line.welcome(expires=20)
        refusal = {"code": "refused", "detail": "no", "temporary": False}
        line.say("error", ref=(await line.asked(1))["ref"], **refusal)
        line.say("ok", ref=(await line.asked(2))["ref"], changed=0)
        renewed = now()
        assert (await line.asked(3))["token"] == "t4"
        assert isinstance(await anext(stream), Connected)

    assert renewed < 20


@in_virtual_time
async def test_a_fixed_token_is_not_renewed(lines: Lines) -> None:
    async with lines.stream() as stream:
        line = await lines.line()
        line.welcome(expires=5)
        await asyncio.sleep(6)
        line.bye(4004)
        (await lines.line(2)).bye(4511)
        with pytest.raises(StreamRefused, match="4511"):
            await following(stream, Reset)

    assert line.sent == []


@in_virtual_time
async def test_without_a_token_for_now_it_tries_again(lines: Lines) -> None:
    failures: list[Exception] = [OSError("away"), TimeoutError()]

    async def token() -> str:
        if failures:
            raise failures.pop()
        return "good"

    async with lines.stream(token=token) as stream:
        line = await lines.line()
        reasons = [(await anext(stream)) for _ in range(2)]

    assert line.token == "good"
    assert [event.reason for event in reasons if isinstance(event, Disconnected)] == [
        "no token: TimeoutError",
        "no token: away",
    ]


@pytest.mark.parametrize("calls", [0, 1])
def test_an_error_in_the_applications_function_for_tokens_is_told(calls: int) -> None:
    async def scenario(lines: Lines) -> None:
        good = iter(["t"] * calls)

        async def token() -> str:
            for each in good:
                return each
            raise LookupError("a defect")

        async with lines.stream(token=token) as stream:
            if calls:
                (await lines.line()).welcome(expires=20)
                await anext(stream)
            with pytest.raises(LookupError, match="a defect"):
                await anext(stream)

    play(scenario)


# --- marking ---


@pytest.mark.parametrize(
    ("mark", "kind"),
    [
        (Stream.mark_read, "read"),
        (Stream.mark_unread, "unread"),
        (Stream.archive, "archive"),
        (Stream.mark_seen, "seen"),
        (Stream.unarchive, "unarchive"),
    ],
)
def test_a_mark_is_sent_and_its_answer_awaited(mark: Callable[..., Any], kind: str) -> None:
    async def scenario(lines: Lines) -> None:
        async with lines.stream() as stream, asyncio.TaskGroup() as tasks:
            line = await welcomed(lines, stream)
            by_ids = tasks.create_task(mark(stream, ["a", "b"]))
            sent = await line.asked(1)
            up_to = tasks.create_task(mark(stream, up_to="e.3"))
            later = await line.asked(2)
            line.say("ok", ref=later["ref"], changed=7)
            line.say("error", ref=None, code="bad_frame", detail="?", temporary=False)
            line.say("ok", ref=sent["ref"], changed=2)

        assert sent == {"type": kind, "ids": ["a", "b"], "ref": sent["ref"]}
        assert later == {"type": kind, "up_to": "e.3", "ref": later["ref"]}
        assert (by_ids.result(), up_to.result()) == (2, 7)

    play(scenario)


@in_virtual_time
async def test_many_ids_go_by_the_hundred(lines: Lines) -> None:
    ids = [f"{number:036}" for number in range(250)]
    async with lines.stream() as stream, asyncio.TaskGroup() as tasks:
        line = await welcomed(lines, stream)
        marking = tasks.create_task(stream.unarchive(iter(ids)))
        for number in range(1, 4):
            line.say("ok", ref=(await line.asked(number))["ref"], changed=10 * number)

    assert marking.result() == 60
    assert [len(frame["ids"]) for frame in line.sent] == [100, 100, 50]
    assert [one for frame in line.sent for one in frame["ids"]] == ids


@in_virtual_time
async def test_a_category_an_action_and_a_time_are_sent(lines: Lines) -> None:
    async with lines.stream() as stream, asyncio.TaskGroup() as tasks:
        line = await welcomed(lines, stream)
        commands = [
            stream.mark_read(up_to="e.1", category="billing"),
            stream.act("id-1", "ok"),
            stream.snooze("id-1", datetime(2100, 1, 1, tzinfo=UTC)),
        ]
        for number, command in enumerate(commands, 1):
            doing = tasks.create_task(command)
            line.say("ok", ref=(await line.asked(number))["ref"], changed=number)
            assert await doing == number
        sent = [{name: value for name, value in frame.items() if name != "ref"} for frame in line.sent]

    assert sent == [
        {"type": "read", "up_to": "e.1", "category": "billing"},
        {"type": "act", "id": "id-1", "action": "ok"},
        {"type": "snooze", "ids": ["id-1"], "until": "2100-01-01T00:00:00+00:00"},
    ]


@in_virtual_time
async def test_a_mark_is_for_ids_or_up_to_a_cursor(lines: Lines) -> None:
    async with lines.stream() as stream:
        line = await welcomed(lines, stream)
        with pytest.raises(ValueError, match="not both"):
            await stream.mark_read()
        with pytest.raises(ValueError, match="not both"):
            await stream.mark_read("a", up_to="e.1")
        with pytest.raises(ValueError, match="4096 bytes"):
            await stream.mark_read("a" * 5000)

        assert await stream.mark_read([]) == 0
        assert line.sent == []


@in_virtual_time
async def test_a_mark_that_is_refused_raises(lines: Lines) -> None:
    async with lines.stream() as stream, asyncio.TaskGroup() as tasks:
        line = await welcomed(lines, stream)
        marking = tasks.create_task(raised(stream.mark_read("a"), CommandRefused))
        ref = (await line.asked())["ref"]
        line.say("error", ref=ref, code="unavailable", detail="away", temporary=True)

    refusal = marking.result()
    assert (refusal.code, refusal.detail, refusal.temporary) == ("unavailable", "away", True)


@in_virtual_time
async def test_the_outcome_of_a_mark_is_unknown_when_the_connection_breaks(lines: Lines) -> None:
    async with lines.stream() as stream, asyncio.TaskGroup() as tasks:
        line = await welcomed(lines, stream)
        marking = [tasks.create_task(raised(stream.mark_read(one), OutcomeUnknown)) for one in "ab"]
        await line.asked(2)
        line.lose()

    assert all("before 'read' was answered" in str(task.result()) for task in marking)


@in_virtual_time
async def test_the_outcome_of_a_mark_is_unknown_without_an_answer_in_ten_seconds(lines: Lines) -> None:
    async with lines.stream() as stream:
        line = await welcomed(lines, stream)
        await raised(stream.mark_read("a"), OutcomeUnknown)

        assert now() == pytest.approx(10)
        line.say("ok", ref=line.sent[0]["ref"], changed=1)  # too late, and no harm
        line.notify(1)
        assert isinstance(await anext(stream), Notifications)


@in_virtual_time
async def test_a_mark_waits_for_a_connection(lines: Lines) -> None:
    lines.failures = [ConnectionLost("away")] * 3
    async with lines.stream() as stream, asyncio.TaskGroup() as tasks:
        marking = tasks.create_task(stream.mark_read("a"))
        line = await lines.line()
        line.welcome()
        line.say("ok", ref=(await line.asked())["ref"], changed=1)

    assert marking.result() == 1


@in_virtual_time
async def test_a_mark_waits_for_the_next_connection_too(lines: Lines) -> None:
    async with lines.stream() as stream, asyncio.TaskGroup() as tasks:
        (await welcomed(lines, stream)).lose()
        await following(stream, Disconnected)
        marking = tasks.create_task(stream.mark_read("a"))
        await asyncio.sleep(0.1)
        again = await lines.line(2)
        again.welcome()
        again.say("ok", ref=(await again.asked())["ref"], changed=1)

    assert marking.result() == 1


@in_virtual_time
async def test_a_mark_that_finds_no_connection_was_not_sent(lines: Lines) -> None:
    async with lines.stream() as stream:
        line = await lines.line()  # which does not greet
        await raised(stream.mark_read("a"), NotConnected)

    assert line.sent == []


@in_virtual_time
async def test_a_mark_that_is_cancelled_leaves_nothing(lines: Lines) -> None:
    async with lines.stream() as stream:
        line = await welcomed(lines, stream)
        marking = asyncio.create_task(stream.mark_read("a"))
        ref = (await line.asked())["ref"]
        marking.cancel()
        await asyncio.wait([marking])
        line.say("ok", ref=ref, changed=1)
        line.notify(1)

        assert isinstance(await anext(stream), Notifications)


# --- an application that is slow, or leaves ---


@in_virtual_time
async def test_what_a_slow_application_has_not_taken_is_bounded_and_not_lost(lines: Lines) -> None:
    most, total = module.MOST_WAITING, module.MOST_WAITING + 500
    async with lines.stream() as stream:
        line = await welcomed(lines, stream)
        for version in range(1, total + 1):
            line.notify(version)
        await asyncio.sleep(1)
        held = line.read
        cursors = [(await following(stream, Notifications)).cursor for _ in range(total)]

    assert held <= most + 2
    assert cursors == [f"e.{version}" for version in range(1, total + 1)]


@in_virtual_time
async def test_a_slow_application_can_mark_all_the_same(lines: Lines) -> None:
    total = module.MOST_WAITING + 500
    async with lines.stream() as stream, asyncio.TaskGroup() as tasks:
        line = await welcomed(lines, stream)
        for version in range(1, total + 1):
            line.notify(version)
        await asyncio.sleep(1)
        marking = tasks.create_task(stream.mark_read("a"))
        line.say("ok", ref=(await line.asked())["ref"], changed=1)
        await marking
        cursors = [(await following(stream, Notifications)).cursor for _ in range(total)]

    assert marking.result() == 1
    assert cursors[-1] == f"e.{total}"


@in_virtual_time
async def test_an_application_that_takes_nothing_does_not_fill_the_memory(lines: Lines) -> None:
    lines.failures = [ConnectionLost("away")] * (module.MOST_WAITING + 500)
    async with lines.stream() as stream:
        await asyncio.sleep(1_000_000)
        left = len(lines.failures)
        lines.failures.clear()
        await anext(stream)
        (await lines.line()).welcome()
        events = [await anext(stream) for _ in range(module.MOST_WAITING)]

    assert left == 500
    assert isinstance(events[-1], Connected)


@in_virtual_time
async def test_waiting_for_an_event_may_be_given_up(lines: Lines) -> None:
    """At the very moment at which it comes, too."""
    async with lines.stream() as stream:
        line = await welcomed(lines, stream)
        taken = []
        versions = count(1)
        for _ in range(20):
            asyncio.get_running_loop().call_later(1, lambda: line.notify(next(versions)))
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    taken.append(await anext(stream))
        while len(taken) < 20:
            taken.append(await anext(stream))

    assert [event.cursor for event in taken if isinstance(event, Notifications)] == [
        f"e.{version}" for version in range(1, 21)
    ]


@pytest.mark.parametrize("after", [0, 0.1, 1, 5, 12, 30])
def test_it_may_be_left_at_any_time(after: float) -> None:
    """While it connects, waits to be greeted, is connected, renews or pauses: nothing stays behind."""

    async def scenario(lines: Lines) -> None:
        lines.failures = [ConnectionLost("away")] * 2
        with suppress(TimeoutError):
            async with asyncio.timeout(after), lines.stream(token=numbered()) as stream:
                (await lines.line()).welcome(expires=8)
                await following(stream, Reset)

    play(scenario)


@in_virtual_time
async def test_it_may_be_left_while_it_clears_up_after_a_lost_connection(lines: Lines) -> None:
    renewing = asyncio.Event()
    first = iter(["t"])

    async def token() -> str:
        for each in first:
            return each
        try:
            renewing.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(1)  # what takes its time to be cancelled
        raise AssertionError

    async with lines.stream(token=token):
        line = await lines.line()
        line.welcome(expires=2)
        await renewing.wait()
        line.lose()
        await asyncio.sleep(0.5)

    assert len(lines.all) == 1


@in_virtual_time
async def test_iterating_ends_when_it_is_left(lines: Lines) -> None:
    async with lines.stream() as stream:
        (await lines.line()).welcome()
        await lines.all[0].taken()

    assert [type(event) async for event in stream] == [Connected]
    assert [event async for event in stream] == []
    with pytest.raises(NotConnected, match="has ended"):
        await stream.mark_read("a")


@in_virtual_time
async def test_it_may_be_left_before_it_began(lines: Lines) -> None:
    async with lines.stream() as stream:
        pass

    assert [event async for event in stream] == []
    assert lines.all == []


@in_virtual_time
async def test_it_is_entered_once_and_before_it_is_used(lines: Lines) -> None:
    stream = lines.stream()
    with pytest.raises(RuntimeError, match="enter the stream first"):
        await anext(stream)
    async with stream:
        pass
    with pytest.raises(RuntimeError, match="entered once"):
        await stream.__aenter__()


@pytest.mark.parametrize(
    ("url", "socket"),
    [
        ("http://b.test:8000/", "ws://b.test:8000/ws/a%2Fb"),
        ("https://b.test/bell", "wss://b.test/bell/ws/a%2Fb"),
    ],
)
def test_the_address_of_a_stream(url: str, socket: str) -> None:
    async def scenario(lines: Lines) -> None:
        client = Bellwire(url, token="t", open_socket=lines.open)
        async with client.stream("a/b", cursor="e.1", view="auto"):
            line = await lines.line()
        assert line.url == f"{socket}?view=auto&cursor=e.1"

    play(scenario)
