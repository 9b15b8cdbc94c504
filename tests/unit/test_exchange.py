"""An answer is written byte for byte as uvicorn writes it."""

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from adapters.websocket.exchange import Exchange
from common.exchanges import ANSWER

LENGTH = (b"content-length", b"2")
SERVED = [(b"date", b"Sun, 29 Nov 2026 04:00:00 GMT")]
HEADS = {
    "ordinary": (200, [LENGTH, (b"content-type", b"text/plain")]),
    "many-of-a-name": (202, [(b"link", b"</a>"), LENGTH, (b"link", b"</b>")]),
    "tab": (200, [LENGTH, (b"x-note", b"a\tb")]),
    "empty-value": (200, [LENGTH, (b"x-note", b"")]),
    "another-line": (200, [LENGTH, (b"x-note", b"a\r\nset-cookie: b")]),
    "another-line-in-a-name": (200, [LENGTH, (b"x-note: a\r\nset-cookie", b"b")]),
    "nul": (200, [LENGTH, (b"x-note", b"a\0")]),
    "unknown-length": (200, [(b"content-type", b"text/plain")]),
    "chunked": (200, [(b"transfer-encoding", b"chunked")]),
    "the-last": (200, [LENGTH, (b"connection", b"close")]),
    "no-body": (204, [(b"x-note", b"a")]),
    "too-short": (200, [(b"content-length", b"3")]),
}


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.closed = True

    def resume_reading(self) -> None:
        """Nothing is paused."""


@pytest.mark.parametrize(("status", "headers"), HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("keep_alive", [True, False])
async def test_it_is_written_as_uvicorn_writes_it(
    status: int, headers: list[tuple[bytes, bytes]], method: str, keep_alive: bool
) -> None:
    ours, theirs = [
        await written(kind, status, headers, method, keep_alive=keep_alive)
        for kind in (Exchange, RequestResponseCycle)
    ]

    assert ours == theirs


HEAD = b"HTTP/1.1 200 OK\r\ndate: %b\r\ncontent-length: 2\r\n\r\n" % SERVED[0][1]


async def test_an_ordinary_answer_is_written_in_one_piece() -> None:
    transport = Transport()

    await answer(exchange(Exchange, transport), b"ok")

    assert transport.written == [HEAD + b"ok"]


@pytest.mark.parametrize("keep_alive", [True, False])
async def test_a_whole_answer_is_written_as_uvicorn_writes_its_parts(keep_alive: bool) -> None:
    transport, done = Transport(), exchange(Exchange, Transport(), keep_alive=keep_alive)
    done.transport = transport  # type: ignore[assignment]

    await done.send(whole())

    parts = await written(RequestResponseCycle, 200, [LENGTH], "GET", keep_alive=keep_alive)
    assert (b"".join(transport.written), transport.closed, "") == parts
    assert len(transport.written) == 1
    assert done.response_complete


async def test_a_whole_answer_has_the_date_of_its_time() -> None:
    for date in (b"Sun, 29 Nov 2026 04:00:01 GMT", b"Sun, 29 Nov 2026 04:00:02 GMT"):
        transport = Transport()
        answering = exchange(Exchange, transport)
        answering.default_headers = [(b"date", date)]
        await answering.send(whole())
        assert b"\r\ndate: %b\r\n" % date in transport.written[0]


async def test_a_whole_answer_waits_for_a_client_that_does_not_read() -> None:
    for gone in (False, True):
        transport = Transport()
        answering = exchange(Exchange, transport)
        answering.flow.pause_writing()
        sending = asyncio.ensure_future(answering.send(whole()))
        await asyncio.sleep(0)
        assert transport.written == []
        answering.disconnected = gone
        answering.flow.resume_writing()
        await sending
        assert transport.written == ([] if gone else [HEAD + b"ok"])


def whole() -> Any:
    return {"type": ANSWER, "status": 200, "head": b"content-length: 2\r\n", "body": b"ok"}


async def test_an_answer_in_parts_is_written_in_parts() -> None:
    transport = Transport()
    answering = exchange(Exchange, transport)

    await answering.send(start(200, [LENGTH]))
    await answering.send({"type": "http.response.body", "body": b"o", "more_body": True})
    assert transport.written == [HEAD, b"o"]
    await answering.send({"type": "http.response.body", "body": b"k", "more_body": False})

    assert transport.written == [HEAD, b"o", b"k"]
    assert answering.response_complete


async def test_a_client_that_goes_before_the_body_is_written_nothing() -> None:
    transport = Transport()
    answering = exchange(Exchange, transport)

    await answering.send(start(200, [LENGTH]))
    answering.disconnected = True
    await answering.send({"type": "http.response.body", "body": b"ok", "more_body": False})

    assert transport.written == []


async def test_a_connection_that_is_to_end_meanwhile_ends_after_the_answer() -> None:
    transport = Transport()
    answering = exchange(Exchange, transport)

    await answering.send(start(200, [LENGTH]))
    answering.keep_alive = False
    await answering.send({"type": "http.response.body", "body": b"ok", "more_body": False})

    assert (transport.written, transport.closed) == ([HEAD + b"ok"], True)


async def test_a_body_that_has_arrived_is_handed_over_once() -> None:
    asking = exchange(Exchange, Transport())
    asking.body, asking.more_body = bytearray(b"hello"), False
    asking.message_event.set()

    assert await asking.receive() == {"type": "http.request", "body": b"hello", "more_body": False}
    waiting = asyncio.ensure_future(asking.receive())
    await asyncio.sleep(0)
    assert not waiting.done()
    await answer(asking, b"ok")

    assert await waiting == {"type": "http.disconnect"}
    assert await asking.receive() == {"type": "http.disconnect"}


async def test_nothing_is_written_to_a_client_that_has_gone() -> None:
    transport = Transport()
    gone = exchange(Exchange, transport)
    gone.disconnected = True

    await gone.send(start(200, [LENGTH]))

    assert transport.written == []


async def written(
    kind: type[RequestResponseCycle],
    status: int,
    headers: list[tuple[bytes, bytes]],
    method: str,
    *,
    keep_alive: bool,
) -> tuple[bytes, bool, str]:
    """What is written, whether the connection ends, and the error that the application sees."""
    transport, error = Transport(), ""
    answering = exchange(kind, transport, method, keep_alive=keep_alive)
    body = b"" if status == 204 else b"ok"
    try:
        await answering.send(start(status, headers))
        await answering.send({"type": "http.response.body", "body": body, "more_body": False})
    except RuntimeError as raised:
        error = str(raised)
    return b"".join(transport.written), transport.closed, error


def exchange(
    kind: type[RequestResponseCycle], transport: Any, method: str = "GET", *, keep_alive: bool = True
) -> RequestResponseCycle:
    scope: Any = {"type": "http", "method": method, "http_version": "1.1", "path": "/", "client": None}
    flow, log = FlowControl(transport), logging.getLogger("tests")
    if kind is Exchange:
        protocol: Any = SimpleNamespace(
            transport=transport,
            flow=flow,
            logger=log,
            server_state=SimpleNamespace(default_headers=SERVED),
            on_response_complete=lambda: None,
        )
        return Exchange(protocol, scope, keep_alive=keep_alive)
    return kind(
        scope=scope,
        transport=transport,
        flow=flow,
        logger=log,
        access_logger=log,
        access_log=False,
        default_headers=SERVED,
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=keep_alive,
        on_response=lambda: None,
    )


async def answer(exchange: RequestResponseCycle, body: bytes) -> None:
    await exchange.send(start(200, [LENGTH]))
    await exchange.send({"type": "http.response.body", "body": body, "more_body": False})


def start(status: int, headers: list[tuple[bytes, bytes]]) -> Any:
    return {"type": "http.response.start", "status": status, "headers": headers}
