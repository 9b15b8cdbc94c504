"""The calls over HTTP of the Python client."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from bellwire_client import (
    Action,
    Actor,
    Bellwire,
    Category,
    CategoryPreference,
    Counts,
    Problem,
    Unreachable,
)
from bellwire_client.tokens import Token
from tests.line import counts, item, play

NEW_YEAR = datetime(2100, 1, 1, tzinfo=UTC)
AWAY = httpx.ConnectError("refused")
UNAVAILABLE = httpx.Response(503, json={"type": "urn:bellwire:problem:unavailable", "title": "Away"})
REFUSED = httpx.Response(
    422,
    json={
        "type": "urn:bellwire:problem:invalid",
        "title": "The input breaks a rule",
        "status": 422,
        "detail": "event is required",
        "errors": [{"field": "event", "message": "is required"}],
    },
)
UNAUTHORIZED = httpx.Response(401, json={"type": "urn:bellwire:problem:not-authenticated"})


class Answers:
    """A service that gives these answers, one after another, and remembers what it was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.asked: list[httpx.Request] = []
        self._answers = list(answers)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    def client(self, *, token: Token | None = "t", api_key: str | None = "k") -> Bellwire:
        transport = httpx.MockTransport(self)
        return Bellwire(
            "http://b.test/bell/", token=token, api_key=api_key, transport=transport, random=lambda: 0.5
        )


def accepted(identifier: str = "id-1") -> httpx.Response:
    return httpx.Response(202, json={"id": identifier, "status": "accepted"})


def changed(number: int) -> httpx.Response:
    return httpx.Response(200, json={"changed": number, **counts(0), "cursor": "e.9"})


def unavailable(retry_after: str) -> httpx.Response:
    return httpx.Response(503, headers={"Retry-After": retry_after}, content=b"<html>")


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_page() -> None:
    body = {"items": [item(3)], "next_cursor": "n", **counts(7), "cursor": "e.9"}
    service = Answers(httpx.Response(200, json=body))
    async with service.client() as client:
        page = await client.notifications("a/b", status="all", limit=1, cursor="c")

    assert [one.version for one in page.items] == [3]
    assert (page.next_cursor, page.unread_count, page.cursor) == ("n", 7, "e.9")
    (request,) = service.asked
    assert request.url == "http://b.test/bell/v1/users/a%2Fb/notifications?status=all&limit=1&cursor=c"
    assert request.headers["Authorization"] == "Bearer t"
    assert "X-API-Key" not in request.headers


async def test_a_page_of_categories() -> None:
    body = {"items": [], "next_cursor": None, **counts(0), "cursor": "e.9"}
    service = Answers(*[httpx.Response(200, json=body)] * 2)
    async with service.client() as client:
        await client.notifications("ada", category="billing")
        await client.notifications("ada", status="snoozed", category=["billing", "comment"])

    queries = [request.url.query.decode() for request in service.asked]
    assert queries == [
        "status=unread&category=billing&limit=20",
        "status=snoozed&category=billing&category=comment&limit=20",
    ]


async def test_the_counts() -> None:
    service = Answers(httpx.Response(200, json={**counts(7), "cursor": "e.9", "later": 1}))
    async with service.client() as client:
        assert await client.counts("ada") == Counts(cursor="e.9", **counts(7))

    assert service.asked[0].url.path == "/bell/v1/users/ada/counts"


LONG = "7" * 5_000


async def test_an_integer_of_any_length_keeps_its_digits() -> None:
    """Python makes no int of more than 4,300 digits: one notification would spoil every page it is on."""
    body = {"items": [item(3, metadata={"n": 0})], "next_cursor": None, **counts(7), "cursor": "e.9"}
    content = json.dumps(body).replace('{"n": 0}', f'{{"n": {LONG}, "small": {"7" * 40}}}')
    async with Answers(httpx.Response(200, content=content)).client() as client:
        page = await client.notifications("ada")

    assert page.items[0].metadata == {"n": Decimal(LONG), "small": int("7" * 40)}


async def test_what_is_published_is_not_escaped_for_that_counts_as_its_length() -> None:
    service = Answers(accepted())
    async with service.client() as client:
        await client.publish("ada", "tick", "Tick", metadata={"name": "Žofie"})
        with pytest.raises(ValueError, match="surrogates"):
            await client.publish("ada", "tick", "\ud800")

    assert "Žofie".encode() in service.asked[0].content


@pytest.mark.parametrize(
    ("mark", "path"),
    [
        (Bellwire.mark_read, "read"),
        (Bellwire.mark_seen, "seen"),
        (Bellwire.mark_unread, "unread"),
        (Bellwire.archive, "archive"),
        (Bellwire.unarchive, "unarchive"),
    ],
)
async def test_a_mark(mark: Callable[..., Any], path: str) -> None:
    service = Answers(changed(100), changed(2), changed(5), changed(1))
    ids = [f"id-{number}" for number in range(102)]
    async with service.client() as client:
        assert await mark(client, "ada", ids) == 102
        assert await mark(client, "ada", up_to="e.3") == 5
        assert await mark(client, "ada", up_to="e.3", category="billing") == 1

    assert {request.url.path for request in service.asked} == {f"/bell/v1/users/ada/notifications/{path}"}
    bodies = [json.loads(request.content) for request in service.asked]
    assert bodies == [
        {"ids": ids[:100]},
        {"ids": ids[100:]},
        {"up_to": "e.3"},
        {"up_to": "e.3", "category": "billing"},
    ]


async def test_a_snooze_and_an_action() -> None:
    acted = item(4, acted_at="2026-11-22T11:00:00Z", action="ok")
    service = Answers(changed(2), httpx.Response(200, json=acted))
    async with service.client() as client:
        assert await client.snooze("ada", ["a", "b"], NEW_YEAR) == 2
        assert (await client.act("ada", "a/b", "ok")).action == "ok"

    assert [request.url.raw_path.decode() for request in service.asked] == [
        "/bell/v1/users/ada/notifications/snooze",
        "/bell/v1/users/ada/notifications/a%2Fb/actions/ok",
    ]
    assert json.loads(service.asked[0].content) == {"ids": ["a", "b"], "until": "2100-01-01T00:00:00+00:00"}


@pytest.mark.parametrize("token", ["t", None])
async def test_preferences_are_the_users_or_a_keys(token: str | None) -> None:
    billing = {"id": "billing", "title": "Bills", "description": None, "mandatory": False, "later": 1}
    category = {**billing, "enabled": False, "chosen": False}
    body = {"categories": [category], "preferences_version": 4, "cursor": "e.9"}
    service = Answers(*[httpx.Response(200, json=body)] * 2)
    async with service.client(token=token) as client:
        read = await client.preferences("ada")
        assert await client.set_preferences("ada", {"billing": False, "comment": None}) == read

    del category["later"]
    assert read.categories == (CategoryPreference(**category),)  # type: ignore[arg-type]
    assert (read.preferences_version, read.cursor) == (4, "e.9")
    assert json.loads(service.asked[1].content) == {"categories": {"billing": False, "comment": None}}
    header = "Authorization" if token else "X-API-Key"
    assert all(header in request.headers for request in service.asked)


async def test_a_ticket() -> None:
    service = Answers(httpx.Response(201, json={"ticket": "once", "expires_in": 30}))
    async with service.client() as client:
        assert await client.stream_ticket() == "once"


async def test_publishing() -> None:
    service = Answers(accepted("id-1"), accepted("id-2"), accepted("id-3"))
    async with service.client() as client:
        first = await client.publish("ada", "tick", "Tick")
        await client.publish("ada", "tick", "Tick")
        await client.publish(
            "ada",
            "tick",
            "Tick",
            title="T",
            metadata={"n": 1},
            action_url="/n",
            expires_at=NEW_YEAR,
            category="billing",
            severity="critical",
            image_url="/i.png",
            icon="bill",
            actions=[Action(id="pay", label="Pay"), Action(id="see", label="See", url="/see")],
            actor=Actor(name="Ada", id="ada"),
            collapse_key="bill:7",
            collapse="always",
            idempotency_key="mine",
        )

    assert first == "id-1"
    bodies = [json.loads(request.content) for request in service.asked]
    assert bodies[0] == {"user_id": "ada", "event": "tick", "message": "Tick"}
    assert bodies[2] == {
        **bodies[0],
        "title": "T",
        "metadata": {"n": 1},
        "action_url": "/n",
        "expires_at": "2100-01-01T00:00:00+00:00",
        "category": "billing",
        "severity": "critical",
        "image_url": "/i.png",
        "icon": "bill",
        "actions": [
            {"id": "pay", "label": "Pay", "style": "default"},
            {"id": "see", "label": "See", "url": "/see", "style": "default"},
        ],
        "actor": {"name": "Ada", "id": "ada"},
        "collapse_key": "bill:7",
        "collapse": "always",
    }
    keys = [request.headers["Idempotency-Key"] for request in service.asked]
    assert len(set(keys)) == 3
    assert keys[2] == "mine"
    assert {request.headers["X-API-Key"] for request in service.asked} == {"k"}
    assert not any("Authorization" in request.headers for request in service.asked)


async def test_publishing_many() -> None:
    error = {"type": "urn:bellwire:problem:invalid", "title": "Invalid", "status": 422, "detail": "no event"}
    answer = {"results": [{"id": "id-1"}, {"error": error}]}
    service = Answers(*[httpx.Response(202, json=answer)] * 2)
    async with service.client() as client:
        first, second = await client.publish_batch([{"user_id": "ž"}, b'{"n": 1.10}'])
        await client.publish_batch([{}], idempotency_key="mine")

    assert first == "id-1"
    assert isinstance(second, Problem)
    assert (second.status, second.kind, second.detail) == (422, "invalid", "no event")
    assert service.asked[0].url.path == "/bell/v1/notifications/batch"
    assert service.asked[0].content == '{"items":[{"user_id": "ž"},{"n": 1.10}]}'.encode()
    keys = [request.headers["Idempotency-Key"] for request in service.asked]
    assert len(keys[0]) == 32
    assert keys[1] == "mine"


async def test_editing_and_taking_back() -> None:
    gone = httpx.Response(200, json={"outcome": "retracted"})
    service = Answers(accepted(), accepted(), gone)
    async with service.client() as client:
        await client.edit("ada", "id-1", "tick", "Tock", title="T")
        await client.edit("ada", "id-1", "tick", "Tock", revision=0, unread=True)
        assert await client.retract("ada", "id-1") == "retracted"

    assert [request.method for request in service.asked] == ["PUT", "PUT", "DELETE"]
    assert {request.url.path for request in service.asked} == {"/bell/v1/users/ada/notifications/id-1"}
    assert [json.loads(request.content) for request in service.asked[:2]] == [
        {"event": "tick", "message": "Tock", "title": "T"},
        {"event": "tick", "message": "Tock", "revision": 0, "unread": True},
    ]
    assert {request.headers["X-API-Key"] for request in service.asked} == {"k"}


async def test_users_and_categories() -> None:
    billing = {"id": "billing", "title": "Bills", "description": None, "mandatory": False, "default": "off"}
    body = {**billing, "expires_after": 60}
    category = Category(**{**body, "expires_after": timedelta(minutes=1)})  # type: ignore[arg-type]
    answers = [{}, {}, body, {"items": [body]}]
    service = Answers(*(httpx.Response(200, json=answer) for answer in answers))
    async with service.client() as client:
        await client.put_user("a/b", "Ada")
        await client.put_user("ada", "Ada", email="ada@example.com")
        minute = timedelta(minutes=1)
        named = {"title": "Bills", "default": "off"}
        assert await client.set_category("billing", **named, expires_after=minute) == category  # type: ignore[arg-type]
        assert await client.categories() == [category]

    called = [
        (request.method, request.url.raw_path.decode().removeprefix("/bell/v1")) for request in service.asked
    ]
    assert called == [
        ("PUT", "/users/a%2Fb"),
        ("PUT", "/users/ada"),
        ("PUT", "/categories/billing"),
        ("GET", "/categories"),
    ]
    assert [json.loads(request.content) for request in service.asked[:3]] == [
        {"name": "Ada"},
        {"name": "Ada", "email": "ada@example.com"},
        {name: value for name, value in body.items() if name != "id"},
    ]


def test_what_is_away_is_asked_again_with_the_same_key_and_the_same_bytes() -> None:
    async def scenario(_: object) -> None:
        service = Answers(AWAY, unavailable("7"), UNAVAILABLE, accepted())
        async with service.client() as client:
            assert await client.publish("ada", "tick", "Tick", metadata={"b": 1, "a": 2}) == "id-1"

        # Half of 0.5; 7 and half of 1; half of 2 s.
        assert now() == pytest.approx(0.25 + 7.5 + 1)
        assert len(service.asked) == 4
        assert len({request.headers["Idempotency-Key"] for request in service.asked}) == 1
        assert len({request.content for request in service.asked}) == 1

    play(scenario)


@pytest.mark.parametrize("status", [502, 504])
def test_what_a_proxy_answers_for_a_service_that_is_away_is_tried_again(status: int) -> None:
    async def scenario(_: object) -> None:
        service = Answers(httpx.Response(status, content=b"<html>"), accepted())
        async with service.client() as client:
            assert await client.publish("ada", "tick", "Tick") == "id-1"

        assert len({request.headers["Idempotency-Key"] for request in service.asked}) == 1

    play(scenario)


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [(AWAY, Unreachable, "refused"), (UNAVAILABLE, Problem, "Away"), (unavailable("31"), Problem, "503")],
    ids=["broken", "unavailable", "for longer"],
)
def test_it_gives_up_in_bounded_time(answer: Any, error: type[Exception], message: str) -> None:
    async def scenario(_: object) -> None:
        service = Answers(*[answer] * 100)
        async with service.client() as client:
            with pytest.raises(error, match=message):
                await client.stream_ticket()

        assert now() <= 30

    play(scenario)


async def test_what_is_refused_is_not_asked_again() -> None:
    service = Answers(REFUSED)
    async with service.client() as client:
        with pytest.raises(Problem) as refused:
            await client.publish("ada", "", "Tick")

    problem = refused.value
    assert (problem.status, problem.kind, problem.detail) == (422, "invalid", "event is required")
    assert problem.errors == ({"field": "event", "message": "is required"},)


@pytest.fixture
def tokens() -> Callable[[], Any]:
    made = 0

    async def token() -> str:
        nonlocal made
        made += 1
        return f"t{made}"

    return token


async def test_a_token_is_kept_until_it_is_refused(tokens: Callable[[], Any]) -> None:
    service = Answers(changed(1), UNAUTHORIZED, changed(2), changed(3))
    async with service.client(token=tokens) as client:
        assert [await client.mark_read("ada", "id-1") for _ in range(3)] == [1, 2, 3]

    sent = [request.headers["Authorization"] for request in service.asked]
    assert sent == ["Bearer t1", "Bearer t1", "Bearer t2", "Bearer t2"]


@pytest.mark.parametrize("fixed", [True, False])
async def test_a_token_that_is_refused_is_replaced_once(tokens: Callable[[], Any], *, fixed: bool) -> None:
    service = Answers(UNAUTHORIZED, UNAUTHORIZED)
    async with service.client(token="t" if fixed else tokens) as client:
        with pytest.raises(Problem) as refused:
            await client.mark_read("ada", "id-1")

    assert refused.value.kind == "not-authenticated"
    assert len(service.asked) == (1 if fixed else 2)


async def test_what_cannot_be_is_said_before_anything_is_sent() -> None:
    service = Answers()
    with pytest.raises(ValueError, match="begins with http"):
        Bellwire("ws://b.test")
    with pytest.raises(RuntimeError, match="enter the client first"):
        await service.client().stream_ticket()
    async with service.client(token=None, api_key=None) as client:
        with pytest.raises(ValueError, match="needs a token"):
            client.stream("ada")
        with pytest.raises(ValueError, match="needs a token"):
            await client.notifications("ada")
        with pytest.raises(ValueError, match="needs an api_key"):
            await client.publish("ada", "tick", "Tick")
    async with service.client() as client:
        with pytest.raises(ValueError, match="time zone"):
            await client.publish("ada", "tick", "Tick", expires_at=datetime(2100, 1, 1))
        with pytest.raises(ValueError, match="time zone"):
            await client.snooze("ada", "id-1", datetime(2100, 1, 1))
        with pytest.raises(ValueError, match="not both"):
            await client.mark_read("ada")
        with pytest.raises(ValueError, match="up_to only"):
            await client.mark_read("ada", "id-1", category="billing")
