"""The fast path answers as the framework does, and leaves to it what is written in an unusual way."""

from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, NamedTuple

import httpx
import pytest
from litestar import Litestar, Response, get
from litestar.background_tasks import BackgroundTask
from litestar.datastructures import CacheControlHeader, ETag
from litestar.exceptions import ImproperlyConfiguredException
from litestar.params import CookieParameter, QueryParameter
from litestar.types import ASGIApp, Receive, Scope, Send

from entrypoints.web.fast_path import FAST, FastPath
from tests.build import ADA, BOB, an_id, drafts
from tests.routes import routes
from tests.wiring import HOST, Service

PUBLISH = '{"user_id": "ada", "event": "comment.created", "message": "hello", "metadata": {"a": 1.0}}'
FEED = "/v1/users/ada/notifications"
SLOW_HOST = f"somebody@{HOST}"
"""The framework accepts it too, and nobody sends it."""


class Sent(NamedTuple):
    method: str
    path: str
    body: str | bytes = b""
    headers: Mapping[str, str] = {}


REQUESTS = {
    "publish": Sent("POST", "/v1/notifications", PUBLISH),
    "publish-alias": Sent("POST", "/createNotification", PUBLISH),
    "publish-once": Sent("POST", "/v1/notifications", PUBLISH, {"Idempotency-Key": "k1"}),
    "publish-empty-key": Sent("POST", "/v1/notifications", PUBLISH, {"Idempotency-Key": ""}),
    "publish-a-form": Sent("POST", "/v1/notifications", "a=b", {"Content-Type": "text/plain"}),
    "publish-nothing-as-text": Sent("POST", "/v1/notifications", headers={"Content-Type": "text/plain"}),
    "publish-nothing": Sent("POST", "/v1/notifications"),
    "publish-not-json": Sent("POST", "/v1/notifications", "{"),
    "publish-not-utf8": Sent("POST", "/v1/notifications", b'{"user_id": "\xff"}'),
    "publish-deep": Sent("POST", "/v1/notifications", '{"metadata": ' + "[" * 5_000),
    "publish-a-list": Sent("POST", "/v1/notifications", "[]"),
    "publish-without-event": Sent("POST", "/v1/notifications", '{"user_id": "ada"}'),
    "publish-unknown-field": Sent("POST", "/v1/notifications", PUBLISH[:-1] + ', "sound": 1}'),
    "publish-wrong-type": Sent("POST", "/v1/notifications", '{"user_id": 7, "event": "a", "message": "m"}'),
    "publish-broken-rule": Sent("POST", "/v1/notifications", PUBLISH.replace("comment.created", "A B")),
    "publish-to-nobody": Sent("POST", "/v1/notifications", PUBLISH.replace("ada", "nobody")),
    "publish-too-much": Sent("POST", "/v1/notifications", PUBLISH.replace("hello", "h" * 70_000)),
    "publish-unknown-key": Sent("POST", "/v1/notifications", PUBLISH, {"X-API-Key": "bw_prod_x_y"}),
    "batch": Sent("POST", "/v1/notifications/batch", f'{{"items": [{PUBLISH}, {{}}, 3]}}'),
    "batch-empty": Sent("POST", "/v1/notifications/batch", '{"items": []}'),
    "list": Sent("GET", FEED),
    "list-alias": Sent("GET", "/notifications/ada"),
    "list-query": Sent("GET", f"{FEED}?status=all&limit=2&event=order.paid&unknown=1"),
    "list-next": Sent("GET", f"{FEED}?limit=1&cursor={an_id(3)}"),
    "list-bad-limit": Sent("GET", f"{FEED}?limit=0"),
    "list-no-limit": Sent("GET", f"{FEED}?limit="),
    "list-worded-limit": Sent("GET", f"{FEED}?limit=ten"),
    "list-bad-status": Sent("GET", f"{FEED}?status=lost"),
    "list-bad-cursor": Sent("GET", f"{FEED}?cursor=x"),
    "list-bad-event": Sent("GET", f"{FEED}?event=A"),
    "list-escaped": Sent("GET", f"{FEED}?status=%61ll"),
    "list-repeated": Sent("GET", f"{FEED}?limit=1&limit=2"),
    "list-unchanged": Sent("GET", FEED, headers={"If-None-Match": "*"}),
    "list-head": Sent("HEAD", FEED),
    "list-of-another": Sent("GET", "/v1/users/bob/notifications"),
    "list-without-token": Sent("GET", FEED, headers={"Authorization": "Basic x"}),
    "list-slash": Sent("GET", f"{FEED}/"),
    "list-slashes": Sent("GET", "/v1//users/ada/notifications"),
    "list-escaped-path": Sent("GET", "/v1/users/%61da/notifications"),
    "count": Sent("GET", "/v1/users/ada/unread-count"),
    "mark": Sent("PATCH", f"{FEED}/{an_id(2)}/read"),
    "mark-alias": Sent("PATCH", f"/notifications/ada/{an_id(2)}/read"),
    "mark-nothing": Sent("PATCH", f"{FEED}/{an_id(99)}/read"),
    "mark-no-id": Sent("PATCH", f"{FEED}/nonsense/read"),
    "marks": Sent("POST", f"{FEED}/archive", f'{{"ids": ["{an_id(1)}", "{an_id(2)}"]}}'),
    "marks-up-to": Sent("POST", f"{FEED}/read", '{"up_to": "nonsense"}'),
    "marks-nothing": Sent("POST", f"{FEED}/read"),
    "marks-wrong-id": Sent("POST", f"{FEED}/read", '{"ids": [7]}'),
    "marks-unknown-field": Sent("POST", f"{FEED}/read", '{"id": 7}'),
    "no-such-method": Sent("DELETE", FEED),
}


@pytest.mark.parametrize("sent", REQUESTS.values(), ids=REQUESTS)
async def test_it_answers_as_the_framework_does(sent: Sent) -> None:
    fast = await answer_of(sent, HOST)
    slow = await answer_of(sent, SLOW_HOST)

    assert fast == slow


async def answer_of(sent: Sent, host: str) -> Any:
    """What a fresh service answers: status, headers and body."""
    async with Service.run() as service:
        await service.add(ADA, BOB)
        await service.memory.feeds.append(drafts(4))
        credentials = service.bearer() | {"X-API-Key": service.key}
        headers = {"Host": host, "X-Request-Id": "r1", **credentials, **sent.headers}
        if sent.body and "Content-Type" not in headers:
            headers["Content-Type"] = "application/json"
        response = await service.client.request(sent.method, sent.path, headers=headers, content=sent.body)
        taken = [(draft.id, draft.created_at, draft.content) for draft in service.memory.queue.held]
        told = {name: value for name, value in response.headers.multi_items() if name != "ratelimit"}
        return response.status_code, sorted(told.items()), response.content, taken


@pytest.mark.parametrize("host", [HOST, SLOW_HOST])
async def test_a_body_that_is_missing_is_called_so(service: Service, host: str) -> None:
    for path, credentials in (
        ("/v1/notifications", service.producer),
        (f"{FEED}/read", service.bearer()),
        ("/v1/sessions", {}),
    ):
        response = await service.client.post(path, headers=credentials | {"Host": host})
        assert response.json()["errors"] == [{"field": "body", "message": "is required"}]


@pytest.mark.parametrize("host", [HOST, SLOW_HOST])
async def test_a_body_of_unknown_length_is_read_up_to_the_limit(service: Service, host: str) -> None:
    async def pieces(count: int) -> AsyncIterator[bytes]:
        yield PUBLISH.encode()
        for _ in range(count):
            yield b" " * 1024

    headers = service.producer | {"Host": host}
    accepted = await service.client.post("/v1/notifications", headers=headers, content=pieces(8))
    refused = await service.client.post("/v1/notifications", headers=headers, content=pieces(80))

    assert (accepted.status_code, refused.status_code) == (202, 413)


class Framework:
    """What answers if the fast path does not."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked += 1
        start: Any = {"type": "http.response.start", "status": 418, "headers": []}
        await send(start)
        end: Any = {"type": "http.response.body", "body": b""}
        await send(end)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service.run() as service:
        await service.add(ADA)
        yield service


def within(app: Litestar, inner: ASGIApp) -> httpx.AsyncClient:
    """A client of an application's fast path, with something else behind it."""
    fast = FastPath(app, inner)

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        scope["litestar_app"] = app
        await fast(scope, receive, send)

    return httpx.AsyncClient(transport=httpx.ASGITransport(asgi), base_url=f"http://{HOST}")


FAST_ROUTES = {
    "POST /createNotification",
    "POST /v1/notifications",
    "POST /v1/notifications/batch",
    "GET /notifications/{user_id:str}",
    "GET /v1/users/{user_id:str}/notifications",
    "GET /v1/users/{user_id:str}/counts",
    "GET /v1/users/{user_id:str}/unread-count",
    "PATCH /notifications/{user_id:str}/{notification_id:uuid}/read",
    "PATCH /v1/users/{user_id:str}/notifications/{notification_id:uuid}/read",
    "POST /v1/users/{user_id:str}/notifications/{notification_id:uuid}/actions/{action:str}",
    *(
        f"POST /v1/users/{{user_id:str}}/notifications/{path}"
        for path in ("seen", "read", "unread", "archive", "unarchive", "snooze", "unsnooze")
    ),
}


async def test_it_serves_each_route_that_asks_for_it(service: Service) -> None:
    framework = Framework()
    async with within(service.app, framework) as client:
        for route in FAST_ROUTES:
            method, _, path = route.partition(" ")
            path = path.replace("{user_id:str}", "ada").replace("{notification_id:uuid}", str(an_id(1)))
            path = path.replace("{action:str}", "approve")
            assert (await client.request(method, path)).status_code == 401, route
    assert framework.asked == 0
    asking = {str(route) for route in routes(service.app) if route.handler.opt.get("fast")}
    assert asking == FAST_ROUTES


UNUSUAL = {
    "another-route": Sent("GET", "/v1/users/ada"),
    "another-method": Sent("PUT", "/v1/notifications"),
    "a-slash-at-the-end": Sent("GET", f"{FEED}/"),
    "an-escaped-query": Sent("GET", f"{FEED}?event=a%2Eb"),
    "a-repeated-parameter": Sent("GET", f"{FEED}?limit=1&limit=1"),
    "a-repeated-parameter-beside-one-that-may-be": Sent(
        "GET", f"{FEED}?category=a&category=b&limit=1&limit=1"
    ),
    "a-wrong-parameter": Sent("GET", f"{FEED}?limit=101"),
    "a-wrong-id": Sent("PATCH", f"{FEED}/nonsense/read"),
    "an-odd-host": Sent("GET", FEED, headers={"Host": SLOW_HOST}),
}


@pytest.mark.parametrize("sent", UNUSUAL.values(), ids=UNUSUAL)
async def test_what_is_unusual_is_left_to_the_framework(service: Service, sent: Sent) -> None:
    framework = Framework()
    async with within(service.app, framework) as client:
        assert (await client.request(sent.method, sent.path, headers=sent.headers)).status_code == 418
    assert framework.asked == 1


async def test_requests_of_other_origins_are_left_to_the_framework_which_answers_with_cors() -> None:
    framework = Framework()
    async with (
        Service.run(allowed_origins="https://app.example") as service,
        within(service.app, framework) as client,
    ):
        assert (await client.get(FEED)).status_code == 401
        origin = {"Origin": "https://app.example"}
        assert (await client.get(FEED, headers=origin)).status_code == 418


async def test_it_finds_its_routes_below_the_path_of_a_proxy(service: Service) -> None:
    framework = Framework()
    fast = FastPath(service.app, framework)

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        scope |= {"litestar_app": service.app, "root_path": "/bell"}
        await fast(scope, receive, send)

    transport = httpx.ASGITransport(asgi)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
        assert (await client.get(f"/bell{FEED}")).status_code == 401
        assert (await client.get(FEED)).status_code == 418


async def hook(*_: object) -> None:
    """Do nothing."""


async def changed(answer: Response[Any]) -> Response[Any]:
    return answer


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("after_request", {"after_request": changed}),
        ("after_response", {"after_response": hook}),
        ("background", {"background": BackgroundTask(hook)}),
        ("before_request", {"before_request": hook}),
        ("cache", {"cache": True}),
        ("response_cookies", {"response_cookies": {"crumb": "a"}}),
        ("response_headers", {"response_headers": {"x-note": "a"}}),
        ("response_headers", {"cache_control": CacheControlHeader(no_store=True)}),
        ("response_headers", {"etag": ETag(value="a")}),
    ],
)
def test_what_only_the_framework_does_for_a_handler_is_refused_at_the_start(name: str, options: Any) -> None:
    @get("/", opt=FAST, **options)
    async def handler() -> None:
        """It asks for more."""

    app = Litestar([handler])

    with pytest.raises(ImproperlyConfiguredException, match=name):
        FastPath(app, app.asgi_handler)


def test_a_hook_of_the_whole_application_is_refused_too() -> None:
    @get("/", opt=FAST)
    async def handler() -> None:
        """It asks for nothing."""

    app = Litestar([handler], after_request=changed)

    with pytest.raises(ImproperlyConfiguredException, match="after_request"):
        FastPath(app, app.asgi_handler)


def test_a_parameter_of_the_query_without_a_default_is_refused_at_the_start() -> None:
    @get("/", opt=FAST)
    async def handler(page: Annotated[int, QueryParameter()]) -> None:
        """It takes a page."""

    app = Litestar([handler])

    with pytest.raises(ImproperlyConfiguredException, match="page"):
        FastPath(app, app.asgi_handler)


def test_a_handler_that_takes_more_than_it_can_give_is_refused_at_the_start() -> None:
    @get("/", opt=FAST)
    async def handler(crumb: Annotated[str | None, CookieParameter()] = None) -> None:
        """It takes a cookie."""

    app = Litestar([handler])

    with pytest.raises(ImproperlyConfiguredException, match="crumb"):
        FastPath(app, app.asgi_handler)
