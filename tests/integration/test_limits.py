"""Attacks that ask for too much, and an honest client meanwhile; limits that hold across processes."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import httpx

from tests.product import Api, Product, create_users, metric
from workbench.local_client import local_client

PASSWORD = "correct horse battery"
HONEST, ATTACKER = "192.0.2.55", "203.0.113.9"
BEHIND = {"BELLWIRE_TRUSTED_PROXIES": "127.0.0.1"}


async def start(product: Product, **settings: str) -> Api:
    """An API process behind a proxy, so that a test can be many clients."""
    chosen = BEHIND | {f"BELLWIRE_{name.upper()}": value for name, value in settings.items()}
    service = await product._start("api", "BELLWIRE_PORT", chosen)
    return Api(service, service.url, product)


def crowd(api: Api) -> httpx.AsyncClient:
    """A client with as many connections as it has requests."""
    limits = httpx.Limits(max_connections=None, keepalive_expiry=2.0)
    return local_client(base_url=api.url, timeout=60, limits=limits)


def at(address: str) -> dict[str, str]:
    return {"X-Forwarded-For": address}


async def log_in(client: httpx.AsyncClient, email: str, password: str, address: str) -> httpx.Response:
    credentials = {"email": email, "password": password}
    return await client.post("/v1/sessions", json=credentials, headers=at(address))


async def flooded(
    send: Callable[[int], Awaitable[httpx.Response]], count: int, at_once: int
) -> "Counter[int]":
    """The statuses of so many requests, some of them at a time."""
    statuses: Counter[int] = Counter()
    numbers = iter(range(count))

    async def one_after_another() -> None:
        for number in numbers:
            statuses[(await send(number)).status_code] += 1

    await asyncio.gather(*(one_after_another() for _ in range(at_once)))
    return statuses


async def timed(send: Callable[[], Awaitable[httpx.Response]], count: int) -> tuple[list[int], list[float]]:
    """The statuses and the seconds of requests that an honest client sends one after another."""
    statuses, seconds = [], []
    for _ in range(count):
        began = time.monotonic()
        statuses.append((await send()).status_code)
        seconds.append(time.monotonic() - began)
    return statuses, seconds


def limit_of(resting: Sequence[float]) -> float:
    """What an honest request may take during an attack."""
    return max(2.0, 10 * max(resting))


async def test_guessed_passwords_and_log_ins_by_the_hundred_do_not_stop_a_user(product: Product) -> None:
    """Not even at the same address, if the user has logged in there before; nor a newcomer at another one."""
    api = await start(product, limit_log_ins="off", limit_failed_log_ins="75/10m")
    async with (
        api.client() as producer,
        local_client(base_url=api.url, timeout=60) as client,
        crowd(api) as attacker,
    ):
        for name in ("ada", "bob"):
            user = {"name": name, "email": f"{name}@example.com", "password": PASSWORD}
            (await producer.post("/v1/users", json=user)).raise_for_status()
        honest = partial(log_in, client, "ada@example.com", PASSWORD, HONEST)
        statuses, resting = await timed(honest, 3)
        assert statuses == [200] * 3

        guesses = await flooded(
            lambda nth: log_in(attacker, "ada@example.com", f"guess {nth}", ATTACKER), count=200, at_once=20
        )
        assert set(guesses) == {401, 429}
        assert guesses[401] <= 15
        last = await log_in(client, "ada@example.com", PASSWORD, ATTACKER)
        assert last.status_code == 429
        assert int(last.headers["Retry-After"]) >= 1

        flood = asyncio.create_task(
            flooded(lambda nth: log_in(attacker, f"user-{nth}@example.com", "x" * 12, HONEST), 300, 300)
        )
        statuses, seconds = await timed(honest, 4)
        newcomer = await timed(partial(log_in, client, "bob@example.com", PASSWORD, "192.0.2.56"), 1)
        assert statuses + newcomer[0] == [200] * 5
        assert max(seconds + newcomer[1]) < limit_of(resting)
        assert set(await flood) <= {401, 429, 503}


async def test_sign_ups_by_the_hundred_are_refused_and_a_new_user_is_not(product: Product) -> None:
    api = await start(product, open_signup="true", limit_sign_ups="50/h")
    async with local_client(base_url=api.url, timeout=60) as client, crowd(api) as attacker:

        async def sign_up(address: str, **fields: str) -> httpx.Response:
            sender = attacker if address == ATTACKER else client
            return await sender.post("/v1/users", json={"name": "Ada", **fields}, headers=at(address))

        began = time.monotonic()
        assert (await sign_up(HONEST, email="a@example.com", password=PASSWORD)).status_code == 201
        resting = time.monotonic() - began
        flood = asyncio.create_task(flooded(lambda _: sign_up(ATTACKER), count=300, at_once=30))
        statuses, seconds = await timed(lambda: sign_up(HONEST), 10)

        assert statuses == [201] * 10
        assert max(seconds) < limit_of([resting])
        assert await flood == {201: 50, 429: 250}
    assert await metric(api.process, "bellwire_limited_total", limit="sign-ups") == 250


async def test_unknown_keys_by_the_thousand_do_not_stop_a_producer(product: Product) -> None:
    """From the same address: what was valid here is looked up whatever else comes from there."""
    api = await start(product, limit_failures="100/5m")
    async with api.client() as client, crowd(api) as stranger:
        await create_users(client, ["ada"])
        body = {"user_id": "ada", "event": "test.sent", "message": "hello"}
        publish = partial(client.post, "/v1/notifications", json=body)
        statuses, resting = await timed(publish, 5)
        assert statuses == [202] * 5

        async def unknown(nth: int) -> httpx.Response:
            headers = {"X-API-Key": f"bw_live_{nth:012x}_{'0' * 64}"}
            return await stranger.post("/v1/notifications", json=body, headers=headers)

        flood = asyncio.create_task(flooded(unknown, count=600, at_once=20))
        statuses, seconds = await timed(publish, 20)
        refusals = await flood

    assert statuses == [202] * 20
    assert max(seconds) < limit_of(resting)
    assert set(refusals) == {401, 429}
    # As many as were looked up already when the limit was reached come on top.
    assert refusals[401] <= 100 + 20


async def test_a_limit_holds_for_two_processes_together(product: Product) -> None:
    """Exactly where each asks the others, and to within a tenth for each where they settle."""
    settings = {"open_signup": "true", "limit_sign_ups": "40/h", "limit_publish": "200/h"}
    apis = await asyncio.gather(start(product, **settings), start(product, **settings))
    body = {"user_id": "ada", "event": "test.sent", "message": "hello"}
    async with apis[0].client() as first, apis[1].client() as second:
        await create_users(first, ["ada"])
        clients = (first, second)

        async def sign_up(nth: int) -> httpx.Response:
            client = clients[nth % 2]
            del client.headers["X-API-Key"]
            try:
                return await client.post("/v1/users", json={"name": "Eve"}, headers=at(ATTACKER))
            finally:
                client.headers["X-API-Key"] = product.api_key

        async def publish(nth: int) -> httpx.Response:
            return await clients[nth % 2].post("/v1/notifications", json=body)

        published = await flooded(publish, count=500, at_once=4)
        signed_up = await flooded(sign_up, count=100, at_once=1)

    assert set(published) == {202, 429}
    assert 200 <= published[202] <= 200 + 2 * 20 + 20
    assert signed_up == {201: 40, 429: 60}


async def test_without_redis_every_limit_holds_in_each_process(product: Product) -> None:
    api = await start(
        product,
        redis_url="redis://127.0.0.1:1/0",
        open_signup="true",
        limit_sign_ups="10/h",
        limit_publish="10/h",
        limit_requests="10/h",
    )
    body = {"user_id": "ada", "event": "test.sent", "message": "hello"}
    async with (
        api.client("ada") as client,
        local_client(base_url=api.url, timeout=60) as stranger,
    ):
        user = {"id": "ada", "name": "Ada", "email": "ada@example.com", "password": PASSWORD}
        (await client.post("/v1/users", json=user)).raise_for_status()

        async def publish(_: int) -> httpx.Response:
            return await client.post("/v1/notifications", json=body)

        async def count(_: int) -> httpx.Response:
            return await client.get("/v1/users/ada/unread-count")

        async def sign_up(_: int) -> httpx.Response:
            return await stranger.post("/v1/users", json={"name": "Eve"}, headers=at(ATTACKER))

        async def guess(nth: int) -> httpx.Response:
            return await log_in(stranger, "ada@example.com", f"guess {nth}", ATTACKER)

        expected: dict[Any, Any] = {publish: {202: 10, 429: 5}, count: {200: 10, 429: 5}}
        expected |= {sign_up: {201: 10, 429: 5}}
        for send, statuses in expected.items():
            assert await flooded(send, count=15, at_once=1) == statuses, send
        assert (await log_in(stranger, "ada@example.com", PASSWORD, HONEST)).status_code == 200
        assert (await flooded(guess, count=30, at_once=10))[401] <= 12
        assert (await log_in(stranger, "ada@example.com", PASSWORD, HONEST)).status_code == 200
