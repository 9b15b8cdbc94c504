"""Live sessions on ports in memory."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from application.streams import Frame
from common import metrics
from domain.feed import Feed, Settled
from domain.identifiers import NotificationId, UserId
from domain.notification import Draft
from domain.rich import Action, Rich
from domain.states import Mark
from entrypoints.live.sessions import Sessions
from entrypoints.timing import Timing
from tests.build import ADA, BOB, NOW, a_draft, an_id, drafts, told_counts
from tests.wiring import HOST, Json, Service, Socket

GHOST = UserId("ghost")
TIMING = Timing(tick=0.01)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service.run(live=True, timing=TIMING) as service:
        await service.add(ADA, BOB)
        yield service


async def deliver(service: Service, batch: list[Draft]) -> None:
    """Store and announce, as a consumer does."""
    store = service.container.store()
    await store.announce(await store(batch))


async def position(service: Service, user: UserId = ADA) -> Feed:
    return await service.memory.feeds.feed(user)


async def farewell(socket: Socket) -> tuple[Json, int]:
    """The `bye` and the code that the socket is closed with."""
    bye = await socket.frame("bye")
    return bye, await socket.closed()


async def refused(service: Service, code: int, **connect: Any) -> Json:
    """Connect in a way that must be refused: accepted first, so that a browser can see why."""
    async with service.socket(**connect) as socket:
        assert (await socket.event())["type"] == "websocket.accept"
        bye, closed_with = await farewell(socket)
    assert (bye["code"], closed_with) == (code, code)
    assert bye["resume"] is (code < 4500)
    assert (bye["retry_ms"] is None) is (code >= 4500)
    assert bye["reason"]
    return bye


# --- coming in ---


@pytest.mark.parametrize("path", ["/ws/ada/", "//ws//ada"])
async def test_an_address_that_is_written_unusually_is_the_frameworks_with_the_same_outcome(
    service: Service, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with service.socket(path, headers=service.bearer()) as socket:
        assert (await socket.frame())["type"] == "welcome"
    await refused(service, 4515, path=path, headers=service.bearer(BOB))
    monkeypatch.setattr(service.app.asgi_router, "handle_routing", None)
    async with service.socket("/ws/ada", headers=service.bearer()) as socket:
        assert (await socket.frame())["type"] == "welcome"


async def test_a_socket_for_a_host_that_is_none_is_the_frameworks_to_refuse(service: Service) -> None:
    async with service.socket(headers=service.bearer() | {"host": "a b"}) as socket:
        assert (await socket.event())["type"] == "websocket.close"


async def test_a_session_begins_with_a_welcome(service: Service) -> None:
    await deliver(service, drafts(3))
    async with service.socket(headers=service.bearer()) as socket:
        accepted = await socket.event()
        welcome = await socket.frame()

    assert (accepted["type"], accepted["subprotocol"]) == ("websocket.accept", "bellwire.v1")
    assert welcome == {
        "type": "welcome",
        "session": welcome["session"],
        "cursor": str((await position(service)).cursor),
        **told_counts(3),
        "preferences_version": 0,
        "ping_interval": 25,
        "token_expires_in": 3599,
        "resumed": False,
        "server": welcome["server"],
    }
    assert len(welcome["session"]) >= 16


async def test_two_sessions_have_two_names(service: Service) -> None:
    async with (
        service.socket(headers=service.bearer()) as one,
        service.socket(headers=service.bearer()) as two,
    ):
        first, second = await one.frame("welcome"), await two.frame("welcome")

    assert first["session"] != second["session"]
    assert first["server"] == second["server"]


async def test_a_ticket_opens_one_session(service: Service) -> None:
    claims = await service.container.authenticate_user().token(service.token())
    ticket, _ = await service.container.issue_ticket()(claims)

    async with service.socket(query=f"ticket={ticket}") as socket:
        assert (await socket.frame())["type"] == "welcome"
    await refused(service, 4511, query=f"ticket={ticket}")


@pytest.mark.parametrize(
    "connect",
    [
        {},
        {"headers": {"authorization": "Bearer x.y.z"}},
        {"headers": {"authorization": "Basic YTpi"}},
        {"query": "ticket="},
        {"query": "ticket=unknown"},
        {"query": "token=x"},
    ],
    ids=str,
)
async def test_without_good_credentials_nobody_comes_in(service: Service, connect: dict[str, Any]) -> None:
    await refused(service, 4511, **connect)


async def test_an_expired_token_does_not_come_in(service: Service) -> None:
    headers = service.bearer()
    service.memory.clock.advance(hours=1)

    await refused(service, 4511, headers=headers)


async def test_another_users_feed_is_forbidden(service: Service) -> None:
    await refused(service, 4515, path="/ws/bob", headers=service.bearer(ADA))


async def test_a_user_who_was_never_created_has_no_feed_to_follow(service: Service) -> None:
    await refused(service, 4510, path="/ws/ghost", headers=service.bearer(GHOST))


@pytest.mark.parametrize(
    "query", ["cursor=x", "cursor=e1.-1", "cursor=e1.1.1", "cursor=%00", "view=other", "view="]
)
async def test_a_question_that_makes_no_sense_is_a_bad_request(service: Service, query: str) -> None:
    await refused(service, 4510, query=query, headers=service.bearer())


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        (f"https://{HOST}", True),
        (f"http://{HOST}", True),
        ("https://app.example", True),
        ("http://app.example", False),
        ("https://app.example.evil", False),
        ("https://evil.example", False),
        (f"https://{HOST}.evil", False),
        (f"https://evil.{HOST}", False),
        (f"https://{HOST}:8443", False),
        (f"https://{HOST}@evil.example", False),
        ("null", False),
        ("", False),
        ("http://[::1", False),
    ],
)
async def test_a_browser_comes_from_our_own_pages_or_from_named_ones(
    origin: str | None, allowed: bool
) -> None:
    async with Service.run(live=True, allowed_origins="https://app.example") as service:
        await service.add(ADA)
        headers = service.bearer() | ({} if origin is None else {"origin": origin})
        if allowed:
            async with service.socket(headers=headers) as socket:
                assert (await socket.frame())["type"] == "welcome"
        else:
            await refused(service, 4515, headers=headers)


async def test_with_the_store_away_a_client_is_asked_to_come_back(service: Service) -> None:
    service.memory.feeds.away = True

    await refused(service, 4006, headers=service.bearer())


async def test_with_tickets_away_a_client_is_asked_to_come_back(service: Service) -> None:
    service.memory.tickets.away = True

    await refused(service, 4006, query="ticket=x")


async def test_a_defect_is_no_secret_told(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    def defect(*_: object) -> None:
        raise ZeroDivisionError("a secret")

    service.memory.feeds.standings = defect  # type: ignore[assignment]

    bye = await refused(service, 4006, headers=service.bearer())

    assert "secret" not in str(bye)
    assert "a secret" in caplog.text


# --- live ---


async def test_what_is_delivered_arrives(service: Service) -> None:
    async with service.socket(headers=service.bearer()) as socket:
        welcome = await socket.frame("welcome")
        await deliver(service, drafts(2))

        frame = await socket.frame()

    assert frame["type"] == "notifications"
    assert [item["id"] for item in frame["items"]] == [str(an_id(1)), str(an_id(2))]
    assert frame["prev"] == welcome["cursor"]
    assert frame["cursor"] == str((await position(service)).cursor)
    assert frame["unread_count"] == 2
    assert "replay" not in frame


async def test_what_is_another_users_does_not_arrive(service: Service) -> None:
    async with service.socket(headers=service.bearer()) as socket:
        await socket.frame("welcome")
        await deliver(service, [a_draft(1, BOB), a_draft(2, ADA)])

        frame = await socket.frame()

    assert [item["id"] for item in frame["items"]] == [str(an_id(2))]


async def test_frames_follow_each_other_without_a_hole(service: Service) -> None:
    async with service.socket(headers=service.bearer()) as socket:
        cursor = (await socket.frame("welcome"))["cursor"]
        for n in range(1, 8):
            await deliver(service, [a_draft(n)])
            if n % 2:
                await service.container.mark_notifications()(ADA, Mark.READ, [an_id(n)])
        for _ in range(11):
            frame = await socket.frame()
            assert frame["prev"] == cursor
            cursor = frame["cursor"]

    assert cursor == str((await position(service)).cursor)


async def test_what_one_device_marks_the_other_sees(service: Service) -> None:
    await deliver(service, drafts(2))
    async with (
        service.socket(headers=service.bearer()) as phone,
        service.socket(headers=service.bearer()) as tab,
    ):
        await phone.frame("welcome")
        await tab.frame("welcome")
        phone.send(type="read", ids=[str(an_id(1))], ref="r-1")

        update = await tab.frame("update")
        own = [await phone.frame(), await phone.frame()]

    assert update["ids"] == [str(an_id(1))]
    assert update["set"] == {"read_at": "2026-03-14T09:26:53.589793Z"}
    assert update["unread_count"] == 1
    assert {"type": "ok", "ref": "r-1", "changed": 1} in own
    assert update in own


@pytest.mark.parametrize(
    ("command", "changes", "after"),
    [
        ("seen", {"seen_at": "2026-03-14T09:26:53.589793Z"}, 2),
        ("read", {"read_at": "2026-03-14T09:26:53.589793Z"}, 1),
        ("archive", {"archived_at": "2026-03-14T09:26:53.589793Z"}, 1),
        ("unread", {"read_at": None}, 2),
        ("unarchive", {"archived_at": None}, 2),
    ],
)
@pytest.mark.parametrize("by", ["ids", "up_to"])
async def test_a_command_changes_the_feed_and_is_answered(
    service: Service, command: str, changes: Json, after: int, by: str
) -> None:
    await deliver(service, drafts(1))
    if command.startswith("un"):
        mark = Mark.READ if command == "unread" else Mark.ARCHIVED
        await service.container.mark_notifications()(ADA, mark, [an_id(1)])
    seen = str((await position(service)).cursor)
    await deliver(service, [a_draft(2)])
    async with service.socket(headers=service.bearer()) as socket:
        await socket.frame("welcome")
        socket.send(type=command, ref=7, **({"ids": [str(an_id(1))]} if by == "ids" else {"up_to": seen}))

        frames = {frame["type"]: frame for frame in [await socket.frame(), await socket.frame()]}

    assert frames["ok"] == {"type": "ok", "ref": 7, "changed": 1}
    assert frames["update"]["set"] == changes
    assert frames["update"]["unread_count"] == after
    assert frames["update"]["ids"] == [str(an_id(1))]
    assert (await position(service)).unread_count == after


async def test_an_action_is_answered_and_shown_on_every_stream(service: Service) -> None:
    rich = Rich(actions=(Action(id="approve", label="Approve"), Action(id="reject", label="Reject")))
    await deliver(service, [a_draft(1, rich=rich)])
    async with service.socket(headers=service.bearer()) as socket:
        await socket.frame("welcome")
        socket.send(type="act", id=str(an_id(1)), action="approve", ref=1)
        frames = {frame["type"]: frame for frame in [await socket.frame(), await socket.frame()]}
        socket.send(type="act", id=str(an_id(1)), action="reject", ref=2)
        refused = await socket.frame("error")

    assert frames["ok"] == {"type": "ok", "ref": 1, "changed": 1}
    assert (frames["update"]["set"].keys(), frames["update"]["action"]) == ({"acted_at"}, "approve")
    assert (refused["ref"], refused["code"]) == (2, "refused")


async def test_a_command_without_a_ref_is_obeyed_and_not_answered(service: Service) -> None:
    await deliver(service, drafts(1))
    async with service.socket(headers=service.bearer()) as socket:
        await socket.frame("welcome")
        socket.send(type="read", ids=[str(an_id(1))])
        socket.send(type="read", ids=[], ref="end")

        frames = [await socket.frame(), await socket.frame()]

    assert {frame["type"] for frame in frames} == {"update", "ok"}
    assert [frame["ref"] for frame in frames if frame["type"] == "ok"] == ["end"]


async def test_what_is_another_users_is_not_marked(service: Service) -> None:
    await deliver(service, [a_draft(1, BOB)])
    async with service.socket(headers=service.bearer(ADA)) as socket:
        await socket.frame("welcome")
        socket.send(type="read", ids=[str(an_id(1))], ref="r")

        assert await socket.frame() == {"type": "ok", "ref": "r", "changed": 0}
    assert (await service.memory.feeds.get(BOB, an_id(1))).read_at is None


@pytest.mark.parametrize(
    ("text", "ref", "code"),
    [
        ("", None, "bad_frame"),
        ("{", None, "bad_frame"),
        ("null", None, "bad_frame"),
        ("[]", None, "bad_frame"),
        ('"read"', None, "bad_frame"),
        ("{}", None, "bad_frame"),
        ('{"type": "dance", "ref": "r"}', "r", "bad_frame"),
        ('{"type": "dance", "ref": 99999999999999999999999999}', 99999999999999999999999999, "bad_frame"),
        ('{"type": "dance", "ref": {"a": [1]}}', None, "bad_frame"),
        ('{"type": null, "ref": 5}', 5, "bad_frame"),
        ('{"type": "read", "ids": ["x"], "ref": 5}', 5, "bad_frame"),
        ('{"type": "read", "ids": "x", "ref": 5}', 5, "bad_frame"),
        ('{"type": "read", "up_to": 5, "ref": 5}', 5, "bad_frame"),
        ('{"type": "read", "ref": 5}', 5, "refused"),
        ('{"type": "read", "ids": [], "up_to": "e1.1", "ref": 5}', 5, "refused"),
        ('{"type": "read", "up_to": "x", "ref": 5}', 5, "refused"),
        ('{"type": "read", "up_to": "other.1", "ref": 5}', 5, "refused"),
        ('{"type": "refresh", "ref": 5}', 5, "bad_frame"),
        ('{"type": "refresh", "token": "x", "ref": 5}', 5, "refused"),
        ("[" * 3_000, None, "bad_frame"),
        ('{"type": "read", "ref": "\\ud800"}', None, "bad_frame"),
        ("x" * 4_097, None, "too_large"),
        ("é" * 2_049, None, "too_large"),
    ],
)
async def test_what_is_not_understood_is_answered_and_the_session_goes_on(
    service: Service, text: str, ref: object, code: str
) -> None:
    async with service.socket(headers=service.bearer()) as socket:
        await socket.frame("welcome")
        socket.send_text(text)

        error = await socket.frame()
        socket.send(type="read", ids=[], ref="still there")

        assert (error["type"], error["ref"], error["code"]) == ("error", ref, code)
        assert error["detail"]
        assert error["temporary"] is False
        assert (await socket.frame())["ref"] == "still there"


async def test_bytes_are_not_understood_and_the_session_goes_on(service: Service) -> None:
    async with service.socket(headers=service.bearer()) as socket:
        await socket.frame("welcome")
        socket.inbound.put_nowait({"type": "websocket.receive", "bytes": b"\xff"})

        assert (await socket.frame())["code"] == "bad_frame"


@pytest.mark.parametrize(("count", "answer"), [(100, "ok"), (101, "error")])
async def test_so_many_can_be_marked_at_once(service: Service, count: int, answer: str) -> None:
    async with service.socket(headers=service.bearer()) as socket:
        await socket.frame("welcome")
        # 100 ids are more than a frame takes as long as they are written in full.
        ids = [an_id(n).hex for n in range(count)]
        socket.send_text(json.dumps({"type": "read", "ids": ids, "ref": 1}, separators=(",", ":")))

        assert (await socket.frame())["type"] == answer


async def test_with_the_store_away_a_command_can_be_tried_again(service: Service) -> None:
    async with service.socket(headers=service.bearer()) as socket:
        await socket.frame("welcome")
        service.memory.feeds.away = True
        socket.send(type="read", ids=[str(an_id())], ref="r")

        error = await socket.frame()

    assert (error["code"], error["ref"], error["temporary"]) == ("unavailable", "r", True)


# --- resuming ---


async def test_one_who_resumes_is_told_what_changed_and_then_it_is_live(service: Service) -> None:
    await deliver(service, drafts(3))
    seen = (await position(service)).cursor
    await deliver(service, [a_draft(4)])
    await service.container.mark_notifications()(ADA, Mark.READ, [an_id(1)])
    async with service.socket(query=f"cursor={seen}", headers=service.bearer()) as socket:
        welcome, replay, end = [await socket.frame() for _ in range(3)]
        await deliver(service, [a_draft(5)])
        live = await socket.frame()

    assert (welcome["resumed"], welcome["cursor"]) == (True, str(seen))
    assert (replay["replay"], replay["prev"]) == (True, str(seen))
    assert [(item["id"], item["read_at"] is None) for item in replay["items"]] == [
        (str(an_id(4)), True),
        (str(an_id(1)), False),
    ]
    assert (end["type"], end["cursor"]) == ("replayed", replay["cursor"])
    assert live["prev"] == replay["cursor"]


async def test_one_who_missed_nothing_is_told_so(service: Service) -> None:
    await deliver(service, drafts(2))
    seen = (await position(service)).cursor
    async with service.socket(query=f"cursor={seen}", headers=service.bearer()) as socket:
        welcome, end = await socket.frame(), await socket.frame()

    assert welcome["resumed"] is True
    assert end == {
        "type": "replayed",
        "cursor": str(seen),
        **told_counts(2),
        "preferences_version": 0,
    }


async def test_a_long_replay_comes_in_pages_that_follow_each_other(service: Service) -> None:
    start = (await position(service)).cursor
    await deliver(service, drafts(450))
    async with service.socket(query=f"cursor={start}", headers=service.bearer()) as socket:
        welcome = await socket.frame()
        pages = [await socket.frame() for _ in range(3)]
        end = await socket.frame()

    assert [len(page["items"]) for page in pages] == [200, 200, 50]
    assert [page["prev"] for page in pages] == [welcome["cursor"], *(page["cursor"] for page in pages[:-1])]
    assert end["cursor"] == pages[-1]["cursor"] == str((await position(service)).cursor)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda cursor: replace(cursor, epoch="other"), "epoch"),
        (lambda cursor: replace(cursor, version=cursor.version + 1), "future"),
    ],
)
async def test_a_cursor_that_leads_nowhere_is_a_reset_and_then_it_is_live(
    service: Service, change: Callable[[Any], Any], reason: str
) -> None:
    await deliver(service, drafts(2))
    feed = await position(service)
    query = f"cursor={change(feed.cursor)}"
    async with service.socket(query=query, headers=service.bearer()) as socket:
        welcome, reset = await socket.frame(), await socket.frame()
        await deliver(service, [a_draft(3)])
        live = await socket.frame()

    assert welcome["resumed"] is False
    assert reset == {
        "type": "reset",
        "cursor": str(feed.cursor),
        **told_counts(2),
        "preferences_version": 0,
        "reason": reason,
    }
    assert live["prev"] == str(feed.cursor)


async def test_what_was_lost_on_the_way_is_fetched(service: Service) -> None:
    async with service.socket(headers=service.bearer()) as socket:
        welcome = await socket.frame("welcome")
        await service.memory.feeds.append(drafts(2))
        await deliver(service, [a_draft(3)])

        replay, end = await socket.frame(), await socket.frame()

    assert replay["prev"] == welcome["cursor"]
    assert [item["id"] for item in replay["items"]] == [str(an_id(n)) for n in (1, 2, 3)]
    assert end["type"] == "replayed"


async def test_a_bare_position_ahead_is_fetched_and_one_behind_is_not(service: Service) -> None:
    await deliver(service, drafts(1))
    async with service.socket(headers=service.bearer()) as socket:
        await socket.frame("welcome")
        await service.memory.announcer.announce([Settled(await position(service))])
        await service.memory.feeds.append([a_draft(2)])
        await service.memory.announcer.announce([Settled(await position(service))])

        frame = await socket.frame()

    assert (frame["replay"], [item["id"] for item in frame["items"]]) == (True, [str(an_id(2))])


async def test_a_frame_that_comes_again_is_not_sent_again(service: Service) -> None:
    async with service.socket(headers=service.bearer()) as socket:
        await socket.frame("welcome")
        await deliver(service, drafts(1))
        first = await socket.frame()
        service.memory.live.deliver([Frame(ADA, first["cursor"].split(".")[0], 0, 1, "again")])
        await deliver(service, [a_draft(2)])

        assert [item["id"] for item in (await socket.frame())["items"]] == [str(an_id(2))]


async def test_when_the_carrier_was_lost_the_store_is_asked(service: Service) -> None:
    async with service.socket(headers=service.bearer()) as socket:
        await socket.frame("welcome")
        await service.memory.feeds.append(drafts(1))
        service.memory.live.lost()

        assert (await socket.frame())["replay"] is True


async def test_another_life_of_the_feed_is_a_reset(service: Service) -> None:
    async with service.socket(headers=service.bearer()) as socket:
        await socket.frame("welcome")
        feed = replace(await position(service), epoch="zzz")
        service.memory.feeds._feeds[ADA] = feed
        await service.memory.announcer.announce([Settled(feed)])

        reset = await socket.frame()

    assert (reset["type"], reset["cursor"]) == ("reset", "zzz.0")


# --- viewing ---


async def test_where_delivery_is_viewing_what_arrives_is_read_at_once(service: Service) -> None:
    async with service.socket(query="view=auto", headers=service.bearer()) as socket:
        await socket.frame("welcome")
        await deliver(service, drafts(2))

        arrived, update = await socket.frame(), await socket.frame()

    assert [item["read_at"] for item in arrived["items"]] == [None, None]
    assert (update["type"], update["ids"], update["unread_count"]) == (
        "update", [str(an_id(1)), str(an_id(2))], 0,
    )  # fmt: skip
    assert (await position(service)).unread_count == 0


async def test_many_that_arrive_at_once_are_all_read(service: Service) -> None:
    async with service.socket(query="view=auto", headers=service.bearer()) as socket:
        await socket.frame("welcome")
        await deliver(service, drafts(250))
        ids: list[NotificationId] = []
        while len(ids) < 250:
            ids += (await socket.frame("update"))["ids"]

    assert (await position(service)).unread_count == 0


async def test_elsewhere_nothing_is_read_by_arriving(service: Service) -> None:
    async with service.socket(query="view=manual", headers=service.bearer()) as socket:
        await socket.frame("welcome")
        await deliver(service, drafts(1))
        await socket.frame("notifications")
        socket.send(type="read", ids=[], ref="end")
        await socket.frame("ok")

    assert (await position(service)).unread_count == 1


# --- staying and leaving ---


async def test_a_token_can_be_renewed_in_place(service: Service) -> None:
    async with service.socket(headers=service.bearer()) as socket:
        await socket.frame("welcome")
        service.memory.clock.advance(minutes=59)
        socket.send(type="refresh", token=service.token(), ref="r")
        renewed = await socket.frame()
        service.memory.clock.advance(minutes=30)
        await deliver(service, drafts(1))

        assert renewed == {"type": "ok", "ref": "r", "changed": 0, "token_expires_in": 3599}
        assert (await socket.frame())["type"] == "notifications"


async def test_another_users_token_renews_nothing(service: Service) -> None:
    async with service.socket(headers=service.bearer()) as socket:
        await socket.frame("welcome")
        socket.send(type="refresh", token=service.token(BOB), ref="r")

        assert (await socket.frame())["code"] == "refused"


async def test_a_session_ends_with_its_token(service: Service) -> None:
    async with service.socket(headers=service.bearer()) as socket:
        await socket.frame("welcome")
        service.memory.clock.advance(hours=1)
        await deliver(service, drafts(1))

        bye, code = await farewell(socket)

    assert (code, bye["resume"]) == (4004, True)


async def test_a_busy_session_ends_with_its_token_too(service: Service) -> None:
    async with service.socket(headers=service.bearer()) as socket:
        await socket.frame("welcome")
        for n in range(1, 4):
            await deliver(service, [a_draft(n)])
            await socket.frame("notifications")
        service.memory.clock.at = NOW.replace(year=2030)
        await deliver(service, [a_draft(9)])

        assert await socket.closed() == 4004


async def test_silence_is_broken_by_a_ping_and_a_pong_keeps_the_session(service: Service) -> None:
    async with service.socket(headers=service.bearer()) as socket:
        await socket.frame("welcome")
        for _ in range(3):
            await service.silence(TIMING.ping)
            assert await socket.frame() == {"type": "ping"}
            service.memory.seconds.advance(TIMING.pong - 1)
            socket.send(type="pong")
            await socket.heard()
            service.memory.seconds.advance(1)


async def test_a_ping_is_due_so_long_after_what_was_sent_last(service: Service) -> None:
    """Not so long after the connection began: a client counts from what it received."""
    seconds = service.memory.seconds
    seconds.stand_at(1_000.0)
    async with service.socket(headers=service.bearer()) as socket:
        await socket.frame("welcome")
        open_: Sessions = service.sessions

        async def tick(at: float) -> None:
            seconds.stand_at(at)
            await open_._tick()

        seconds.stand_at(1_010)
        socket.send(type="read", ids=[], ref="sent at 1010")
        await socket.frame("ok")
        await tick(1_010)
        await tick(1_010 + TIMING.ping - 1)
        socket.send(type="read", ids=[], ref="no ping came before")
        assert await socket.frame() == {"type": "ok", "ref": "no ping came before", "changed": 0}
        await tick(1_035)
        await tick(1_035 + TIMING.ping)

        assert await socket.frame() == {"type": "ping"}


async def test_one_who_does_not_answer_pings_is_gone(service: Service) -> None:
    async with service.socket(headers=service.bearer()) as socket:
        await socket.frame("welcome")
        await service.silence(TIMING.ping)
        await socket.frame("ping")
        service.memory.seconds.advance(TIMING.pong)

        bye, code = await farewell(socket)

    assert (code, bye["resume"]) == (4001, True)


async def test_a_slow_reader_is_told_to_resume(service: Service) -> None:
    async with service.socket(headers=service.bearer()) as socket:
        epoch = (await socket.frame("welcome"))["cursor"].split(".")[0]
        socket.stuck = True
        frames = [Frame(ADA, epoch, version - 1, version, '{"type":"ping"}') for version in range(1, 600)]
        service.memory.live.deliver(frames)
        socket.go_on()

        bye, code = await farewell(socket)

    assert (code, bye["resume"]) == (4002, True)


async def test_one_whose_network_takes_nothing_is_a_slow_reader(service: Service) -> None:
    before = metrics.CLOSES.labels(4002)._value.get()
    async with service.socket(headers=service.bearer()) as socket:
        await socket.frame("welcome")
        socket.stuck = True
        await deliver(service, drafts(1))
        async with asyncio.timeout(30):
            while service.memory.live._followers:
                await asyncio.sleep(0.01)
                service.memory.seconds.advance(TIMING.send)

    assert metrics.CLOSES.labels(4002)._value.get() == before + 1


async def test_one_who_leaves_leaves_nothing_behind(service: Service) -> None:
    before = len(asyncio.all_tasks())
    async with service.socket(headers=service.bearer()) as socket:
        await socket.frame("welcome")
        assert len(service.memory.live._followers[ADA]) == 1

    assert service.memory.live._followers == {}
    async with asyncio.timeout(30):
        while len(asyncio.all_tasks()) > before:  # noqa: ASYNC110 - a comparison may be under way
            await asyncio.sleep(0.003)  # not in step with the ticks


async def test_one_who_leaves_before_the_welcome_is_no_error(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    async with service.socket(headers=service.bearer()):
        pass

    assert service.memory.live._followers == {}
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_client_that_speaks_no_subprotocol_is_served(service: Service) -> None:
    async with service.socket(headers=service.bearer(), subprotocols=[]) as socket:
        accepted = await socket.event()

        assert accepted["subprotocol"] is None
        assert (await socket.frame())["type"] == "welcome"
