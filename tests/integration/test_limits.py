"""Attacks that ask for too much, and an honest client meanwhile; limits that hold across processes."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from threading import Event
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from application.credentials import Scope
from tests.conftest import Databases, as_read, installation
from tests.drills import Honest, judge
from tests.integration.conftest import Run
from tests.product import Api, Product, create_users, metric
from tests.serving import served
from tests.whole import build
from tests.wiring import on_memory
from workbench.embedded import EmbeddedServers
from workbench.local_client import local_client

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.in_order]

PASSWORD = "correct horse battery"
MEASURED = "measured"
HONEST, ATTACKER, EVE = "192.0.2.55", "203.0.113.9", "203.0.113.77"
BEHIND = {"BELLWIRE_TRUSTED_PROXIES": "127.0.0.1"}
SIGN_UPS, PUBLISHED, FAILURES, FAILED_LOG_INS = 30, 500, 60, 40
SETTINGS = {
    "open_signup": "true",
    "limit_log_ins": "off",
    "limit_failed_log_ins": f"{FAILED_LOG_INS}/10m",
    "limit_sign_ups": f"{SIGN_UPS}/h",
    "limit_publish": f"{PUBLISHED}/h",
    "limit_failures": f"{FAILURES}/5m",
}
BODY = {"user_id": "ada", "event": "test.sent", "message": "hello"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def product(
    servers: EmbeddedServers, databases: Databases, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Product]:
    """One installation for all attacks. Ada and Bob can log in; the third is measured."""
    url = await asyncio.to_thread(lambda: databases.create(template=template))
    environment = installation(servers, url, f"limits-{uuid4().hex[:12]}")
    made = Product(tmp_path_factory.mktemp("limits"), environment, as_read(environment))
    try:
        await made.prepare()
        yield made
    finally:
        await made.stop()
        await asyncio.to_thread(databases.drop, url)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def apis(product: Product) -> Sequence[Api]:
    """Two processes behind a proxy."""
    first, second, _ = await asyncio.gather(
        start(product, **SETTINGS), start(product, **SETTINGS), product.consumer()
    )
    made = (first, second)
    async with made[0].client() as producer:
        await create_users(producer, [MEASURED])
        for name in ("ada", "bob"):
            user = {"id": name, "name": name, "email": f"{name}@example.com", "password": PASSWORD}
            (await producer.post("/v1/users", json=user)).raise_for_status()
    return made


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


async def until(
    enough: Event, send: Callable[[int], Awaitable[httpx.Response]], count: int, at_once: int
) -> "Counter[int]":
    """The statuses of so many requests at least, and of more until enough is measured."""
    statuses = await flooded(send, count, at_once)
    while not enough.is_set():
        statuses += await flooded(send, at_once, at_once)
    return statuses


async def test_guessed_passwords_and_many_log_ins_do_not_stop_a_user(apis: Sequence[Api], run: Run) -> None:
    """Not even at the same address, if the user has logged in there before; nor a newcomer at another one."""
    api, _ = apis
    async with (
        local_client(base_url=api.url, timeout=60) as client,
        crowd(api) as attacker,
        Honest.of(api, MEASURED, key=await _another_key(api.product)) as honest,
    ):
        ada = partial(log_in, client, "ada@example.com", PASSWORD, HONEST)
        bob = partial(log_in, client, "bob@example.com", PASSWORD, "192.0.2.56")
        assert [(await ada()).status_code for _ in range(2)] == [200] * 2
        many = 3 * FAILED_LOG_INS
        refusals: Counter[int] = Counter()

        async def attack(enough: Event) -> None:
            guesses = await flooded(
                lambda nth: log_in(attacker, "ada@example.com", f"guess {nth}", ATTACKER), 50, at_once=20
            )
            assert set(guesses) == {401, 429}
            assert guesses[401] <= 15  # the delay doubles
            flood = asyncio.create_task(
                until(
                    enough,
                    lambda nth: log_in(attacker, f"user-{nth}@example.com", "x" * 12, HONEST),
                    many,
                    many,
                )
            )
            try:
                for one in (ada, ada, bob):
                    with honest.now.other():
                        assert (await one()).status_code == 200
            finally:
                refusals.update(await flood)

        judge(run, honest.resting, await honest.during(attack))
        assert (await ada()).status_code == 200
        assert set(refusals) <= {401, 429, 503}


async def test_sign_ups_by_the_hundred_are_refused_and_a_new_user_is_not(
    apis: Sequence[Api], run: Run
) -> None:
    api, _ = apis
    async with (
        local_client(base_url=api.url, timeout=60) as client,
        crowd(api) as attacker,
        Honest.of(api, MEASURED, key=await _another_key(api.product)) as honest,
    ):

        async def sign_up(address: str, **fields: str) -> httpx.Response:
            sender = attacker if address == ATTACKER else client
            return await sender.post("/v1/users", json={"name": "Ada", **fields}, headers=at(address))

        async def attack(enough: Event) -> None:
            flood = asyncio.create_task(until(enough, lambda _: sign_up(ATTACKER), 100, at_once=20))
            try:
                for _ in range(5):
                    with honest.now.other():
                        assert (await sign_up(HONEST)).status_code == 201
            finally:
                refusals.update(await flood)

        refusals: Counter[int] = Counter()
        began = time.monotonic()
        assert (await sign_up(HONEST, email="a@example.com", password=PASSWORD)).status_code == 201
        judge(run, honest.resting, await honest.during(attack))
    _is_about(refusals, 201, SIGN_UPS, began, every=3600)
    assert await metric(api.process, "bellwire_limited_total", limit="sign-ups") == refusals[429]


def _is_about(
    statuses: "Counter[int]", done: int, count: int, began: float, *, every: float, over: int = 0
) -> None:
    """So many were done, some more because time passed, and the others were refused."""
    returned = (time.monotonic() - began) * count / every
    assert count <= statuses[done] <= count + over + returned + 1
    assert set(statuses) == {done, 429}


async def test_unknown_keys_by_the_hundred_do_not_stop_a_producer(apis: Sequence[Api], run: Run) -> None:
    """Not even from the same address: only credentials that are not valid are refused."""
    api, _ = apis
    refusals: Counter[int] = Counter()
    async with (
        Honest.of(api, MEASURED, key=await _another_key(api.product)) as honest,
        crowd(api) as stranger,
    ):

        async def unknown(nth: int) -> httpx.Response:
            headers = {"X-API-Key": f"bw_live_{nth:012x}_{'0' * 64}"}
            return await stranger.post("/v1/notifications", json=BODY, headers=headers)

        async def attack(enough: Event) -> None:
            refusals.update(await until(enough, unknown, 200, at_once=20))

        began = time.monotonic()
        judge(run, honest.resting, await honest.during(attack))

    _is_about(refusals, 401, FAILURES, began, every=300, over=FAILURES // 10)


async def test_a_limit_holds_for_two_processes_together(apis: Sequence[Api]) -> None:
    """Exactly where each asks the others, and to within a tenth for each where they settle."""
    key = {"X-API-Key": await _another_key(apis[0].product)}  # with which nothing was published yet
    async with (
        local_client(base_url=apis[0].url, headers=key, timeout=60) as first,
        local_client(base_url=apis[1].url, headers=key, timeout=60) as second,
        local_client(base_url=apis[0].url, timeout=60) as one,
        local_client(base_url=apis[1].url, timeout=60) as other,
    ):

        async def sign_up(nth: int) -> httpx.Response:
            return await (one, other)[nth % 2].post("/v1/users", json={"name": "Eve"}, headers=at(EVE))

        async def publish(nth: int) -> httpx.Response:
            return await (first, second)[nth % 2].post("/v1/notifications", json=BODY)

        began = time.monotonic()
        published = await flooded(publish, count=650, at_once=4)
        signed_up = await flooded(sign_up, count=50, at_once=1)

    _is_about(published, 202, PUBLISHED, began, every=3600, over=2 * PUBLISHED // 10 + 20)
    _is_about(signed_up, 201, SIGN_UPS, began, every=3600)


async def _another_key(product: Product) -> str:
    container = build(product.settings)
    try:
        return (await container.create_api_key()("another", frozenset({Scope.PUBLISH})))[1]
    finally:
        await container.maintenance().close()


async def test_without_redis_every_limit_holds_in_each_process(product: Product) -> None:
    api = await start(
        product,
        redis_url="redis://127.0.0.1:1/0",
        open_signup="true",
        limit_sign_ups="10/h",
        limit_publish="10/h",
        limit_requests="10/h",
    )
    async with (
        api.client("zoe") as client,
        local_client(base_url=api.url, timeout=60) as stranger,
    ):
        user = {"id": "zoe", "name": "Zoe", "email": "zoe@example.com", "password": PASSWORD}
        (await client.post("/v1/users", json=user)).raise_for_status()

        async def publish(_: int) -> httpx.Response:
            return await client.post("/v1/notifications", json=BODY | {"user_id": "zoe"})

        async def count(_: int) -> httpx.Response:
            return await client.get("/v1/users/zoe/unread-count")

        async def sign_up(_: int) -> httpx.Response:
            return await stranger.post("/v1/users", json={"name": "Eve"}, headers=at(ATTACKER))

        async def guess(nth: int) -> httpx.Response:
            return await log_in(stranger, "zoe@example.com", f"guess {nth}", ATTACKER)

        for send, done in ((publish, 202), (count, 200), (sign_up, 201)):
            began = time.monotonic()
            _is_about(await flooded(send, count=15, at_once=1), done, 10, began, every=3600)
        assert (await log_in(stranger, "zoe@example.com", PASSWORD, HONEST)).status_code == 200
        assert (await flooded(guess, count=30, at_once=10))[401] <= 15
        assert (await log_in(stranger, "zoe@example.com", PASSWORD, HONEST)).status_code == 200


async def test_a_client_that_is_no_proxy_does_not_choose_its_address() -> None:
    """Behind the server that the product has, which would believe a header of its own accord."""
    _, container, app = on_memory(open_signup=True, limit_sign_ups="3/h")
    async with served(app, container) as server, local_client() as client:
        statuses = [
            await client.post(
                f"http://{server.address}/v1/users",
                json={"name": "Eve"},
                headers=at(f"203.0.113.{nth}") | {"Forwarded": f"for=203.0.113.{nth}"},
            )
            for nth in range(4)
        ]
    assert [answer.status_code for answer in statuses] == [201, 201, 201, 429]
