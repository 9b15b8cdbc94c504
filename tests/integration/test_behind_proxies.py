"""The service behind the proxies of deploy/: with TLS, in two processes, as clients and pages use it."""

import asyncio
import json
import os
import secrets
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
from httpx_sse import EventSource, ServerSentEvent
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from bellwire_client import Bellwire, Connected, Event, Notifications
from entrypoints.commands.asking import health
from tests.conftest import Databases, as_read, installation, on_own_loop
from tests.integration.conftest import Run
from tests.product import Api, Product, Service, altered, create_users, eventually, metric
from tests.reverse_proxies import DEPLOY, KINDS, OTHER_LOOPBACK, Change, Front, in_front
from workbench.embedded import LOOPBACK, EmbeddedServers, free_port
from workbench.local_client import local_client

PREFIX = "/bell"
FORGED = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9", "X-Real-IP": "203.0.113.9"}
LONG = 60.0
Json = dict[str, Any]


@dataclass
class Installation:
    """Two API processes and a consumer; and a third that pings each second."""

    product: Product
    apis: list[Api]
    pinging: Service
    folder: Path
    fronts: dict[str, Front] = field(default_factory=dict)
    """The proxies in front of the two, each as its example has it."""

    async def front(self, kind: str) -> Front:
        """The proxy in front of the two."""
        if kind not in self.fronts:
            folder = self.folder / kind
            folder.mkdir()
            servers = [f"{LOOPBACK}:{api.process.port}" for api in self.apis]
            self.fronts[kind] = in_front(kind, folder, servers)
        await self.fronts[kind].serves()
        return self.fronts[kind]

    @asynccontextmanager
    async def altered(
        self, kind: str, folder: Path, changes: Sequence[Change] = (), servers: Sequence[str] = ()
    ) -> AsyncIterator[Front]:
        """A proxy of the test's own: with changes, or in front of other servers."""
        own = [f"{LOOPBACK}:{api.process.port}" for api in self.apis]
        front = in_front(kind, folder, servers or own, changes)
        try:
            await front.serves()
            yield front
        finally:
            await asyncio.to_thread(front.process.stop)

    def bearer(self, user: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.product.token(user)}"}

    @property
    def key(self) -> dict[str, str]:
        return {"X-API-Key": self.product.api_key}

    @asynccontextmanager
    async def socket(self, front: Front, user: str, **headers: str) -> AsyncIterator[ClientConnection]:
        """A stream through the proxy, welcomed."""
        async with connect(
            f"{front.url.replace('http', 'ws')}/ws/{user}",
            additional_headers={**self.bearer(user), **headers},
            ssl=front.trust,
            subprotocols=[Subprotocol("bellwire.v1")],
        ) as opened:
            assert json.loads(await opened.recv())["type"] == "welcome"
            yield opened

    async def publish(self, client: httpx.AsyncClient, user: str, **headers: str) -> str:
        body = {"user_id": user, "event": "a.b", "message": "hello"}
        answer = await client.post("/v1/notifications", json=body, headers={**self.key, **headers})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def seen(self, client: httpx.AsyncClient, user: str, url: str = "") -> str:
        """The client's address in the audit trail, of a request that forges one."""
        done = await client.post(f"{url}/v1/users/{user}/disable", headers=self.key | FORGED)
        assert done.status_code < 300, done.text
        await client.post(f"{url}/v1/users/{user}/enable", headers=self.key)
        asked = {"action": "user.disabled", "limit": "1"}
        page = await client.get(f"{url}/v1/audit", params=asked, headers=self.key)
        return str(page.json()["items"][0]["address"])


@pytest.fixture(scope="module")
def running(servers: EmbeddedServers, databases: Databases, template: str) -> Iterator[Installation]:
    url = databases.create(template=template)
    chosen = {
        "BELLWIRE_TRUSTED_PROXIES": LOOPBACK,
        "BELLWIRE_ROOT_PATH": PREFIX,
        "BELLWIRE_DRAIN_SECONDS": "1",
    }
    environment = installation(servers, url, f"test-{secrets.token_hex(6)}") | chosen
    made: list[Installation] = []
    with TemporaryDirectory(prefix="bellwire-") as folder:
        product = Product(Path(folder), environment, as_read(environment))

        async def begin() -> None:
            await product.prepare(frozenset({"publish", "users", "admin"}))
            pinging = asyncio.create_task(altered(product, "api", ping=1))
            apis = await asyncio.gather(product.api(), product.api())
            await product.consumer()
            made.append(Installation(product, list(apis), await pinging, Path(folder)))

        try:
            on_own_loop(begin)
            yield made[0]
        finally:
            for front in made[0].fronts.values() if made else ():
                front.process.stop()
            on_own_loop(product.stop)
            databases.drop(url)


@pytest.fixture
async def here(running: Installation) -> Installation:
    """The installation, ready."""
    for api in running.apis:
        api.process.start()
        await api.process.healthy()
    return running


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Of a proxy."""
    return str(request.param)


@pytest.fixture
async def front(here: Installation, kind: str) -> Front:
    """A proxy in front of the two processes."""
    return await here.front(kind)


@pytest.fixture
async def ada(here: Installation) -> str:
    """A user of the test's own."""
    user = f"ada-{secrets.token_hex(4)}"
    async with here.apis[0].client() as client:
        await create_users(client, [user])
    return user


async def test_what_is_published_comes_at_once_on_sockets_and_event_streams(
    here: Installation, front: Front, ada: str
) -> None:
    async with (
        front.client() as client,
        here.socket(front, ada, Origin=front.url) as ear,
        client.stream("GET", f"/sse/{ada}", headers=here.bearer(ada) | {"Origin": front.url}) as answer,
    ):
        assert ear.subprotocol == "bellwire.v1"
        events = EventSource(answer).aiter_sse()
        assert json.loads((await anext(events)).data)["type"] == "welcome"
        for _ in range(5):  # each but a few bytes, which wait for nothing that follows
            published = await here.publish(client, ada)
            assert await _arrived(ear.recv) == [published]
            assert await _arrived(lambda: _data(events)) == [published]

    async def left() -> bool:
        async with here.apis[0].client() as direct:  # HAProxy notices that a client has left when it writes
            await here.publish(direct, ada)
        return [await metric(api.process, "bellwire_sockets") for api in here.apis] == [0, 0]

    await eventually(left, "no stream is left")


async def test_the_client_s_address_is_what_the_proxy_says_and_not_what_the_client_says(
    here: Installation, front: Front, ada: str
) -> None:
    for address in (OTHER_LOOPBACK, "127.0.0.3", "::1"):
        async with front.client(address) as client:
            url = f"https://[::1]:{front.port}" if ":" in address else ""
            found = await here.seen(client, ada, url)
            assert found == address

    # A peer that is no proxy, directly.
    own = httpx.AsyncHTTPTransport(local_address=OTHER_LOOPBACK)
    async with httpx.AsyncClient(base_url=here.apis[0].url, transport=own) as client:
        assert await here.seen(client, ada) == OTHER_LOOPBACK


async def test_everything_is_reached_below_a_path_that_the_proxy_leaves_on(
    here: Installation, front: Front, ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(front.authority))
    await _reached_below(here, front, ada)


async def test_everything_is_reached_below_a_path_that_the_proxy_takes_off(
    here: Installation, kind: str, ada: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with here.altered(kind, tmp_path, KINDS[kind].stripping) as front:
        monkeypatch.setenv("SSL_CERT_FILE", str(front.authority))
        await _reached_below(here, front, ada)


async def _reached_below(here: Installation, front: Front, ada: str) -> None:
    """By the Python client too, which is told only the URL."""
    url = f"{front.url}{PREFIX}"
    async with front.client() as client:
        assert (await client.get(f"{PREFIX}/schema/stream")).status_code == 200
        assert (await client.get(f"{PREFIX}/element/v1.js")).status_code == 200
    async with (
        Bellwire(url, token=here.product.token(ada), api_key=here.product.api_key) as service,
        service.stream(ada) as stream,
    ):
        assert isinstance(await anext(stream), Connected)
        published = await service.publish(ada, event="a.b", message="hello")
        event = await anext(stream)
        assert isinstance(event, Notifications)
        assert [item.id for item in event.items] == [published]


async def test_large_heads_and_bodies_pass_and_larger_ones_do_not(
    here: Installation, front: Front, ada: str
) -> None:
    cookie = {"Cookie": f"session={'c' * 24_000}"}
    async with front.client() as client:
        await here.publish(client, ada, **cookie)
        async with here.socket(front, ada, **cookie):
            pass
        one = {"user_id": ada, "event": "a.b", "message": "hello", "metadata": {"filler": "x" * 15_000}}
        for count, status in ((65, 202), (80, 413)):
            batch = {"items": [one] * count}
            answer = await client.post("/v1/notifications/batch", json=batch, headers=here.key)
            assert answer.status_code == status, answer.text


async def test_what_only_operators_ask_for_is_not_reached(front: Front) -> None:
    async with front.client() as client:
        for path in ("/health/ready", "/metrics"):
            assert (await client.get(path)).status_code == 404
        assert (await client.post("/drain")).status_code == 404
        answer = await client.get("/schema/openapi.json")
        assert answer.status_code == 200
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


async def test_browsers_are_offered_http_2(front: Front) -> None:
    """Without it a browser opens at most six event streams to a host."""
    context = front.trust
    context.set_alpn_protocols(["h2", "http/1.1"])
    _, writer = await asyncio.open_connection(LOOPBACK, front.port, ssl=context)
    secure: ssl.SSLObject = writer.get_extra_info("ssl_object")
    assert secure.selected_alpn_protocol() == "h2"
    writer.transport.abort()


async def test_silent_streams_outlive_the_proxy_s_patience(
    here: Installation, kind: str, ada: str, tmp_path: Path
) -> None:
    """Here it is 3 s, with a ping each second; in the examples 60 s, with a ping each 25 s."""
    servers = [f"{LOOPBACK}:{here.pinging.port}"] * 2
    shorter = [] if kind == "caddy" else [(" 60s", " 3s")]  # Caddy waits for any time
    async with (
        here.altered(kind, tmp_path, shorter, servers) as front,
        front.client() as client,
        here.socket(front, ada) as ear,
        client.stream("GET", f"/sse/{ada}", headers=here.bearer(ada)) as answer,
    ):
        lines = answer.aiter_lines()
        for _ in range(5):
            ping = json.loads(await asyncio.wait_for(ear.recv(), LONG))
            assert ping["type"] == "ping"
            await ear.send(json.dumps({"type": "pong"}))
        await _comments(lines, 5)
        published = await here.publish(client, ada)
        await _heard(ear.recv, published)
        await _heard(lambda: anext(lines), published)


async def _data(events: AsyncIterator[ServerSentEvent]) -> str:
    return (await anext(events)).data


async def _arrived(hear: Callable[[], Awaitable[str | bytes]]) -> list[str]:
    """The ids of the next frame with notifications; pings, and the end of a catch-up, may come before."""
    while True:
        frame = json.loads(await asyncio.wait_for(hear(), LONG))
        if "items" in frame:
            return [item["id"] for item in frame["items"]]


async def _heard(hear: Callable[[], Awaitable[str | bytes]], published: str) -> None:
    """Listen until it has come; pings may come before."""
    while published not in str(await asyncio.wait_for(hear(), LONG)):
        pass


async def _comments(lines: AsyncIterator[str], count: int) -> None:
    while count:
        count -= await asyncio.wait_for(anext(lines), LONG) == ":"


@pytest.mark.parametrize("end", ["killed", "drained"])
async def test_when_one_of_two_processes_goes_clients_go_on_with_the_other(
    *, here: Installation, front: Front, end: str, ada: str, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(front.authority))
    events: list[Event] = []
    async with (
        Bellwire(front.url, token=here.product.token(ada), api_key=here.product.api_key) as service,
        service.stream(ada) as stream,
    ):
        reading = asyncio.create_task(_read(stream, events))
        await eventually(lambda: events, "it is connected")
        sent = [await service.publish(ada, event="a.b", message="before")]
        gone, stays = await _holder_first(here.apis)
        now = asyncio.get_running_loop().time
        went = now()
        await asyncio.to_thread(gone.process.kill if end == "killed" else gone.process.stop)
        sent += [await service.publish(ada, event="a.b", message="after") for _ in range(3)]
        await eventually(lambda: set(sent) <= set(_items(events)), "all have come")
        run.note(seconds_until_all_came=now() - went)
        await eventually(lambda: _holds(stays), "the other has the stream")
        reading.cancel()

    assert sorted(_items(events)) == sorted(sent)
    assert sum(isinstance(event, Connected) for event in events) >= 2


async def _read(stream: AsyncIterator[Event], events: list[Event]) -> None:
    async for event in stream:
        events.append(event)  # noqa: PERF401 - the test looks at what is there


def _items(events: list[Event]) -> list[str]:
    """The ids of all notifications, as often as they came."""
    return [item.id for event in events if hasattr(event, "items") for item in event.items]


async def _holder_first(apis: list[Api]) -> list[Api]:
    """The process that has the only stream, then the other."""
    held: list[bool] = []

    async def told() -> bool:  # streams of other tests have just ended
        held[:] = [await _holds(api) for api in apis]
        return sorted(held) == [False, True]

    await eventually(told, "one has the stream")
    return apis if held[0] else apis[::-1]


async def _holds(api: Api) -> bool:
    return await metric(api.process, "bellwire_sockets") == 1


async def test_two_socket_files_serve_as_two_ports_do(
    here: Installation, kind: str, ada: str, tmp_path: Path
) -> None:
    with TemporaryDirectory(prefix="bellwire-") as folder:
        files = [f"{folder}/{number}.sock" for number in (1, 2)]
        started = [_on_file(here.product, file) for file in files]
        try:
            for file in files:
                await eventually(lambda at=file: asyncio.to_thread(_is_ready, at), "it is ready")  # type: ignore[misc]
            async with (
                here.altered(kind, tmp_path, servers=files) as front,
                front.client(OTHER_LOOPBACK) as client,
            ):
                async with here.socket(front, ada) as ear:
                    published = await here.publish(client, ada)
                    assert await _arrived(ear.recv) == [published]
                assert await here.seen(client, ada) == OTHER_LOOPBACK
        finally:
            for process in started:
                await asyncio.to_thread(process.stop, 30)
        assert os.listdir(folder) == []  # noqa: PTH208 - a coroutine


def _is_ready(file: str) -> bool:
    return health(f"unix:{file}").ready


def _on_file(product: Product, file: str) -> Service:
    chosen = {"BELLWIRE_UNIX_SOCKET": file, "BELLWIRE_TRUSTED_PROXIES": "unix"}
    log = Path(f"{file}.log").with_name(f"{Path(file).stem}.log")
    process = Service(
        file,
        "api",
        free_port(),
        log=product.folder / log.name,
        environment={**product._environment, **chosen},
    )
    product.started.append(process)
    process.start()
    return process


async def test_a_proxy_on_the_same_machine_reads_no_metrics_for_others(here: Installation) -> None:
    """Without a token only this machine may read them, and what a proxy forwards is not of this machine."""
    async with local_client() as client:
        direct = await client.get(f"{here.apis[0].url}/metrics")
        forwarded = await client.get(f"{here.apis[0].url}/metrics", headers={"X-Forwarded-For": LOOPBACK})

    assert (direct.status_code, forwarded.status_code) == (200, 403)


def test_every_example_has_the_same_bounds() -> None:
    """A change of one is one of all: the silence of a stream, idle connections, heads and bodies."""
    for kind in KINDS.values():
        text = (DEPLOY / kind.example).read_text()
        assert "60s" in text
        assert "127.0.0.1:8000" in text
        assert "127.0.0.1:8010" in text
