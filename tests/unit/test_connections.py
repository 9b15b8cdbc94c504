"""What stands between a session and the bytes on a socket."""

import asyncio
from functools import partial
from time import monotonic
from typing import Any

import pytest

from adapters.websocket.asgi import AsgiConnection
from adapters.websocket.connect import connect
from adapters.websocket.transport import TransportConnection, framed
from adapters.websocket.waiting import Gate, Inbox
from application.pace import Pace
from application.ports import Connection
from application.streams import Lagging


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65_535, b"\x81\x7e\xff\xff"),
        (65_536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_a_text_is_framed_as_rfc_6455_has_it(size: int, head: bytes) -> None:
    assert framed("x" * size) == head + b"x" * size


def test_the_length_is_in_bytes() -> None:
    assert framed("é") == b"\x81\x02\xc3\xa9"


def test_what_goes_to_many_is_encoded_once() -> None:
    text = "one text"

    assert framed(text) is framed(text)


class Wire:
    """A protocol with its transport, of which a test sees what is written."""

    def __init__(self) -> None:
        self.transport = self
        self.loop = asyncio.get_running_loop()
        self.writable = Gate()
        self.writable.set()
        self.open = True
        self.gone = False
        self.written: list[bytes] = []
        self.closed: list[int] = []
        self.full_after: int | None = None
        self.inbox = Inbox()
        self.receive = self.inbox.get
        self.line = TransportConnection(self, monotonic)  # type: ignore[arg-type]

    def write(self, data: bytes) -> None:
        if self.gone:
            raise RuntimeError("unable to perform operation; the handler is closed")
        self.written.append(data)
        if self.full_after is not None and len(self.written) >= self.full_after:
            self.line.pause()

    def close(self, code: int, reason: str) -> None:
        self.closed.append(code)

    def get_write_buffer_size(self) -> int:
        return 7 if self.line.stalled_since else 0


async def test_frames_are_written_as_they_come() -> None:
    wire = Wire()
    wire.line.send("a")
    await asyncio.sleep(0)
    wire.line.send("b")
    await asyncio.sleep(0)

    assert wire.written == [framed("a"), framed("b")]
    assert (wire.line.stalled_since, wire.line.queued) == (0.0, 0)


async def test_what_the_transport_does_not_take_waits_and_keeps_its_order() -> None:
    wire = Wire()
    wire.full_after = 1
    wire.line.send("a")
    await asyncio.sleep(0)
    for text in "bcd":
        wire.line.send(text)
    assert (wire.written, wire.line.queued) == ([framed("a")], 3 * 3 + 7)
    assert wire.line.stalled_since > 0

    wire.full_after = None
    wire.line.resume()
    wire.line.send("e")
    await asyncio.sleep(0)
    assert wire.written == [framed("a"), framed("b") + framed("c") + framed("d"), framed("e")]
    assert (wire.line.stalled_since, wire.line.queued) == (0.0, 0)


async def test_what_one_turn_of_the_loop_leaves_goes_out_together() -> None:
    wire = Wire()
    other = TransportConnection(wire, monotonic)  # type: ignore[arg-type]
    for text in "abc":
        wire.line.send(text)
        other.send(text)
    assert wire.written == []
    await asyncio.sleep(0)

    assert wire.written == [framed("a") + framed("b") + framed("c")] * 2


async def test_a_pause_within_a_turn_changes_no_order() -> None:
    wire = Wire()
    wire.line.send("a")
    wire.line.pause()
    wire.line.send("b")
    wire.line.resume()
    await asyncio.sleep(0)

    assert b"".join(wire.written) == framed("a") + framed("b")


async def test_a_turn_that_takes_long_does_not_hold_everything_back() -> None:
    wire = Wire()
    for _ in range(130):
        wire.line.send("a")

    assert wire.written == [framed("a") * 64] * 2


async def test_what_was_sent_goes_before_the_bye() -> None:
    wire = Wire()
    wire.line.send("a")
    wire.line.close(4000, "drain", "bye")

    assert wire.written == [framed("a"), framed("bye")]
    assert wire.closed == [4000]


@pytest.mark.parametrize(("text", "fit"), [("x", 256), ("x" * 100_000, 10)])
async def test_so_much_may_wait_and_no_more(text: str, fit: int) -> None:
    wire = Wire()
    wire.line.pause()
    for _ in range(fit):
        wire.line.send(text)

    with pytest.raises(Lagging):
        wire.line.send(text)


async def test_one_frame_may_wait_whatever_its_size() -> None:
    wire = Wire()
    wire.line.pause()
    wire.line.send("x" * 5_000_000)

    with pytest.raises(Lagging):
        wire.line.send("x")


async def test_a_client_that_is_behind_gets_its_bye_instead_of_what_waits() -> None:
    wire = Wire()
    wire.full_after = 1
    wire.line.send("a")
    await asyncio.sleep(0)
    for text in "bc":
        wire.line.send(text)
    wire.line.close(4002, "slow", "bye")
    wire.full_after = None
    wire.line.resume()

    assert wire.written == [framed("a"), framed("bye")]
    assert wire.closed == [4002]


async def test_nothing_is_said_to_one_who_has_gone() -> None:
    wire = Wire()
    wire.gone = True
    wire.line.send("a")
    wire.open = False
    wire.line.close(4000, "drain", "bye")

    assert (wire.written, wire.closed) == ([], [])


async def test_waiting_until_all_is_written() -> None:
    wire = Wire()
    await wire.line.flowing(0)
    wire.full_after = 1
    wire.line.send("a")
    waiting = asyncio.create_task(wire.line.flowing(60))
    await asyncio.sleep(0)
    assert wire.written == [framed("a")]
    assert not waiting.done()

    wire.full_after = None
    wire.line.resume()
    await waiting


async def test_waiting_for_one_who_does_not_read_ends() -> None:
    wire = Wire()
    wire.line.pause()

    with pytest.raises(Lagging):
        await wire.line.flowing(0.001)


async def test_waiting_for_one_who_has_gone_ends() -> None:
    wire = Wire()
    wire.line.pause()
    waiting = asyncio.create_task(wire.line.flowing(60))
    await asyncio.sleep(0)
    wire.line.wake()

    await waiting


async def test_a_socket_that_was_full_before_it_became_a_stream_is_known_to_be() -> None:
    wire = Wire()
    wire.writable.clear()
    wire.line = TransportConnection(wire, monotonic)  # type: ignore[arg-type]
    wire.line.send("a")

    assert wire.written == []


async def test_what_the_client_says_is_heard_until_it_goes() -> None:
    wire = Wire()
    for event in (
        {"type": "websocket.receive", "text": "one"},
        {"type": "websocket.receive", "bytes": b"two", "text": None},
        {"type": "websocket.disconnect", "code": 1000},
    ):
        wire.inbox.put_nowait(event)

    assert [await wire.line.receive() for _ in range(3)] == ["one", b"two", None]


# --- waiting in little memory ---


async def test_an_inbox_wakes_its_reader() -> None:
    inbox = Inbox()
    reading = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    inbox.put_nowait(1)
    inbox.put_nowait(2)

    assert (await reading, await inbox.get(), inbox.empty()) == (1, 2, True)


async def test_a_reader_that_gave_up_takes_nothing() -> None:
    inbox = Inbox()
    reading = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    inbox.put_nowait(1)

    assert await inbox.get() == 1


async def test_a_gate_holds_and_lets_go() -> None:
    gate = Gate()
    waiting = [asyncio.create_task(gate.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    assert not gate.is_set()
    gate.set()
    await asyncio.gather(*waiting, return_exceptions=True)
    await gate.wait()

    assert [task.cancelled() for task in waiting] == [True, False, False]


# --- any ASGI server ---


class Peer:
    """The other end of an ASGI WebSocket."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.said: asyncio.Queue[Any] = asyncio.Queue()
        self.takes = asyncio.Event()
        self.takes.set()

    async def send(self, event: Any) -> None:
        await self.takes.wait()
        self.sent.append(event)

    def connect(self, scope: Any | None = None) -> Connection:
        pace = partial(Pace, 20, 100)
        return connect(scope or {"extensions": {}}, self.said.get, self.send, now=monotonic, pace=pace)


async def test_without_a_transport_of_ours_it_goes_the_way_of_asgi() -> None:
    peer = Peer()
    line = peer.connect()
    line.send("a")
    line.send("b")
    await line.flowing(5)

    assert isinstance(line, AsgiConnection)
    assert peer.sent == [{"type": "websocket.send", "text": text} for text in "ab"]


async def test_there_too_so_much_may_wait_and_no_more() -> None:
    peer = Peer()
    line = peer.connect()
    peer.takes.clear()
    for _ in range(256):
        line.send("x")

    with pytest.raises(Lagging):
        line.send("x")
    with pytest.raises(Lagging):
        await line.flowing(0.001)
    assert line.queued == 256
    line.close(4002, "slow", "bye")
    peer.takes.set()
    assert await line.receive() is None
    assert [event.get("text", event.get("code")) for event in peer.sent] == ["x", "bye", 4002]


async def test_there_too_one_who_has_gone_is_no_error() -> None:
    peer = Peer()
    line = peer.connect()
    peer.said.put_nowait({"type": "websocket.disconnect", "code": 1001})
    assert await line.receive() is None
    line.send("a")
    line.close(4000, "drain", "bye")

    assert (line.queued, peer.sent) == (0, [])
