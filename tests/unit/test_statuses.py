"""Each operation answers with each status that the OpenAPI document promises. The client of these tests also
checks that each answer was promised, with its body.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest

from application.errors import Limited
from application.limits import Limiter
from domain.category import CATEGORIES
from domain.identifiers import UserId
from domain.rich import Action, Rich
from entrypoints.app import create_app
from entrypoints.http import contract
from entrypoints.live.state import Streams
from entrypoints.settings import Settings
from entrypoints.web.state import part_of
from tests.build import ADA, BOB, NOW, a_draft, an_id
from tests.routes import SCOPES, a_key
from tests.whole import build
from tests.wiring import OPERATOR_SECRET, SECRET, Service, operator_token

Json = dict[str, Any]

EVERYTHING = build(Settings(token_secret=SECRET, operator_secret=OPERATOR_SECRET))
DOCUMENT = contract.document(create_app(EVERYTHING))
# The HTTP server answers these before it calls the application (tests/integration/test_entrance.py), and what
# stands before the routes 421 (tests/unit/test_front.py).
OF_THE_SERVER = {408, 414, 421, 431}
# These use no port, or use it in a task of its own: no port can have the defect.
WITHOUT_PORTS = {"getLiveness", "getReadiness", "getMetrics", "drain", "followNotifications"}
# tests/unit/test_front.py: who may read metrics depends on the client's address and a setting.
OF_THE_FRONT = {("getMetrics", 401), ("getMetrics", 403)}
GONE = UserId("gone")
NOTIFICATION = {"user_id": ADA, "event": "e", "message": "m"}
LOGIN = {"email": "ada@example.com", "password": "correct horse"}
# Bodies and queries that succeed, and those that break a rule; without one here, `{}` and an unknown field.
GOOD: dict[str, Json] = {
    "createUser": {"name": "x"},
    "putUser": {"name": "x"},
    "createKey": {"name": "x", "scopes": ["publish"]},
    "putPassword": {"new_password": "correct horse 2", "current_password": "correct horse"},
    "logIn": LOGIN,
    "revokeToken": {"user_id": ADA, "jti": "x"},
    "publishNotification": NOTIFICATION,
    "editNotification": {"event": "e", "message": "m"},
    "publishBatch": {"items": [NOTIFICATION]},
    "markNotificationsSeen": {"ids": []},
    "choosePreferences": {"categories": {"comment": False}},
    "markNotificationsRead": {"ids": []},
    "markNotificationsUnread": {"ids": []},
    "archiveNotifications": {"ids": []},
    "unarchiveNotifications": {"ids": []},
    "snoozeNotifications": {"ids": [], "until": (NOW + timedelta(hours=1)).isoformat()},
    "unsnoozeNotifications": {"ids": []},
}
BAD_QUERY = {
    "listNotifications": "limit=0",
    "followNotifications": "view=x",
    "listKeys": "limit=0",
    "listUsers": "limit=0",
    "listAudit": "limit=0",
    "exportUser": "after=x",
    "eraseUser": "forget=x",
}
PORTS = (
    "users",
    "feeds",
    "index",
    "queue",
    "keys",
    "tickets",
    "api_keys",
    "categories",
    "passwords",
    "audit",
    "erasures",
    "revoked_tokens",
)


@dataclass(frozen=True)
class Operation:
    name: str
    method: str
    path: str
    takes: list[str]
    body: bool

    @property
    def user(self) -> UserId:
        return UserId("login") if self.name == "putPassword" else ADA


def operations() -> dict[str, tuple[Operation, list[int]]]:
    found = {}
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            takes = [name for way in operation.get("security", ()) for name in way]
            one = Operation(operation["operationId"], method, path, takes, "requestBody" in operation)
            found[one.name] = one, [int(status) for status in operation["responses"]]
    return found


OPERATIONS = operations()
CELLS = [
    pytest.param(one, status, id=f"{one.name}-{status}")
    for one, statuses in OPERATIONS.values()
    for status in statuses
    if status not in OF_THE_SERVER
    and (one.name, status) not in OF_THE_FRONT
    and not (status == 500 and one.name in WITHOUT_PORTS)
]
UNKNOWN = {"notification_id": str(an_id(99)), "erasure_id": str(an_id(99)), "key_id": "000000000000"}


NO_IDS: dict[str, str] = {}


@dataclass(frozen=True)
class Stage:
    """A service, an API key with every scope, and the ids of what is there."""

    service: Service
    key: str
    ids: dict[str, str]

    def credentials(self, operation: Operation, *, prefer: str = "userToken") -> dict[str, str]:
        if prefer not in operation.takes and operation.takes:
            prefer = operation.takes[0]
        match prefer:
            case "operatorToken":
                token = operator_token(self.service.container, self.service.memory.clock())
                return {"Authorization": f"Bearer {token}"}
            case "apiKey":
                return {"X-API-Key": self.key}
        return self.service.bearer(operation.user)

    async def ask(self, operation: Operation, ids: dict[str, str] = NO_IDS, **request: Any) -> int:
        request.setdefault("headers", self.credentials(operation))
        if operation.body and "content" not in request:
            request.setdefault("json", GOOD.get(operation.name, {}))
        url = operation.path.format(**self.ids | {"user_id": operation.user} | ids)
        return (await self.service.client.request(operation.method, url, **request)).status_code


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with Service.run(live=True) as service:
        await service.add(ADA, BOB, GONE)
        key = {"X-API-Key": await a_key(service, *SCOPES)}
        await service.client.post("/v1/users", json=LOGIN | {"name": "x", "id": "login"}, headers=key)
        erasure = await service.client.delete(f"/v1/users/{GONE}", headers=key)
        rich = Rich(actions=(Action(id="approve", label="Approve"), Action(id="reject", label="Reject")))
        await service.memory.feeds.append([a_draft(rich=rich)])
        ids = {
            "notification_id": str(an_id()),
            "action": "approve",
            "erasure_id": erasure.json()["id"],
            "category_id": "billing",
            "key_id": (await a_key(service, "publish")).split("_")[2],
        }
        yield Stage(service, key["X-API-Key"], ids)


@pytest.mark.parametrize(("operation", "status"), CELLS)
async def test_an_operation_answers_as_promised(stage: Stage, operation: Operation, status: int) -> None:
    assert await DRIVERS.get(status, succeed)(stage, operation) == status


async def succeed(stage: Stage, operation: Operation) -> int:
    if operation.name == "followNotifications":
        async with stage.service.events(headers=stage.service.bearer()) as events:
            return (await events.start())[0]
    return await stage.ask(operation)


async def with_a_key(stage: Stage, operation: Operation) -> int:
    body = {"json": {"new_password": "correct horse"}} if operation.name == "putPassword" else {}
    return await stage.ask(operation, headers=stage.credentials(operation, prefer="apiKey"), **body)


async def created(stage: Stage, operation: Operation) -> int:
    ids = {"user_id": "nobody"} if operation.name == "putUser" else {}
    return await stage.ask(operation, ids)


async def unchanged(stage: Stage, operation: Operation) -> int:
    return await stage.ask(operation, headers=stage.credentials(operation) | {"If-None-Match": "*"})


async def malformed(stage: Stage, operation: Operation) -> int:
    headers = stage.credentials(operation) | {"Content-Type": "application/json"}
    return await stage.ask(operation, content=b"{", headers=headers)


async def unauthenticated(stage: Stage, operation: Operation) -> int:
    body = LOGIN | {"password": "wrong horse"} if operation.name == "logIn" else {}
    return await stage.ask(operation, headers={}, json=body)


async def not_allowed(stage: Stage, operation: Operation) -> int:
    key = {"X-API-Key": await a_key(stage.service)}
    return await stage.ask(
        operation, headers=key if operation.takes == ["apiKey"] else stage.service.bearer(BOB)
    )


async def unknown(stage: Stage, operation: Operation) -> int:
    if "{notification_id}" in operation.path and "userToken" in operation.takes:
        return await stage.ask(operation, UNKNOWN)
    nobody = UserId("nobody")
    headers = stage.credentials(operation, prefer="apiKey")
    if "apiKey" not in operation.takes:
        headers = stage.service.bearer(nobody)
    body = {} if "{" in operation.path else {"json": GOOD[operation.name] | {"user_id": nobody}}
    if operation.name == "putPassword":
        body = {"json": {"new_password": "correct horse"}}
    return await stage.ask(operation, UNKNOWN | {"user_id": nobody}, headers=headers, **body)


async def conflict(stage: Stage, operation: Operation) -> int:
    app = stage.service.app
    app.state[f"{Streams.__module__}.{Streams.__qualname__}"] = replace(part_of(app, Streams), workers=2)
    if operation.name == "createUser":
        return await stage.ask(operation, json={"name": "x", "id": ADA})
    if operation.name == "putUser":
        return await stage.ask(operation, {"user_id": GONE})
    if operation.name == "setCategory":
        await stage.service.memory.categories.enter([f"c{number}" for number in range(CATEGORIES)])
    await stage.ask(operation)
    return await stage.ask(operation, {"action": "reject"})


async def too_large(stage: Stage, operation: Operation) -> int:
    headers = stage.credentials(operation) | {"Content-Type": "application/json"}
    return await stage.ask(operation, content=b" " * 2**21, headers=headers)


async def unsupported(stage: Stage, operation: Operation) -> int:
    headers = stage.credentials(operation) | {"Content-Type": "text/plain"}
    return await stage.ask(operation, content=b"{}", headers=headers)


async def invalid(stage: Stage, operation: Operation) -> int:
    if operation.body:
        return await stage.ask(operation, json={"unknown": 1})
    if operation.name == "retractNotification":
        return await stage.ask(operation, {"notification_id": str(UUID(int=4))})
    if operation.name == "actOnNotification":
        return await stage.ask(operation, {"action": "unknown"})
    return await stage.ask(operation, params=BAD_QUERY[operation.name])


async def too_many(stage: Stage, operation: Operation) -> int:
    def refuse(limiter: Limiter, *_: object) -> None:
        raise Limited(limiter.name, 1)

    async def refuse_together(limiter: Limiter, *_: object) -> None:
        refuse(limiter)

    with (
        patch.object(Limiter, "take", refuse),
        patch.object(Limiter, "take_together", refuse_together),
    ):
        if "userToken" in operation.takes or operation.name == "logIn":
            return await stage.ask(operation)
        # Of these only failures are counted.
        return await stage.ask(operation, headers={"X-API-Key": "x", "Authorization": "Bearer x"})


async def away(stage: Stage, operation: Operation) -> int:
    headers = stage.credentials(operation)
    if "apiKey" in operation.takes:  # one that this process does not know yet
        headers = {"X-API-Key": await a_key(stage.service, *SCOPES)}
    for name in PORTS:
        getattr(stage.service.memory, name).away = True
    stage.service.memory.postgres.away = True
    return await stage.ask(operation, headers=headers)


async def defect(stage: Stage, operation: Operation) -> int:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a defect")

    memory = stage.service.memory
    for port in (*(getattr(memory, name) for name in PORTS), memory.postgres):
        for name in dir(port):
            if not name.startswith("_") and callable(getattr(port, name)):
                setattr(port, name, broken)
    return await stage.ask(operation, headers=stage.credentials(operation, prefer="apiKey"))


DRIVERS: dict[int, Callable[[Stage, Operation], Awaitable[int]]] = {
    201: created,
    204: with_a_key,
    304: unchanged,
    400: malformed,
    401: unauthenticated,
    403: not_allowed,
    404: unknown,
    409: conflict,
    413: too_large,
    415: unsupported,
    422: invalid,
    429: too_many,
    500: defect,
    503: away,
}
