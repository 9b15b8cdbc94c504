"""A key that is limited to a prefix neither reads nor changes anything beyond it, by any route."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from copy import deepcopy
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from application.credentials import SCOPES, Scope
from domain.identifiers import USER_ID, UserId
from tests.build import a_user, an_id
from tests.wiring import Service, on_memory

PREFIX = "acme:"
MESSAGE = {"event": "comment.created", "message": "Ada replied to you"}
NEIGHBOURS = [
    "ada",
    "acme",
    "acme-ada",
    "acmex:ada",
    "ACME:ada",
    "xacme:ada",
    "acme.ada",
    ":acme:ada",
    "globex:ada",
]
WITHIN = UserId("acme:ada")

# What a route is sent, with the user in it. A new route by key has to find its place here.
IN_PATH = {
    ("POST", "/v1/users/{user_id}/disable"): None,
    ("POST", "/v1/users/{user_id}/enable"): None,
    ("POST", "/v1/users/{user_id}/revoke-tokens"): None,
    ("GET", "/v1/users/{user_id}/export"): None,
    ("DELETE", "/v1/users/{user_id}/notifications/" + str(an_id())): None,
    ("DELETE", "/v1/users/{user_id}"): None,
    ("GET", "/v1/users/{user_id}"): None,
    ("GET", "/v1/users/{user_id}/preferences"): None,
    ("GET", "/v1/users/{user_id}/notifications"): None,
    ("GET", "/notifications/{user_id}"): None,
    ("GET", "/v1/users/{user_id}/counts"): None,
    ("GET", "/v1/users/{user_id}/unread-count"): None,
}
# Of the day of the service's clock.
CHANGING = "/v1/users/{user_id}/notifications/" + str(an_id())
IN_BODY: Mapping[tuple[str, str], Callable[[str], Any]] = {
    ("POST", "/v1/notifications"): lambda user: {"user_id": user, **MESSAGE},
    ("POST", "/createNotification"): lambda user: {"user_id": user, **MESSAGE},
    ("POST", "/v1/notifications/batch"): lambda user: {"items": [{"user_id": user, **MESSAGE}]},
    ("PUT", "/v1/users/{user_id}"): lambda _: {"name": "Augusta"},
    ("PUT", CHANGING): lambda _: MESSAGE,
    ("PUT", "/v1/users/{user_id}/password"): lambda _: {"new_password": "battery staple"},
    ("PUT", "/v1/users/{user_id}/preferences"): lambda _: {"categories": {"billing": False}},
    ("POST", "/v1/revoked-tokens"): lambda user: {"user_id": user, "jti": "one"},
    ("POST", "/v1/users"): lambda user: {"name": "Ada", "id": user},
    ("POST", "/createUser"): lambda user: {"name": "Ada", "id": user},
}
# About keys; unit/test_keys.py tests what a key may do to another.
ABOUT_KEYS = {
    ("POST", "/v1/keys"),
    ("GET", "/v1/keys"),
    ("GET", "/v1/keys/{key_id}"),
    ("POST", "/v1/keys/{key_id}/rotate"),
    ("POST", "/v1/keys/{key_id}/revoke"),
}
# With the id of an erasure, which only its caller was told; and refused to limited keys (test_privacy.py,
# test_preferences.py).
ABOUT_NOBODY = {
    ("GET", "/v1/erasures/{erasure_id}"),
    ("GET", "/v1/audit"),
    ("GET", "/v1/categories"),
    ("PUT", "/v1/categories/{category_id}"),
}
# Lists the users within the prefix, as the tests below say.
LISTING = {("GET", "/v1/users")}
CREATING = {"/v1/users", "/createUser"}
ROUTES = [*IN_PATH, *IN_BODY]

beyond = st.sampled_from(NEIGHBOURS) | st.from_regex(USER_ID, fullmatch=True).filter(
    lambda user: not user.startswith(PREFIX)
)


class World:
    """A service with users within and beyond the prefix, and a key for everything within it."""

    def __init__(self, service: Service, limited: str, free: str) -> None:
        self.service = service
        self.limited = {"X-API-Key": limited}
        self.free = {"X-API-Key": free}

    async def ask(self, route: tuple[str, str], user: str, key: dict[str, str]) -> httpx.Response:
        method, path = route
        body = IN_BODY[route](user) if route in IN_BODY else None
        path = path.replace("{user_id}", quote(user, safe=""))
        return await self.service.client.request(method, path, json=body, headers=key)

    def state(self) -> Any:
        memory = self.service.memory
        parts = (
            memory.users.held,
            memory.users._revoked,
            memory.feeds._held,
            memory.feeds._choices,
            memory.queue.held,
            memory.keys,
        )
        return deepcopy([repr(part.__dict__ if hasattr(part, "__dict__") else part) for part in parts])


@asynccontextmanager
async def a_world() -> AsyncIterator[World]:
    async with Service.run() as service:
        create = service.container.create_api_key()
        _, limited = await create("Acme", SCOPES, user_prefix=PREFIX)
        _, free = await create("Everybody", SCOPES)
        for user in (WITHIN, *NEIGHBOURS):
            await service.memory.users.add(a_user(UserId(user), email=f"{user}@example.com"), None)
        yield World(service, limited, free)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as made:
        yield made


def refusal(response: httpx.Response) -> dict[str, Any]:
    """The problem with which one user is refused, in a batch or alone."""
    body: dict[str, Any] = response.json()
    if "results" in body:
        (result,) = body["results"]
        return dict(result["error"])
    assert response.status_code == body["status"]
    return body


def test_every_route_by_key_is_known_here() -> None:
    _, _, app = on_memory()
    by_key = {
        (method.upper(), path.replace("{notification_id}", str(an_id())))
        for path, item in app.openapi_schema.to_schema()["paths"].items()
        for method, operation in item.items()
        if any("apiKey" in way for way in operation.get("security", ()))
    }

    assert by_key == {*ROUTES, *ABOUT_KEYS, *ABOUT_NOBODY, *LISTING}


@settings(max_examples=40, deadline=None)
@given(user=beyond)
def test_nothing_beyond_the_prefix_is_read_or_changed(user: str) -> None:
    async def refused() -> None:
        async with a_world() as world:
            before = world.state()
            for route in ROUTES:
                problem = refusal(await world.ask(route, user, world.limited))
                assert (problem["status"], problem["type"]) == (403, "urn:bellwire:problem:not-allowed"), (
                    route
                )
                assert world.state() == before, route

    asyncio.run(refused())


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
async def test_who_exists_beyond_the_prefix_is_answered_like_nobody(
    world: World, route: tuple[str, str]
) -> None:
    there, nobody = [await world.ask(route, user, world.limited) for user in ("globex:ada", "globex:nobody")]

    assert (there.status_code, there.content) == (nobody.status_code, nobody.content)


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
async def test_another_key_does_the_same_to_the_same_user(world: World, route: tuple[str, str]) -> None:
    """So it was the prefix that refused it."""
    user = "globex:new" if route[1] in CREATING else "globex:ada"

    response = await world.ask(route, user, world.free)

    assert response.is_success, response.text


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
async def test_within_the_prefix_the_key_does_everything(world: World, route: tuple[str, str]) -> None:
    user = "acme:new" if route[1] in CREATING else WITHIN

    response = await world.ask(route, user, world.limited)

    assert response.is_success, response.text
    assert "error" not in response.text


@pytest.mark.parametrize("route", IN_PATH, ids=" ".join)
@pytest.mark.parametrize(
    "user", ["acme:x/../globex:ada", "acme:/globex:ada", "acme:%2e%2e", "acme:ada\0", "acme:ada "]
)
async def test_a_path_that_only_begins_well_finds_nobody(
    world: World, route: tuple[str, str], user: str
) -> None:
    before = world.state()

    response = await world.ask(route, user, world.limited)

    assert response.status_code in {400, 404}
    assert world.state() == before


async def test_of_a_batch_the_items_within_the_prefix_are_accepted(world: World) -> None:
    users = ["globex:ada", WITHIN, "globex:nobody", "acme:nobody", WITHIN]
    items = [{"user_id": user, **MESSAGE} for user in users]

    response = await world.service.client.post(
        "/v1/notifications/batch", json={"items": items}, headers=world.limited
    )

    assert response.status_code == 202
    results = response.json()["results"]
    assert [result.get("error", {}).get("status", 202) for result in results] == [403, 202, 403, 404, 202]
    assert results[0] == results[2]
    assert [draft.content.user_id for draft in world.service.memory.queue.held] == [WITHIN, WITHIN]


async def test_a_batch_beyond_the_events_is_refused_item_by_item(world: World) -> None:
    _, text = await world.service.container.create_api_key()(
        "Comments", frozenset({Scope.PUBLISH}), event_prefix="comment."
    )
    items = [{"user_id": "ada", **MESSAGE, "event": event} for event in ("billing.paid", "comment.created")]
    headers = {"X-API-Key": text}

    response = await world.service.client.post(
        "/v1/notifications/batch", json={"items": items}, headers=headers
    )
    alone = await world.service.client.post("/v1/notifications", json=items[0], headers=headers)

    first, second = response.json()["results"]
    assert first["error"]["status"] == alone.status_code == 403
    assert "id" in second
    assert [draft.content.event for draft in world.service.memory.queue.held] == ["comment.created"]


async def test_a_user_without_an_id_gets_one_within_the_prefix(world: World) -> None:
    response = await world.service.client.post("/v1/users", json={"name": "Ada"}, headers=world.limited)

    assert response.status_code == 201
    assert response.json()["id"].startswith(PREFIX)


@pytest.mark.parametrize("taken", [True, False])
async def test_which_addresses_are_taken_is_not_revealed(world: World, taken: bool) -> None:
    if taken:
        await world.service.memory.users.add(a_user(UserId("eve"), email="eve@example.com"), None)
    body = {"name": "Eve", "id": "acme:eve", "email": "eve@example.com"}

    response = await world.service.client.post("/v1/users", json=body, headers=world.limited)

    assert response.status_code == 403
    assert UserId("acme:eve") not in world.service.memory.users.held


async def test_an_address_is_given_to_nobody_by_a_limited_key(world: World) -> None:
    body = {"name": "Ada", "email": "globex:ada@example.com"}
    taken, free = [
        await world.service.client.put(
            "/v1/users/acme:ada", json=body | {"email": email}, headers=world.limited
        )
        for email in ("globex:ada@example.com", "nobody@example.com")
    ]

    assert (taken.status_code, taken.content) == (free.status_code, free.content)
    assert taken.status_code == 403


@pytest.mark.parametrize(
    "query", ["", "prefix=a", "prefix=acme", "prefix=acme:", "name=ada", "email=acme:ada@example.com"]
)
async def test_a_limited_key_lists_the_users_within_the_prefix(world: World, query: str) -> None:
    response = await world.service.client.get(f"/v1/users?{query}", headers=world.limited)

    assert [user["id"] for user in response.json()["items"]] == [WITHIN]


@pytest.mark.parametrize("prefix", ["globex:", "acmex", "acme.", "ACME:", "b"])
async def test_a_limited_key_asks_for_no_other_prefix(world: World, prefix: str) -> None:
    response = await world.service.client.get(f"/v1/users?prefix={prefix}", headers=world.limited)

    assert response.status_code == 403


@pytest.mark.parametrize("email", ["globex:ada@example.com", "nobody@example.com"])
async def test_whose_address_it_is_beyond_the_prefix_is_not_found(world: World, email: str) -> None:
    response = await world.service.client.get(f"/v1/users?email={email}", headers=world.limited)

    assert response.json() == {"items": [], "next_cursor": None}


async def test_each_notification_names_its_key(world: World) -> None:
    named = {key.id: key.name for key in await world.service.memory.api_keys.all()}
    for key in (world.limited, world.free):
        await world.ask(("POST", "/v1/notifications"), WITHIN, key)

    sent = [draft.key_id or "" for draft in world.service.memory.queue.held]
    assert [named[key] for key in sent] == ["Acme", "Everybody"]
