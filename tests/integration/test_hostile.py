"""What somebody sends who means no good, or is only out of turn: refused or kept word for word."""

import asyncio
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args
from urllib.parse import quote

import httpx
import pytest
from aiokafka import AIOKafkaProducer
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from application.credentials import Scope
from entrypoints.live import frames
from tests.load import agree, for_a_moment, read_states
from tests.product import Api, Product, Service, Stores, create_users, eventually
from tests.whole import build
from workbench.embedded import LOOPBACK
from workbench.local_client import local_client

NOBODY = "019ab7c4-5b2e-7c3d-8a4f-2f1c6d0e9b00"
CANARY = "canary-0d1f7c"


@pytest.fixture
async def api(product: Product) -> Api:
    return await product.api()


async def publish(client: httpx.AsyncClient, user: str, **fields: Any) -> str:
    body = {"user_id": user, "event": "test.sent", "message": "hello", **fields}
    response = await client.post("/v1/notifications", json=body)
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


async def stored(stores: Stores, count: int) -> None:
    async def enough() -> bool:
        return await stores.count() >= count

    await eventually(enough, f"{count} are stored")


# --- out of turn ------------------------------------------------------------------------------------------


async def test_reading_what_is_not_there_yet_not_there_any_more_or_anothers_changes_nothing(
    product: Product, api: Api, stores: Stores
) -> None:
    """Fault 10: an ack before the notification is stored, twice, of an unknown id, of a foreign one, and of
    one that was taken back; over REST and over the socket.
    """
    async with api.client("ada") as client:
        await create_users(client, ["ada", "bob"])
    async with api.client("ada") as client, api.follow("ada") as device:
        early = await publish(client, "ada")
        foreign = await publish(client, "bob")
        await _refused_alike(client, device, [early, foreign, NOBODY])

        await product.consumer()
        await eventually(lambda: early in device.items, "it is there")
        assert device.items[early]["read_at"] is None
        await stored(stores, 2)
        before = await read_states(stores)
        await _refused_alike(client, device, [foreign, NOBODY])
        assert await read_states(stores) == before

        first = await client.patch(f"/notifications/ada/{early}/read")
        before = await read_states(stores)
        again = await client.patch(f"/notifications/ada/{early}/read")
        assert (first.status_code, again.json()) == (200, first.json())
        assert (await device.ask(type="read", ids=[early]))["changed"] == 0
        assert await read_states(stores) == before

        gone = await for_a_moment(partial(publish, client, "ada"), device)
        await eventually(lambda: device.items[gone]["retracted_at"], "it is taken back")
        before = await read_states(stores)
        await _refused_alike(client, device, [gone, NOBODY])
        assert await read_states(stores) == before
    assert not device.holes
    await eventually(lambda: agree(stores), "the index agrees with the store")


async def _refused_alike(client: httpx.AsyncClient, device: Any, ids: Sequence[str]) -> None:
    """Nobody can tell by the answers which of the ids there are."""
    answers = [await client.patch(f"/notifications/ada/{identifier}/read") for identifier in ids]
    assert {answer.status_code for answer in answers} == {404}
    assert {answer.content for answer in answers} == {answers[0].content}
    for word in ("read", "unread", "archive", "unarchive"):
        for identifier in ids:
            body = {"ids": [identifier]}
            response = await client.post(f"/v1/users/ada/notifications/{word}", json=body)
            assert (response.status_code, response.json()["changed"]) == (200, 0), (word, identifier)
            assert (await device.ask(type=word, ids=[identifier]))["changed"] == 0


# --- strings ----------------------------------------------------------------------------------------------

HOSTILE = [
    "'; DROP TABLE notifications; --",
    "\" OR \"\"=\"' OR ''='",
    "$1 :name %(name)s ?",
    "one\r\nX-Injected: yes\r\n\r\nHTTP/1.1 200 OK\r\n",
    "2026-11-22 00:00:00,000 CRITICAL bellwire: forged\n",
    "%s %d %n %(x)s {0} {self.__class__} {{7*7}} ${7*7} #{7*7} <%= 7*7 %>",
    "${jndi:ldap://example.com/a}",
    "<script>alert(1)</script>&lt;&#0;]]><!--",
    "\x1b[31mred\x1b[0m\x07\x08\x7f\x01",
    "\u202eevil\u2066\u200b\ufeff",
    "lines\u2028and\u2029more\x85of\x0bthem\x0c",
    "e\u0301 is not \u00e9, \u212b is not \u00c5",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0010ffff \ufffe \ufffd",
    "\\u0000 \\x00 \\ud800 \\' \\",
    '{"id":"019ab7c4-5b2e-7c3d-8a4f-2f1c6d0e9b00"',
    "../../../etc/passwd",
    " leading and trailing ",
    "1e400 -0 NaN null true",
]


@dataclass
class Secrets:
    """What must not be in a log."""

    token: str
    key: str
    password: str


@pytest.mark.parametrize("style", ["json", "text"])
async def test_hostile_strings_come_back_word_for_word_and_leave_the_log_whole(
    product: Product, stores: Stores, style: str
) -> None:
    """Fault 35: in every field, through the API and around it, back by REST and by the socket."""
    product._environment |= {"BELLWIRE_LOG_FORMAT": style, "BELLWIRE_ACCESS_LOG": "true"}
    api, consumer = await asyncio.gather(product.api(), product.consumer())
    secrets = Secrets(product.token("ada"), product.api_key.rpartition("_")[2], f"{CANARY} password")
    async with api.client("ada") as client:
        await create_users(client, ["ada"])
    async with api.client("ada") as client, api.follow("ada") as device:
        expected = {await publish(client, "ada", **fields): fields for fields in _fields()}
        expected |= {await _put(product, fields): fields for fields in _fields()}
        for fields in _fields():
            await _put(product, {**fields, "event": fields["title"]})  # goes to the dead letters
        expected[await publish(client, "ada", message="behind them")] = {"message": "behind them"}
        await eventually(lambda: expected.keys() <= device.items.keys(), "the device has all")
        pushed = {
            item["id"]: item
            for frame in device.frames
            if frame["type"] == "notifications"
            for item in frame["items"]
        }
        fetched = (await client.get("/notifications/ada", params={"limit": 100})).json()["items"]
        for shown in (pushed, {item["id"]: item for item in fetched}):
            for identifier, fields in expected.items():
                assert {name: shown[identifier][name] for name in fields} == fields
        await _names_come_back(client)
        await _nonsense_is_refused(client, secrets)
        await _nonsense_is_refused_on_the_socket(api, secrets)
    assert not device.holes
    assert await stores.count() == len(expected)
    await asyncio.to_thread(consumer.stop)
    await asyncio.to_thread(api.process.stop)
    for process in (api.process, consumer):
        _is_whole(process, style, secrets)


def _fields() -> Iterator[dict[str, Any]]:
    for text in HOSTILE:
        yield {
            "message": f"{CANARY} {text}",
            "title": text,
            "metadata": {text: [text, {text: text}]},
            "action_url": f"/{CANARY}?q={quote(text)}#{quote(text)}",
        }


async def _put(product: Product, fields: Mapping[str, Any]) -> str:
    """Write a record as any other service may."""
    identifier = str(build(product.settings).new_id()())
    value = {"id": identifier, "user_id": "ada", "event": "test.sent", **fields}
    producer = AIOKafkaProducer(bootstrap_servers=product.settings.kafka_bootstrap)
    await producer.start()
    try:
        headers = [("traceparent", HOSTILE[3].encode()), ("ce_source", HOSTILE[4].encode())]
        await producer.send_and_wait(
            product.settings.kafka_topic, json.dumps(value).encode(), key=b"ada", headers=headers
        )
    finally:
        await producer.stop()
    return identifier


async def _names_come_back(client: httpx.AsyncClient) -> None:
    for number, text in enumerate(HOSTILE):
        response = await client.post("/v1/users", json={"name": text, "id": f"user-{number}"})
        assert response.status_code == 201, response.text
        assert response.json()["name"] == text


async def _nonsense_is_refused(client: httpx.AsyncClient, secrets: Secrets) -> None:
    """Everywhere else a text has a form, and the refusal is none of the server's failures."""
    for text in HOSTILE:
        quoted = quote(text, safe="")
        answers = [
            await client.get(f"/notifications/{quoted}"),
            await client.get(f"/v1/users/ada/{quoted}"),
            await client.patch(f"/notifications/ada/{quoted}/read"),
            await client.get("/notifications/ada", params={"event": text}),
            await client.get("/notifications/ada", params={"cursor": text}),
            await client.get("/notifications/ada", params={"status": text}),
            await client.post("/v1/users", json={"name": "x", "id": text}),
            await client.post("/v1/users", json={"name": "x", "email": text, "password": secrets.password}),
            await client.post("/v1/sessions", json={"email": text, "password": secrets.password}),
            await client.post("/v1/notifications", json={"user_id": text, "event": text, "message": CANARY}),
            await client.post("/v1/notifications", json={"user_id": "ada", "event": CANARY, text: text}),
            await client.post("/v1/users/ada/notifications/read", json={"ids": [text]}),
            await client.post("/v1/users/ada/notifications/read", json={"up_to": text}),
        ]
        for answer in answers:
            assert 400 <= answer.status_code < 500, (text, answer.request.url, answer.text)
            assert "x-injected" not in answer.headers
            assert secrets.password not in answer.text
        for name in ("X-Request-Id", "traceparent", "If-None-Match", "User-Agent"):
            given = {name: quote(text)}
            assert (await client.get("/notifications/ada", headers=given)).status_code == 200
    wrong = {"Authorization": f"Bearer {secrets.token}x", "X-API-Key": f"bw_live_x_{secrets.key}"}
    assert (await client.get("/notifications/ada", headers=wrong)).status_code == 401
    assert (await client.post("/v1/notifications", json={}, headers=wrong)).status_code == 401


async def _nonsense_is_refused_on_the_socket(api: Api, secrets: Secrets) -> None:
    for text in HOSTILE:
        url = api.url.replace("http", "ws", 1)
        for path in (
            f"/ws/{quote(text, safe='')}",
            f"/ws/ada?cursor={quote(text)}",
            f"/ws/ada?ticket={quote(text)}",
        ):
            headers = {"Authorization": f"Bearer {secrets.token}"}
            assert await _closed_with(f"{url}{path}", headers) in {4510, 4511, 4515, 403, 404}, path
    async with api.follow("ada") as device:
        for text in HOSTILE:
            assert (await device.ask(type="refresh", token=text))["code"] == "refused"
            assert (await device.ask(type="read", up_to=text))["code"] == "refused"
            assert (await device.ask(type=text))["code"] == "bad_frame"


async def _closed_with(url: str, headers: Mapping[str, str]) -> int | None:
    """How a stream is refused: by a code of its own, or by a status of HTTP before there is one."""
    try:
        async with connect(url, additional_headers=headers, compression=None) as socket:
            while True:
                await asyncio.wait_for(socket.recv(), 10)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None
    except InvalidStatus as refused:
        return refused.response.status_code


_TEXT_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (DEBUG|INFO|WARNING|ERROR|CRITICAL) +[\w.]+: ")


def _is_whole(process: Service, style: str, secrets: Secrets) -> None:
    """Every line is a line of ours, and none tells a secret or what a notification says."""
    text = process.log.read_bytes().decode()
    lines = text.removesuffix("\n").split("\n")
    assert lines[0]
    for line in lines:
        if style == "json":
            assert {"time", "level", "message"} <= json.loads(line).keys(), line
        else:
            assert _TEXT_LINE.match(line), line
    assert not re.search("[\x00-\x09\x0b-\x1f]", text)
    for secret in (secrets.token, secrets.key, secrets.password, CANARY):
        assert secret not in text


# --- headers ----------------------------------------------------------------------------------------------


async def test_what_a_proxy_would_say_is_not_believed(product: Product, api: Api) -> None:
    """Fault 36: forged Forwarded headers change no answer and open no stream to another site's page."""
    forged = {
        "X-Forwarded-For": "127.0.0.1, 10.0.0.1",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Port": "443",
        "X-Real-IP": "127.0.0.1",
        "X-Original-URL": "/metrics",
        "X-HTTP-Method-Override": "PATCH",
        "Forwarded": "for=127.0.0.1;host=evil.example;proto=https",
    }
    async with api.client("ada") as client:
        await create_users(client, ["ada", "bob"])
        for path in ("/notifications/ada", "/notifications/bob", "/nowhere", "/health/live"):
            plain, lied = await client.get(path), await client.get(path, headers=forged)
            assert (plain.status_code, plain.content) == (lied.status_code, lied.content)
            assert _without_ids(plain.headers) == _without_ids(lied.headers)
    url = f"{api.url.replace('http', 'ws', 1)}/ws/ada"
    token = {"Authorization": f"Bearer {product.token('ada')}"}
    for origin in ("https://evil.example", "http://evil.example", "null", "file://"):
        assert await _closed_with(url, {**token, **forged, "Origin": origin}) == 4515


def _without_ids(headers: httpx.Headers) -> dict[str, str]:
    differ = {"date", "x-request-id", "ratelimit"}
    return {name: value for name, value in headers.items() if name not in differ}


async def test_of_a_header_that_comes_twice_one_counts(product: Product, api: Api) -> None:
    """Fault 36: two credentials are never more than one of them."""
    host = api.url.removeprefix("http://")
    ada, bob = (f"Bearer {product.token(user)}" for user in ("ada", "bob"))
    async with api.client() as client:
        await create_users(client, ["ada", "bob"])
    async with local_client(base_url=api.url) as client:
        for first, second in ((ada, bob), (bob, ada), (ada, "Bearer x"), ("Bearer x", ada)):
            both = [("Authorization", first), ("Authorization", second)]
            seen = [
                (await client.get(f"/notifications/{user}", headers=both)).status_code
                for user in ("ada", "bob")
            ]
            assert seen.count(200) <= 1
            alone = [("Authorization", first)]
            assert seen[0] == (await client.get("/notifications/ada", headers=alone)).status_code
    for lines in (
        ["Content-Length: 2", "Content-Length: 40"],
        ["Content-Length: 2", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
        ["Content-Length: +2"],
    ):
        request = [
            "POST /v1/sessions HTTP/1.1",
            f"Host: {host}",
            *lines,
            "",
            "0",
            "",
            "GET /health/live HTTP/1.1",
            f"Host: {host}",
            "",
            "",
        ]
        answers = await _exchange(api, "\r\n".join(request).encode())
        assert b" 200 " not in answers, (lines, answers)


async def _exchange(api: Api, request: bytes) -> bytes:
    """What the server says to bytes, until it closes or says no more."""
    reader, writer = await asyncio.open_connection(LOOPBACK, api.process.port)
    answers = b""
    try:
        writer.write(request)
        async with asyncio.timeout(3):
            while data := await reader.read(65536):
                answers += data
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
    return answers


# --- somebody else's --------------------------------------------------------------------------------------


@dataclass
class World:
    """Two users, each with notifications, and whatever somebody other than Ada may have in hand."""

    product: Product
    ids: list[str]
    """Ada's notifications: unread, read, archived."""
    own: list[str]
    """Bob's."""
    cursor: str
    """Ada's."""
    keys: Mapping[str, str]
    """A producer's key by its one scope."""

    @property
    def credentials(self) -> Mapping[str, dict[str, str]]:
        return {
            "nothing": {},
            "Bob's token": {"Authorization": f"Bearer {self.product.token('bob')}"},
            "a stranger's token": {"Authorization": f"Bearer {self.product.token('nobody')}"},
            **{f"a key to {scope}": {"X-API-Key": key} for scope, key in self.keys.items()},
        }


@pytest.fixture
async def world(product: Product, api: Api, stores: Stores) -> World:
    await product.consumer()
    async with api.client("ada") as client:
        await create_users(client, ["ada", "bob"])
        ids = [await publish(client, "ada", message=CANARY, title=CANARY) for _ in range(3)]
        own = [await publish(client, "bob") for _ in range(2)]
        await stored(stores, 5)
        await client.patch(f"/notifications/ada/{ids[1]}/read")
        await client.post("/v1/users/ada/notifications/archive", json={"ids": [ids[2]]})
        cursor = (await client.get("/notifications/ada")).json()["cursor"]
    container = build(product.settings)
    try:
        keys = {
            str(scope): (await container.create_api_key()(f"only {scope}", frozenset({scope})))[1]
            for scope in (Scope.PUBLISH, Scope.USERS, Scope.READ)
        }
    finally:
        await container.maintenance().close()
    return World(product, ids, own, cursor, keys)


_MARK = "/v1/users/{user_id}/notifications/"
_PUBLIC, _PRODUCER, _USER, _STREAM, _OPERATOR = "public", "producer", "user", "stream", "operator"
_LOG_OUT = "log-out"
_READER = "the user or a producer"

# What is sent where. A new operation has to find its place here.
OPERATIONS: Mapping[tuple[str, str], str] = {
    ("get", "/health/live"): _PUBLIC,
    ("get", "/health/ready"): _PUBLIC,
    ("get", "/metrics"): _PUBLIC,
    ("post", "/v1/sessions"): _PUBLIC,
    ("post", "/v1/notifications"): _PRODUCER,
    ("post", "/createNotification"): _PRODUCER,
    ("put", "/v1/users/{user_id}/notifications/{notification_id}"): _PRODUCER,
    ("delete", "/v1/users/{user_id}/notifications/{notification_id}"): _PRODUCER,
    ("post", "/v1/notifications/batch"): _PRODUCER,
    ("post", "/v1/users"): _PRODUCER,
    ("get", "/v1/users"): _PRODUCER,
    ("get", "/v1/users/{user_id}"): _PRODUCER,
    ("put", "/v1/users/{user_id}"): _PRODUCER,
    ("post", "/createUser"): _PRODUCER,
    **{("post", "/v1/users/{user_id}/" + word): _PRODUCER for word in ("disable", "enable", "revoke-tokens")},
    ("post", "/v1/revoked-tokens"): _PRODUCER,
    ("post", "/v1/sessions/end"): _LOG_OUT,
    ("delete", "/v1/users/{user_id}"): _PRODUCER,
    ("get", "/v1/erasures/{erasure_id}"): _PRODUCER,
    ("get", "/v1/users/{user_id}/export"): _READER,
    ("put", "/v1/users/{user_id}/password"): _READER,
    ("get", "/v1/users/{user_id}/preferences"): _READER,
    ("put", "/v1/users/{user_id}/preferences"): _READER,
    ("get", "/v1/audit"): _PRODUCER,
    ("get", "/v1/categories"): _PRODUCER,
    ("put", "/v1/categories/{category_id}"): _PRODUCER,
    ("post", "/v1/keys"): _PRODUCER,
    ("get", "/v1/keys"): _PRODUCER,
    ("get", "/v1/keys/{key_id}"): _PRODUCER,
    ("post", "/v1/keys/{key_id}/rotate"): _PRODUCER,
    ("post", "/v1/keys/{key_id}/revoke"): _PRODUCER,
    ("post", "/v1/stream-tickets"): _USER,
    ("get", "/sse/{user_id}"): _STREAM,
    ("post", "/drain"): _OPERATOR,
    ("get", "/v1/users/{user_id}/notifications"): _READER,
    ("get", "/notifications/{user_id}"): _READER,
    ("get", "/v1/users/{user_id}/counts"): _READER,
    ("get", "/v1/users/{user_id}/unread-count"): _READER,
    ("patch", "/v1/users/{user_id}/notifications/{notification_id}/read"): _USER,
    ("patch", "/notifications/{user_id}/{notification_id}/read"): _USER,
    **{("post", _MARK + word): _USER for word in ("seen", "read", "unread", "archive", "unarchive")},
    **{("post", _MARK + word): _USER for word in ("snooze", "unsnooze")},
    ("post", _MARK + "{notification_id}/actions/{action}"): _USER,
}
# Which scope a producer needs.
SCOPES = {
    "/v1/notifications": Scope.PUBLISH,
    "/createNotification": Scope.PUBLISH,
    "/v1/users/{user_id}/notifications/{notification_id}": Scope.PUBLISH,
    "/v1/notifications/batch": Scope.PUBLISH,
    "/v1/users": Scope.USERS,
    "/createUser": Scope.USERS,
    "/v1/revoked-tokens": Scope.USERS,
    **{"/v1/users/{user_id}/" + word: Scope.USERS for word in ("disable", "enable", "revoke-tokens")},
    **{"/v1/users/{user_id}" + rest: Scope.USERS for rest in ("", "/export", "/password", "/preferences")},
    "/v1/erasures/{erasure_id}": Scope.USERS,
    "/v1/users/{user_id}/notifications": Scope.READ,
    "/notifications/{user_id}": Scope.READ,
    "/v1/users/{user_id}/counts": Scope.READ,
    "/v1/users/{user_id}/unread-count": Scope.READ,
}


@pytest.mark.timeout(900)
async def test_with_the_ids_of_another_nothing_is_seen_and_nothing_changed(
    api: Api, world: World, stores: Stores
) -> None:
    """Fault 37: every operation of the OpenAPI document, with everybody's credentials but the right ones, and
    with Bob's on his own paths but with what is Ada's.
    """
    async with local_client(base_url=api.url, timeout=30) as client:
        schema = (await client.get("/schema/openapi.json")).json()
        described = {
            (method, each)
            for path, methods in schema["paths"].items()
            for method, operation in methods.items()
            for each in (path, *operation.get("x-aliases", ()))
        }
        assert described == set(OPERATIONS)
        before = await _everything(stores)
        for (method, path), kind in OPERATIONS.items():
            for who, credentials in world.credentials.items():
                if path in SCOPES and who == f"a key to {SCOPES[path]}":
                    continue  # may do so, to anybody
                for user in ("ada", "bob") if "{user_id}" in path else ("",):
                    if kind == _LOG_OUT and "token" in who:
                        continue  # ends that token, and nothing of anybody else's
                    if kind == _STREAM and (who, user) == ("Bob's token", "bob"):
                        continue  # his own, and without an end
                    for body in _bodies(world):
                        for identifier in world.ids if "{notification_id}" in path else [""]:
                            address = path.format(
                                user_id=user,
                                notification_id=identifier,
                                key_id="0a1b2c",
                                category_id="test",
                                action="approve",
                                erasure_id=world.ids[0],
                            )
                            query, content = (body, None) if method == "get" else ({}, body)
                            response = await client.request(
                                method, address, headers=credentials, params=query, json=content
                            )
                            _says_nothing(response, world, body)
                            expected = _expected(kind, path, who, user)
                            assert response.status_code in expected, (
                                who,
                                method,
                                address,
                                body,
                                response.text,
                            )
        assert await _everything(stores) == before
    assert await stores.count() == 5


def _bodies(world: World) -> list[dict[str, Any]]:
    """What names something of Ada's in one way or another."""
    content = {"user_id": "ada", "event": "test.sent", "message": "hello"}
    return [
        {},
        {"ids": world.ids},
        {"up_to": world.cursor},
        content,
        {"items": [content]},
        {"id": "ada", "name": "Eve"},
        {"email": "ada@example.com", "password": "12345678"},
        {"cursor": world.cursor, "status": "all"},
        {"status": "all", "limit": 100},
    ]


def _expected(kind: str, path: str, who: str, user: str) -> set[int]:
    if kind == _PUBLIC:
        return {200, 400, 401, 422}
    if kind in {_PRODUCER, _READER} and who.startswith("a key"):
        return {403}
    if kind in {_PRODUCER, _OPERATOR} or "token" not in who:
        return {401}
    if not user:
        return {201}
    if user != "bob" or who != "Bob's token":
        return {403}
    return {404} if "{notification_id}" in path else {200, 400, 422}


def _says_nothing(response: httpx.Response, world: World, body: Mapping[str, Any]) -> None:
    told = response.text
    assert CANARY not in told
    sent = json.dumps(body) + str(response.request.url)
    for identifier in world.ids:
        assert identifier not in told or identifier in sent


async def _everything(stores: Stores) -> Mapping[str, object]:
    """All there is of everybody, other than when a key was used last."""
    rows = await stores.postgres.fetch("SELECT * FROM notifications")
    users = await stores.postgres.fetch("SELECT * FROM users")
    notifications = {str(row["id"]): tuple(row) for row in rows}
    return {**notifications, **{row["id"]: tuple(row) for row in users}, **await read_states(stores)}


_TOMORROW = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 86_400))


# Every frame that a client may send, with what is another's.
def _frames(world: World) -> Mapping[str, Sequence[dict[str, Any]]]:
    selections: list[dict[str, Any]] = [{"ids": world.ids}, {"up_to": world.cursor}]
    marks = dict.fromkeys(("seen", "read", "unread", "archive", "unarchive"), selections)
    marks |= {"snooze": [{"ids": world.ids, "until": _TOMORROW}], "unsnooze": [{"ids": world.ids}]}
    acts = [{"id": identifier, "action": "approve"} for identifier in world.ids]
    return {
        **marks,
        "act": acts,
        "refresh": [{"token": world.product.token("ada")}],
        "pong": [{"ids": world.ids}],
    }


async def test_on_a_socket_the_ids_of_another_show_and_change_nothing(
    api: Api, world: World, stores: Stores
) -> None:
    """Fault 37: every frame that a client may send, with what is another's."""
    attacks = _frames(world)
    assert attacks.keys() == {each.__struct_config__.tag for each in (*get_args(frames.Command), frames.Pong)}
    before = await _everything(stores)
    url = f"{api.url.replace('http', 'ws', 1)}/ws"
    async with api.client("bob") as client:
        ticket = (await client.post("/v1/stream-tickets")).json()["ticket"]
    assert await _closed_with(f"{url}/ada?ticket={ticket}", {}) == 4515
    for who, credentials in world.credentials.items():
        assert await _closed_with(f"{url}/ada?cursor={world.cursor}", credentials) in {4511, 4515}, who
    async with api.follow("bob", query=f"cursor={world.cursor}") as bob, api.follow("ada") as ada:
        for kind, commands in attacks.items():
            for command in commands:
                if kind == "pong":
                    await bob.send(type=kind, **command)
                    continue
                answer = await bob.ask(type=kind, **command)
                assert answer.get("changed", 0) == 0
                assert answer["type"] == ("ok" if "ids" in command else "error")
        await bob.ask(type="read", ids=[])
        assert CANARY not in json.dumps(list(bob.frames))
        assert any(frame["type"] == "reset" for frame in bob.frames)
        assert await _everything(stores) == before
        async with api.client() as client:
            late = await publish(client, "ada")
        await eventually(lambda: late in ada.items, "what comes after all of it")
        assert {frame["type"] for frame in ada.frames} <= {"welcome", "ping", "notifications", "replayed"}
        assert [item["id"] for frame in ada.frames for item in frame.get("items", ())] == [late]
