"""The live stream as server-sent events, of real processes, read by a client that others wrote."""

import asyncio
import signal
import socket
from typing import Any, Self

import httpx
import pytest
from httpx_sse import EventSource, ServerSentEvent

from tests.integration.conftest import Run
from tests.product import Api, Product, Service, altered, create_users, eventually, metric
from workbench.embedded import LOOPBACK
from workbench.local_client import local_client

Json = dict[str, Any]


class Listener:
    """One answer of the event stream, and what it said."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self.events: list[ServerSentEvent] = []
        self.headers = httpx.Headers()
        self.failure: Exception | None = None
        self._url = url
        self._asked = {"Accept": "text/event-stream", **headers}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._listen())
        await eventually(lambda: self.events or self.ended, "it begins")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    @property
    def ended(self) -> bool:
        """Whether the answer has ended; `failure` says how, if not in order."""
        return self._task is not None and self._task.done()

    @property
    def frames(self) -> list[Json]:
        return [event.json() for event in self.events]

    @property
    def last_id(self) -> str:
        return self.events[-1].id

    @property
    def created(self) -> list[str]:
        """The ids of all notifications, as often as they came."""
        return [item["id"] for frame in self.frames for item in frame.get("items", ())]

    def says(self, kind: str) -> bool:
        return any(frame["type"] == kind for frame in self.frames)

    async def _listen(self) -> None:
        try:
            async with (
                local_client(timeout=httpx.Timeout(30, read=120)) as client,
                client.stream("GET", self._url, headers=self._asked) as response,
            ):
                response.raise_for_status()
                self.headers = response.headers
                async for event in EventSource(response).aiter_sse():
                    self.events.append(event)
        except httpx.HTTPError as failure:
            self.failure = failure


def listen(api: Api, user: str, *, last_id: str = "", url: str = "", query: str = "") -> Listener:
    headers = {"Authorization": f"Bearer {api.product.token(user)}"}
    if last_id:
        headers["Last-Event-ID"] = last_id
    return Listener(f"{url or api.url}/sse/{user}{query}", headers)


def holes(frames: list[Json], position: str) -> list[Json]:
    """The frames that do not follow what came before them."""
    found = []
    for frame in frames:
        if "prev" in frame:
            if frame["prev"] != position:
                found.append(frame)
            position = frame["cursor"]
    return found


@pytest.fixture
async def api(product: Product) -> Api:
    api, _ = await asyncio.gather(product.api(), product.consumer())
    return api


async def publish(client: httpx.AsyncClient, count: int, message: str = "hello") -> list[str]:
    """Publish so many in batches; return their ids."""
    ids = []
    for first in range(0, count, 100):
        items = [
            {"user_id": "ada", "event": "test.sent", "message": message}
            for _ in range(first, min(count, first + 100))
        ]
        response = await client.post("/v1/notifications/batch", json={"items": items})
        assert response.status_code == 202, response.text
        ids += [item["id"] for item in response.json()["results"]]
    return ids


async def test_what_happens_arrives_live_and_nothing_is_lost_or_repeated_over_cuts(api: Api) -> None:
    async with api.client("ada") as client:
        await create_users(client, ["ada"])
        async with listen(api, "ada") as first:
            start = first.last_id
        published = await publish(client, 100)
        rest: asyncio.Task[list[str]] | None = None
        got: list[str] = []
        frames: list[Json] = []
        last_id, cuts = start, 0
        while len(set(got)) < 1_000:
            async with listen(api, "ada", last_id=last_id) as listener:
                await eventually(lambda one=listener: one.created, "something comes")  # type: ignore[misc]
            assert listener.frames[0]["resumed"]
            got += listener.created
            frames += listener.frames
            last_id = listener.last_id
            cuts += 1
            rest = rest or asyncio.create_task(publish(client, 900))

        assert rest is not None
        assert sorted(got) == sorted([*published, *await rest])
        assert not holes(frames, start)
        assert cuts > 1
        async with listen(api, "ada", last_id=last_id) as listener:
            await client.patch(f"/notifications/ada/{got[0]}/read")
            await eventually(lambda: listener.last_id != last_id, "the mark is told")
            assert listener.last_id == listener.frames[-1]["cursor"]


async def test_silence_is_broken_by_comments(product: Product) -> None:
    await product.api()
    service = await altered(product, "api", ping=1)
    async with Api(service, service.url, product).client("ada") as client:
        await create_users(client, ["ada"])
        async with client.stream("GET", "/sse/ada") as response:
            text = ""
            async with asyncio.timeout(60):
                async for part in response.aiter_text():
                    text += part
                    if text.count("\n:\n\n") == 3:
                        break
    assert text.startswith("id: ")
    assert text.count("data: ") == 1


async def test_a_revoked_user_is_told_and_let_go(api: Api) -> None:
    async with api.client("ada") as client:
        await create_users(client, ["ada"])
        async with listen(api, "ada") as listener:
            await client.post("/v1/users/ada/disable")
            await eventually(lambda: listener.ended, "the stream ends")

            assert listener.failure is None
            assert (listener.frames[-1]["type"], listener.frames[-1]["code"]) == ("bye", 4513)
            assert listener.events[-1].retry is None
        assert (await client.get("/sse/ada")).status_code == 401


async def test_a_drain_ends_every_stream_in_order(product: Product) -> None:
    api, other = await asyncio.gather(product.api(), product.api())
    async with api.client("ada") as client:
        await create_users(client, ["ada"])
    listeners = [listen(api, "ada") for _ in range(30)]
    try:
        await asyncio.gather(*(listener.__aenter__() for listener in listeners))
        await asyncio.to_thread(api.process.stop, 60)

        await eventually(lambda: all(one.ended for one in listeners), "all have ended")
        assert [one.failure for one in listeners if one.failure] == []
        assert {one.frames[-1]["code"] for one in listeners} == {4000}
        assert len({one.events[-1].retry for one in listeners}) > 10
        async with listen(other, "ada", last_id=listeners[0].events[0].id) as again:
            await eventually(lambda: again.says("replayed"), "it goes on elsewhere")
    finally:
        await asyncio.gather(*(listener.__aexit__() for listener in listeners))
    assert api.process.exit_code in {0, -signal.SIGTERM}, api.process.log_tail()
    assert_quiet(api.process)


def assert_quiet(service: Service) -> None:
    """The server had nothing to complain of."""
    log = service.log.read_text()
    assert "ASGI" not in log, log
    assert "ERROR" not in log, log


async def test_one_who_reads_nothing_is_cut_off_and_resumes(product: Product, run: Run) -> None:
    service, _ = await asyncio.gather(altered(product, "api", unread=8), product.consumer())
    api = Api(service, service.url, product)
    async with api.client("ada") as client:
        await create_users(client, ["ada"])
        start = (await client.get("/v1/users/ada/unread-count")).json()["cursor"]
        ids = await publish(client, 3_000, "x" * 4_000)  # 13 MB, more than the kernel takes
        await eventually(lambda: _unread(client, 3_000), "all are stored")
        before = await metric(api.process, "process_resident_memory_bytes")
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(deaf, (LOOPBACK, api.process.port))
            request = (
                f"GET /sse/ada HTTP/1.1\r\nHost: x\r\nLast-Event-ID: {start}\r\n"
                f"Authorization: Bearer {api.product.token('ada')}\r\n\r\n"
            )
            await loop.sock_sendall(deaf, request.encode())
            await eventually(
                lambda: _is(api.process, 1, "bellwire_closes_total", code="4002"), "it is found to be slow"
            )
            await eventually(lambda: _is(api.process, 0, "bellwire_sockets"), "nothing more is sent to it")
            held = await metric(api.process, "process_resident_memory_bytes")
            run.note(mebibytes_for_a_slow_reader=(held - before) / (1 << 20))
            await eventually(lambda: _is(api.process, 0, "bellwire_queued_bytes"), "nothing waits for it")
            await eventually(lambda: _hung_up(deaf), "it is cut off")
        async with listen(api, "ada", last_id=start) as quick:
            await eventually(lambda: quick.says("replayed"), "one who reads gets all of it")
        assert sorted(quick.created) == sorted(ids)
    assert_quiet(api.process)


async def _hung_up(deaf: socket.socket) -> bool:
    """Whether the other side has ended the connection; only now is anything read."""
    try:
        while data := deaf.recv(1 << 20):
            assert data
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
    return True


async def _unread(client: httpx.AsyncClient, count: int) -> bool:
    response = await client.get("/v1/users/ada/unread-count")
    return bool(response.json()["unread_count"] == count)


async def _is(service: Service, value: float, name: str, **labels: str) -> bool:
    return await metric(service, name, **labels) == value
