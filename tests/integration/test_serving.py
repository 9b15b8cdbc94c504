"""Connections that do not go as they should: what they cost, and what is logged of them.

The server is the product's, with less patience and an application of the test's own.
"""

import asyncio
import gc
import itertools
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any, get_args, get_type_hints

import pytest
import uvicorn
from uvicorn.server import ServerState
from websockets.asyncio.client import connect
from websockets.frames import Close, Frame, Opcode

from adapters.websocket.descriptors import Shortage
from adapters.websocket.http import HttpProtocol
from adapters.websocket.protocol import StreamProtocol
from entrypoints.live.session import Session
from entrypoints.logs import configure
from entrypoints.settings import Settings
from tests.build import ADA, a_user
from tests.product import Product, create_users, eventually
from tests.serving import (
    END,
    GET,
    LONG,
    SHORT,
    UPGRADE,
    HastyHttp,
    Peer,
    echo,
    hasty,
    say_hello,
    served,
)
from tests.wiring import on_memory

NOT_UTF8 = b"caf\xe9"


# --- too few descriptors ---------------------------------------------------------------------------------


class Few(Shortage):
    """Of a process whose descriptors run out when a test says so."""

    out = False

    def at(self, _transport: asyncio.Transport) -> bool:  # type: ignore[override]
        return self.out


async def test_a_connection_that_waits_gives_way_and_if_there_is_none_the_new_one() -> None:
    released = threading.Event()

    async def busy(_scope: Any, _receive: Any, send: Any) -> None:
        await asyncio.to_thread(released.wait, LONG)
        await say_hello(send)

    class Crowded(HttpProtocol):
        shortage = few = Few()

    _, container, _ = on_memory()
    async with served(busy, container, http=Crowded) as server, Peer.of(server) as one:
        one.writer.write(GET + END)
        await eventually(lambda: server.tasks == 1, "it is being served")
        async with Peer.of(server) as slow:
            slow.writer.write(GET)
            await eventually(lambda: server.connections == 2, "it has begun")
            Crowded.few.out = True
            async with Peer.of(server) as other:
                other.writer.write(GET + END)
                assert await slow.is_dropped() == b""
                await eventually(lambda: server.tasks == 2, "it is being served")
                async with Peer.of(server) as late:
                    assert (await late.is_dropped()).startswith(b"HTTP/1.1 503 ")
                released.set()
                assert b" 200 " in await other.head()
                assert b" 200 " in await one.head()


# --- heads that do not come -------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", END, b"GE", GET, UPGRADE], ids=["", "blank", "GE", "GET", "upgrade"])
async def test_a_connection_without_a_whole_request_head_is_dropped(sent: bytes) -> None:
    async with hasty() as server, Peer.of(server) as peer:
        peer.writer.write(sent)

        assert await peer.is_dropped() == b""
        await eventually(lambda: server.connections == 0, "it is forgotten")


@pytest.mark.parametrize("byte", [b"x", b"\n"])
@pytest.mark.parametrize("before", [b"", GET + END], ids=["first", "second"])
async def test_a_byte_now_and_then_does_not_help(before: bytes, byte: bytes) -> None:
    """Neither in a first request nor after one that was served."""
    start = b"" if byte == b"\n" else GET
    async with hasty() as server, Peer.of(server) as peer:
        if before:
            peer.writer.write(before)
            assert b" 200 " in await peer.head()
            await peer.reader.readexactly(len(b"hello"))
        peer.writer.write(start)
        dropped = asyncio.create_task(peer.is_dropped())

        async def told_another() -> bool:
            peer.writer.write(byte)
            return dropped.done()

        await eventually(told_another, "it is dropped", LONG)
        assert await dropped == b""


async def test_what_has_sent_its_head_may_take_its_time() -> None:
    """A long answer, a body that comes slowly, and a socket without a word."""
    released = threading.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await echo(scope, receive, send)
            return
        if scope["method"] == "GET":
            await asyncio.to_thread(released.wait, LONG)
        while (await receive())["more_body"]:
            pass
        await say_hello(send)

    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(hasty(slow))
        # Each sends its head as soon as it is connected: the server is in haste.
        answer = await stack.enter_async_context(Peer.of(server))
        answer.writer.write(GET + END)
        body = await stack.enter_async_context(Peer.of(server))
        body.writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n1")
        socket = await stack.enter_async_context(Peer.of(server))
        await socket.upgrade()
        async with Peer.of(server) as last:
            await last.is_dropped()

        released.set()
        body.writer.write(b"2")
        for peer in (answer, body):
            assert b" 200 " in await peer.head()
        socket.say(Frame(Opcode.TEXT, b"still here"))
        await socket.hears(Opcode.TEXT, b"still here")


# --- ends that do not come --------------------------------------------------------------------------------


async def test_a_peer_that_never_answers_a_close_is_dropped() -> None:
    async def closing(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4001})
        await asyncio.sleep(LONG)  # however long the application stays

    async with hasty(closing) as server, Peer.of(server) as peer:
        await peer.upgrade()

        assert await peer.is_dropped() == Frame(Opcode.CLOSE, Close(4001, "").serialize()).serialize(
            mask=False
        )
        await eventually(lambda: server.connections == 0, "it is forgotten")
        for task in list(server.server.server_state.tasks):
            task.get_loop().call_soon_threadsafe(task.cancel)


@pytest.mark.parametrize("end", ["return", "close", "eof"])
async def test_a_peer_that_has_stopped_reading_is_dropped(end: str) -> None:
    """Whether the application ends it, or the peer with a close frame or by closing its side."""
    stuck: list[bool] = []

    async def flood(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        listening = asyncio.create_task(receive())
        message = {"type": "websocket.send", "bytes": bytes(1 << 20)}
        try:
            while True:
                await asyncio.wait_for(send(message), 5 * SHORT)
        except TimeoutError:
            stuck.append(True)
        if end != "return":
            await send(message)
        listening.cancel()

    async with hasty(flood) as server, Peer.of(server) as peer:
        await peer.upgrade()
        await eventually(lambda: stuck, "nothing more can be written")
        if end == "close":
            peer.say(Frame(Opcode.CLOSE, Close(1000, "").serialize()))
        elif end == "eof":
            peer.writer.write_eof()

        await eventually(lambda: server.connections == 0 and server.tasks == 0, "it is forgotten")


async def test_a_peer_that_does_not_read_its_answer_is_dropped() -> None:
    async def endless(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        while server.connections:
            await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})

    async with hasty(endless) as server, Peer.of(server) as peer:
        peer.writer.write(GET + END)
        await peer.head()

        await eventually(lambda: server.connections == 0 and server.tasks == 0, "it is forgotten")


async def test_a_peer_that_leaves_a_rest_unread_is_dropped() -> None:
    """Too little to hold up the application; the transport alone waits, once it is idle and to be closed."""
    transport = Clogged()
    config = uvicorn.Config(echo, log_config=None, timeout_keep_alive=0)
    protocol = HastyHttp(config, ServerState(), {})
    protocol.connection_made(transport)
    protocol.data_received(GET + END)
    await eventually(lambda: protocol.cycle.response_complete, "it is answered")

    await eventually(lambda: transport.aborted, "it is dropped", LONG)
    protocol.connection_lost(None)


async def test_a_connection_ends_when_it_was_idle_for_its_time_since_the_last_answer() -> None:
    """One timer for all of its requests, which looks when it is due."""
    transport = Clogged()
    protocol = HastyHttp(uvicorn.Config(echo, log_config=None, timeout_keep_alive=60), ServerState(), {})
    protocol.connection_made(transport)
    protocol.data_received(GET + END)
    await eventually(lambda: protocol.cycle.response_complete, "it is answered")
    timer = protocol.timeout_keep_alive_task

    protocol.data_received(GET + END)
    protocol.timeout_keep_alive_handler()
    assert not transport.is_closing()
    assert protocol.timeout_keep_alive_task is None
    await eventually(lambda: protocol.timeout_keep_alive_task is not None, "it is answered, and timed anew")
    protocol.timeout_keep_alive_handler()
    assert not transport.is_closing()
    assert protocol.waiting_since is not None
    protocol.waiting_since -= 60
    protocol.timeout_keep_alive_handler()

    assert transport.is_closing()
    assert timer is not None
    timer.cancel()
    protocol.connection_lost(None)


class Clogged(asyncio.Transport):
    """Nobody reads what it writes; so it closes, and never is closed."""

    closing = aborted = False

    def write(self, data: Any) -> None:
        assert not self.closing

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.aborted = True


# --- what is logged ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frames",
    [
        [Frame(Opcode.TEXT, NOT_UTF8)],
        [Frame(Opcode.TEXT, NOT_UTF8, fin=False), Frame(Opcode.CONT, b"")],
        [Frame(Opcode.TEXT, NOT_UTF8), Frame(Opcode.TEXT, b"more")],
    ],
    ids=["whole", "fragments", "more"],
)
async def test_invalid_utf8_is_a_close_and_no_line_in_the_log(
    frames: list[Frame], caplog: pytest.LogCaptureFixture
) -> None:
    async with hasty() as server, Peer.of(server) as peer:
        await peer.upgrade()
        peer.say(*frames)

        close = Close(1007, "invalid UTF-8").serialize()
        assert await peer.is_dropped() == Frame(Opcode.CLOSE, close).serialize(mask=False)

    assert _warnings(caplog) == []


async def test_invalid_utf8_before_a_close_is_a_close_and_no_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Both at once: the close is answered before the text is looked at."""
    leaving = Frame(Opcode.CLOSE, Close(1000, "").serialize())
    async with hasty() as server, Peer.of(server) as peer:
        await peer.upgrade()
        peer.say(Frame(Opcode.TEXT, NOT_UTF8), leaving)

        assert await peer.is_dropped() == leaving.serialize(mask=False)

    assert _warnings(caplog) == []


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.fixture
def same_logging_afterwards() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in (None, "aiokafka", "uvicorn.error")]
    handlers, levels = loggers[0].handlers[:], [logger.level for logger in loggers]
    yield
    loggers[0].handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.mark.usefixtures("same_logging_afterwards")
@pytest.mark.parametrize("level", get_args(get_type_hints(Settings)["log_level"]))
async def test_what_the_server_logs_tells_no_secret(level: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A ticket is in the query, a token among the headers; on sockets that are taken, refused or fail."""
    secret = "a-ticket-or-token"

    async def moody(scope: Any, receive: Any, send: Any) -> None:
        match scope["path"]:
            case "/refused":
                await receive()
                await send({"type": "websocket.close"})
            case "/failing":
                raise RuntimeError("out of order")
            case _:
                await echo(scope, receive, send)

    head = GET.removeprefix(b"GET /"), UPGRADE.removeprefix(b"GET /ws")
    told = f"Authorization: Bearer {secret}\r\n\r\n".encode()
    configure(level, "json")
    async with hasty(moody) as server:
        for path, rest in itertools.product(("ws", "refused", "failing", "\x7f"), head):
            async with Peer.of(server) as peer:
                peer.writer.write(f"GET /{path}?ticket={secret}".encode() + rest + told)
                await peer.head()

    logged = capsys.readouterr().err
    assert "out of order" in logged
    assert secret not in logged


async def test_what_the_product_logs_tells_no_ticket(product: Product) -> None:
    product._environment |= {"BELLWIRE_LOG_LEVEL": "DEBUG", "BELLWIRE_ACCESS_LOG": "true"}
    api = await product.api()
    async with api.client("ada") as client:
        await create_users(client, ["ada"])
        ticket = (await client.post("/v1/stream-tickets")).json()["ticket"]
    url = f"{api.url.replace('http', 'ws', 1)}/ws/ada?ticket={ticket}"
    async with connect(url) as socket:
        assert json.loads(await socket.recv())["type"] == "welcome"
    async with connect(url) as socket:  # the second time it is worth nothing
        assert json.loads(await socket.recv())["code"] == 4511
    await asyncio.to_thread(api.process.stop)

    logged = api.process.log.read_text()
    assert "/v1/stream-tickets" in logged
    assert ticket not in logged
    assert product.token("ada") not in logged


async def test_a_stream_that_has_ended_leaves_nothing_for_the_collector() -> None:
    """Which comes by seldom, and the more seldom the longer something has lived."""
    memory, container, app = on_memory()
    await memory.users.add(a_user(ADA), None)
    token, _ = container.tokens().mint(ADA, memory.clock())
    headers = {"Authorization": f"Bearer {token}"}

    def held() -> int:
        return sum(type(one) in {StreamProtocol, Session} for one in gc.get_objects())

    gc.collect()
    before = held()
    gc.disable()
    try:
        async with served(app, container, lifespan="on") as service, AsyncExitStack() as stack:
            for _ in range(20):
                connecting = connect(f"ws://{service.address}/ws/ada", additional_headers=headers)
                await (await stack.enter_async_context(connecting)).recv()
            assert held() == before + 40
            await stack.aclose()
            await eventually(lambda: held() == before, "all of it is gone")
    finally:
        gc.enable()
