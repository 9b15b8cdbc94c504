"""API keys over HTTP."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from application.credentials import SCOPES, Scope
from tests.build import ADA, LATER, NOW, a_draft
from tests.unit.test_http import broken, problem
from tests.wiring import Service

NEW = {"name": "Billing", "scopes": ["publish"]}


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service.run() as running:
        await running.add(ADA)
        yield running


async def key_for(service: Service, scopes: frozenset[str] = SCOPES, **limits: Any) -> dict[str, str]:
    """The header with a new key."""
    return {"X-API-Key": (await service.container.create_api_key()("made", scopes, **limits))[1]}


@pytest.fixture
async def admin(service: Service) -> dict[str, str]:
    return await key_for(service)


async def create(service: Service, admin: dict[str, str], **fields: Any) -> httpx.Response:
    return await service.client.post("/v1/keys", json=NEW | fields, headers=admin)


async def test_a_new_key_is_shown_once(service: Service, admin: dict[str, str]) -> None:
    limits: dict[str, Any] = {"user_prefix": "acme:", "event_prefix": "billing.", "own_only": True}
    limits["expires_at"] = LATER.isoformat()

    response = await create(service, admin, **limits)

    assert response.status_code == 201
    assert response.headers["Cache-Control"] == "no-store"
    made = response.json()
    secret = made.pop("key").rpartition("_")[2]
    shown = await service.client.get(f"/v1/keys/{made['id']}", headers=admin)
    listed = await service.client.get("/v1/keys", headers=admin)
    assert shown.json() == made
    assert made in listed.json()["items"]
    assert (made["name"], made["scopes"], made["user_prefix"]) == ("Billing", ["publish"], "acme:")
    assert made["own_only"]
    assert (made["event_prefix"], made["revoked_at"], made["replaced_by"]) == ("billing.", None, None)
    assert len(secret) == 64
    assert secret not in shown.text + listed.text


async def test_a_new_key_publishes(service: Service, admin: dict[str, str]) -> None:
    made = (await create(service, admin)).json()
    body = {"user_id": "ada", "event": "comment.created", "message": "Hello"}

    response = await service.client.post("/v1/notifications", json=body, headers={"X-API-Key": made["key"]})

    assert response.status_code == 202
    assert service.memory.queue.held[0].key_id == made["id"]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"name": ""}, ["name"]),
        ({"scopes": []}, ["scopes"]),
        ({"scopes": ["everything"]}, ["scopes"]),
        ({"user_prefix": "acme", "event_prefix": "a b."}, ["user_prefix", "event_prefix"]),
        ({"user_prefix": ""}, ["user_prefix"]),
        ({"expires_at": NOW.isoformat()}, ["expires_at"]),
        ({"expires_at": "tomorrow"}, ["expires_at"]),
        ({"expires_at": "9999-12-31T23:59:59-12:00"}, ["expires_at"]),
        ({"secret": "mine"}, ["secret"]),
    ],
)
async def test_a_key_that_breaks_a_rule_is_refused(
    service: Service, admin: dict[str, str], fields: dict[str, Any], named: list[str]
) -> None:
    assert broken(problem(await create(service, admin, **fields), 422, "invalid")) == named


async def test_a_limited_key_makes_and_sees_its_own_kind_only(
    service: Service, admin: dict[str, str]
) -> None:
    limited = await key_for(service, user_prefix="acme:")
    others = (await create(service, admin, user_prefix="globex:")).json()

    inherited = (await create(service, limited)).json()
    narrower = (await create(service, limited, user_prefix="acme:eu:")).json()

    assert (inherited["user_prefix"], narrower["user_prefix"]) == ("acme:", "acme:eu:")
    problem(await create(service, limited, user_prefix="globex:"), 403, "not-allowed")
    seen = (await service.client.get("/v1/keys", headers=limited)).json()["items"]
    assert {key["id"] for key in seen} >= {inherited["id"], narrower["id"]}
    assert {key["user_prefix"] for key in seen} == {"acme:", "acme:eu:"}
    for key_id in (others["id"], "nobody"):
        path = f"/v1/keys/{key_id}"
        problem(await service.client.get(path, headers=limited), 404, "unknown-key")
        problem(await service.client.post(f"{path}/rotate", json={}, headers=limited), 404, "unknown-key")
        problem(await service.client.post(f"{path}/revoke", headers=limited), 404, "unknown-key")


async def test_keys_come_in_pages(service: Service, admin: dict[str, str]) -> None:
    for _ in range(3):
        await create(service, admin)
    pages: list[list[str]] = []
    cursor = None
    while not pages or cursor:
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await service.client.get("/v1/keys", params=query, headers=admin)).json()
        pages.append([key["id"] for key in page["items"]])
        cursor = page["next_cursor"]

    assert [len(page) for page in pages] == [2, 2, 1]  # with the service's own and the admin's
    assert len({key for page in pages for key in page}) == 5
    response = await service.client.get("/v1/keys", params={"cursor": "nobody"}, headers=admin)
    assert broken(problem(response, 422, "invalid")) == ["cursor"]


async def test_a_rotated_key_ends_after_the_overlap(service: Service, admin: dict[str, str]) -> None:
    old = (await create(service, admin, user_prefix="acme:")).json()
    path = f"/v1/keys/{old['id']}"

    response = await service.client.post(f"{path}/rotate", json={"overlap_seconds": 60}, headers=admin)
    again = await service.client.post(f"{path}/rotate", json={}, headers=admin)

    assert response.status_code == 201
    assert response.headers["Cache-Control"] == "no-store"
    new, shown = response.json(), (await service.client.get(path, headers=admin)).json()
    assert (new["name"], new["user_prefix"]) == ("Billing", "acme:")
    assert new["key"] != old["key"]
    assert (shown["replaced_by"], shown["expires_at"]) == (new["id"], "2026-03-14T09:27:53.589793Z")
    problem(again, 409, "key-not-in-use")


@pytest.mark.parametrize("seconds", [-1, 2_592_001, 0.5, "1"])
async def test_an_overlap_is_whole_seconds_up_to_thirty_days(
    service: Service, admin: dict[str, str], seconds: object
) -> None:
    made = (await create(service, admin)).json()
    path = f"/v1/keys/{made['id']}/rotate"

    response = await service.client.post(path, json={"overlap_seconds": seconds}, headers=admin)

    assert broken(problem(response, 422, "invalid")) == ["overlap_seconds"]


async def test_a_revoked_key_is_refused(service: Service, admin: dict[str, str]) -> None:
    made = (await create(service, admin, scopes=["admin"])).json()
    headers, path = {"X-API-Key": made["key"]}, f"/v1/keys/{made['id']}/revoke"
    assert (await service.client.get("/v1/keys", headers=headers)).status_code == 200

    answers = [await service.client.post(path, headers=admin) for _ in range(2)]
    await service.container.known_keys().refresh()

    assert [(answer.status_code, answer.content) for answer in answers] == [(204, b"")] * 2
    problem(await service.client.get("/v1/keys", headers=headers), 401, "not-authenticated")


@pytest.mark.parametrize("scope", sorted(SCOPES - {Scope.ADMIN}))
async def test_only_a_key_with_the_scope_manages_keys(service: Service, scope: str) -> None:
    headers = await key_for(service, frozenset({scope}))

    problem(await create(service, headers), 403, "not-allowed")
    problem(await service.client.get("/v1/keys", headers=headers), 403, "not-allowed")


@pytest.mark.parametrize("path", ["/v1/users/ada/notifications", "/notifications/ada"])
async def test_a_key_with_the_scope_reads_a_feed(service: Service, path: str) -> None:
    await service.memory.feeds.append([a_draft()])
    reader = await key_for(service, frozenset({Scope.READ}))

    by_key = await service.client.get(path, headers=reader)
    by_user = await service.client.get(path, headers=service.bearer())
    count = await service.client.get("/v1/users/ada/unread-count", headers=reader)

    assert by_key.status_code == 200
    assert by_key.content == by_user.content
    assert count.json()["unread_count"] == 1


async def test_a_key_without_the_scope_reads_nothing(service: Service) -> None:
    headers = await key_for(service, SCOPES - {Scope.READ})

    problem(await service.client.get("/notifications/ada", headers=headers), 403, "not-allowed")


async def test_a_key_that_reads_changes_nothing(service: Service) -> None:
    reader = await key_for(service, frozenset({Scope.READ}))

    for path in ("read", "unread", "archive", "unarchive"):
        marked = await service.client.post(f"/v1/users/ada/notifications/{path}", json={}, headers=reader)
        problem(marked, 401, "not-authenticated")


async def test_of_a_token_and_a_key_the_token_counts(service: Service) -> None:
    reader = await key_for(service, frozenset({Scope.READ}))

    answered = await service.client.get("/notifications/ada", headers=service.producer | service.bearer())
    others = await service.client.get("/notifications/bob", headers=reader | service.bearer())

    assert answered.status_code == 200
    problem(others, 403, "not-allowed")
