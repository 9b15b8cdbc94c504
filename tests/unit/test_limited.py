"""What is limited, over HTTP and on streams, and what a client is told; on ports in memory."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from application.credentials import Scope
from application.refused import ChargeRefused
from domain.identifiers import UserId
from tests.build import ADA, BOB, an_id
from tests.wiring import Service, Socket

BODY: dict[str, Any] = {"user_id": "ada", "event": "comment.created", "message": "hello"}
PASSWORD = "correct horse"
ITEM = re.compile(r'"[a-z-]+"(;[a-z-]+=([0-9]+|"[a-z]+"))+')


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[Service]:
    """A service for which no time passes: under load a test may take longer than a limit needs to recover."""
    async with Service.run(**settings) as service:
        service.memory.seconds.stand_at(service.memory.seconds())
        yield service


def refused(response: httpx.Response, limit: str) -> int:
    """The seconds to wait, after checking what all refusals have."""
    assert response.status_code == 429, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    body = response.json()
    assert body["type"] == "urn:bellwire:problem:too-many-requests"
    assert (body["status"], body["violated-policies"]) == (429, [limit])
    assert body["title"]
    assert str(int(response.headers["Retry-After"])) in body["detail"]
    return int(response.headers["Retry-After"])


def told(response: httpx.Response) -> dict[str, dict[str, str]]:
    """What the headers say of each limit, by the rules of the draft."""
    found: dict[str, dict[str, str]] = {}
    for header in ("RateLimit-Policy", "RateLimit"):
        for item in response.headers[header].split(", "):
            assert ITEM.fullmatch(item), item
            name, *parameters = item.split(";")
            values = found.setdefault(name.strip('"'), {})
            for one in parameters:
                values[one.partition("=")[0]] = one.partition("=")[2]
    return found


async def publish(service: Service, key: str = "") -> httpx.Response:
    return await service.client.post(
        "/v1/notifications", json=BODY, headers={"X-API-Key": key or service.key}
    )


async def batch(service: Service, count: int) -> httpx.Response:
    items = {"items": [BODY] * count}
    return await service.client.post("/v1/notifications/batch", json=items, headers=service.producer)


async def fetch(service: Service, user: UserId = ADA) -> httpx.Response:
    return await service.client.get(f"/v1/users/{user}/notifications", headers=service.bearer(user))


async def mark(service: Service, user: UserId = ADA) -> httpx.Response:
    return await service.client.post(
        f"/v1/users/{user}/notifications/read", json={"ids": [str(an_id())]}, headers=service.bearer(user)
    )


async def log_in(service: Service, password: str, *, at: str = "", email: str = "ada@example.com") -> Any:
    credentials = {"email": email, "password": password}
    headers = {"X-Forwarded-For": at} if at else {}
    return await service.client.post("/v1/sessions", json=credentials, headers=headers)


async def create(service: Service, **fields: Any) -> httpx.Response:
    return await service.client.post("/v1/users", json={"name": "Ada", **fields}, headers=service.producer)


# --- publishing ---


async def test_a_key_publishes_at_its_rate_and_is_told_what_is_left() -> None:
    async with serving(limit_publish="3/m") as service:
        await service.add(ADA)
        answers = [await publish(service) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [202] * 3
        assert [told(answer)["publish"]["r"] for answer in answers] == ["2", "1", "0"]
        assert told(answers[0])["publish"] == {
            "q": "3",
            "w": "60",
            "bellwire-unit": '"notifications"',
            "r": "2",
            "t": "20",
        }

        late = await publish(service)
        assert refused(late, "publish") == 20
        assert told(late)["publish"]["r"] == "0"
        assert told(late)["publish"]["t"] == "20"
        assert len(service.memory.queue.held) == 3
        service.memory.seconds.stand_at(service.memory.seconds() + 20)
        assert (await publish(service)).status_code == 202


async def test_keys_are_limited_apart() -> None:
    async with serving(limit_publish="1/m") as service:
        await service.add(ADA)
        _, other = await service.container.create_api_key()("another", frozenset({Scope.PUBLISH}))
        await publish(service)

        refused(await publish(service), "publish")
        assert (await publish(service, other)).status_code == 202


async def test_a_batch_costs_as_many_as_it_has_and_is_admitted_whole_or_not_at_all() -> None:
    async with serving(limit_publish="10/m") as service:
        await service.add(ADA)
        assert told(await batch(service, 6))["publish"]["r"] == "4"

        refused(await batch(service, 6), "publish")
        assert len(service.memory.queue.held) == 6


async def test_a_key_whose_records_the_consumers_refuse_is_refused_until_that_is_paid_off() -> None:
    async with serving(limit_refused="10/h") as service:
        await service.add(ADA)
        limits, seconds = service.container.limits(), service.memory.seconds
        other = (await service.container.create_api_key()("another", frozenset({Scope.PUBLISH})))[1]
        charge = ChargeRefused(limits.refused.rate, service.memory.rates)
        await charge([service.key.split("_")[2]] * 11)
        assert (await publish(service)).status_code == 202  # it does not know yet
        await limits.settle()

        late = await publish(service)
        assert refused(late, "refused") == 720
        assert told(late)["refused"]["r"] == "0"
        refused(await batch(service, 2), "refused")
        assert (await publish(service, other)).status_code == 202
        seconds.stand_at(seconds() + 720)
        assert (await publish(service)).status_code == 202


async def test_items_that_are_refused_cost_too() -> None:
    async with serving(limit_publish="10/m") as service:
        assert (await batch(service, 10)).status_code == 202
        refused(await batch(service, 10), "publish")


# --- users ---


async def test_a_user_is_limited_whatever_the_route_and_marks_twice() -> None:
    async with serving(limit_requests="4/m", limit_marks="2/m") as service:
        await service.add(ADA, BOB)
        first = await mark(service)
        assert {limit: values["r"] for limit, values in told(first).items()} == {
            "requests": "3",
            "marks": "1",
        }
        await mark(service)
        refused(await mark(service), "marks")
        assert (await fetch(service)).status_code == 200
        refused(await fetch(service), "requests")
        ticket = await service.client.post("/v1/stream-tickets", headers=service.bearer())
        refused(ticket, "requests")
        assert (await fetch(service, BOB)).status_code == 200


async def test_tickets_are_limited_by_address() -> None:
    async with serving(limit_tickets="2/m", trusted_proxies="127.0.0.1") as service:
        await service.add(ADA)

        async def ticket(address: str) -> httpx.Response:
            headers = service.bearer() | {"X-Forwarded-For": address}
            return await service.client.post("/v1/stream-tickets", headers=headers)

        assert [(await ticket("2001:db8::1")).status_code for _ in range(2)] == [201, 201]
        refused(await ticket("2001:db8::2"), "tickets")
        assert (await ticket("2001:db8:0:1::1")).status_code == 201


# --- streams ---


async def handshake(service: Service, **headers: str) -> tuple[int, dict[str, str]]:
    """The status with which a handshake is refused, and the headers; 101 if it is accepted."""
    socket: Socket
    async with service.socket(headers=service.bearer() | headers) as socket:
        event = await socket.event()
        if event["type"] == "websocket.accept":
            return 101, {}
        assert event["type"] == "websocket.http.response.start"
        return event["status"], {name.decode(): value.decode() for name, value in event["headers"]}


async def test_openings_of_streams_are_refused_before_the_upgrade() -> None:
    async with Service.run(live=True, limit_openings="2/m", trusted_proxies="192.0.2.1") as service:
        await service.add(ADA)
        assert [(await handshake(service))[0] for _ in range(2)] == [101, 101]

        status, headers = await handshake(service)
        assert status == 429
        assert (headers["retry-after"], headers["ratelimit"]) == ("30", '"openings";r=0;t=30')
        assert headers["content-type"] == "application/problem+json"
        async with service.events(headers=service.bearer()) as events:
            assert (await events.start())[0] == 429
            assert (await events.problem())["violated-policies"] == ["openings"]
        elsewhere = {"X-Forwarded-For": "203.0.113.9"}
        assert (await handshake(service, **elsewhere))[0] == 101


async def test_a_building_full_of_browsers_that_reconnect_is_not_refused() -> None:
    """By default: 2,000 behind one address, three tabs each, a ticket and a stream for every one."""
    async with serving() as service:
        limits = service.container.limits()
        for _ in range(6_000):
            limits.tickets.take("192.0.2.1")
            limits.openings.take("192.0.2.1")


# --- sign-up and log-in ---


async def test_sign_ups_without_a_key_are_limited_by_address_and_those_with_one_are_not() -> None:
    async with serving(open_signup=True, limit_sign_ups="2/h", trusted_proxies="127.0.0.1") as service:

        async def sign_up(address: str) -> httpx.Response:
            headers = {"X-Forwarded-For": address}
            return await service.client.post("/v1/users", json={"name": "Ada"}, headers=headers)

        assert [(await sign_up("203.0.113.9")).status_code for _ in range(2)] == [201, 201]
        assert refused(await sign_up("203.0.113.9"), "sign-ups") == 1_800
        assert (await sign_up("203.0.113.8")).status_code == 201
        assert (await create(service)).status_code == 201


async def test_two_hundred_wrong_passwords_and_then_the_right_one_are_refused_and_the_user_is_not() -> None:
    async with serving(trusted_proxies="127.0.0.1") as service:
        await create(service, id="ada", email="ada@example.com", password=PASSWORD)
        assert (await log_in(service, PASSWORD, at="192.0.2.55")).status_code == 200

        answers = [await log_in(service, f"guess {n}", at="203.0.113.9") for n in range(200)]
        assert [answer.status_code for answer in answers[:10]] == [401] * 10
        assert {answer.status_code for answer in answers[11:]} <= {401, 429}
        assert sum(answer.status_code == 401 for answer in answers) < 16
        refused(await log_in(service, PASSWORD, at="203.0.113.9"), "failed-log-ins-of-account")
        refused(await log_in(service, PASSWORD, at="203.0.113.8"), "failed-log-ins-of-account")
        assert (await log_in(service, PASSWORD, at="192.0.2.55")).status_code == 200


async def test_how_an_address_is_written_does_not_make_it_another_account() -> None:
    async with serving() as service:
        for email in ["ada@example.com", "ADA@Example.COM", " ada@example.com "] * 4:
            last = await log_in(service, "wrong", email=email)
        refused(last, "failed-log-ins-of-account")


async def test_accounts_that_do_not_exist_are_refused_in_the_same_way() -> None:
    async with serving() as service:
        await create(service, id="ada", email="ada@example.com", password=PASSWORD)
        for email in ("ada@example.com", "nobody@example.com", "no address", "\x00"):
            answers = [await log_in(service, "wrong", email=email) for _ in range(11)]
            assert [answer.status_code for answer in answers] == [401] * 10 + [429], email


async def test_one_address_cannot_try_one_password_on_many_accounts() -> None:
    async with serving() as service:
        answers = [await log_in(service, "wrong", email=f"user-{n}@example.com") for n in range(101)]
        assert [answer.status_code for answer in answers] == [401] * 100 + [429]
        refused(answers[-1], "failed-log-ins")


async def test_log_ins_are_limited_by_address_whether_or_not_they_succeed() -> None:
    async with serving(limit_log_ins="3/m") as service:
        await create(service, id="ada", email="ada@example.com", password=PASSWORD)
        assert [(await log_in(service, PASSWORD)).status_code for _ in range(3)] == [200] * 3
        refused(await log_in(service, PASSWORD), "log-ins")


async def test_a_log_in_that_the_store_cannot_answer_does_not_count() -> None:
    async with serving() as service:
        await create(service, id="ada", email="ada@example.com", password=PASSWORD)
        service.memory.users.away = True
        for _ in range(50):
            assert (await log_in(service, PASSWORD)).status_code == 503
        service.memory.users.away = False
        assert (await log_in(service, PASSWORD)).status_code == 200


async def test_a_token_does_not_help_to_guess_the_password() -> None:
    async with serving() as service:
        await create(service, id="ada", email="ada@example.com", password=PASSWORD)

        async def change(current: str) -> httpx.Response:
            body = {"current_password": current, "new_password": "another horse"}
            headers = service.bearer()
            return await service.client.put("/v1/users/ada/password", json=body, headers=headers)

        answers = [await change(f"guess number {n}") for n in range(11)]
        assert [answer.status_code for answer in answers[:10]] == [422] * 10
        refused(answers[10], "failed-log-ins-of-account")
        refused(await change(PASSWORD), "failed-log-ins-of-account")
        assert (await log_in(service, PASSWORD)).status_code == 200


# --- credentials that are not valid ---


async def test_unknown_keys_are_counted_and_a_valid_one_is_accepted() -> None:
    async with Service.run(live=True, limit_failures="20/h") as service:
        await service.add(ADA)
        answers = [await publish(service, f"bw_live_{n:012x}_{'0' * 64}") for n in range(30)]

        assert [answer.status_code for answer in answers] == [401] * 20 + [429] * 10
        refused(answers[-1], "failures")
        assert (await publish(service)).status_code == 202


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic x"}])
async def test_tokens_that_are_not_valid_are_counted_and_a_valid_one_is_accepted(
    headers: dict[str, str],
) -> None:
    async with serving(limit_failures="5/m") as service:
        await service.add(ADA)
        answers = [await service.client.get("/v1/users/ada/unread-count", headers=headers) for _ in range(7)]

        assert [answer.status_code for answer in answers] == [401] * 5 + [429] * 2
        refused(answers[-1], "failures")
        assert (await fetch(service)).status_code == 200


async def test_streams_with_invalid_credentials_are_counted() -> None:
    async with Service.run(live=True, limit_failures="4/m") as service:
        await service.add(ADA)
        for _ in range(2):
            async with service.socket(headers={"Authorization": "Bearer nonsense"}) as socket:
                assert await socket.closed() == 4511
            async with service.events(headers={"Authorization": "Bearer nonsense"}) as events:
                assert (await events.start())[0] == 401
        async with service.events(headers={"Authorization": "Bearer nonsense"}) as events:
            assert (await events.start())[0] == 429
        assert (await handshake(service))[0] == 101


# --- all of them ---


OFF: dict[str, Any] = dict.fromkeys(
    (
        "limit_publish",
        "limit_requests",
        "limit_marks",
        "limit_tickets",
        "limit_sign_ups",
        "limit_log_ins",
        "limit_failures",
        "limit_refused",
    ),
    "off",
)


async def test_without_limits_nothing_is_told() -> None:
    async with serving(**OFF) as service:
        await service.add(ADA)
        for answer in (await publish(service), await fetch(service), await mark(service)):
            assert not {"ratelimit", "ratelimit-policy"} & set(answer.headers)


@pytest.mark.parametrize(
    ("setting", "limit", "asked"),
    [
        ("limit_publish", "publish", publish),
        ("limit_requests", "requests", fetch),
        ("limit_marks", "marks", mark),
        ("limit_log_ins", "log-ins", lambda service: log_in(service, "wrong")),
        ("limit_failures", "failures", lambda service: publish(service, "no key")),
    ],
)
async def test_while_redis_is_away_each_process_counts_alone(
    setting: str, limit: str, asked: Callable[[Service], Any]
) -> None:
    chosen: dict[str, Any] = {setting: "5/m"}
    async with serving(**chosen) as service:
        await service.add(ADA)
        service.memory.rates.away = True
        answers = [await asked(service) for _ in range(6)]

        assert 429 not in {answer.status_code for answer in answers[:5]}
        refused(answers[5], limit)


async def test_every_route_that_asks_for_credentials_says_that_it_can_refuse_too_many() -> None:
    async with serving() as service:
        document = (await service.client.get("/schema/openapi.json")).json()
    silent = [
        f"{method} {path}"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method in {"get", "post", "patch", "put", "delete"}
        and "429" not in operation["responses"]
        and not {"operation"} & set(operation.get("tags", []))
    ]
    assert silent == []


async def test_pages_of_other_origins_may_read_what_is_told() -> None:
    async with serving(allowed_origins="https://app.example") as service:
        await service.add(ADA)
        headers = service.bearer() | {"Origin": "https://app.example"}
        answer = await service.client.get("/v1/users/ada/unread-count", headers=headers)

    exposed = answer.headers["Access-Control-Expose-Headers"].lower()
    assert {"ratelimit", "ratelimit-policy", "retry-after"} <= set(exposed.split(", "))
