"""Served below a path of a proxy, and asked with HEAD: pages, and what they lead to."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from websockets.asyncio.client import connect

from entrypoints.addresses import Unusable, root_path
from entrypoints.consumer.process import Joining, build_worker, health_app
from tests.build import ADA
from tests.serving import served
from tests.wiring import Service, on_memory
from workbench.local_client import local_client

PREFIX = "/bell"
ALIASES = {"createNotification", "createUser", "notifications"}
STRIPPED, KNOWING = {"proxy", "both"}, {"setting", "both"}
KINDS = ["proxy", "root_path", "setting", "both", "nothing"]
PAGES = ["/", "/schema", "/schema/", "/schema/stream", "/schema/stream/"]
GETS = [
    *PAGES,
    *("/health/live", "/health/ready", "/metrics"),
    *("/schema/openapi.json", "/schema/asyncapi.json"),
    *("/element", "/element/v1.js"),
]


class Stripping:
    """A proxy that serves an application below a path, and tells it nothing of that."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            if not scope["path"].startswith(f"{PREFIX}/"):
                await send({"type": "http.response.start", "status": 421, "headers": []})
                await send({"type": "http.response.body"})
                return
            path, raw = scope["path"], scope["raw_path"]
            scope |= {"path": path.removeprefix(PREFIX), "raw_path": raw.removeprefix(PREFIX.encode())}
        await self._app(scope, receive, send)


@asynccontextmanager
async def below(kind: str) -> AsyncIterator[httpx.AsyncClient]:
    """The product behind a proxy that takes its path off; or does not, but the product knows it (`setting`);
    or both; or behind one whose path uvicorn knows and puts back in front.
    """
    known: dict[str, Any] = {"root_path": PREFIX} if kind in KNOWING else {}
    _, container, app = on_memory(demo=True, **known)
    async with (
        served(Stripping(app) if kind in STRIPPED else app, container, root_path=_root_path(kind)) as server,
        local_client(base_url=f"http://{server.address}") as client,
    ):
        yield client


def _root_path(kind: str) -> str:
    return PREFIX if kind == "root_path" else ""


@pytest.mark.parametrize("kind", KINDS)
async def test_every_link_of_a_page_leads_somewhere_below_the_proxy_s_path(kind: str) -> None:
    async with below(kind) as client:
        for page in PAGES:
            links = await _links(client, kind, page)
            assert links, page
            for link in links:
                assert (await _get(client, kind, link)).status_code == 200, (page, link)


@pytest.mark.parametrize("kind", ["proxy", "setting", "both"])
@pytest.mark.parametrize("path", ["/schema/openapi.json", "/schema/openapi.json/"])
async def test_the_http_api_s_document_names_its_server_relative_to_itself(kind: str, path: str) -> None:
    async with below(kind) as client:
        text = (await _get(client, kind, PREFIX + path)).text

    (server,) = json.loads(re.findall(r'"servers":(\[.*?\])', text)[0])
    assert urljoin(PREFIX + path, f"{server['url']}/v1/sessions") == f"{PREFIX}/v1/sessions"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_module_of_the_bell_finds_its_parts_beside_it(kind: str) -> None:
    at = "/element/v1.js" if kind == "nothing" else f"{PREFIX}/element/v1.js"
    async with below(kind) as client:
        entry = await _get(client, kind, at)
        (whole,) = [urljoin(at, name) for name in _imports(entry)]
        answers = [await _get(client, kind, whole)]
        answers += [await _get(client, kind, urljoin(whole, name)) for name in _imports(answers[0])]

    assert len(answers) > 6  # the languages, at least
    for answer in (entry, *answers):
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "RateLimit" not in answer.headers
    assert {answer.headers["Cache-Control"] for answer in answers} == {"public, max-age=31536000, immutable"}


async def test_the_demo_page_asks_only_below_its_own_path() -> None:
    async with below("proxy") as client:
        script = (await _get(client, "proxy", f"{PREFIX}/demo/page.js")).text

    assert "import '../element/v1.js'" in script
    assert "const ROOT = new URL('..', import.meta.url)" in script
    assert script.count("fetch(") == script.count("fetch(ROOT + ") == 1
    assert "location" not in script


# --- a path that the service knows ------------------------------------------------------------------------


async def test_a_known_path_is_named_by_the_stream_s_document() -> None:
    async with below("setting") as client:
        described = (await client.get(f"{PREFIX}/schema/asyncapi.json")).json()
    async with below("proxy") as client:
        unaware = (await client.get(f"{PREFIX}/schema/asyncapi.json")).json()

    assert {server["pathname"] for server in described["servers"].values()} == {PREFIX}
    assert not any("pathname" in server for server in unaware["servers"].values())


@pytest.mark.parametrize("path", ["/health/ready", "/metrics", "/v1/users", "/nothing"])
async def test_below_a_known_path_everything_is_answered_as_at_the_root(path: str) -> None:
    """Also to what asks the process itself, or comes from a proxy that takes the path off."""
    async with below("setting") as client:
        there, here = await client.get(PREFIX + path), await client.get(path)

    assert there.status_code == here.status_code
    if path != "/metrics":
        assert there.content == here.content


async def test_the_known_path_alone_leads_to_the_page_below_it() -> None:
    async with below("setting") as client:
        sent_on = await client.get(f"{PREFIX}?a=b")
        page = await client.get(sent_on.headers["Location"])

    assert (sent_on.status_code, sent_on.headers["Location"]) == (308, f"{PREFIX}/?a=b")
    assert sent_on.headers["X-Content-Type-Options"] == "nosniff"
    assert page.status_code == 200


@pytest.mark.parametrize("path", ["/b%65ll/health/live", "/bells/health/live", "/Bell/health/live"])
async def test_another_spelling_of_the_path_leads_nowhere(path: str) -> None:
    async with below("setting") as client:
        assert (await client.get(path)).status_code == 404


async def test_streams_are_opened_below_a_known_path() -> None:
    async with Service.run(root_path=PREFIX) as service:
        await service.add(ADA)
        async with served(service.app, service.container) as server:
            url = f"{server.address}{PREFIX}"
            async with connect(f"ws://{url}/ws/ada", additional_headers=service.bearer()) as socket:
                assert json.loads(await socket.recv())["type"] == "welcome"
            async with (
                local_client() as client,
                client.stream("GET", f"http://{url}/sse/ada", headers=service.bearer()) as answer,
            ):
                assert answer.headers["Content-Type"].startswith("text/event-stream")


def test_no_path_of_the_service_can_be_the_path_below_which_it_is() -> None:
    """Behind a proxy that takes the path off nobody could tell one from the other."""
    _, _, app = on_memory(demo=True)
    first = {route.path_format.split("/")[1] for route in app.routes} - {""}

    for name in first - ALIASES:
        with pytest.raises(Unusable, match=f"/{name} is a path of the service"):
            root_path(f"/{name}/more")
    assert {"v1", "ws", "sse"} <= first


def _imports(module: httpx.Response) -> list[str]:
    return re.findall(r"""["'](\./[^"']+\.js)["']""", module.text)


async def _get(client: httpx.AsyncClient, kind: str, path: str) -> httpx.Response:
    """Ask for a path as a browser has it; the proxy that goes with `root_path` has taken its own off."""
    assert path.startswith(_root_path(kind)), path
    return await client.get(path.removeprefix(_root_path(kind)))


async def _links(client: httpx.AsyncClient, kind: str, page: str) -> list[str]:
    """Where a page leads, as a browser resolves it."""
    at = page if kind == "nothing" else PREFIX + page
    text = (await _get(client, kind, at)).text
    found = re.findall(r'(?:src|href)="([^"#]+)"', text) + re.findall(r"\]\((.+?)\)", text)
    return [urljoin(at, link) for link in found if not link.startswith("data:")]


# --- HEAD -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", GETS)
async def test_head_is_answered_as_get_without_the_body(path: str) -> None:
    async with below("nothing") as client:
        got, headed = await client.get(path), await client.head(path)

    assert headed.status_code == got.status_code
    assert headed.content == b""
    assert got.content
    assert _same(headed) == _same(got)


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
async def test_a_consumer_answers_head_too(path: str) -> None:
    _, container, _ = on_memory(demo=True)
    async with (
        served(health_app(container, Joining(container, build_worker(container))), container) as server,
        local_client(base_url=f"http://{server.address}") as client,
    ):
        got, headed = await client.get(path), await client.head(path)

    assert (headed.status_code, headed.content) == (got.status_code, b"")
    assert _same(headed) == _same(got)


async def test_head_is_answered_wherever_get_is() -> None:
    async with Service.run() as service:
        await service.add(ADA)
        path = "/v1/users/ada/notifications"
        got = await service.client.get(path, headers=service.bearer())
        headed = await service.client.head(path, headers=service.bearer())
        refused = await service.client.head(path)

    assert (headed.status_code, headed.content, headed.headers["etag"]) == (200, b"", got.headers["etag"])
    assert (refused.status_code, refused.content) == (401, b"")


def _same(answer: httpx.Response) -> dict[str, str]:
    """The headers, but for what is different with every answer: `content-length` of metrics is."""
    other = {"date", "x-request-id"} | ({"content-length"} if answer.url.path == "/metrics" else set())
    return {name: value for name, value in answer.headers.items() if name not in other}
