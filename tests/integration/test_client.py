"""The Python client against the product, and its socket against servers that misbehave."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import jwt
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from bellwire_client import (
    Bellwire,
    CommandRefused,
    Connected,
    Event,
    Inbox,
    Notification,
    Notifications,
    Page,
    Reset,
    Stream,
    StreamRefused,
    Unreachable,
    Update,
)
from bellwire_client.errors import ConnectionLost
from bellwire_client.websocket import open_socket
from tests.product import Api, Product, create_users, eventually
from workbench.embedded import LOOPBACK

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "clients" / "python"
EMPTY = Page(items=(), next_cursor=None, cursor=".0", unread_count=0, unseen_count=0, unread_in={})


# --- against the product ---


@dataclass
class Device:
    """A stream that somebody looks at all the time."""

    stream: Stream
    load: Callable[[], Awaitable[Page]] | None = None
    inbox: Inbox = field(default_factory=lambda: Inbox(EMPTY))
    events: list[Event] = field(default_factory=list)

    def told(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def items(self) -> list[Any]:
        """What came, in order; once for each time it came."""
        return [item for event in self.told(Notifications) for item in event.items]

    async def look(self) -> None:
        async for event in self.stream:
            self.events.append(event)
            if not self.inbox.apply(event) and self.load:
                self.inbox.load(await self.load())


@asynccontextmanager
async def looking(stream: Stream, load: Callable[[], Awaitable[Page]] | None = None) -> AsyncIterator[Device]:
    """Look at a stream that is connected, and load a page when the list needs it."""
    async with asyncio.TaskGroup() as tasks, stream:
        device = Device(stream, load)
        tasks.create_task(device.look())
        await eventually(lambda: device.told(Connected), "it is connected")
        yield device


def client(api: Api, user: str = "ada", **options: Any) -> Bellwire:
    return Bellwire(api.url, **{"token": api.product.token(user), "api_key": api.product.api_key, **options})


@pytest.fixture
async def api(product: Product) -> Api:
    """An API and a consumer, with two users."""
    api, _ = await asyncio.gather(product.api(), product.consumer())
    async with api.client() as http:
        await create_users(http, ["ada", "bob"])
    return api


async def test_nothing_is_missed_and_nothing_comes_twice_when_the_api_is_killed(api: Api) -> None:
    accepted: list[str] = []

    async def publish(producer: Bellwire, numbers: range) -> None:
        for number in numbers:
            identifier = await producer.publish("ada", "tick", f"tick {number}")
            accepted.append(identifier)

    async with (
        client(api, patience=120) as producer,
        looking(producer.stream("ada")) as device,
        asyncio.TaskGroup() as tasks,
    ):
        for first in range(0, 500, 100):
            tasks.create_task(publish(producer, range(first, first + 100)))
        for times, goal in [(2, 100), (3, 300)]:
            await eventually(lambda n=goal: len(device.items) >= n, f"{goal} came")  # type: ignore[misc]
            await asyncio.to_thread(api.process.kill)
            await asyncio.to_thread(api.process.start)
            await eventually(lambda n=times: len(device.told(Connected)) >= n, "it is back")  # type: ignore[misc]
        await eventually(lambda: len(set(accepted)) == 500, "all are accepted")
        await eventually(lambda: len(device.items) >= 500, "all came")

        assert [item.version for item in device.items] == list(range(1, 501))
        assert {item.id for item in device.items} == set(accepted)
        assert device.stream.unread_count == 500
        # A busy machine may cut it off once more.
        assert all(one.resumed for one in device.told(Connected)[1:])
        assert not device.told(Reset)


async def test_what_happened_meanwhile_comes_first(api: Api) -> None:
    async with client(api) as bellwire:
        before = await bellwire.notifications("ada")
        published = [await bellwire.publish("ada", "tick", f"tick {number}") for number in range(3)]
        await eventually(lambda: counted(bellwire, 3), "they are stored")
        async with looking(bellwire.stream("ada", cursor=before.cursor)) as device:
            await eventually(lambda: len(device.items) == 3, "they came")

    assert [item.id for item in device.items] == published
    assert device.told(Notifications)[0].replay
    assert device.told(Connected)[0].resumed


async def counted(bellwire: Bellwire, number: int) -> bool:
    return (await bellwire.notifications("ada")).unread_count == number


def _unversioned(item: Notification) -> Notification:
    return replace(item, version=0)


async def test_two_devices_agree_on_what_is_read_and_archived(api: Api) -> None:
    async def load() -> Page:
        return await bellwire.notifications("ada", status="all")

    async with (
        client(api) as bellwire,
        looking(bellwire.stream("ada"), load) as one,
        looking(client(api).stream("ada"), load) as other,
    ):
        ids = [await bellwire.publish("ada", "tick", f"tick {number}") for number in range(6)]
        await eventually(lambda: len(one.items) == len(other.items) == 6, "both have all")

        assert await one.stream.mark_read(ids[:3]) == 3
        assert await one.stream.mark_read(ids[:3]) == 0
        assert await other.stream.archive(ids[0]) == 1
        assert await other.stream.mark_unread(ids[1]) == 1
        last = (await load()).cursor
        await eventually(lambda: other.stream.cursor == last, "it was told, which may be after the answer")
        assert await bellwire.mark_read("ada", up_to=last) == 4
        both = [one, other]
        for number in (5, 6):
            page = await load()
            await eventually(
                lambda page=page: all(  # type: ignore[misc]
                    (len(each.inbox.items), each.inbox.cursor) == (len(page.items), page.cursor)
                    for each in both
                ),
                "both were told, and have what came back",
            )
            assert len(page.items) == number
            for device in both:
                for shown, stored in zip(device.inbox.items, page.items, strict=True):
                    # After an `up_to` nobody is told which item has which version, only the highest.
                    assert _unversioned(shown) == _unversioned(stored)
                    assert shown.version >= stored.version
            await bellwire.unarchive("ada", ids[0])

        for device in both:
            assert device.inbox.unread_count == page.unread_count == 0
            assert len(device.told(Update)) == 5
        with pytest.raises(CommandRefused, match="cursor") as refused:
            await one.stream.mark_read(up_to="no cursor")
        assert not refused.value.temporary


async def test_a_stream_outlives_its_tokens(api: Api) -> None:
    """Each is good for twelve seconds, and replaced in place after eight and more."""
    settings, made = api.product.settings, []

    async def token() -> str:
        now = datetime.now(UTC)
        claims = {
            "sub": "ada",
            "iat": now,
            "exp": now + timedelta(seconds=12),
            "aud": settings.token_audience,
        }
        made.append(jwt.encode(claims, settings.token_secret, "HS256"))
        return made[-1]

    async with client(api, token=token) as bellwire, looking(bellwire.stream("ada")) as device:
        await eventually(lambda: len(made) >= 3, "it is renewed twice")
        identifier = await bellwire.publish("ada", "tick", "Tick")
        await eventually(lambda: device.items, "it still lives")

        assert device.items[0].id == identifier
        assert len(device.told(Connected)) == 1
        assert await device.stream.mark_read(identifier) == 1


async def test_a_cursor_of_another_life_is_told_as_a_reset(api: Api) -> None:
    async with looking(client(api).stream("ada", cursor="feedface.3")) as device:
        await eventually(lambda: device.told(Reset), "it is told")

    assert not device.told(Connected)[0].resumed
    assert device.told(Reset)[0].reason == "epoch"
    assert device.stream.cursor == device.told(Reset)[0].cursor


@pytest.mark.parametrize(("user", "token", "code"), [("bob", None, 4515), ("ada", "x.y.z", 4511)])
async def test_who_may_not_is_told(api: Api, user: str, token: str | None, code: int) -> None:
    with pytest.raises(StreamRefused) as refused:
        async with client(api, token=token or api.product.token("ada")).stream(user) as stream:
            await anext(stream)

    assert refused.value.code == code


async def test_an_api_that_is_away_is_unreachable_in_bounded_time() -> None:
    async with Bellwire(f"http://{LOOPBACK}:1", token="t", patience=1) as bellwire:
        with pytest.raises(Unreachable):
            await bellwire.notifications("ada")


# --- what the documentation shows ---


async def test_the_example_of_the_readme_runs(api: Api) -> None:
    readme = (PACKAGE / "README.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)[0]
    async with api.client() as http, client(api, "demo") as bellwire:
        await create_users(http, ["demo"])
        environment = {"BELLWIRE_URL": api.url, "BELLWIRE_TOKEN": api.product.token("demo")}

        async def publish() -> None:
            await bellwire.publish("demo", "comment.created", "Ada replied.", title="New comment")

        line = await said(["-c", code], environment, "New comment", publish)

    assert line == "New comment · Ada replied."


async def test_the_example_that_follows_runs(api: Api) -> None:
    async with api.client() as http, client(api, "eve") as bellwire:
        account = {"id": "eve", "name": "Eve", "email": "eve@example.com", "password": "correct horse"}
        (await http.post("/v1/users", json=account)).raise_for_status()
        options = ["--url", api.url, "--user", "eve", "--email", account["email"]]
        example = [str(ROOT / "examples" / "follow.py"), *options, "--password", account["password"]]

        async def publish() -> None:
            await bellwire.publish("eve", "comment.created", "Ada replied.", title="New comment")

        line = await said(example, {}, "New comment", publish)

    assert line.split() == [line.split()[0], "comment.created", "New", "comment", "Ada", "replied."]


async def said(
    command: list[str], environment: dict[str, str], text: str, meanwhile: Callable[[], Awaitable[None]]
) -> str:
    """Run Python, do something again and again until it says something with a text in it; that line."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        env={**os.environ, **environment, "PYTHONPATH": str(PACKAGE / "src"), "PYTHONIOENCODING": "utf-8"},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    lines: list[str] = []

    async def listen(output: asyncio.StreamReader) -> None:
        async for line in output:
            lines.append(line.decode().strip())  # noqa: PERF401 - somebody looks at it meanwhile

    async def said_it() -> bool:
        assert process.returncode is None, f"it ended with {process.returncode}"
        await meanwhile()
        return any(text in line for line in lines)

    listening = asyncio.create_task(listen(process.stdout))
    try:
        await eventually(said_it, "it says so")
    finally:
        process.terminate()
        await process.wait()
        await listening
    return next(line for line in lines if text in line)


# --- sockets that misbehave ---


@asynccontextmanager
async def server(handle: Callable[[ServerConnection], Awaitable[None]], **options: Any) -> AsyncIterator[str]:
    async with serve(handle, LOOPBACK, 0, ping_interval=None, max_size=None, **options) as made:
        port = next(iter(made.sockets)).getsockname()[1]
        yield f"ws://{LOOPBACK}:{port}/ws/ada?cursor=e.1"


async def test_a_socket_says_who_it_is_and_takes_frames_of_any_size() -> None:
    seen: list[Request] = []
    big = "x" * 8_000_000

    async def handle(connection: ServerConnection) -> None:
        assert connection.request is not None
        seen.append(connection.request)
        await connection.send(big)
        await connection.send(await connection.recv())

    async with (
        server(handle, subprotocols=["bellwire.v1"]) as url,
        open_socket(url, {"Authorization": "Bearer t"}) as socket,
    ):
        await socket.send("hello")
        texts = [await socket.receive(), await socket.receive()]

    assert texts == [big, "hello"]
    assert seen[0].path == "/ws/ada?cursor=e.1"
    assert seen[0].headers["Authorization"] == "Bearer t"
    assert seen[0].headers["Sec-WebSocket-Protocol"] == "bellwire.v1"
    assert "Sec-WebSocket-Extensions" not in seen[0].headers


@pytest.mark.parametrize(
    ("code", "error"),
    [(1000, ConnectionLost), (1012, ConnectionLost), (4002, ConnectionLost), (4510, StreamRefused)],
)
async def test_a_close_says_whether_to_come_back(code: int, error: Any) -> None:
    async def handle(connection: ServerConnection) -> None:
        await connection.close(code, "why")

    async with server(handle) as url, open_socket(url, {}) as socket:
        with pytest.raises(error) as closed:
            await socket.receive()
        assert (closed.value.code, closed.value.reason) == (code, "why")
        with pytest.raises(error):
            await socket.send("hello")


async def test_a_connection_that_breaks_is_lost() -> None:
    async def handle(connection: ServerConnection) -> None:
        connection.transport.abort()

    async with server(handle) as url, open_socket(url, {}) as socket:
        with pytest.raises(ConnectionLost, match="broke"):
            await socket.receive()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, StreamRefused),
        (403, StreamRefused),
        (429, ConnectionLost),
        (502, ConnectionLost),
        (503, ConnectionLost),
    ],
)
async def test_an_answer_in_place_of_a_socket_says_whether_to_come_back(status: int, error: Any) -> None:
    async def handle(_: ServerConnection) -> None:
        raise AssertionError

    def answer(connection: ServerConnection, _: Request) -> Response:
        return connection.respond(HTTPStatus(status), "no")

    async with server(handle, process_request=answer) as url:
        with pytest.raises(error, match=str(status)):
            await open_socket(url, {}).__aenter__()


async def test_where_nobody_listens_there_is_no_connection() -> None:
    with pytest.raises(ConnectionLost):
        await open_socket(f"ws://{LOOPBACK}:1/ws/ada", {}).__aenter__()
