"""What is no request, or no handshake, on connections to a served application: it is answered, the connection
ends, and the log has nothing of it.
"""

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest
from websockets.frames import Close, Frame, Opcode

from adapters.websocket.ending import HEAD_BYTES, HEAD_FIELDS
from adapters.websocket.http import HttpProtocol
from adapters.websocket.reading import EARLY_BYTES
from common.security_headers import SECURITY_HEADERS
from tests.product import eventually
from tests.serving import END, GET, LONG, SHORT, UPGRADE, Peer, Served, echo, hasty, say_hello, served
from tests.wiring import on_memory

PROBLEM = b"content-type: application/problem+json"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
PING = Frame(Opcode.PING, b"?").serialize(mask=True)
UNMASKED = Frame(Opcode.TEXT, b"not masked").serialize(mask=False)
HALF = HEAD_BYTES // 2


class ImpatientHttp(HttpProtocol):
    body_seconds = SHORT


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    logged = caplog.get_records("call")
    assert [record.getMessage() for record in logged if record.levelno >= logging.WARNING] == []


@asynccontextmanager
async def unhurried(app: Any = echo) -> AsyncIterator[Served]:
    """With all the product's patience: what ends here ends because it was refused."""
    _, container, api = on_memory()
    async with served(app or api, container) as server:
        yield server


async def answers(server: Served, sent: bytes, *more: bytes) -> tuple[bytes, bytes]:
    """Send something and read to the end, which must come. Returns the head of the answer and its body."""
    async with Peer.of(server) as peer:
        for piece in (sent, *more):
            peer.writer.write(piece)
        head, _, body = (await peer.is_dropped()).partition(END + END)
    await eventually(lambda: server.connections == 0, "it is forgotten")
    return head, body


def assert_problem(answer: tuple[bytes, bytes], status: int, kind: str) -> None:
    head, body = answer
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert PROBLEM in head.lower()
    assert b"connection: close" in head.lower()
    assert b"content-length: %d" % len(body) in head.lower()
    for name, value in SECURITY_HEADERS:
        assert (name + b": " + value).lower() in head.lower()
    told = json.loads(body)
    assert (told["type"], told["status"]) == (f"urn:bellwire:problem:{kind}", status)
    assert told["title"]
    assert told["detail"]


def altered(handshake: bytes, old: bytes, new: bytes) -> bytes:
    assert old in handshake
    return handshake.replace(old, new) + END


# --- handshakes -------------------------------------------------------------------------------------------

KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
VERSION = b"Sec-WebSocket-Version: 13\r\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (KEY, b""),
        (KEY, b"Sec-WebSocket-Key: short\r\n"),
        (KEY, b"Sec-WebSocket-Key: \xe9\xe9\r\n"),
        (KEY, KEY + KEY),
        (VERSION, b""),
        (VERSION, b"Sec-WebSocket-Version: 8\r\n"),
        (VERSION, VERSION + b"Content-Length: 1000\r\n"),
        (VERSION, VERSION + CHUNKED),
        (b"/ws", b"/caf\xe9"),
        (b"Connection: Upgrade", b"Connection: Upgrade, @"),
    ],
    ids=[
        "no key",
        "short key",
        "wild key",
        "two keys",
        "no version",
        "version",
        "body",
        "chunked",
        "address",
        "connection",
    ],
)
async def test_a_malformed_handshake_is_answered_400_and_the_connection_ends(old: bytes, new: bytes) -> None:
    async with unhurried() as server:
        answer = await answers(server, altered(UPGRADE, old, new))

    assert_problem(answer, 400, "malformed")
    if b"ersion" in old + new and b"13" not in new:
        assert b"sec-websocket-version: 13" in answer[0].lower()


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b"HTTP/1.1", b"HTTP/1.0", 426),
        (b"GET", b"POST", 405),
        (b"Upgrade: websocket", b"Upgrade: h2c", 426),
    ],
    ids=["HTTP/1.0", "POST", "h2c"],
)
async def test_what_only_looks_like_a_handshake_is_answered_as_any_request(
    old: bytes, new: bytes, status: int
) -> None:
    """RFC 9110 §7.8."""
    request = altered(UPGRADE.replace(b"/ws", b"/ws/ada"), old, new)
    async with unhurried(app=None) as server, Peer.of(server) as peer:
        peer.writer.write(request)

        assert (await peer.head()).startswith(b"HTTP/1.1 %d " % status)


async def test_a_request_behind_one_that_only_looks_like_a_handshake_is_answered() -> None:
    async with unhurried() as server:
        looks = altered(UPGRADE, b"GET", b"POST") + END
        head, body = await answers(server, looks + GET + b"Connection: close" + END + END)

    assert (head + body).count(b" 200 OK") == 2


@pytest.mark.parametrize("size", [8 * 1024, 16 * 1024, HEAD_BYTES - 1024])
async def test_a_large_cookie_does_not_stop_a_handshake(size: int) -> None:
    async with unhurried() as server, Peer.of(server) as peer:
        peer.writer.write(UPGRADE + b"Cookie: " + b"c" * size + END + END)
        assert (await peer.head()).startswith(b"HTTP/1.1 101 ")
        peer.say(Frame(Opcode.TEXT, b"hello"))
        await peer.hears(Opcode.TEXT, b"hello")


async def test_what_comes_right_behind_a_handshake_is_heard() -> None:
    """Nobody should send it before the answer (RFC 6455 §4.1), but it is not lost, nor answered first."""
    said = Frame(Opcode.TEXT, b"in haste")
    async with unhurried() as server, Peer.of(server) as peer:
        peer.writer.write(UPGRADE + END + PING + said.serialize(mask=True))

        assert (await peer.head()).startswith(b"HTTP/1.1 101 ")
        await peer.hears(Opcode.PONG, b"?")
        await peer.hears(Opcode.TEXT, b"in haste")


async def test_what_is_no_frame_before_the_answer_to_a_handshake_is_a_close_behind_it() -> None:
    asked, answered = threading.Event(), threading.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        asked.set()
        await asyncio.to_thread(answered.wait, LONG)
        await echo(scope, receive, send)

    async with unhurried(slow) as server, Peer.of(server) as peer:
        peer.writer.write(UPGRADE + END)
        await eventually(asked.is_set, "the application has the handshake")
        peer.writer.write(UNMASKED)
        async with Peer.of(server):  # once that was taken in the other was sent
            answered.set()
        assert (await peer.head()).startswith(b"HTTP/1.1 101 ")

        ended = Close(1002, "incorrect masking").serialize()
        assert await peer.is_dropped() == Frame(Opcode.CLOSE, ended).serialize(mask=False)


async def test_a_flood_right_behind_a_handshake_is_answered_400_and_never_kept() -> None:
    async with unhurried() as server:
        answer = await answers(server, UPGRADE + END + PING * (EARLY_BYTES // len(PING) + 1))

    assert_problem(answer, 400, "malformed")


async def test_mutilated_handshakes_are_answered_or_dropped_and_the_next_client_is_served() -> None:
    """What remains of each must not fail when its connection is lost; see also `nothing_is_logged`."""
    chance = Random(7)
    async with unhurried(app=None) as server:
        for _ in range(10):
            statuses = await asyncio.gather(*(_status_of(server, _mutilated(chance)) for _ in range(30)))
            assert set(statuses) <= {b"", b"101", b"400", b"403", b"404", b"405", b"426", b"431"}
        await eventually(lambda: server.connections == 0 and server.tasks == 0, "all are forgotten")
        async with Peer.of(server) as peer:
            peer.writer.write(GET.replace(b"/", b"/health/live", 1) + END)
            assert b" 200 " in await peer.head()


async def _status_of(server: Served, sent: bytes) -> bytes:
    """What a request is answered whose peer then sends no more, or goes at once."""
    async with Peer.of(server) as peer:
        peer.writer.write(sent)
        if len(sent) % 4 == 0:
            await peer.writer.drain()
            return b""
        peer.writer.write_eof()
        return (await peer.is_dropped())[9:12]


_LINES = [
    b"Host: \xff",
    b"Cookie: \xc3\x28",
    b"Origin: \xff",
    b"Authorization: Bearer \xff",
    b"Connection: close",
    b"Upgrade: h2c",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Protocol: ,\xe9,",
    b"Sec-WebSocket-Extensions: permessage-deflate; =",
    b"Sec-WebSocket-Key: x",
    b"Sec-WebSocket-Version: 99999999999999999999",
    b"Expect: 100-continue",
]
_PATHS = [
    b"/ws/%00",
    b"/ws/%ff",
    b"/ws/\xff",
    b"*",
    b"//",
    b"/ws/ada?ticket=%ff",
    b"/ws/" + b"a" * 3000,
    b"?",
]


def _mutilated(chance: Random) -> bytes:
    lines = UPGRADE.replace(b"/ws", b"/ws/ada").split(END)[:-1]
    match chance.randrange(5):
        case 0:
            lines.insert(chance.randrange(1, len(lines)), chance.choice(_LINES))
        case 1:
            del lines[chance.randrange(1, len(lines))]
        case 2:
            lines[0] = lines[0].replace(b"/ws/ada", chance.choice(_PATHS))
    request = bytearray(END.join([*lines, b"", b""]))
    match chance.randrange(3):
        case 0:
            request[chance.randrange(len(request))] = chance.randrange(256)
        case 1:
            request += chance.choice([b"\0" * 100, PING * 9, b"\x81", GET + END, UNMASKED])
    return bytes(request)


async def test_a_handshake_that_the_application_answers_otherwise_is_no_line_in_the_log() -> None:
    async def full(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.http.response.start", "status": 503, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"full"})

    async with unhurried(full) as server:
        head, body = await answers(server, UPGRADE + END)

    assert head.startswith(b"HTTP/1.1 503 ")
    assert body == b"full"


# --- heads ------------------------------------------------------------------------------------------------


def large(start: bytes) -> dict[str, tuple[Sequence[bytes], int, str]]:
    """Heads that are too large: in which pieces they come, and what the answer is."""
    line, field = b"Cookie: " + b"c" * HEAD_BYTES, b"x: y\r\n"
    address = start.replace(b" /", b" /" + b"a" * HEAD_BYTES, 1)
    return {
        "line": ([start + line + END + END], 431, "head-too-large"),
        "unfinished": ([start, b"Cookie: ", *[b"c" * HALF] * 3], 431, "head-too-large"),
        "fields": ([start + field * HEAD_FIELDS + END], 431, "head-too-large"),
        "many": ([start + (b"Cookie: " + b"c" * 1000 + END) * 40 + END], 431, "head-too-large"),
        "endless": ([start + b"Cookie: " + b"c" * (4 << 20) + END + END], 431, "head-too-large"),
        "address": ([address + END], 414, "address-too-long"),
    }


@pytest.mark.parametrize("start", [GET, UPGRADE], ids=["GET", "upgrade"])
@pytest.mark.parametrize("kind", large(GET))
async def test_a_head_that_is_too_large_is_answered_and_the_connection_ends(kind: str, start: bytes) -> None:
    pieces, status, problem = large(start)[kind]
    async with unhurried() as server:
        answer = await answers(server, *pieces)

    assert_problem(answer, status, problem)


async def test_as_many_fields_as_are_read_are_answered() -> None:
    async with unhurried() as server, Peer.of(server) as peer:
        peer.writer.write(GET + b"x: y\r\n" * (HEAD_FIELDS - 1) + END)

        assert b" 200 " in await peer.head()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/3.0\r\n\r\n",
        b"\0" * 64,
        b"GET\r\n\r\n",
        GET + b"no colon\r\n\r\n",
        GET.replace(b"GET /", b"GET /caf\xe9") + END,
        b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
        GET + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ],
    ids=["TLS", "HTTP/2", "HTTP/3", "NUL", "GET", "colon", "address", "CONNECT", "lengths"],
)
async def test_what_is_no_request_is_answered_400_and_the_connection_ends(sent: bytes) -> None:
    async with unhurried() as server:
        assert_problem(await answers(server, sent), 400, "malformed")


HOST = b"Host: x\r\n"


@pytest.mark.parametrize("start", [GET, UPGRADE, GET.replace(b"GET /", b"GET /sse/ada")])
@pytest.mark.parametrize(
    "hosts",
    [
        b"",
        HOST + HOST,
        HOST + b"hOST: y\r\n",
        *[
            b"Host: %b\r\n" % host
            for host in (b"a b", b"a/b", b"b@a", b"a:b", b"::1", b"[::1", b"%4", b"caf\xe9")
        ],
    ],
)
async def test_a_request_that_does_not_name_one_host_is_answered_400(start: bytes, hosts: bytes) -> None:
    async with unhurried() as server:
        assert_problem(await answers(server, altered(start, HOST, hosts)), 400, "malformed")


@pytest.mark.parametrize(
    ("hosts", "status"), [(b"", 200), (b"Host:\r\n", 200), (HOST + HOST, 400)], ids=["none", "empty", "two"]
)
async def test_a_request_over_http_1_0_may_leave_out_its_host(hosts: bytes, status: int) -> None:
    request = altered(GET.replace(b"HTTP/1.1", b"HTTP/1.0"), HOST, hosts)
    async with unhurried(echo) as server:
        head, _ = await answers(server, request)

    assert head.startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize(
    "host", [b"", b":80", b"a_b.example:8000", b"10.0.0.1", b"[::1]:80", b"[v1.a]", b"caf%C3%A9", b"a."]
)
async def test_every_kind_of_host_may_be_named(host: bytes) -> None:
    async with unhurried(echo) as server, Peer.of(server) as peer:
        peer.writer.write(altered(GET, HOST, b"Host: %b\r\n" % host))
        assert (await peer.head()).startswith(b"HTTP/1.1 200 ")


async def test_a_peer_that_hears_a_refusal_and_stays_is_dropped() -> None:
    async with hasty() as server, Peer.of(server) as peer:
        peer.writer.write(b"no request\r\n\r\n")

        await eventually(lambda: server.connections == 0, "it is forgotten")
        assert (await peer.is_dropped()).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("sent", [b"GE", GET, UPGRADE, b"\r\n"], ids=["GE", "GET", "upgrade", "blank"])
async def test_half_a_head_and_an_end_is_forgotten_at_once(sent: bytes) -> None:
    async with unhurried() as server, Peer.of(server) as peer:
        peer.writer.write(sent)
        peer.writer.write_eof()

        assert await peer.is_dropped() == b""
        await eventually(lambda: server.connections == 0, "it is forgotten")


# --- behind other requests --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "behind",
    [b"no request\r\n\r\n", UPGRADE + END, GET + b"Cookie: " + b"c" * HEAD_BYTES + END + END],
    ids=["junk", "handshake", "large"],
)
async def test_what_comes_too_soon_or_is_no_request_spoils_no_answer_before_it(behind: bytes) -> None:
    """Written at once it would stand in the middle of that answer."""
    begun, released = threading.Event(), threading.Event()

    async def slow(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
        await send({"type": "http.response.body", "body": b"12345", "more_body": True})
        begun.set()
        await asyncio.to_thread(released.wait, LONG)
        await send({"type": "http.response.body", "body": b"67890"})

    async with unhurried(slow) as server, Peer.of(server) as peer:
        peer.writer.write(GET + END)
        await eventually(begun.is_set, "the answer has begun")
        peer.writer.write(behind)
        peer.writer.write(b"and more\r\n\r\n")
        async with Peer.of(server):
            released.set()

        answer = await peer.is_dropped()
        assert answer.endswith(END + END + b"1234567890")
        assert answer.count(b"HTTP/1.1 ") == 1
        await eventually(lambda: server.connections == 0, "it is forgotten")


async def test_a_request_behind_one_that_asks_for_another_protocol_is_answered() -> None:
    """Nobody speaks that protocol here, so what follows is HTTP (RFC 9110 §7.8)."""
    asking = GET + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    async with unhurried() as server:
        head, body = await answers(server, asking + GET + b"Connection: close\r\n\r\n")

    assert (head + body).count(b" 200 OK") == 2


# --- bodies -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rest", "status"),
    [
        (b"no size\r\n", 400),
        (b"1;" + b"e" * 8 * HEAD_BYTES, 431),
        (b"1\r\n1\r\n0\r\nt: " + b"t" * 8 * HEAD_BYTES, 431),
        (b"1\r\n1\r\n0\r\n" + b"t: t\r\n" * HEAD_BYTES, 431),
    ],
    ids=["size", "extension", "trailer", "trailers"],
)
async def test_a_body_that_cannot_be_read_is_answered_and_the_connection_ends(
    rest: bytes, status: int
) -> None:
    request = b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + CHUNKED + END
    async with unhurried(app=None) as server:
        answer = await answers(server, request, rest)
        await eventually(lambda: server.tasks == 0, "the application has let go of it")

    assert_problem(answer, status, {400: "malformed", 431: "head-too-large"}[status])


@pytest.mark.parametrize("part", [b"", b"5\r\nhello\r\n"], ids=["nothing", "some"])
async def test_a_body_that_does_not_come_in_time_is_answered_and_the_connection_ends(part: bytes) -> None:
    """A client without credentials must not hold a connection either."""
    _, container, api = on_memory()
    request = b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + CHUNKED + END
    async with served(api, container, http=ImpatientHttp) as server:
        answer = await answers(server, request + part)
        await eventually(lambda: server.tasks == 0, "the application has let go of it")

    assert_problem(answer, 408, "too-slow")


async def reading(_scope: Any, receive: Any, send: Any) -> None:
    """An application that reads the whole body first."""
    while (await receive()).get("more_body"):
        pass
    await say_hello(send)


async def test_a_body_may_take_longer_while_it_keeps_a_rate() -> None:
    class Slow(ImpatientHttp):
        body_rate = 1000.0

    _, container, _ = on_memory()
    async with served(reading, container, http=Slow) as server, Peer.of(server) as peer:
        peer.writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3001\r\n\r\n")
        peer.writer.write(b"b" * 3000)  # which is worth three seconds more
        await asyncio.sleep(3 * SHORT)
        peer.writer.write(b"b")

        assert b" 200 " in await peer.head()


async def test_a_body_that_drips_is_refused() -> None:
    """A byte now and then does not make the deadline later."""
    _, container, _ = on_memory()
    async with served(reading, container, http=ImpatientHttp) as server, Peer.of(server) as peer:
        peer.writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        dripping = asyncio.create_task(_drip(peer))
        assert b" 408 " in await peer.head()
        await eventually(lambda: server.tasks == 0, "the application has let go of it")
        dripping.cancel()


async def _drip(peer: Peer) -> None:
    while True:
        peer.writer.write(b"b")
        await asyncio.sleep(SHORT / 10)


async def test_a_client_that_is_kept_waiting_is_not_refused_for_that() -> None:
    """The application has not asked for the body yet, and the server has stopped reading it."""
    released = threading.Event()

    async def busy(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.to_thread(released.wait, LONG)
        await reading(scope, receive, send)

    class Fast(ImpatientHttp):
        body_rate = 1e6

    _, container, _ = on_memory()
    async with served(busy, container, http=Fast) as server, Peer.of(server) as peer:
        peer.writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n")
        peer.writer.write(b"b" * 8_000_000)
        await asyncio.sleep(4 * SHORT)
        released.set()

        assert b" 200 " in await peer.head()


async def test_a_body_with_a_request_for_another_protocol_is_read_as_any() -> None:
    """As Java's client sends its first request by default."""
    async with unhurried(reading) as server, Peer.of(server) as peer:
        peer.writer.write(
            b"POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        )
        peer.writer.write(b"HTTP2-Settings: AAEAAEAA\r\nContent-Length: 5\r\n\r\nhello")

        assert b" 200 " in await peer.head()


async def test_a_trailer_does_not_become_a_header() -> None:
    """Else a client could add `X-API-Key` or `Host` behind the checks of a proxy."""
    seen: list[bytes] = []

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        seen.extend(name for name, _ in scope["headers"])
        await say_hello(send)

    async with unhurried(noting) as server, Peer.of(server) as peer:
        peer.writer.write(
            b"POST / HTTP/1.1\r\nHost: x\r\n" + CHUNKED + b"\r\n1\r\nb\r\n0\r\nX-Api-Key: t\r\n\r\n"
        )

        assert b" 200 " in await peer.head()
    assert b"x-api-key" not in seen


async def test_an_answer_that_takes_longer_than_a_body_may_is_given() -> None:
    released = threading.Event()

    async def slow(_scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await asyncio.to_thread(released.wait, LONG)
        await say_hello(send)

    _, container, _ = on_memory()
    async with served(slow, container, http=ImpatientHttp) as server, Peer.of(server) as peer:
        peer.writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n1")
        peer.writer.write(b"2")
        async with Peer.of(server) as other:
            other.writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n1")
            assert b" 408 " in await other.head()
        released.set()

        assert b" 200 " in await peer.head()


async def test_a_large_body_in_many_chunks_is_read() -> None:
    chunk = b"400\r\n" + b"b" * 1024 + END
    async with unhurried(reading) as server, Peer.of(server) as peer:
        peer.writer.write(b"POST / HTTP/1.1\r\nHost: x\r\n" + CHUNKED + END + chunk * 1024 + b"0\r\n\r\n")

        assert b" 200 " in await peer.head()
