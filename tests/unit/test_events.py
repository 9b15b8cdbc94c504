"""The live stream as server-sent events, on ports in memory."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from prometheus_client import REGISTRY

from adapters.websocket.events import EventsConnection
from application.streams import Frame
from common import metrics
from domain.identifiers import NotificationId, UserId
from domain.notification import Draft
from domain.states import Mark
from entrypoints.live.state import Streams
from entrypoints.timing import Timing
from entrypoints.web.state import application_state, part_of
from tests.build import ADA, BOB, an_id, drafts
from tests.wiring import HOST, Events, Json, Service

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


async def refused(service: Service, status: int, **connect: Any) -> tuple[Json, dict[str, str]]:
    """Connect in a way that must be refused; return the problem and the headers."""
    async with service.events(**connect) as events:
        answered, headers = await events.start()
        problem = await events.problem()
    assert (answered, problem["status"]) == (status, status), problem
    assert headers["content-type"] == "application/problem+json"
    assert service.memory.live._followers == {}
    return problem, headers


async def ends(events: Events, code: int) -> str | None:
    """Wait for a `bye` with this code and the end of the answer; return its `retry`."""
    while True:
        event = await events.event()
        assert event is not None, f"ended without a bye {code}"
        if f'"code":{code}' in event.data:
            assert await events.event() is None
            return event.retry


# --- the answer ---


async def test_a_stream_begins_with_headers_for_proxies_and_a_welcome(service: Service) -> None:
    async with service.events(headers=service.bearer() | {"X-Request-Id": "mine"}) as events:
        status, headers = await events.start()
        event = await events.event()
        assert event is not None

        assert status == 200
        assert headers["content-type"] == "text/event-stream; charset=utf-8"
        assert headers["cache-control"] == "no-cache, no-transform"
        assert headers["x-accel-buffering"] == "no"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-request-id"] == "mine"
        assert event.data.startswith('{"type":"welcome"')
        assert event.id == str((await service.memory.feeds.feed(ADA)).cursor)


async def test_a_ticket_opens_one_stream(service: Service) -> None:
    ticket = (await service.client.post("/v1/stream-tickets", headers=service.bearer())).json()["ticket"]
    async with service.events(query=f"ticket={ticket}") as events:
        await events.frame("welcome")

    await refused(service, 401, query=f"ticket={ticket}")


async def test_what_happens_arrives_with_its_cursor_as_the_id(service: Service) -> None:
    async with service.events(headers=service.bearer()) as events:
        await events.frame("welcome")
        await deliver(service, drafts(2))
        came = await events.frame("notifications")
        await service.container.mark_notifications()(ADA, Mark.READ, [NotificationId(an_id(1))])
        changed = await events.frame("update")

        assert (len(came["items"]), changed["unread_count"]) == (2, 1)
        assert events.last_id == changed["cursor"]


async def test_the_last_event_id_wins_over_the_first_cursor(service: Service) -> None:
    async with service.events(headers=service.bearer()) as events:
        first = await events.frame("welcome")
        await deliver(service, drafts(1))
        second = await events.frame("notifications")
    await deliver(service, drafts(3)[1:])
    headers = service.bearer() | {"Last-Event-ID": second["cursor"]}

    async with service.events(query=f"cursor={first['cursor']}", headers=headers) as events:
        welcome = await events.frame("welcome")
        missed = await events.frame("notifications")
        await events.frame("replayed")

    assert welcome["resumed"]
    assert (missed["prev"], len(missed["items"])) == (second["cursor"], 2)


async def test_a_first_cursor_that_is_none_is_refused_beside_a_last_event_id_too(service: Service) -> None:
    headers = service.bearer() | {"Last-Event-ID": "e1.1"}
    response = await service.client.get("/sse/ada", params={"cursor": "none"}, headers=headers)

    assert response.status_code == 422
    assert response.json()["errors"] == [{"field": "cursor", "message": "is not a cursor of this service"}]


async def test_on_an_auto_view_delivery_is_viewing(service: Service) -> None:
    async with service.events(query="view=auto", headers=service.bearer()) as events:
        await events.frame("welcome")
        await deliver(service, drafts(1))

        assert (await events.frame("update"))["unread_count"] == 0


async def test_the_measured_time_is_that_until_the_stream_began(service: Service) -> None:
    before = measured()
    async with service.events(headers=service.bearer()) as events:
        await events.frame("welcome")
        begun = measured()
        assert begun > before
    assert measured() == begun


def measured() -> float:
    labels = {"method": "GET", "route": "/sse/{user_id}", "status": "200"}
    return REGISTRY.get_sample_value("bellwire_http_seconds_sum", labels) or 0.0


# --- refusals ---


@pytest.mark.parametrize(
    "connect",
    [{}, {"query": "ticket=unknown"}, {"headers": {"Authorization": "Bearer nonsense"}}],
    ids=["nothing", "ticket", "token"],
)
async def test_without_good_credentials_nobody_comes_in(service: Service, connect: dict[str, Any]) -> None:
    problem, headers = await refused(service, 401, **connect)

    assert problem["type"].endswith("not-authenticated")
    assert headers["www-authenticate"] == "Bearer"


async def test_another_users_feed_is_forbidden(service: Service) -> None:
    await refused(service, 403, headers=service.bearer(BOB))


async def test_another_origin_is_forbidden_and_our_own_is_not(service: Service) -> None:
    problem, _ = await refused(service, 403, headers=service.bearer() | {"Origin": "https://evil.test"})
    assert "origin" in problem["detail"]

    async with service.events(headers=service.bearer() | {"Origin": f"https://{HOST}"}) as events:
        await events.frame("welcome")


async def test_a_page_of_an_allowed_origin_may_read_it() -> None:
    origin = "https://app.test"
    async with Service.run(live=True, allowed_origins=origin) as service:
        await service.add(ADA)
        async with service.events(headers=service.bearer() | {"Origin": origin}) as events:
            _, headers = await events.start()
            assert headers["access-control-allow-origin"] == origin
        asked = {
            "Origin": origin,
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "authorization,last-event-id",
        }
        assert (await service.client.options("/sse/ada", headers=asked)).status_code == 204


async def test_a_user_who_was_never_created_is_not_found(service: Service) -> None:
    problem, _ = await refused(service, 404, path="/sse/ghost", headers=service.bearer(GHOST))

    assert problem["type"].endswith("unknown-user")


@pytest.mark.parametrize(("query", "field"), [("cursor=nonsense", "cursor"), ("view=sideways", "view")])
async def test_a_question_that_makes_no_sense_names_the_field(
    service: Service, query: str, field: str
) -> None:
    problem, _ = await refused(service, 422, query=query, headers=service.bearer())

    assert [error["field"] for error in problem["errors"]] == [field]


async def test_with_the_store_away_a_client_is_asked_to_come_back(service: Service) -> None:
    service.memory.feeds.away = True
    _, headers = await refused(service, 503, headers=service.bearer())

    assert 1 <= int(headers["retry-after"]) <= 10


async def test_with_tickets_away_a_client_is_asked_to_come_back(service: Service) -> None:
    service.memory.tickets.away = True
    _, headers = await refused(service, 503, query="ticket=any")

    assert headers["retry-after"]


async def test_a_full_or_draining_process_asks_to_come_back(service: Service) -> None:
    async with service.events(headers=service.bearer()) as events:
        await events.frame("welcome")
        service.sessions._most = 1
        try:
            async with service.events(headers=service.bearer()) as more:
                status, headers = await more.start()
        finally:
            service.sessions._most = 0
    assert (status, int(headers["retry-after"]) >= 1) == (503, True)
    await service.sessions.drain(0)

    await refused(service, 503, headers=service.bearer())


async def test_a_user_has_so_many_streams_of_both_kinds() -> None:
    async with Service.run(live=True, sockets_per_user=2) as service:
        await service.add(ADA)
        async with (
            service.socket(headers=service.bearer()) as socket,
            service.events(headers=service.bearer()) as events,
        ):
            await socket.frame("welcome")
            await events.frame("welcome")
            async with service.events(headers=service.bearer()) as more:
                status, _ = await more.start()
                problem = await more.problem()

    assert (status, problem["type"]) == (429, "urn:bellwire:problem:too-many-streams")


@pytest.mark.parametrize("method", ["HEAD", "POST", "DELETE"])
async def test_other_methods_are_not_allowed(service: Service, method: str) -> None:
    answer = await service.client.request(method, "/sse/ada", headers=service.bearer())

    assert answer.status_code == 405
    assert "GET" in answer.headers["allow"].split(", ")


async def test_a_websocket_finds_nothing_there(service: Service) -> None:
    async with service.socket("/sse/ada", headers=service.bearer()) as socket:
        assert (await socket.event())["type"] == "websocket.close"


# --- its life and its end ---


async def test_silence_is_broken_by_a_comment_that_nobody_answers(service: Service) -> None:
    async with service.events(headers=service.bearer()) as events:
        await events.frame("welcome")
        for _ in range(5):
            await service.silence(TIMING.ping)
            event = await events.event()
            assert event is not None
            assert (event.data, event.id) == ("", None)
        await deliver(service, drafts(1))
        await events.frame("notifications")


async def test_a_stream_ends_with_its_token(service: Service) -> None:
    async with service.events(headers=service.bearer()) as events:
        await events.frame("welcome")
        service.memory.clock.advance(hours=2)

        retry = await ends(events, 4004)
        assert retry is not None
        assert 0 <= int(retry) <= 1_000


async def test_a_stream_ends_with_its_user(service: Service) -> None:
    async with service.events(headers=service.bearer()) as events:
        await events.frame("welcome")
        await service.container.disable_user()(ADA)
        await service.container.revocations().refresh()

        assert await ends(events, 4513) is None
    problem, _ = await refused(service, 401, headers=service.bearer())
    assert "revoked" in problem["detail"]


async def test_a_drain_says_bye_and_ends_every_answer(service: Service) -> None:
    async with (
        service.events(headers=service.bearer()) as one,
        service.events(headers=service.bearer()) as two,
    ):
        await one.frame("welcome")
        await two.frame("welcome")
        await service.sessions.drain(0)

        assert await ends(one, 4000) is not None
        assert await ends(two, 4000) is not None
        assert len(service.sessions) == 0


async def test_who_leaves_is_forgotten_at_once(service: Service) -> None:
    before = len(asyncio.all_tasks())
    async with service.events(headers=service.bearer()) as events:
        await events.frame("welcome")
        assert len(service.memory.live._followers[ADA]) == 1

    assert service.memory.live._followers == {}
    async with asyncio.timeout(30):
        while len(asyncio.all_tasks()) > before:  # noqa: ASYNC110 - a comparison may be under way
            await asyncio.sleep(0.003)  # not in step with the ticks


async def test_the_body_of_a_get_is_ignored(service: Service) -> None:
    async with service.events(headers=service.bearer()) as events:
        await events.frame("welcome")
        for _ in range(3):
            events.inbound.put_nowait({"type": "http.request", "body": b"{}", "more_body": True})
        await deliver(service, drafts(1))
        await events.frame("notifications")


async def test_who_reads_too_slowly_is_told_to_resume(service: Service) -> None:
    async with service.events(headers=service.bearer()) as events:
        epoch = (await events.frame("welcome"))["cursor"].split(".")[0]
        events.taking.clear()
        frames = [Frame(ADA, epoch, version - 1, version, '{"type":"ping"}') for version in range(1, 600)]
        service.memory.live.deliver(frames)
        assert len(service.sessions) == 1  # it has until its last words are cut off
        events.taking.set()

        assert await ends(events, 4002) is not None


class ImpatientConnection(EventsConnection):
    close_seconds = 0.02


async def test_who_takes_nothing_is_cut_off(service: Service) -> None:
    connect = partial(ImpatientConnection, now=service.memory.seconds)
    streams = replace(part_of(service.app, Streams), connect_events=connect)
    service.app.state.update(application_state(streams))
    before = metrics.CLOSES.labels(4002)._value.get()
    async with service.events(headers=service.bearer()) as events:
        await events.frame("welcome")
        events.taking.clear()
        await deliver(service, drafts(1))
        async with asyncio.timeout(30):
            while len(service.sessions):
                await asyncio.sleep(0.01)
                service.memory.seconds.advance(TIMING.send)

    assert metrics.CLOSES.labels(4002)._value.get() == before + 1
