"""What stands before every route: headers, hosts, media types, and who may read the metrics."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY

from entrypoints.consumer.process import Joining, build_worker, health_app
from tests.build import ADA
from tests.wiring import HOST, Service, on_memory

TOKEN = "metrics-token-of-a-test"
ELSEWHERE = ("192.0.2.1", 50000)
SECURITY = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service.run() as service:
        await service.add(ADA)
        yield service


def client_at(app: Any, address: tuple[str, int], **headers: str) -> httpx.AsyncClient:
    """A client of an application whose connections come from this address."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, client=address), base_url=f"http://{HOST}", headers=headers
    )


# --- what every answer has --------------------------------------------------------------------------------

ANSWERS = [
    ("GET", "/health/live", 200),
    ("GET", "/nowhere", 404),
    ("DELETE", "/health/live", 405),
    ("OPTIONS", "/v1/sessions", 204),
    ("POST", "/v1/sessions", 422),
    ("GET", "/notifications/ada", 401),
    ("GET", "/ws/ada", 426),
]


@pytest.mark.parametrize(("method", "path", "status"), ANSWERS)
async def test_every_answer_has_the_security_headers_and_an_id(
    service: Service, method: str, path: str, status: int
) -> None:
    answer = await service.client.request(method, path, headers={"X-Request-Id": "mine"})

    assert answer.status_code == status
    assert {name: answer.headers.get(name) for name in SECURITY} == SECURITY
    assert answer.headers["x-request-id"] == "mine"


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("PUT", "/v1/users", 405)])
async def test_an_answer_that_no_route_gives_is_logged_and_counted(
    caplog: pytest.LogCaptureFixture, method: str, path: str, status: int
) -> None:
    caplog.set_level(logging.INFO)
    before = _count(method, "none", status)
    async with Service.run(access_log=True) as service:
        await service.client.request(method, path)

    assert _count(method, "none", status) == before + 1
    assert f"{method} {path} {status}" in caplog.messages


async def test_invented_methods_are_one_time_series(service: Service) -> None:
    before = _count("other", "none", 405)
    for method in ("BREW", "WHEN"):
        assert (await service.client.request(method, "/health/live")).status_code == 405

    assert _count("other", "none", 405) == before + 2


async def test_the_consumer_s_answers_have_the_security_headers() -> None:
    _, container, _ = on_memory()
    async with client_at(
        health_app(container, Joining(container, build_worker(container))), ELSEWHERE
    ) as client:
        for path in ("/health/live", "/nowhere"):
            answer = await client.get(path)
            assert {name: answer.headers.get(name) for name in SECURITY} == SECURITY


async def test_a_handshake_that_is_denied_has_the_security_headers() -> None:
    async with Service.run(live=True, sockets=1) as service:
        await service.add(ADA)
        async with service.socket(headers=service.bearer()) as first:
            await first.frame("welcome")
            async with service.socket(headers=service.bearer()) as second:
                event = await second.event()

    assert event["status"] == 503
    assert SECURITY.items() <= {name.decode(): value.decode() for name, value in event["headers"]}.items()


def _count(method: str, route: str, status: int) -> float:
    labels = {"method": method, "route": route, "status": str(status)}
    return REGISTRY.get_sample_value("bellwire_http_seconds_count", labels) or 0.0


# --- hosts ------------------------------------------------------------------------------------------------

NAMED: dict[str, Any] = {"allowed_hosts": "bell.example 10.0.0.1 [::1]"}


@pytest.mark.parametrize(
    "host", ["bell.example", "bell.example:8000", "BELL.example", "10.0.0.1:80", "[::1]", "[::1]:8000"]
)
async def test_a_host_that_is_allowed_is_served_with_and_without_a_port(host: str) -> None:
    async with Service.run(**NAMED) as service:
        await service.add(ADA)
        answer = await service.client.get("/notifications/ada", headers=service.bearer() | {"Host": host})

    assert answer.status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "bell.example.evil",
        "evil.bell.example",
        "bell.example:80:80",
        "",
        "[::2]",
        "x@bell.example",
    ],
)
async def test_another_host_is_refused(host: str) -> None:
    async with Service.run(**NAMED) as service:
        headers = service.bearer() | {"Host": host}
        answers = [await service.client.get(path, headers=headers) for path in ("/notifications/ada", "/no")]

    for answer in answers:
        assert answer.status_code == 421
        assert answer.json()["type"] == "urn:bellwire:problem:unknown-host"
        assert answer.headers["x-frame-options"] == "DENY"


async def test_two_hosts_must_both_be_allowed() -> None:
    async with Service.run(**NAMED) as service:
        both = [("Host", "bell.example"), ("Host", "evil.example")]
        answer = await service.client.get("/nowhere", headers=both)

    assert answer.status_code == 421


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
async def test_health_and_metrics_answer_under_any_name(path: str) -> None:
    async with Service.run(**NAMED) as service:
        assert (await service.client.get(path, headers={"Host": "10.9.9.9:8000"})).status_code == 200


async def test_a_handshake_for_another_host_is_refused() -> None:
    async with Service.run(**NAMED) as service:
        async with service.socket(headers=service.bearer() | {"host": "evil.example"}) as socket:
            assert (await socket.event())["status"] == 421
        async with service.socket(headers=service.bearer() | {"host": "bell.example"}) as socket:
            assert (await socket.event())["type"] == "websocket.accept"


# --- media types ------------------------------------------------------------------------------------------

LOG_IN = b'{"email":"nobody@example.com","password":"correct horse"}'
NOTE = b'{"user_id":"ada","event":"a.b","message":"m"}'


@pytest.mark.parametrize(
    "given",
    [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/x+json",
        None,
        "",
    ],
)
async def test_json_is_read_and_so_is_a_body_that_does_not_say_what_it_is(
    service: Service, given: str | None
) -> None:
    headers = service.producer | ({} if given is None else {"Content-Type": given})

    assert (await service.client.post("/v1/sessions", content=LOG_IN, headers=headers)).status_code == 401
    assert (await service.client.post("/v1/notifications", content=NOTE, headers=headers)).status_code == 202


@pytest.mark.parametrize(
    "given",
    [
        "application/x-www-form-urlencoded",
        "text/plain",
        "multipart/form-data; boundary=x",
        "text/plain; application/json",
        "json",
        "application/jsonp",
        "text/html+json",
    ],
)
@pytest.mark.parametrize(("path", "body"), [("/v1/sessions", LOG_IN), ("/v1/notifications", NOTE)])
async def test_a_body_that_says_it_is_something_else_is_refused(
    service: Service, path: str, body: bytes, given: str
) -> None:
    headers = service.producer | {"Content-Type": given}
    answer = await service.client.post(path, content=body, headers=headers)

    assert answer.status_code == 415
    assert answer.json()["type"] == "urn:bellwire:problem:unsupported-media-type"
    assert answer.headers["accept"] == "application/json"


# --- metrics ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "headers", "status"),
    [
        (("127.0.0.1", 1), {}, 200),
        (("127.9.9.9", 1), {}, 200),
        (("::1", 1), {}, 200),
        (("::ffff:127.0.0.1", 1), {}, 200),
        (ELSEWHERE, {}, 403),
        (("::ffff:192.0.2.1", 1), {}, 403),
        (("127.0.0.1", 1), {"X-Forwarded-For": "127.0.0.1"}, 403),
        (("127.0.0.1", 1), {"Forwarded": "for=127.0.0.1"}, 403),
    ],
)
async def test_without_a_token_only_this_machine_reads_the_metrics(
    service: Service, address: tuple[str, int], headers: dict[str, str], status: int
) -> None:
    async with client_at(service.app, address, **headers) as client:
        assert (await client.get("/metrics")).status_code == status
        assert (await client.head("/metrics")).status_code == status


@pytest.mark.parametrize(
    ("given", "status"), [(f"Bearer {TOKEN}", 200), (f"Bearer {TOKEN}x", 401), (None, 401)]
)
@pytest.mark.parametrize("of", ["api", "consumer"])
async def test_with_a_token_it_alone_counts(of: str, given: str | None, status: int) -> None:
    _, container, app = on_memory(metrics_token=TOKEN)
    served = app if of == "api" else health_app(container, Joining(container, build_worker(container)))
    headers = {} if given is None else {"Authorization": given}
    for address in (ELSEWHERE, ("127.0.0.1", 1)):
        async with client_at(served, address, **headers) as client:
            assert (await client.get("/metrics")).status_code == status
