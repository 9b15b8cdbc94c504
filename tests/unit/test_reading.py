"""What is read from a WebSocket, and when: on a transport that notes what it is told."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from uvicorn.server import ServerState
from websockets.frames import Close, Frame, Opcode

from adapters.websocket import reading
from adapters.websocket.newcomers import Newcomers
from adapters.websocket.reading import CLOSE_BYTES, DROPPED_BYTES, ends_with_close
from adapters.websocket.transport import TransportConnection
from application.pace import Pace
from application.streams import TooFast
from tests.sockets import BURST, PING, Socket, text, wire

CLOSE = wire(Opcode.CLOSE, Close(1000, "").serialize())


@pytest.fixture(autouse=True)
def quiet() -> None:
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)


async def turns(count: int = 1) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


# --- before the client is known ---------------------------------------------------------------------------


async def test_nothing_is_read_until_the_application_waits_for_a_message() -> None:
    socket = Socket()
    assert not socket.line.is_reading()
    connection = await socket.accept()
    assert not socket.line.is_reading()

    receiving = asyncio.create_task(connection.receive())
    await turns(2)
    assert socket.line.is_reading()
    socket.protocol.data_received(text(b"hello"))
    assert await receiving == "hello"


async def test_what_came_with_the_handshake_is_parsed_once_the_client_is_known() -> None:
    socket = Socket(PING + text(b"in haste"))
    connection = await socket.accept()
    await turns(3)
    assert (socket.line.written, socket.parsed) == (b"", 0)

    assert await connection.receive() == "in haste"
    assert socket.line.written == Frame(Opcode.PONG, b"").serialize(mask=False)


async def test_of_a_client_that_is_refused_nothing_is_parsed() -> None:
    socket = Socket(PING)
    connection = await socket.accept()
    connection.close(4511, "who are you?", "bye")
    told = socket.line.written
    socket.protocol.data_received(PING * 1000)
    await turns(3)

    assert socket.line.written == told
    assert socket.line.is_reading()


# --- after a close ----------------------------------------------------------------------------------------


async def test_after_a_close_nothing_is_parsed_until_the_peer_answers_it() -> None:
    socket = Socket()
    connection = await socket.accept()
    receiving = asyncio.create_task(connection.receive())
    await turns(2)
    connection.close(4000, "drain", "bye")
    told = socket.line.written
    late = (PING + text(b"late")) * 100
    # One in some hundreds does, by chance of its mask.
    while ends_with_close(late) or ends_with_close(late + CLOSE[:3]):
        late = (PING + text(b"late")) * 100
    for _ in range(3):
        socket.protocol.data_received(late)
    assert (socket.line.written, socket.line.is_closing()) == (told, False)

    socket.protocol.data_received(CLOSE[:3])
    assert not socket.line.is_closing()
    socket.protocol.data_received(CLOSE[3:])
    assert socket.line.is_closing()
    assert await receiving is None


async def test_who_goes_on_sending_after_a_close_is_not_read_any_more() -> None:
    socket = Socket()
    connection = await socket.accept()
    connection.close(4000, "drain", "bye")
    sent = 0
    while socket.line.is_reading():
        socket.protocol.data_received(bytes(1 << 16))
        sent += 1 << 16

    assert sent <= DROPPED_BYTES + (1 << 16)
    assert socket.protocol.close_timer is not None


@pytest.mark.parametrize("size", [0, 2, 125])
def test_a_close_is_found_at_the_end_of_what_came(size: int) -> None:
    close = wire(Opcode.CLOSE, bytes(size))
    assert len(close) <= CLOSE_BYTES

    assert ends_with_close(close)
    assert ends_with_close(text(b"before")[-20:] + close)
    assert not ends_with_close(close[:-1])
    assert not ends_with_close(PING * 20)
    assert not ends_with_close(b"")


# --- little at a time -------------------------------------------------------------------------------------


async def test_what_is_read_at_once_is_parsed_in_pieces_with_turns_for_others_between() -> None:
    """Without a pace, which would end it before."""
    socket = Socket()
    await socket.accept()
    socket.protocol._pace = None
    receiving = asyncio.create_task(socket.protocol.receive())
    await turns(2)
    pings = 256_000 // len(PING)
    socket.protocol.data_received(PING * pings)
    assert not socket.line.is_reading()

    pong = len(Frame(Opcode.PONG, b"").serialize(mask=False))
    most, before, rounds = 0, 0, 0
    while not socket.line.is_reading():
        now = len(socket.line.written) // pong
        most, before, rounds = max(most, now - before), now, rounds + 1
        await turns()
    assert len(socket.line.written) // pong == pings
    assert most <= reading.PIECE_BYTES // len(PING) + 1
    assert rounds > 50
    socket.protocol.data_received(text(b"after"))
    assert (await receiving)["text"] == "after"


async def test_messages_wait_unparsed_until_the_application_has_those_before() -> None:
    socket = Socket()
    await socket.accept()
    socket.protocol._pace = None
    receiving = asyncio.create_task(socket.protocol.receive())
    await turns(2)
    messages = [b"%d" % number + b"x" * 1000 for number in range(60)]
    socket.protocol.data_received(b"".join(map(text, messages)))
    await turns(20)
    assert socket.parsed < 10

    received = [(await receiving)["text"], *[(await socket.protocol.receive())["text"] for _ in messages[1:]]]
    assert received == [message.decode() for message in messages]
    assert socket.line.is_reading() is (not socket.protocol.read_paused)


# --- a pace -----------------------------------------------------------------------------------------------

FLOODS = {
    "messages": text(b"{}"),
    "pings": PING,
    "pongs": wire(Opcode.PONG),
    "empty fragments": wire(Opcode.CONT, fin=False),
}


@pytest.mark.parametrize("kind", FLOODS)
async def test_every_frame_counts_in_the_pace_and_one_too_many_ends_reading(kind: str) -> None:
    socket = Socket()
    connection = await socket.accept()
    receiving = asyncio.create_task(_all(connection))
    await turns(2)
    first = wire(Opcode.TEXT, fin=False) if kind == "empty fragments" else b""
    frames = BURST - bool(first)
    socket.protocol.data_received(first + FLOODS[kind] * frames)
    await turns(3)
    assert not receiving.done()
    socket.protocol.data_received(FLOODS[kind] * 1000)

    received = await asyncio.wait_for(receiving, 30)
    assert len(received) == (BURST if kind == "messages" else 0)
    assert socket.line.written == (
        Frame(Opcode.PONG, b"").serialize(mask=False) * BURST if kind == "pings" else b""
    )
    assert not socket.line.is_reading()
    connection.close(4005, "too many", "bye")
    assert socket.line.is_reading()  # for the answer to the close


async def test_a_close_counts_in_no_pace() -> None:
    socket = Socket()
    connection = await socket.accept()
    receiving = asyncio.create_task(connection.receive())
    await turns(2)
    socket.protocol.data_received(PING * BURST + CLOSE)

    assert await receiving is None
    assert socket.line.is_closing()


async def _all(connection: TransportConnection) -> list[object]:
    received: list[object] = []
    try:
        while True:
            received.append(await connection.receive())
    except TooFast:
        return received


async def test_a_pace_fills_again_up_to_its_burst() -> None:
    at = 0.0
    pace = Pace(2, 3, lambda: at)
    pace.take(3)
    assert pace.left() == 0
    at = 0.4
    assert pace.left() == 0
    at = 1.0
    assert pace.left() == 2
    at = 60.0
    assert pace.left() == 3


# --- newcomers --------------------------------------------------------------------------------------------


class Ended(list[str]):
    """Who had to give way."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[str] = []

    def one(self, name: str) -> Any:
        return _Newcomer(name, self)


class _Newcomer:
    def __init__(self, name: str, ended: Ended) -> None:
        self._name, self._ended = name, ended

    def start(self) -> None:
        self._ended.started.append(self._name)

    def give_way(self) -> None:
        self._ended.append(self._name)


async def test_the_first_newcomer_of_an_address_gives_way_to_the_next_of_that_address() -> None:
    ended, newcomers = Ended(), Newcomers(most=100, most_of_address=2)
    newcomers.join(ended.one("honest"), "192.0.2.2")
    for number in range(4):
        newcomers.join(ended.one(str(number)), "192.0.2.1")

    assert ended == ["0", "1"]
    assert len(newcomers) == 3


async def test_the_first_newcomer_of_all_gives_way_when_there_are_too_many() -> None:
    ended, newcomers = Ended(), Newcomers(most=3, most_of_address=2)
    known = ended.one("known")
    newcomers.join(known, "192.0.2.0")
    newcomers.leave(known)
    newcomers.leave(known)
    for number in range(5):
        newcomers.join(ended.one(str(number)), f"192.0.2.{number}")

    assert ended == ["0", "1"]
    assert len(newcomers) == 3


async def test_handshakes_start_a_few_at_a_time_of_each_address_in_turn_the_latest_first() -> None:
    gathering: list[Callable[[], None]] = []
    ended, newcomers = Ended(), Newcomers(gather=gathering.append)
    for number in range(100):
        newcomers.join(ended.one(f"many {number}"), "192.0.2.1")
    newcomers.join(ended.one("honest"), "192.0.2.2")
    gone = ended.one("gone")
    newcomers.join(gone, "192.0.2.3")
    newcomers.leave(gone)
    await turns(2)

    assert ended.started == ["many 99", "honest", *(f"many {number}" for number in range(98, 84, -1))]
    await turns(20)
    assert len(ended.started) == 101


async def test_handshakes_that_come_after_others_start_together() -> None:
    gathering: list[Callable[[], None]] = []
    ended, newcomers = Ended(), Newcomers(gather=gathering.append)
    for name in ("first", "second", "third"):
        newcomers.join(ended.one(name), "192.0.2.1")
        await turns(3)
    assert ended.started == ["first"]
    gathering.pop()()
    await turns(3)
    assert sorted(ended.started) == ["first", "second", "third"]

    gathering.pop()()
    newcomers.join(ended.one("much later"), "192.0.2.1")
    await turns(3)
    assert ended.started[-1] == "much later"


async def test_a_handshake_that_has_to_give_way_is_answered() -> None:
    socket = Socket()
    socket.protocol.give_way()
    await turns(3)

    assert socket.line.written.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1\r\n" in socket.line.written.lower()
    assert socket.line.is_closing()
    assert not socket.protocol.handshake_initiated


async def test_a_socket_is_a_newcomer_until_its_client_is_known_or_it_has_gone() -> None:
    state = ServerState()
    known, refused, gone = (Socket(state=state) for _ in range(3))
    newcomers = known.protocol.newcomers
    assert len(newcomers) == 3
    receiving = asyncio.create_task((await known.accept()).receive())
    (await refused.accept()).close(4511, "who are you?", "bye")
    await turns(2)
    assert len(newcomers) == 2
    assert (known.protocol.waiting_since, refused.protocol.waiting_since is None) == (None, False)

    gone.protocol.connection_lost(None)
    assert len(newcomers) == 1
    refused.protocol.give_way()
    assert refused.line.is_closing()
    refused.protocol.connection_lost(None)
    assert len(newcomers) == 0
    receiving.cancel()
