"""Each operation answers with each status that the OpenAPI document promises. The client of these tests also
checks that each answer was promised, with its body.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from domain.identifiers import UserId
from entrypoints.app import create_app
from entrypoints.http import contract
from entrypoints.live.state import Streams
from entrypoints.settings import Settings
from entrypoints.web.state import part_of
from tests.build import ADA, BOB, an_id, drafts
from tests.whole import build
from tests.wiring import SECRET, Service

Json = dict[str, Any]

DOCUMENT = contract.document(create_app(build(Settings(token_secret=SECRET))))
# The HTTP server answers these before it calls the application: tests/integration/test_entrance.py.
OF_THE_SERVER = {408, 414, 431}
# These use no port, or use it in a task of its own: no port can have the defect.
WITHOUT_PORTS = {"getLiveness", "getReadiness", "getMetrics", "drain", "followNotifications"}
NOTIFICATION = {"user_id": ADA, "event": "e", "message": "m"}
LOGIN = {"email": "ada@example.com", "password": "correct horse"}
# Bodies and queries that succeed, and those that break a rule; without one here, `{}` and an unknown field.
GOOD: dict[str, Json] = {
    "createUser": {"name": "x"},
    "logIn": LOGIN,
    "publishNotification": NOTIFICATION,
    "publishBatch": {"items": [NOTIFICATION]},
    "markNotificationsRead": {"ids": []},
    "markNotificationsUnread": {"ids": []},
    "archiveNotifications": {"ids": []},
    "unarchiveNotifications": {"ids": []},
}
BAD_QUERY = {"listNotifications": "limit=0", "followNotifications": "view=x"}
PORTS = ("users", "feeds", "index", "queue", "keys", "tickets", "api_keys", "passwords")


@dataclass(frozen=True)
class Operation:
    name: str
    method: str
    path: str
    takes: str
    body: bool

    def url(self, user: str = ADA) -> str:
        return self.path.replace("{user_id}", user).replace("{notification_id}", str(an_id()))


def operations() -> dict[str, tuple[Operation, list[int]]]:
    found = {}
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            takes = next(iter(operation["security"][0]), "") if operation.get("security") else ""
            one = Operation(operation["operationId"], method, path, takes, "requestBody" in operation)
            found[one.name] = one, [int(status) for status in operation["responses"]]
    return found


OPERATIONS = operations()
CELLS = [
    pytest.param(one, status, id=f"{one.name}-{status}")
    for one, statuses in OPERATIONS.values()
    for status in statuses
    if status not in OF_THE_SERVER and not (status == 500 and one.name in WITHOUT_PORTS)
]


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service.run(live=True) as service:
        await service.add(ADA, BOB)
        await service.client.post(
            "/v1/users", json=LOGIN | {"name": "x", "id": "login"}, headers=service.producer
        )
        await service.memory.feeds.append(drafts(1))
        yield service


@pytest.mark.parametrize(("operation", "status"), CELLS)
async def test_an_operation_answers_as_promised(service: Service, operation: Operation, status: int) -> None:
    assert await DRIVERS.get(status, succeed)(service, operation) == status


def credentials(service: Service, operation: Operation, user: UserId = ADA) -> dict[str, str]:
    if operation.takes == "operatorToken":
        token = service.container.operator_tokens().mint(ADA, service.memory.clock())[0]
        return {"Authorization": f"Bearer {token}"}
    return service.producer if operation.takes == "apiKey" else service.bearer(user)


async def ask(service: Service, operation: Operation, user: str = ADA, **request: Any) -> httpx.Response:
    request.setdefault("headers", credentials(service, operation, UserId(user)))
    if operation.body and "content" not in request:
        request.setdefault("json", GOOD.get(operation.name, {}))
    return await service.client.request(operation.method, operation.url(user), **request)


async def succeed(service: Service, operation: Operation) -> int:
    if operation.name == "followNotifications":
        async with service.events(headers=service.bearer()) as events:
            return (await events.start())[0]
    return (await ask(service, operation)).status_code


async def unchanged(service: Service, operation: Operation) -> int:
    headers = credentials(service, operation) | {"If-None-Match": "*"}
    return (await ask(service, operation, headers=headers)).status_code


async def malformed(service: Service, operation: Operation) -> int:
    headers = credentials(service, operation) | {"Content-Type": "application/json"}
    return (await ask(service, operation, content=b"{", headers=headers)).status_code


async def unauthenticated(service: Service, operation: Operation) -> int:
    body = LOGIN | {"password": "wrong horse"} if operation.name == "logIn" else {}
    return (await ask(service, operation, headers={}, json=body)).status_code


async def not_allowed(service: Service, operation: Operation) -> int:
    _, key = await service.container.create_api_key()("none", frozenset[str]())
    headers = {"X-API-Key": key} if operation.takes == "apiKey" else service.bearer(BOB)
    return (await ask(service, operation, headers=headers)).status_code


async def unknown(service: Service, operation: Operation) -> int:
    in_path = "{user_id}" in operation.path
    body = {} if in_path else {"json": GOOD.get(operation.name, {}) | {"user_id": "nobody"}}
    return (await ask(service, operation, "nobody", **body)).status_code


async def conflict(service: Service, operation: Operation) -> int:
    streams = part_of(service.app, Streams)
    service.app.state[f"{Streams.__module__}.{Streams.__qualname__}"] = replace(streams, workers=2)
    return (await ask(service, operation, json={"name": "x", "id": ADA})).status_code


async def too_large(service: Service, operation: Operation) -> int:
    headers = credentials(service, operation) | {"Content-Type": "application/json"}
    return (await ask(service, operation, content=b" " * 2**21, headers=headers)).status_code


async def invalid(service: Service, operation: Operation) -> int:
    if operation.body:
        return (await ask(service, operation, json={"unknown": 1})).status_code
    return (await ask(service, operation, params=BAD_QUERY[operation.name])).status_code


async def too_many(service: Service, operation: Operation) -> int:
    async with AsyncExitStack() as opened:
        for _ in range(service.container.settings().sockets_per_user):
            socket = await opened.enter_async_context(service.socket(headers=service.bearer()))
            await socket.frame("welcome")
        return (await ask(service, operation)).status_code


async def away(service: Service, operation: Operation) -> int:
    for name in PORTS:
        getattr(service.memory, name).away = True
    service.memory.postgres.away = True
    return (await ask(service, operation)).status_code


async def defect(service: Service, operation: Operation) -> int:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a defect")

    for port in (*(getattr(service.memory, name) for name in PORTS), service.memory.postgres):
        for name in dir(port):
            if not name.startswith("_") and callable(getattr(port, name)):
                setattr(port, name, broken)
    return (await ask(service, operation)).status_code


DRIVERS: dict[int, Callable[[Service, Operation], Awaitable[int]]] = {
    304: unchanged,
    400: malformed,
    401: unauthenticated,
    403: not_allowed,
    404: unknown,
    409: conflict,
    413: too_large,
    422: invalid,
    429: too_many,
    500: defect,
    503: away,
}
