"""A hundred thousand frames, most of them broken, through the parsers that frames of clients go through."""

import asyncio
import gc
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from random import Random

import msgspec
import psutil
import pytest
from websockets.frames import Close, Opcode

from application.streams import TooFast
from entrypoints.live.frames import INBOUND_BYTES, decode, ref_of
from tests.sockets import Socket, text, wire

FRAMES, TOGETHER = 100_000, 60
COMMANDS = [
    b'{"type":"pong"}',
    b'{"type":"read","ids":["019ab7c4-5b2e-7c3d-8a4f-2f1c6d0e9b00"],"ref":1}',
    b'{"type":"archive","up_to":"e.7","ref":"r"}',
    b'{"type":"refresh","token":"a.b.c"}',
]
CLOSES = {1000, 1002, 1007, 1009, 4005}
"""All the ways in which it may end."""


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    yield
    assert [record.getMessage() for record in caplog.get_records("call")] == []


async def test_fuzzed_frames_end_in_an_answer_or_a_close_and_take_no_memory() -> None:
    chance, ends = Random(11), Counter[int]()
    await _parsed(FRAMES // 20, chance, ends)
    objects, megabytes = [], []
    for _ in range(2):
        await _parsed(FRAMES // 2, chance, ends)
        gc.collect()
        objects.append(len(gc.get_objects()))
        megabytes.append(psutil.Process().memory_info().rss / 1e6)

    assert set(ends) - {0} == CLOSES
    assert objects[1] < objects[0] + 1_000
    assert megabytes[1] < megabytes[0] + 10


async def _parsed(frames: int, chance: Random, ends: Counter[int]) -> None:
    """Open one connection after another until so many frames were parsed, and count how they ended."""
    while frames > 0:
        code, parsed = await _connection(chance)
        ends[code] += 1
        frames -= parsed


async def _connection(chance: Random) -> tuple[int, int]:
    """One connection with many frames, until it ends. Its close code, 0 if there is none, and how many frames
    were parsed.
    """
    socket = Socket(_frames(chance, 3) if chance.random() < 0.2 else b"")
    burst = chance.choice([TOGETHER // 2, *[10 * TOGETHER] * 9])
    connection = await socket.accept(burst)
    receiving = asyncio.create_task(_receive(connection))
    await asyncio.sleep(0)
    data = _frames(chance, TOGETHER)
    while data and not socket.line.is_closing() and not receiving.done():
        if socket.line.is_reading():
            size = chance.choice([1, 7, 100, 5_000, 50_000])
            socket.protocol.data_received(data[:size])
            data = data[size:]
        await asyncio.sleep(0)
    for _ in range(50):  # what was fed is parsed in pieces
        await asyncio.sleep(0)
    if not socket.line.is_closing() and receiving.done():
        connection.close(4005, "too many", "bye")
    close, pace = socket.protocol.conn.close_sent, socket.protocol._pace
    await socket.end()
    await receiving
    assert pace is not None
    return 0 if close is None else close.code, burst - pace.left()


async def _receive(connection: object) -> None:
    """What a session makes of messages before it knows what they ask for."""
    with suppress(TooFast):
        while (message := await connection.receive()) is not None:  # type: ignore[attr-defined]
            if len(message) <= INBOUND_BYTES:
                try:
                    decode(message)
                except (msgspec.MsgspecError, ValueError, RecursionError):
                    ref_of(message)


def _frames(chance: Random, count: int) -> bytes:
    return b"".join(chance.choices(_kinds(), k=count))


@cache
def _kinds() -> list[bytes]:
    chance = Random(12)
    sizes, controls = [0, 1, 200, 5_000], [Opcode.PING, Opcode.PONG]
    messages = [_altered(chance, chance.choice(COMMANDS), 128) for _ in range(2_000)]
    wires = [text(message) for message in messages]
    return [
        *wires,
        *(wire(Opcode.TEXT, one[:5], fin=False) + wire(Opcode.CONT, one[5:]) for one in messages[:500]),
        *(wire(chance.choice(controls), chance.randbytes(chance.randrange(126))) for _ in range(500)),
        *(wire(Opcode.BINARY, chance.randbytes(chance.choice(sizes))) for _ in range(200)),
        *(_altered(chance, one[:6], 256) + one[6:] for one in wires[:10]),  # another head, length or mask
        *(one[: chance.randrange(len(one))] for one in wires[:5]),
        *(wire(Opcode.TEXT, b"\xff"), wire(Opcode.BINARY, bytes(17_000))),
        *[wire(Opcode.CLOSE, Close(1000, "enough").serialize())] * 5,
    ]


def _altered(chance: Random, data: bytes, values: int) -> bytes:
    """The same with up to three bytes changed."""
    changed = bytearray(data)
    for _ in range(chance.randrange(4)):
        changed[chance.randrange(len(changed))] = chance.randrange(values)
    return bytes(changed)
