"""The HTTP API on ports in memory."""

import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import jwt
import pytest

from adapters.kafka.codec import decode
from application.credentials import Scope
from application.records import Undecodable
from domain.identifiers import UserId
from domain.notification import Draft
from domain.rich import Action, Rich
from domain.states import Mark
from tests.build import ADA, BOB, LATER, NOW, a_draft, an_id, drafts, told_counts
from tests.documents import NASTY
from tests.wiring import SECRET, Service

BODY: dict[str, Any] = {"user_id": "ada", "event": "comment.created", "message": "hello"}
PUBLIC = {
    ("POST", "/v1/sessions"),
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/metrics"),
}
# What the API is, and the files of the bell.
FOR_PAGES = re.compile(r"/(schema|element)(/.*)?")


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service.run() as service:
        await service.add(ADA, BOB)
        yield service


@pytest.fixture
async def serving() -> AsyncIterator[Service]:
    """With what its lifespan brings, for those who knock at every door."""
    async with Service.run(live=True) as service:
        await service.add(ADA, BOB)
        yield service


@pytest.fixture
def client(service: Service) -> httpx.AsyncClient:
    return service.client


def problem(response: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """The problem that an answer tells, after checking what all problems have."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["type"] == f"urn:bellwire:problem:{kind}"
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    return body


def broken(body: dict[str, Any]) -> list[str]:
    """The fields that a problem names."""
    return [error["field"] for error in body["errors"]]


# --- who may do what ---


def _routes(service: Service) -> list[tuple[str, str]]:
    """Every method and path that the application answers, with the parameters filled in."""
    found = []
    for route in service.app.routes:
        path = re.sub(r"\{user_id:str\}", "ada", route.path)
        path = re.sub(r"\{[a-z_]+:uuid\}", str(an_id()), path)
        if not FOR_PAGES.fullmatch(path) and not path.startswith("/ws/"):
            found += [(method, path) for method in getattr(route, "methods", []) if method != "OPTIONS"]
    return found


async def test_every_route_is_guarded_or_on_the_list_of_public_ones(serving: Service) -> None:
    open_ones = set()
    for method, path in _routes(serving):
        response = await serving.client.request(method, path, json={})
        if response.status_code != 401:
            open_ones.add((method, path))
        else:
            problem(response, 401, "not-authenticated")
            assert response.headers["WWW-Authenticate"] == "Bearer"

    assert open_ones == {(method, path) for method, path in PUBLIC if path != "/v1/sessions"} | {
        ("POST", "/v1/sessions")
    }
    assert len(_routes(serving)) >= 19


LOCKING = [f"/v1/users/ada/{change}" for change in ("disable", "enable", "revoke-tokens")]
CHANGING = f"/v1/users/ada/notifications/{an_id()}"
BY_KEY = ["/v1/users/ada", CHANGING, *LOCKING]
"""Taken by keys alone."""
BOTH = [f"/v1/users/ada/{what}" for what in ("export", "password", "preferences")]
"""Taken by the user's own token, and by keys."""


READABLE = [f"/v1/users/ada/{what}" for what in ("notifications", "counts", "unread-count")] + [
    "/notifications/ada"
]


async def test_no_route_takes_another_users_token(serving: Service) -> None:
    for method, path in _routes(serving):
        if "/ada" in path and path not in BY_KEY:
            response = await serving.client.request(method, path, json={}, headers=serving.bearer(BOB))
            problem(response, 403, "not-allowed")


async def test_a_users_token_is_no_producers_key_and_the_other_way_round(serving: Service) -> None:
    for method, path in _routes(serving):
        if (method, path) in PUBLIC or path in BOTH:
            continue
        wrong = serving.bearer() if "otification" in path and "/ada" not in path else serving.producer
        if path in {
            "/v1/users",
            "/createUser",
            "/v1/audit",
            "/v1/revoked-tokens",
            *BY_KEY,
        } or path.startswith(("/v1/keys", "/v1/erasures", "/v1/categories")):
            wrong = serving.bearer()
        if method == "GET" and path in READABLE:
            continue  # by either
        response = await serving.client.request(method, path, json={}, headers=wrong)
        problem(response, 401, "not-authenticated")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "bearer x.y.z",
        "Token {token}",
        "{token}",
        "Bearer {token}x",
        "Bearer {token} {token}",
    ],
)
async def test_what_is_no_bearer_token_is_refused(service: Service, header: str) -> None:
    given = {"Authorization": header.format(token=service.token())}

    response = await service.client.get("/notifications/ada", headers=given)

    problem(response, 401, "not-authenticated")


async def test_an_expired_token_is_refused(service: Service) -> None:
    bearer = service.bearer()
    service.memory.clock.advance(hours=1)

    problem(await service.client.get("/notifications/ada", headers=bearer), 401, "not-authenticated")


@pytest.mark.parametrize("change", ["disable", "revoke-tokens"])
async def test_a_token_that_was_revoked_is_refused_and_says_so(service: Service, change: str) -> None:
    bearer, bobs = service.bearer(), service.bearer(BOB)
    service.memory.clock.advance(seconds=1)

    done = await service.client.post(f"/v1/users/ada/{change}", headers=service.producer)
    await service.container.revocations().refresh()

    assert (done.status_code, done.content) == (204, b"")
    told = problem(await service.client.get("/notifications/ada", headers=bearer), 401, "not-authenticated")
    assert "revoked" in told["detail"]
    problem(await service.client.post("/v1/stream-tickets", headers=bearer), 401, "not-authenticated")
    assert (await service.client.get("/notifications/bob", headers=bobs)).status_code == 200


async def test_a_user_who_is_enabled_again_needs_a_new_token(service: Service) -> None:
    bearer = service.bearer()
    for change in ("disable", "enable"):
        service.memory.clock.advance(seconds=1)
        done = await service.client.post(f"/v1/users/ada/{change}", headers=service.producer)
        assert done.status_code == 204
        await service.container.revocations().refresh()

    problem(await service.client.get("/notifications/ada", headers=bearer), 401, "not-authenticated")
    again = await service.client.get("/notifications/ada", headers=service.bearer())
    assert again.status_code == 200


async def test_who_logs_out_needs_a_new_token(service: Service) -> None:
    bearer, other = service.bearer(), service.bearer(BOB)
    service.memory.clock.advance(seconds=1)
    newer = service.bearer()

    done = await service.client.post("/v1/sessions/end", headers=bearer)

    assert (done.status_code, done.content) == (204, b"")
    told = problem(await service.client.get("/notifications/ada", headers=bearer), 401, "not-authenticated")
    assert "revoked" in told["detail"]
    problem(await service.client.post("/v1/stream-tickets", headers=bearer), 401, "not-authenticated")
    problem(await service.client.post("/v1/sessions/end", headers=bearer), 401, "not-authenticated")
    assert (await service.client.get("/notifications/ada", headers=newer)).status_code == 200
    assert (await service.client.get("/notifications/bob", headers=other)).status_code == 200


@pytest.mark.parametrize("by", ["token", "jti", "jti and time"])
async def test_a_producer_revokes_a_single_token(service: Service, by: str) -> None:
    now = service.memory.clock().timestamp()
    claims = {"sub": "ada", "aud": "bellwire", "iat": now, "exp": now + 600}
    one, other = (jwt.encode(claims | {"jti": jti}, SECRET, "HS256") for jti in ("one", "other"))
    expires_at = {"expires_at": LATER.isoformat()} if "time" in by else {}
    body = {"token": one} if by == "token" else {"user_id": "ada", "jti": "one"} | expires_at

    done = await service.client.post("/v1/revoked-tokens", json=body, headers=service.producer)
    await service.container.revocations().refresh()

    assert (done.status_code, done.content) == (204, b"")
    (entry,) = service.memory.revoked_tokens.audited
    assert (entry.by.kind, entry.action, entry.target) == ("key", "user.token-revoked", "ada")
    for token, status in ((one, 401), (other, 200)):
        bearer = {"Authorization": f"Bearer {token}"}
        assert (await service.client.get("/notifications/ada", headers=bearer)).status_code == status


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["user_id", "jti"]),
        ({"jti": "x"}, ["user_id"]),
        ({"user_id": "ada", "jti": ""}, ["jti"]),
        ({"user_id": "ada", "jti": "x" * 257}, ["jti"]),
        ({"user_id": "ada", "jti": "x", "expires_at": "soon"}, ["expires_at"]),
        ({"token": "x"}, ["token"]),
        ({"token": "x", "why": "x"}, ["why"]),
    ],
)
async def test_a_token_that_cannot_be_revoked_is_refused(
    service: Service, body: dict[str, Any], fields: list[str]
) -> None:
    response = await service.client.post("/v1/revoked-tokens", json=body, headers=service.producer)

    assert broken(problem(response, 422, "invalid")) == fields
    assert service.memory.revoked_tokens.held == {}


async def test_a_key_to_publish_revokes_no_token(service: Service) -> None:
    _, key = await service.container.create_api_key()("narrow", frozenset({Scope.PUBLISH}))
    body = {"token": service.token()}

    response = await service.client.post("/v1/revoked-tokens", json=body, headers={"X-API-Key": key})

    problem(response, 403, "not-allowed")


async def test_where_everybody_is_signed_out_so_is_a_token_of_a_clock_that_is_ahead(
    service: Service,
) -> None:
    """The token is issued before, but says that it is issued up to a minute later."""
    now = service.memory.clock().timestamp()
    claims = {"sub": "ada", "aud": "bellwire", "iat": now + 59.9, "exp": now + 600}
    bearer = {"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}
    assert (await service.client.get("/notifications/ada", headers=bearer)).status_code == 200

    await service.client.post("/v1/users/ada/revoke-tokens", headers=service.producer)
    await service.container.revocations().refresh()

    for seconds in (0, 61, 300):  # also when its time has come
        service.memory.clock.advance(seconds=seconds)
        problem(await service.client.get("/notifications/ada", headers=bearer), 401, "not-authenticated")
    again = await service.client.get("/notifications/ada", headers=service.bearer())
    assert again.status_code == 200


async def test_what_is_published_to_a_disabled_user_is_accepted(service: Service) -> None:
    await service.client.post("/v1/users/ada/disable", headers=service.producer)

    published = await service.client.post("/v1/notifications", json=BODY, headers=service.producer)

    assert published.status_code == 202


@pytest.mark.parametrize("path", LOCKING)
async def test_who_does_not_exist_cannot_be_locked_out(service: Service, path: str) -> None:
    for user in ("nobody", "%00", "a%20b", "a" * 129):
        response = await service.client.post(path.replace("ada", user), headers=service.producer)
        problem(response, 404, "unknown-user")


@pytest.mark.parametrize("path", LOCKING)
async def test_only_a_key_that_may_locks_users_out_even_where_sign_up_is_open(path: str) -> None:
    async with Service.run(open_signup=True) as service:
        await service.add(ADA)
        _, key = await service.container.create_api_key()("publisher", frozenset({Scope.PUBLISH}))

        problem(await service.client.post(path), 401, "not-authenticated")
        problem(await service.client.post(path, headers={"X-API-Key": key}), 403, "not-allowed")


async def test_the_name_of_the_scheme_may_be_written_in_any_case(service: Service) -> None:
    bearer = {"Authorization": f"bEARER {service.token()}"}

    assert (await service.client.get("/notifications/ada", headers=bearer)).status_code == 200


async def test_a_key_without_the_scope_is_told_so(service: Service) -> None:
    _, key = await service.container.create_api_key()("narrow", frozenset({"publish"}))

    response = await service.client.post("/v1/users", json={"name": "x"}, headers={"X-API-Key": key})

    assert "users" in problem(response, 403, "not-allowed")["detail"]


async def test_where_sign_up_is_open_a_wrong_key_is_still_wrong() -> None:
    async with Service.run(open_signup=True) as service:
        free = await service.client.post("/v1/users", json={"name": "x"})
        wrong = await service.client.post("/v1/users", json={"name": "x"}, headers={"X-API-Key": "bw_x"})

    assert free.status_code == 201
    problem(wrong, 401, "not-authenticated")


@pytest.mark.parametrize("path", ["/v1/users", "/createUser"])
async def test_who_signs_up_without_a_key_cannot_choose_an_id(path: str) -> None:
    """Or it would be the user to whom an application is about to send."""
    async with Service.run(open_signup=True) as service:
        chosen = await service.client.post(path, json={"name": "x", "id": "victim-1"})
        keyed = await service.client.post(
            path, json={"name": "x", "id": "victim-1"}, headers=service.producer
        )
        free = await service.client.post(path, json={"name": "x", "id": None})

    assert "API key" in problem(chosen, 403, "not-allowed")["detail"]
    assert (keyed.status_code, keyed.json()["id"]) == (201, "victim-1")
    assert free.status_code == 201
    assert free.json()["id"].startswith("u-")


# --- publishing ---


@pytest.mark.parametrize("path", ["/v1/notifications", "/createNotification"])
async def test_a_notification_is_accepted(service: Service, path: str) -> None:
    body = BODY | {
        "title": "T",
        "metadata": {"a": [1, None]},
        "action_url": "/a",
        "expires_at": LATER.isoformat(),
    }

    response = await service.client.post(path, json=body, headers=service.producer)

    assert response.status_code == 202
    (draft,) = service.memory.queue.held
    assert response.json() == {"id": str(draft.id), "status": "accepted"}
    assert (draft.content.title, draft.content.metadata.text) == ("T", '{"a":[1,null]}')
    assert draft.content.expires_at == LATER


async def test_metadata_is_queued_as_it_was_sent_alone_and_in_a_batch(service: Service) -> None:
    sent = [f'{{"user_id":"ada","event":"a.b","message":"m","metadata":{document}}}' for document in NASTY]
    alone = [
        await service.client.post("/v1/notifications", content=body, headers=service.producer)
        for body in sent
    ]
    body = f'{{"items":[{",".join(sent)}]}}'

    batch = await service.client.post("/v1/notifications/batch", content=body, headers=service.producer)

    assert {answer.status_code for answer in (*alone, batch)} == {202}
    assert [draft.content.metadata.text for draft in service.memory.queue.held] == NASTY + NASTY


@pytest.mark.parametrize(
    "metadata",
    [
        b'{"a":1e400}',
        rb'{"a":"\u0000"}',
        b'{"a":' + b"[" * 16 + b"]" * 16 + b"}",
        b"null",
        b'{"a":"%b"}' % (b"x" * 17_000),
    ],
)
async def test_an_item_with_bad_metadata_spoils_only_itself(service: Service, metadata: bytes) -> None:
    item = b'{"user_id":"ada","event":"a.b","message":"m","metadata":%b}'
    body = b'{"items":[%b,%b]}' % (item % metadata, item % b"{}")

    response = await service.client.post("/v1/notifications/batch", content=body, headers=service.producer)

    bad, good = response.json()["results"]
    assert [error["field"] for error in bad["error"]["errors"]] == ["metadata"]
    assert "id" in good


@pytest.mark.parametrize("text", [b'"\xff"', rb'"\ud800"', b"NaN", b"01", b'"\x01"'])
@pytest.mark.parametrize("where", [b'"metadata":{"a":%b}', b'"title":%b', b'"other":[%b]'])
async def test_what_is_no_json_in_an_item_is_no_json(service: Service, text: bytes, where: bytes) -> None:
    item = b'{"user_id":"ada","event":"a.b","message":"m",%b}' % (where % text)

    for path, body in (("", item), ("/batch", b'{"items":[%b]}' % item)):
        response = await service.client.post(
            f"/v1/notifications{path}", content=body, headers=service.producer
        )
        problem(response, 400, "malformed")
    assert service.memory.queue.held == []


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"message": ""}, ["message"]),
        ({"message": None}, ["message"]),
        ({"message": 5}, ["message"]),
        ({"user_id": "a b"}, ["user_id"]),
        ({"event": "Bad Event", "title": "t" * 201}, ["event", "title"]),
        ({"metadata": []}, ["metadata"]),
        ({"metadata": {"a": "\x00"}}, ["metadata"]),
        ({"action_url": "javascript:alert(1)"}, ["action_url"]),
        ({"expires_at": "2030-01-01T00:00:00"}, ["expires_at"]),
        ({"expires_at": "tomorrow"}, ["expires_at"]),
        ({"expires_at": NOW.isoformat()}, ["expires_at"]),
        ({"expires_at": 4_102_444_800}, ["expires_at"]),
        ({"expires_at": 253_402_300_800}, ["expires_at"]),
        ({"expires_at": -1}, ["expires_at"]),
        ({"expires_at": 1.5e300}, ["expires_at"]),
        ({"expires_at": True}, ["expires_at"]),
        ({"expires_at": "4102444800"}, ["expires_at"]),
        ({"expires_at": "null"}, ["expires_at"]),
        ({"expires_at": ""}, ["expires_at"]),
        ({"expires_at": "2100-01-01T24:00:00Z"}, ["expires_at"]),
        ({"expires_at": "2100-01-01T23:59:60Z"}, ["expires_at"]),
        ({"expires_at": "2100-01-01T00:00:00+24:00"}, ["expires_at"]),
        ({"expires_at": "9999-12-31T23:59:59.9999999Z"}, ["expires_at"]),
        ({"expires_at": "9999-12-31T23:59:59.999999Z"}, ["expires_at"]),
        ({"expires_at": "9999-12-31T23:59:59-23:59"}, ["expires_at"]),
        ({"expires_at": "0001-01-01T00:00:00Z"}, ["expires_at"]),
        ({"message": " \u200b"}, ["message"]),
        ({"title": " "}, ["title"]),
        ({"user_id": ".."}, ["user_id"]),
        ({"id": str(an_id())}, ["id"]),
        ({"read_at": None}, ["read_at"]),
        ({"created_at": NOW.isoformat()}, ["created_at"]),
    ],
)
async def test_what_breaks_a_rule_is_told_by_field(
    service: Service, change: dict[str, Any], fields: list[str]
) -> None:
    response = await service.client.post("/v1/notifications", json=BODY | change, headers=service.producer)

    assert broken(problem(response, 422, "invalid")) == fields
    assert service.memory.queue.held == []


@pytest.mark.parametrize(
    ("time", "good"),
    [
        ('"2100-01-01T00:00:00Z"', True),
        ('"2100-01-01t00:00:00z"', True),
        ('"2100-01-01 00:00:00+00:00"', True),
        ('"2100-01-01T00:00:00.1234567-00:00"', True),
        ('"2100-01-01T00:00:00+23:59"', True),
        ('"9999-12-31T23:59:59Z"', True),
        ("null", True),
        ('"9999-12-31T23:59:59-00:01"', False),
        ('"9999-12-31T23:59:59.5Z"', False),
        ('"10000-01-01T00:00:00Z"', False),
        ('"2100-01-01T00:00:00"', False),
        ('"2100-01-01T00:00Z"', False),
        ('"2100-01-01"', False),
        ('"2100-01-01T24:00:00Z"', False),
        ('"2100-02-29T00:00:00Z"', False),
        ('"2100-01-01T23:59:60Z"', False),
        ('"2100-01-01T00:00:00+24:00"', False),
        ('"2100-01-01T00:00:00+0100"', True),
        ('"2100-01-01T00:00:00,5Z"', False),
        ('"+2100-01-01T00:00:00Z"', False),
        ('"٢100-01-01T00:00:00Z"', False),
        ('" 2100-01-01T00:00:00Z"', False),
        ('"4102444800"', False),
        ('"null"', False),
        ('""', False),
        ("4102444800", False),
        ("4102444800.5", False),
        ("253402300800", False),
        ("-1", False),
        ("1e300", False),
        ("true", False),
        ("[]", False),
    ],
)
async def test_a_time_is_taken_or_refused_alike_alone_in_a_batch_and_from_kafka(
    service: Service, time: str, good: bool
) -> None:
    body = json.dumps(BODY)[:-1] + f', "expires_at": {time}}}'
    headers = service.producer | {"Content-Type": "application/json"}

    alone = await service.client.post("/v1/notifications", content=body, headers=headers)
    batch = await service.client.post(
        "/v1/notifications/batch", content=f'{{"items": [{body}]}}', headers=headers
    )

    (item,) = batch.json()["results"]
    if good:
        assert (alone.status_code, item.keys()) == (202, {"id"})
        first, second = (draft.content for draft in service.memory.queue.held)
        made = decode(record_of(body))
        assert isinstance(made, Draft)
        assert first == second == made.content
    else:
        assert broken(problem(alone, 422, "invalid")) == ["expires_at"] == broken(item["error"])
        with pytest.raises(Undecodable, match=r"expires_at|RFC3339|datetime"):
            decode(record_of(body))


def record_of(body: str) -> Any:
    return SimpleNamespace(topic="topic", partition=0, offset=0, timestamp=0, value=body.encode(), headers=())


@pytest.mark.parametrize("missing", list(BODY))
async def test_a_missing_field_is_named(service: Service, missing: str) -> None:
    body = {name: value for name, value in BODY.items() if name != missing}

    response = await service.client.post("/v1/notifications", json=body, headers=service.producer)

    assert problem(response, 422, "invalid")["errors"] == [{"field": missing, "message": "is required"}]


async def test_for_a_stranger_there_is_nothing(service: Service) -> None:
    body = BODY | {"user_id": "nobody"}

    response = await service.client.post("/v1/notifications", json=body, headers=service.producer)

    problem(response, 404, "unknown-user")


async def test_the_same_key_and_body_are_one_notification(service: Service) -> None:
    headers = service.producer | {"Idempotency-Key": "k" * 255}

    first = await service.client.post("/v1/notifications", json=BODY, headers=headers)
    again = await service.client.post("/v1/notifications", json=BODY, headers=headers)
    other = await service.client.post("/v1/notifications", json=BODY | {"event": "e"}, headers=headers)

    assert (first.status_code, again.json()) == (202, first.json())
    problem(other, 422, "key-reused")


@pytest.mark.parametrize("key", ["", "k" * 256])
async def test_a_key_of_the_wrong_length_is_refused(service: Service, key: str) -> None:
    headers = service.producer | {"Idempotency-Key": key}

    response = await service.client.post("/v1/notifications", json=BODY, headers=headers)

    assert broken(problem(response, 422, "invalid")) == ["Idempotency-Key"]


async def test_an_unknown_outcome_is_told_with_the_id(service: Service) -> None:
    service.memory.queue.away = True

    response = await service.client.post("/v1/notifications", json=BODY, headers=service.producer)

    assert problem(response, 503, "unconfirmed")["id"] == str(an_id(1))
    assert response.headers["Retry-After"] == "1"


async def test_of_a_batch_every_item_is_answered_in_order(service: Service) -> None:
    items = [BODY, BODY | {"message": ""}, 7, BODY | {"user_id": "nobody"}, BODY | {"x": 1}, BODY]

    response = await service.client.post(
        "/v1/notifications/batch", json={"items": items}, headers=service.producer
    )

    assert response.status_code == 202
    results = response.json()["results"]
    assert [result.get("id") for result in results] == [
        str(service.memory.queue.held[0].id), None, None, None, None, str(service.memory.queue.held[1].id),
    ]  # fmt: skip
    assert [result["error"]["status"] for result in results[1:5]] == [422, 422, 404, 422]
    assert broken(results[1]["error"]) == ["message"]
    assert broken(results[4]["error"]) == ["x"]


@pytest.mark.parametrize(
    "body", [{}, {"items": []}, {"items": [BODY] * 1001}, {"items": "x"}, {"items": [BODY], "more": 1}, []]
)
async def test_a_batch_that_is_none_is_refused(service: Service, body: object) -> None:
    response = await service.client.post("/v1/notifications/batch", json=body, headers=service.producer)

    problem(response, 422, "invalid")
    assert service.memory.queue.held == []


async def test_the_largest_batch_is_taken(service: Service) -> None:
    body = {"items": [BODY] * 1000}

    response = await service.client.post("/v1/notifications/batch", json=body, headers=service.producer)

    assert response.status_code == 202
    assert len({result["id"] for result in response.json()["results"]}) == 1000


@pytest.mark.parametrize(
    ("path", "limit"),
    [
        ("/v1/notifications", 64 * 1024),
        ("/v1/notifications/batch", 1024 * 1024),
        ("/v1/users", 8 * 1024),
        ("/v1/sessions", 8 * 1024),
        ("/v1/users/ada/notifications/read", 16 * 1024),
    ],
)
async def test_a_body_that_is_too_large_is_refused(service: Service, path: str, limit: int) -> None:
    headers = service.producer | service.bearer() | {"Content-Type": "application/json"}
    sizes = [limit, limit + 1]

    answers = [
        await service.client.post(path, content=b'{"x":"' + b"a" * (size - 8) + b'"}', headers=headers)
        for size in sizes
    ]

    assert answers[0].status_code == 422
    problem(answers[1], 413, "too-large")


# --- users ---


@pytest.mark.parametrize("path", ["/v1/users", "/createUser"])
async def test_a_user_is_created_and_can_log_in(service: Service, path: str) -> None:
    body = {"name": "Eve", "email": "Eve@Example.com", "password": "correct horse", "id": "eve"}

    created = await service.client.post(path, json=body, headers=service.producer)
    session = await service.client.post(
        "/v1/sessions", json={"email": "eve@example.com", "password": "correct horse"}
    )

    assert created.status_code == 201
    assert created.json()["id"] == "eve"
    assert created.json()["email"] == "eve@example.com"
    assert "password" not in created.text
    assert session.status_code == 200
    assert (session.json()["token_type"], session.json()["expires_in"]) == ("Bearer", 3600)
    bearer = {"Authorization": f"Bearer {session.json()['access_token']}"}
    assert (await service.client.get("/notifications/eve", headers=bearer)).status_code == 200


async def test_a_taken_id_is_a_conflict(service: Service) -> None:
    response = await service.client.post(
        "/v1/users", json={"name": "x", "id": "ada"}, headers=service.producer
    )

    problem(response, 409, "user-taken")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["name"]),
        ({"name": ""}, ["name"]),
        ({"name": "x", "id": "a/b"}, ["id"]),
        ({"name": "x", "email": "x"}, ["email"]),
        ({"name": "x", "email": "a@b", "password": "1234567"}, ["password"]),
        ({"name": "x", "email": "ad\u200ba@example.com"}, ["email"]),
        ({"name": "x", "email": "ada@exam\u200bple.com"}, ["email"]),
        ({"name": "x", "email": "a\x00@b"}, ["email"]),
        ({"name": "x", "email": "a@b", "password": "correct\u200bhorse"}, ["password"]),
        ({"name": "x", "email": "a@b", "password": "correct horse\x00"}, ["password"]),
        ({"name": "x", "email": "a", "password": "1234567", "id": "a/b"}, ["email", "password", "id"]),
        ({"name": "x", "admin": True}, ["admin"]),
        ({"name": "x", "disabled_at": None}, ["disabled_at"]),
    ],
)
async def test_a_user_that_breaks_a_rule_is_refused(
    service: Service, body: dict[str, Any], fields: list[str]
) -> None:
    response = await service.client.post("/v1/users", json=body, headers=service.producer)

    assert broken(problem(response, 422, "invalid")) == fields


async def test_a_wrong_password_says_no_more_than_that(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/sessions", json={"email": "a@b", "password": "x"})

    assert "e-mail address or the password" in problem(response, 401, "not-authenticated")["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {"email": "a\x00@b", "password": "correct horse"},
        {"email": "ad\u200ba@example.com", "password": "correct horse"},
        {"email": "x" * 7_000, "password": "correct horse"},
        {"email": "a@b", "password": "correct\x00horse"},
        {"email": "a@b", "password": "p" * 7_000},
        {"email": "a@b", "password": "\u30fb" * 1_000 + "\u30a2"},
        {"email": "", "password": ""},
    ],
)
async def test_what_can_be_nobodys_logs_nobody_in(client: httpx.AsyncClient, body: dict[str, str]) -> None:
    problem(await client.post("/v1/sessions", json=body), 401, "not-authenticated")


@pytest.mark.parametrize("field", ["email", "password"])
@pytest.mark.parametrize("path", ["/v1/users", "/v1/sessions"])
async def test_half_a_character_is_refused(service: Service, path: str, field: str) -> None:
    body = {"email": "ada@example.com", "password": "correct horse", "name": "Ada"}
    body[field] = "correct\ud83dhorse@x"

    response = await service.client.post(
        path, content=json.dumps(body), headers=service.producer | {"Content-Type": "application/json"}
    )

    problem(response, 400, "malformed")


async def test_an_address_and_a_password_are_the_same_however_they_are_typed(service: Service) -> None:
    body = {"name": "Zo\u00e9", "email": "zo\u00e9@b\u00fccher.example", "password": "d\u00e9j\u00e0 vu!"}
    created = await service.client.post("/createUser", json=body, headers=service.producer)
    typed = {"email": "ZOE\u0301@xn--bcher-kva.EXAMPLE", "password": "de\u0301ja\u0300 vu!"}

    again = await service.client.post("/createUser", json={**typed, "name": "x"}, headers=service.producer)
    session = await service.client.post("/v1/sessions", json=typed)

    assert created.json()["email"] == body["email"]
    problem(again, 409, "user-taken")
    assert session.json()["user_id"] == created.json()["id"]


async def test_a_ticket_is_issued(service: Service) -> None:
    response = await service.client.post("/v1/stream-tickets", headers=service.bearer())

    assert response.status_code == 201
    assert response.json()["expires_in"] == 30
    assert (await service.memory.tickets.redeem(response.json()["ticket"])).user_id == ADA


# --- the inbox ---


@pytest.mark.parametrize("path", ["/v1/users/ada/notifications", "/notifications/ada"])
async def test_a_listing_is_newest_first_with_its_position(service: Service, path: str) -> None:
    await service.memory.feeds.append(drafts(25))

    response = await service.client.get(path, headers=service.bearer())

    body = response.json()
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    assert [item["id"] for item in body["items"]] == [str(an_id(n)) for n in range(25, 5, -1)]
    assert (body["unread_count"], body["cursor"]) == (25, str((await service.memory.feeds.feed(ADA)).cursor))


async def test_pages_are_followed_by_their_cursor(service: Service) -> None:
    await service.memory.feeds.append(drafts(7))
    seen: list[str] = []
    cursor = ""
    while True:
        page = (
            await service.client.get(f"/notifications/ada?limit=3{cursor}", headers=service.bearer())
        ).json()
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"

    assert seen == [str(an_id(n)) for n in range(7, 0, -1)]


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", [4, 3]),
        ("?status=unread", [4, 3]),
        ("?status=read", [1]),
        ("?status=all", [4, 3, 1]),
        ("?status=archived", [2]),
        ("?status=all&event=odd", [3, 1]),
        ("?event=odd", [3]),
        ("?limit=1", [4]),
        ("?limit=100", [4, 3]),
    ],
)
async def test_a_listing_is_filtered(service: Service, query: str, shown: list[int]) -> None:
    await service.memory.feeds.append([a_draft(n, event="odd" if n % 2 else "even") for n in range(1, 5)])
    await service.memory.feeds.mark(ADA, Mark.READ, [an_id(1), an_id(2)], NOW)
    await service.memory.feeds.mark(ADA, Mark.ARCHIVED, [an_id(2)], NOW)

    response = await service.client.get(f"/notifications/ada{query}", headers=service.bearer())

    assert [item["id"] for item in response.json()["items"]] == [str(an_id(n)) for n in shown]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("limit=1.5", "limit"),
        ("status=none", "status"),
        ("status=", "status"),
        ("event=Bad%20Event", "event"),
        ("event=", "event"),
        ("cursor=x", "cursor"),
        ("cursor=", "cursor"),
        ("cursor=e1.5", "cursor"),
        ("cursor=%00", "cursor"),
        ("cursor=" + "9" * 5000, "cursor"),
    ],
)
async def test_a_query_that_makes_no_sense_is_told_by_field(service: Service, query: str, field: str) -> None:
    response = await service.client.get(f"/notifications/ada?{query}", headers=service.bearer())

    assert broken(problem(response, 422, "invalid")) == [field]


async def test_an_unchanged_feed_is_not_sent_again(service: Service) -> None:
    await service.memory.feeds.append(drafts(1))
    first = await service.client.get("/notifications/ada", headers=service.bearer())
    known = service.bearer() | {"If-None-Match": first.headers["ETag"]}

    unchanged = await service.client.get("/notifications/ada", headers=known)
    await service.container.mark_notifications()(ADA, Mark.READ, [an_id()])
    changed = await service.client.get("/notifications/ada", headers=known)

    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged.headers["ETag"] == first.headers["ETag"]
    assert (changed.status_code, changed.json()["items"]) == (200, [])
    assert changed.headers["ETag"] != first.headers["ETag"]
    assert "private" in first.headers["Cache-Control"]


@pytest.mark.parametrize("form", ["W/{}", '"another", {}', '"another",W/{}', "*"])
async def test_a_tag_is_known_in_every_form_that_http_has(service: Service, form: str) -> None:
    await service.memory.feeds.append(drafts(1))
    tag = (await service.client.get("/notifications/ada", headers=service.bearer())).headers["ETag"]

    known = service.bearer() | {"If-None-Match": form.format(tag)}

    assert (await service.client.get("/notifications/ada", headers=known)).status_code == 304


async def test_a_count_comes_with_its_position(service: Service) -> None:
    await service.memory.feeds.append(drafts(3))

    response = await service.client.get("/v1/users/ada/unread-count", headers=service.bearer())

    cursor = str((await service.memory.feeds.feed(ADA)).cursor)
    assert response.json() == {**told_counts(3), "cursor": cursor}


@pytest.mark.parametrize("path", ["/v1/users/ada/notifications", "/notifications/ada"])
async def test_reading_one_returns_it_and_again_changes_nothing(service: Service, path: str) -> None:
    await service.memory.feeds.append(drafts(1))
    url = f"{path}/{an_id()}/read"

    first = await service.client.patch(url, headers=service.bearer())
    service.memory.clock.advance(hours=1 / 2)
    again = await service.client.patch(url, headers=service.bearer())

    assert first.status_code == 200
    assert first.json()["read_at"] == "2026-03-14T09:26:53.589793Z"
    assert again.json() == first.json()


async def test_foreign_and_unknown_notifications_are_the_same_404(service: Service) -> None:
    await service.memory.feeds.append([a_draft(1, BOB)])

    answers = [
        await service.client.patch(f"/notifications/ada/{an_id(n)}/read", headers=service.bearer())
        for n in (1, 2)
    ]

    assert answers[0].content == answers[1].content
    problem(answers[0], 404, "unknown-notification")
    assert (await service.memory.feeds.get(BOB, an_id(1))).read_at is None


@pytest.mark.parametrize("path", ["seen", "read", "unread", "archive", "unarchive"])
async def test_many_are_marked_by_id(service: Service, path: str) -> None:
    await service.memory.feeds.append([*drafts(3), a_draft(9, BOB)])
    if path.startswith("un"):
        before = Mark.READ if path == "unread" else Mark.ARCHIVED
        await service.memory.feeds.mark(ADA, before, [an_id(1), an_id(2)], NOW)

    ids = [str(an_id(n)) for n in (1, 2, 9)]
    response = await service.client.post(
        f"/v1/users/ada/notifications/{path}", json={"ids": ids}, headers=service.bearer()
    )

    assert response.status_code == 200
    feed = await service.memory.feeds.feed(ADA)
    counts = told_counts(1 if path in {"read", "archive"} else 3, 1)
    expected = {"changed": 2, **counts, "cursor": str(feed.cursor)}
    assert response.json() == expected
    assert (await service.memory.feeds.feed(BOB)).version == 1


async def test_everything_seen_is_marked_and_nothing_newer(service: Service) -> None:
    await service.memory.feeds.append(drafts(2))
    seen = (await service.client.get("/notifications/ada", headers=service.bearer())).json()["cursor"]
    await service.memory.feeds.append([a_draft(3)])

    response = await service.client.post(
        "/v1/users/ada/notifications/read", json={"up_to": seen}, headers=service.bearer()
    )

    assert (response.json()["changed"], response.json()["unread_count"]) == (2, 1)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "ids"),
        ({"ids": [], "up_to": "e1.1"}, "ids"),
        ({"ids": None, "up_to": None}, "ids"),
        ({"ids": ["x"]}, "ids[0]"),
        ({"ids": "x"}, "ids"),
        ({"ids": [str(an_id(n)) for n in range(101)]}, "ids"),
        ({"up_to": "x"}, "up_to"),
        ({"up_to": "other.1"}, "up_to"),
        ({"up_to": 7}, "up_to"),
        ({"all": True}, "all"),
    ],
)
async def test_a_selection_that_makes_no_sense_is_told_by_field(
    service: Service, body: dict[str, Any], field: str
) -> None:
    response = await service.client.post(
        "/v1/users/ada/notifications/read", json=body, headers=service.bearer()
    )

    assert broken(problem(response, 422, "invalid"))[0].startswith(field.partition("[")[0])


async def test_one_who_was_never_created_has_no_feed(service: Service) -> None:
    token = service.bearer(UserId("ghost"))

    problem(await service.client.get("/notifications/ghost", headers=token), 404, "unknown-user")
    problem(await service.client.get("/v1/users/ghost/unread-count", headers=token), 404, "unknown-user")


async def test_with_the_store_away_a_reader_is_told_when_to_come_back(service: Service) -> None:
    service.memory.feeds.away = True

    response = await service.client.get("/notifications/ada", headers=service.bearer())

    problem(response, 503, "unavailable")
    assert response.headers["Retry-After"] == "1"


# --- every path ---

FUZZ: list[bytes] = [
    b"",
    b" ",
    b"null",
    b"true",
    b"0",
    b'"x"',
    b"[]",
    b"[[]]",
    b"{}",
    b"{",
    b'{"a"',
    b'{"a":1}}',
    b"{'a': 1}",
    b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    b'{"message": "\xff"}',
    b'{"message": "\xed\xa0\x80"}',
    rb'{"user_id":"ada","event":"e","message":"\ud800"}',
    rb'{"user_id":"ada","event":"e","message":"\u0000"}',
    b'{"user_id":"ada","event":"e","message":"m","metadata":{"a":NaN}}',
    b'{"user_id":"ada","event":"e","message":"m","metadata":{"a":1e999}}',
    b'{"user_id":"ada","event":"e","message":"m","metadata":{"a":' + b"9" * 5_000 + b"}}",
    b'{"user_id":"ada","event":"e","message":"m","metadata":' + b'{"a":' * 3_000 + b"1" + b"}" * 3_001,
    b'{"user_id":"ada","event":"e","message":"m","expires_at":"99999-01-01T00:00:00Z"}',
    b'{"user_id":"ada","event":"e","message":"m","expires_at":"0001-01-01T00:00:00+14:00"}',
    b'{"user_id":"ada","event":"e","message":"m","expires_at":"9999-12-31T23:59:59-14:00"}',
    b'{"user_id":"ada","event":"e","message":"m","expires_at":253402300800}',
    b'{"user_id":"ada","event":"e","message":"m","expires_at":1e999}',
    b'{"user_id":"ada","event":"e","message":"m","expires_at":' + b"9" * 5_000 + b"}",
    b'{"items":[{"user_id":"ada","event":"e","message":"m","expires_at":253402300800}]}',
    b'{"items":[{"user_id":"ada","event":"e","message":"m","expires_at":"9999-12-31T23:59:59-23:59"}]}',
    b'{"items":[null,1,"x",[],{},{"user_id":null}]}',
    b'{"items":[' + b"[" * 3_000 + b"]" * 3_000 + b"]}",
    b'{"ids":[null]}',
    b'{"up_to":"\\u0000"}',
    b'{"name":"\\ud83d"}',
    b'{"name":{"$gt":""}}',
    b'{"email":"\\u0000@x","password":"x"}',
    b'{"email":"a@b","password":"' + b"p" * 7_000 + b'"}',
    b"[" * 7_000,
]


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-www-form-urlencoded", "x"])
@pytest.mark.parametrize(
    "path",
    [
        "/v1/notifications",
        "/v1/notifications/batch",
        "/v1/users",
        "/v1/sessions",
        "/v1/stream-tickets",
        "/v1/users/ada/notifications/read",
    ],
)
async def test_no_body_is_an_internal_error(service: Service, path: str, kind: str) -> None:
    headers = service.producer | service.bearer() | {"Content-Type": kind}
    for body in FUZZ:
        response = await service.client.post(path, content=body, headers=headers)
        if response.status_code >= 300:
            assert response.status_code in {400, 401, 404, 409, 413, 415, 422}, (body[:80], response.text)
            assert response.headers["Content-Type"] == "application/problem+json"
            assert response.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"\xff", 400), (b'{"message": "\xff"}', 400), (b"[" * 5_000, 400), (b"[]", 422)],
)
async def test_what_is_no_json_is_told_apart_from_what_is_not_wanted(
    service: Service, body: bytes, status: int
) -> None:
    headers = service.producer | {"Content-Type": "application/json"}

    response = await service.client.post("/v1/notifications", content=body, headers=headers)

    problem(response, status, "malformed" if status == 400 else "invalid")


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/nothing", 404, "no-such-path"),
        ("GET", "/v1", 404, "no-such-path"),
        ("GET", "/notifications/", 404, "no-such-path"),
        ("PATCH", "/notifications/ada/not-a-uuid/read", 404, "no-such-path"),
        ("DELETE", "/notifications/ada", 405, "method-not-allowed"),
        ("GET", "/v1/notifications", 405, "method-not-allowed"),
    ],
)
async def test_what_is_not_there_is_a_problem_too(
    service: Service, method: str, path: str, status: int, kind: str
) -> None:
    response = await service.client.request(method, path, headers=service.bearer())

    problem(response, status, kind)


@pytest.mark.parametrize("user", ["%00", "..%2f", "a%20b", "%F0%9F%91%A9", "%ff", "a" * 5000, "ada%0a"])
async def test_no_path_is_an_internal_error(service: Service, user: str) -> None:
    response = await service.client.get(f"/v1/users/{user}/notifications", headers=service.bearer())

    assert response.status_code in {401, 403, 404}


async def test_a_defect_is_answered_without_its_words_and_logged_with_an_id(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    def defect(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a secret")

    service.memory.feeds.page = defect  # type: ignore[assignment]

    response = await service.client.get("/notifications/ada", headers=service.bearer())

    body = problem(response, 500, "internal")
    assert "secret" not in response.text
    assert body["request_id"] == response.headers["X-Request-Id"]
    assert "a secret" in caplog.text


@pytest.mark.parametrize(("given", "kept"), [("abc-1.2_3", True), ("a b", False), ("x" * 65, False)])
async def test_every_answer_carries_an_id_and_says_not_to_sniff(
    client: httpx.AsyncClient, given: str, kept: bool
) -> None:
    response = await client.get("/health/live", headers={"X-Request-Id": given})

    assert (response.headers["X-Request-Id"] == given) is kept
    assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_trace_of_a_request_goes_on(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    from common import tracing

    seen: list[str | None] = []
    put = service.memory.queue.put

    async def watched(draft: Any) -> None:
        seen.append(tracing.trace_id())
        await put(draft)

    monkeypatch.setattr(service.memory.queue, "put", watched)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = service.producer | {"traceparent": trace}

    await service.client.post("/v1/notifications", json=BODY, headers=headers)

    assert seen == ["0af7651916cd43dd8448eb211c80319c"]


# --- operation ---


async def test_a_live_process_says_so(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health/live")).json() == {"status": "ok"}


@pytest.mark.parametrize(("away", "status"), [("postgres", 503), ("kafka", 503), ("redis", 200)])
async def test_readiness_tells_what_is_out_of_reach(service: Service, away: str, status: int) -> None:
    assert (await service.client.get("/health/ready")).status_code == 200
    getattr(service.memory, away).away = True

    response = await service.client.get("/health/ready")

    assert response.status_code == status
    assert {name for name, state in response.json()["checks"].items() if state != "ok"} == {away}


async def test_metrics_count_requests_by_their_route(service: Service) -> None:
    await service.client.get("/notifications/ada", headers=service.bearer())

    response = await service.client.get("/metrics")

    assert response.headers["Content-Type"].startswith("text/plain")
    assert 'route="/notifications/{user_id}' in response.text
    assert "/notifications/ada" not in response.text


async def test_the_demo_page_is_there_only_where_the_demo_is_on(client: httpx.AsyncClient) -> None:
    assert (await client.get("/")).status_code == 404
    async with Service.run(demo=True) as shown:
        assert "<html" in (await shown.client.get("/")).text


async def test_pages_of_other_sites_may_call_only_where_they_are_named(client: httpx.AsyncClient) -> None:
    origin = {"Origin": "https://app.example"}
    async with Service.run(allowed_origins="https://app.example") as named:
        allowed = await named.client.get("/health/live", headers=origin)
        other = await named.client.get("/health/live", headers={"Origin": "https://app.example.evil"})

    assert allowed.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert "Access-Control-Allow-Origin" not in other.headers
    assert "Access-Control-Allow-Origin" not in (await client.get("/health/live", headers=origin)).headers


async def test_no_secret_is_in_the_log(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    service.memory.queue.away = True
    token, password = service.token(), "correct horse battery"
    body = {"email": "eve@example.com", "password": password, "name": "Eve"}
    for path in ("/v1/users", "/v1/sessions", "/v1/notifications"):
        await service.client.post(path, json=body, headers=service.producer | service.bearer())
    await service.client.post("/v1/notifications", json=BODY, headers=service.producer)
    await service.client.get("/notifications/bob", headers={"Authorization": f"Bearer {token}"})

    logged = caplog.text + json.dumps([str(record.__dict__) for record in caplog.records])
    assert password not in logged
    assert token not in logged
    assert service.key.rpartition("_")[2] not in logged


async def test_a_token_ends_when_it_says(service: Service) -> None:
    bearer = service.bearer()
    service.memory.clock.at = NOW + timedelta(minutes=59, seconds=58)

    assert (await service.client.get("/notifications/ada", headers=bearer)).status_code == 200


# --- actions and categories ---

CHOICE = Rich(
    actions=(
        Action(id="approve", label="Approve"),
        Action(id="reject", label="Reject"),
        Action(id="open", label="Open", url="/posts/1"),
    )
)


async def act(service: Service, action: str, number: int = 1) -> httpx.Response:
    path = f"/v1/users/ada/notifications/{an_id(number)}/actions/{action}"
    return await service.client.post(path, headers=service.bearer())


async def test_an_action_is_taken_once(service: Service) -> None:
    await service.memory.feeds.append([a_draft(1, rich=CHOICE)])

    first, again, other = [await act(service, action) for action in ("approve", "approve", "reject")]

    assert first.status_code == again.status_code == 200
    assert first.content == again.content
    told = first.json()
    assert (told["action"], told["version"]) == ("approve", 2)
    assert told["acted_at"] == told["read_at"] == told["seen_at"] is not None
    problem(other, 409, "already-acted")
    assert (await service.memory.feeds.feed(ADA)).version == 2


@pytest.mark.parametrize("action", ["unknown", "open"])
async def test_an_action_that_takes_no_answer_is_refused(service: Service, action: str) -> None:
    await service.memory.feeds.append([a_draft(1, rich=CHOICE)])

    problem(await act(service, action), 422, "invalid")
    problem(await act(service, "approve", 2), 404, "unknown-notification")
    assert (await service.memory.feeds.feed(ADA)).version == 1


async def test_a_category_is_listed_and_marked_alone(service: Service) -> None:
    await service.memory.feeds.append([a_draft(n, category="abc"[n % 3]) for n in range(1, 7)])

    one, two, wrong = [
        await service.client.get(f"/notifications/ada?{query}", headers=service.bearer())
        for query in ("category=a", "category=a&category=b&status=all", "category=A")
    ]
    marked = await service.client.post(
        "/v1/users/ada/notifications/read",
        json={"up_to": one.json()["cursor"], "category": "a"},
        headers=service.bearer(),
    )

    assert [item["id"] for item in one.json()["items"]] == [str(an_id(n)) for n in (6, 3)]
    assert [item["id"] for item in two.json()["items"]] == [str(an_id(n)) for n in (6, 4, 3, 1)]
    problem(wrong, 422, "invalid")
    assert (marked.json()["changed"], marked.json()["unread_in"]) == (2, {"b": 2, "c": 2})


async def test_a_category_goes_with_a_position_only(service: Service) -> None:
    path = "/v1/users/ada/notifications/read"
    for body in ({"ids": [], "category": "a"}, {"category": "a"}, {"up_to": "e1.0", "category": "A"}):
        answer = await service.client.post(path, json=body, headers=service.bearer())
        problem(answer, 422, "invalid")
        assert [error["field"] for error in answer.json()["errors"]] == ["category"]
