"""The HTTP API in this process on real servers: what it does when one of them is away."""

import asyncio
from collections.abc import AsyncIterator
from random import uniform
from time import monotonic
from typing import Any, cast

import httpx
import pytest

from adapters.postgres.engine import create_engine
from adapters.redis.server import RedisServer, connect
from application.credentials import Scope
from domain.identifiers import UserId
from domain.states import Mark
from entrypoints.app import create_app
from tests.build import ADA, a_user, an_id, drafts
from tests.whole import Container
from tests.wiring import running

BODY = {"user_id": "ada", "event": "test.sent", "message": "hello"}


@pytest.fixture
async def client(container: Container) -> AsyncIterator[httpx.AsyncClient]:
    """The application with everything connected, a producer's key and the token of Ada, who exists."""
    await container.ensure_topics()(container.settings().kafka_bootstrap, container.topics())
    await container.users().add(a_user(ADA), None)
    _, key = await container.create_api_key()("tests", frozenset({Scope.PUBLISH, Scope.USERS}))
    token, _ = container.tokens().mint(ADA, container.clock()())
    app = create_app(container)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)  # type: ignore[arg-type]
    headers = {"X-API-Key": key, "Authorization": f"Bearer {token}"}
    async with (
        running(app),
        httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client,
    ):
        await ready(client)
        yield client


async def ready(client: httpx.AsyncClient, status: int = 200) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            response = await client.get("/health/ready")
            if response.status_code == status:
                return dict(response.json())
            await asyncio.sleep(0.05)


def without_redis(container: Container) -> None:
    """From now on no Redis is there."""
    cast(RedisServer, container.redis_server())._away_until = float("inf")


def without_postgres(container: Container) -> None:
    """From now on no PostgreSQL is there."""
    nowhere = create_engine(
        "postgresql+asyncpg://nobody@127.0.0.1:1/x", pool_size=1, application="tests", jitter=uniform
    )
    parts: list[Any] = [container.users(), container.feeds(), container.api_keys(), container.maintenance()]
    for part in parts:
        part._engine = nowhere


async def test_with_everything_there_it_is_ready(client: httpx.AsyncClient) -> None:
    assert await ready(client) == {
        "status": "ok",
        "checks": {"postgres": "ok", "kafka": "ok", "streams": "ok", "redis": "ok"},
    }


async def test_a_publish_is_accepted_with_an_id(client: httpx.AsyncClient) -> None:
    response = await client.post("/createNotification", json=BODY)

    assert response.status_code == 202
    assert response.json()["status"] == "accepted"


async def test_a_key_makes_two_requests_one_notification(client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "once"}

    answers = await asyncio.gather(
        *(client.post("/v1/notifications", json=BODY, headers=headers) for _ in range(5))
    )
    other = await client.post("/v1/notifications", json={**BODY, "message": "else"}, headers=headers)

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert other.status_code == 422


async def test_a_page_comes_from_the_store_first_and_from_the_index_then(
    client: httpx.AsyncClient, container: Container
) -> None:
    await container.store()(drafts(30))
    first = await client.get("/v1/users/ada/notifications?limit=3")
    without_postgres(container)

    again = await client.get("/v1/users/ada/notifications?limit=3")
    count = await client.get("/v1/users/ada/unread-count")

    assert first.status_code == again.status_code == count.status_code == 200
    assert again.json() == first.json()
    assert [item["id"] for item in again.json()["items"]] == [str(an_id(n)) for n in (30, 29, 28)]
    assert count.json()["unread_count"] == 30
    assert (await client.get("/v1/users/ada/notifications?status=all")).status_code == 503


async def test_what_is_marked_is_gone_from_the_index_when_the_answer_comes(
    client: httpx.AsyncClient, container: Container
) -> None:
    await container.store()(drafts(3))
    await client.get("/notifications/ada")

    for n in (1, 2, 3):
        marked = await client.patch(f"/notifications/ada/{an_id(n)}/read")
        assert marked.status_code == 200
        assert (await client.get("/v1/users/ada/unread-count")).json()["unread_count"] == 3 - n


async def test_the_index_agrees_with_the_store_after_changes_at_once(
    client: httpx.AsyncClient, container: Container
) -> None:
    store = container.store()

    async def publish(first: int) -> None:
        await store.announce(await store(drafts(5, first=first)))

    async def read(number: int) -> None:
        await container.mark_notifications()(ADA, Mark.READ, [an_id(number)])

    async def look() -> None:
        page = (await client.get("/notifications/ada?limit=100")).json()
        assert len(page["items"]) == page["unread_count"]

    await publish(1)
    await asyncio.gather(
        *(publish(first) for first in range(6, 60, 5)),
        *(read(number) for number in range(1, 6)),
        *(look() for _ in range(20)),
    )

    page = (await client.get("/notifications/ada?limit=100")).json()
    feed = await container.feeds().feed(ADA)
    assert (page["unread_count"], page["cursor"]) == (55, str(feed.cursor))
    assert (feed.unread_count, feed.version) == (55, 65)


async def test_without_redis_everything_works_but_what_needs_its_promise(
    client: httpx.AsyncClient, container: Container
) -> None:
    await container.store()(drafts(1))
    without_redis(container)

    assert (await client.post("/v1/notifications", json=BODY)).status_code == 202
    keyed = await client.post("/v1/notifications", json=BODY, headers={"Idempotency-Key": "k"})
    assert (keyed.status_code, keyed.headers["Retry-After"]) == (503, "1")
    assert (await client.get("/notifications/ada")).json()["unread_count"] == 1
    assert (await client.patch(f"/notifications/ada/{an_id(1)}/read")).status_code == 200
    assert (await client.post("/v1/stream-tickets")).status_code == 503
    health = await client.get("/health/ready")
    assert (health.status_code, health.json()["status"]) == (200, "ok")
    assert health.json()["checks"]["redis"] != "ok"


async def test_without_postgres_publishing_goes_on_and_reading_says_so(
    client: httpx.AsyncClient, container: Container
) -> None:
    assert (await client.post("/v1/notifications", json=BODY)).status_code == 202
    without_postgres(container)

    assert (await client.post("/v1/notifications", json=BODY)).status_code == 202
    assert (await client.post("/v1/notifications", json={**BODY, "user_id": "new"})).status_code == 202
    reading = await client.get("/notifications/ada")
    assert (reading.status_code, reading.headers["Retry-After"]) == (503, "1")
    assert reading.headers["Content-Type"] == "application/problem+json"
    health = await client.get("/health/ready")
    assert (health.status_code, health.json()["checks"]["kafka"]) == (503, "ok")


async def test_without_kafka_a_publish_is_unconfirmed_in_bounded_time_with_its_id(
    client: httpx.AsyncClient, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> None:
        return

    queue = container.kafka_queue()
    monkeypatch.setattr(queue, "_replace", fail)  # within a second it would connect again
    connected, queue._producer = queue._producer, None
    try:
        async with asyncio.timeout(60):
            response = await client.post("/v1/notifications", json=BODY)
            batch = await client.post("/v1/notifications/batch", json={"items": [BODY]})

        assert response.status_code == 503
        assert response.headers["Retry-After"] == "1"
        problem = response.json()
        assert problem["type"] == "urn:bellwire:problem:unconfirmed"
        assert problem["id"]
        assert batch.json()["results"][0]["error"]["status"] == 503
        assert (await ready(client, 503))["checks"]["postgres"] == "ok"
    finally:
        queue._producer = connected


async def test_redis_that_comes_back_is_used_again(
    client: httpx.AsyncClient, container: Container, name: str
) -> None:
    """The announcer's own loop, not the test, tells what could not be told."""
    await container.store()(drafts(2))
    await client.get("/notifications/ada")
    without_redis(container)
    await client.patch(f"/notifications/ada/{an_id(1)}/read")
    cast(RedisServer, container.redis_server())._away_until = 0.0

    server = RedisServer(connect(container.settings().redis_url, now=monotonic), monotonic)
    try:
        async with asyncio.timeout(60):
            while await server.client.exists(f"{name}:feed:{{ada}}"):  # noqa: ASYNC110 - Redis tells nobody
                await asyncio.sleep(0.05)
    finally:
        await server.close()
    assert (await client.get("/v1/users/ada/unread-count")).json()["unread_count"] == 1


# --- texts that are typed in several ways ---

SPELLINGS = [
    "zo\u00e9@b\u00fccher.example",
    "zoe\u0301@bu\u0308cher.example",
    "ZO\u00c9@XN--bcher-kva.example",
    "\uff5a\uff4f\u00e9\uff20b\u00fccher\uff0eexample",
]
PASSWORD, DECOMPOSED = "d\u00e9j\u00e0 vu!", "de\u0301ja\u0300 vu!"


async def logged_in(client: httpx.AsyncClient, email: str, password: str) -> str | None:
    """As whom; None if it was refused."""
    response = await client.post("/v1/sessions", json={"email": email, "password": password})
    assert response.status_code in {200, 401}, response.text
    user: str | None = response.json().get("user_id")
    return user


@pytest.mark.parametrize("first", [0, 1])
async def test_an_account_is_one_however_its_address_and_password_are_typed(
    client: httpx.AsyncClient, first: int
) -> None:
    body = {
        "name": "Zo\u00e9",
        "id": "zoe",
        "email": SPELLINGS[first],
        "password": [PASSWORD, DECOMPOSED][first],
    }

    created = await client.post("/createUser", json=body)

    assert (created.status_code, created.json()["email"]) == (201, SPELLINGS[0])
    for email in SPELLINGS:
        again = await client.post("/createUser", json={"name": "Another", "email": email})
        assert (again.status_code, again.json()["type"]) == (409, "urn:bellwire:problem:user-taken")
    assert {await logged_in(client, email, DECOMPOSED) for email in SPELLINGS} == {"zoe"}
    assert await logged_in(client, SPELLINGS[0], PASSWORD) == "zoe"
    assert await logged_in(client, SPELLINGS[0], "deja vu!") is None


async def test_an_account_from_before_is_let_in_as_ever_and_comes_into_the_one_form(
    client: httpx.AsyncClient, container: Container
) -> None:
    """It holds the address in lower case and a hash of the password, both as they were typed."""
    zoe = a_user(UserId("zoe"), email=SPELLINGS[1])
    await container.users().add(zoe, await container.passwords().hash(DECOMPOSED))
    assert await logged_in(client, SPELLINGS[0], PASSWORD) is None
    assert (await client.post("/createUser", json={"name": "x", "email": SPELLINGS[1]})).status_code == 409

    assert await logged_in(client, SPELLINGS[1].upper(), DECOMPOSED) == "zoe"

    assert await container.users().credentials([SPELLINGS[1]]) is None
    for email in SPELLINGS:
        assert await logged_in(client, email, PASSWORD) == "zoe"
    found = await container.users().credentials([SPELLINGS[0]])
    assert found is not None
    assert await container.passwords().verify(PASSWORD, found[1])


async def test_an_account_that_could_not_be_made_any_more_is_still_let_in(
    client: httpx.AsyncClient, container: Container
) -> None:
    email, password = "ad\u200bele@example.com", "zero\u200bwidth"
    eve = a_user(UserId("eve"), email=email)
    await container.users().add(eve, await container.passwords().hash(password))

    assert [await logged_in(client, email, password) for _ in range(2)] == ["eve", "eve"]
    assert await logged_in(client, "adele@example.com", password) is None
    assert (await client.post("/createUser", json={"name": "x", "email": email})).status_code == 422
