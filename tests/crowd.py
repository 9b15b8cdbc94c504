"""Many clients of the live stream who check all that they are told, and peers that keep no rules."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import psutil
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close, Frame, Opcode

from domain.states import STATES
from tests.product import Api, Follower, Service, eventually, metric
from workbench.embedded import LOOPBACK
from workbench.soak.follower import Json, version
from workbench.soak.tally import is_unread

LONG = 60.0
_REPEATS = 10
_MOVES = {"notifications", "update"}


@dataclass
class Device(Follower):
    """A follower that also notes every version it was told, in order, counts what is unread at each cursor
    if it has known the feed from its beginning, and keeps the codes its connections ended with.
    """

    told: list[int] = field(default_factory=list)
    """Versions in the order in which frames moved past them. A replay tells all those that it spans."""
    miscounts: list[str] = field(default_factory=list)
    ends: list[int | None] = field(default_factory=list)
    """The close codes that came; None for a connection that was lost."""
    byes: list[Json] = field(default_factory=list)
    start: int | None = None
    """The version it was welcomed with first."""
    _unread: set[str] = field(default_factory=set)

    def take(self, frame: Json) -> None:
        before = self.cursor
        super().take(frame)
        match frame["type"]:
            case "welcome":
                if self.start is None:
                    self.start = version(frame["cursor"])
                elif frame["cursor"] != before:
                    self.holes.append(f"welcomed at {frame['cursor']}, not at {before}")
            case "replayed":
                if frame["cursor"] != before:
                    self.holes.append(f"replayed up to {frame['cursor']}, told up to {before}")
                self._count(frame)
            case "notifications" | "update":
                self.told += range(version(frame["prev"]) + 1, version(frame["cursor"]) + 1)
                self._note(frame)
                if not frame.get("replay"):
                    self._count(frame)
            case "bye":
                self.byes.append(frame)

    def _note(self, frame: Json) -> None:
        if "items" in frame:
            touched = [item["id"] for item in frame["items"]]
        else:
            touched = frame.get("ids", list(self.items))
        for identifier in touched:
            item = self.items.get(identifier)
            if item is not None and is_unread(item):
                self._unread.add(identifier)
            else:
                self._unread.discard(identifier)

    def _count(self, frame: Json) -> None:
        if self.start == 0 and frame["unread_count"] != len(self._unread):
            self.miscounts.append(f"{len(self._unread)} are unread at {frame['cursor']}: {frame}")

    async def _connect_once(self) -> None:
        try:
            await super()._connect_once()
        except ConnectionClosed as closed:
            self.ends.append(closed.rcvd.code if closed.rcvd else None)
            raise

    @property
    def at(self) -> int:
        """The version it knows."""
        return version(self.cursor or ".0")

    @property
    def changes(self) -> list[Json]:
        """The frames that moved the feed."""
        return [frame for frame in self.frames if frame["type"] in _MOVES]

    def abort(self) -> None:
        """Drop the connection, with RST or without a word; it is back a moment later."""
        if self._socket is not None:
            self._socket.transport.abort()

    async def ask_again(self, **frame: Any) -> Json:
        """Ask, and repeat while the store is too busy to answer, as the protocol has clients do."""
        for _ in range(_REPEATS):
            answer = await self.ask(**frame)
            if answer.get("code") != "unavailable":
                break
            await asyncio.sleep(1)
        return answer

    def in_order(self) -> list[str]:
        """The ids that came as notifications, by the version they came with first."""
        return sorted(self.created, key=self.created.__getitem__)

    def check(self, upto: int) -> None:
        """It was told everything up to a version, once and in order, and every count was right."""
        assert self.start is not None
        assert not self.holes, self.user
        assert not self.miscounts, self.user
        assert not self.foreign
        assert not self.resets
        assert self.told == list(range(self.start + 1, upto + 1)), self.user


@asynccontextmanager
async def together(devices: Sequence[Device]) -> AsyncIterator[Sequence[Device]]:
    """All are connected at once, and leave at once."""
    try:
        await asyncio.gather(*(device.__aenter__() for device in devices))
        yield devices
    finally:
        await asyncio.gather(*(device.__aexit__() for device in devices))


async def all_at(devices: Sequence[Device], versions: dict[str, int]) -> None:
    """Wait until each knows its user's version, then check each."""
    await eventually(
        lambda: all(device.at >= versions[device.user] for device in devices), "all have been told all"
    )
    for device in devices:
        device.check(versions[device.user])


async def states(client: httpx.AsyncClient, user: str, token: str) -> dict[str, tuple[object, ...]]:
    """What REST says of each notification of a user that was not retracted."""
    found: dict[str, tuple[object, ...]] = {}
    for status in ("all", "archived"):
        query = {"status": status, "limit": "100"}
        while True:
            response = await client.get(
                f"/notifications/{user}", params=query, headers={"Authorization": f"Bearer {token}"}
            )
            assert response.status_code == 200, response.text
            page = response.json()
            found |= {item["id"]: _state(item) for item in page["items"]}
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
    return found


def known(device: Device) -> dict[str, tuple[object, ...]]:
    """The same as a device knows it."""
    return {identifier: _state(item) for identifier, item in device.items.items()}


def _state(item: Json) -> tuple[object, ...]:
    return tuple(item.get(name) for name in STATES)


# --- peers that keep no rules -----------------------------------------------------------------------------


class Peer:
    """A client that says what it likes, and reads only when told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    @asynccontextmanager
    async def of(cls, service: Service, *, buffer: int = 0) -> AsyncIterator[Self]:
        """A bare connection to a process. `buffer` is what the kernel holds for it, in bytes."""
        raw = socket.socket()
        raw.setblocking(False)
        if buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        await asyncio.get_running_loop().sock_connect(raw, (LOOPBACK, service.port))
        reader, writer = await asyncio.open_connection(sock=raw, limit=buffer or 1 << 16)
        try:
            yield cls(reader, writer)
        finally:
            writer.transport.abort()

    @classmethod
    @asynccontextmanager
    async def on(cls, api: Api, user: str, *, query: str = "", buffer: int = 0) -> AsyncIterator[Self]:
        """On a stream, before its first frame."""
        async with cls.of(api.process, buffer=buffer) as peer:
            status, head, _ = await peer.upgrade(f"/ws/{user}?{query}", api.product.token(user))
            assert status == 101, head
            yield peer

    async def upgrade(self, path: str, token: str = "") -> tuple[int, str, bytes]:
        """Ask for a stream: what is answered, its head, and its body if it is a refusal."""
        self.write(
            f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"Authorization: Bearer {token}\r\n\r\n".encode()
        )
        head = (await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), LONG)).decode().lower()
        status = int(head.split()[1])
        length = re.search(r"content-length: (\d+)", head)
        body = await self._reader.readexactly(int(length[1])) if length and status != 101 else b""
        return status, head, body

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    def say(self, **frame: Any) -> None:
        self.write(text(json.dumps(frame)))

    async def hear(self) -> tuple[int, bytes]:
        """The next frame: its opcode and what it holds. Raises EOFError, ConnectionError, TimeoutError."""
        async with asyncio.timeout(LONG):
            first, size = await self._reader.readexactly(2)
            if size >= 126:
                size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8))
            return first & 0x0F, await self._reader.readexactly(size)

    async def frames(self) -> AsyncIterator[Json]:
        """Frames of the stream until the close, which becomes one: its type is its code as text."""
        while True:
            opcode, data = await self.hear()
            if opcode == Opcode.CLOSE:
                yield {"type": f"close {Close.parse(data).code}"}
                return
            if opcode == Opcode.PONG:
                yield {"type": f"pong {data.decode()}"}
            else:
                yield json.loads(data)

    async def next(self, *kinds: str) -> Json:
        """The next frame of some types; pings are passed over."""
        async for frame in self.frames():
            if frame["type"] != "ping":
                assert frame["type"] in kinds, frame
                return frame
        raise AssertionError(f"the stream ended before {kinds}")

    async def rest(self) -> list[Json]:
        """All that comes until the close, which must come."""
        return [frame async for frame in self.frames()]

    async def is_dropped(self) -> bytes:
        """Read to the end, which must come; what came before it."""
        read = bytearray()
        try:
            while piece := await asyncio.wait_for(self._reader.read(1 << 16), LONG):
                read += piece
        except ConnectionError:  # the other end did not wait for us to read
            pass
        return bytes(read)


def text(said: str | bytes) -> bytes:
    """A text message on the wire, as a client sends it."""
    return wire(Opcode.TEXT, said.encode() if isinstance(said, str) else said)


def wire(opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> bytes:
    """A masked frame on the wire."""
    return Frame(opcode, data, fin=fin).serialize(mask=True)


# --- what a process holds ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Held:
    """What a process holds at a moment."""

    sockets: float
    queued: float
    tasks: float
    clients: int
    """Connections that were made to it."""
    others: int
    """Sockets that are not of clients: those of its pools above all."""
    files: int
    """Descriptors that are no sockets."""
    megabytes: float


async def held(service: Service) -> Held:
    names = ("sockets", "queued_bytes", "tasks")
    return await asyncio.to_thread(
        _held, service, *[await metric(service, f"bellwire_{name}") for name in names]
    )


def _held(service: Service, sockets: float, queued: float, tasks: float) -> Held:
    process = psutil.Process(service.pid)
    folder = Path(f"/proc/{service.pid}/fd")
    links = [str(one.readlink()) for one in folder.iterdir() if one.is_symlink()]
    ours = [one for one in process.net_connections("tcp") if one.laddr.port == service.port and one.raddr]
    files = [link for link in links if not link.startswith("socket:")]
    return Held(
        sockets,
        queued,
        tasks,
        clients=len(ours),
        others=len(links) - len(files) - len(ours),
        files=len(files),
        megabytes=process.memory_info().rss / 1e6,
    )


async def publish(client: httpx.AsyncClient, items: Sequence[Json]) -> list[str]:
    """Publish a batch; the ids that were given out, in order."""
    response = await client.post("/v1/notifications/batch", json={"items": items})
    assert response.status_code == 202, response.text
    return [result["id"] for result in response.json()["results"]]


async def count(service: Service, name: str, **labels: str) -> Callable[[], Any]:
    """A function that says by how much a counter has grown since now."""
    before = await metric(service, name, **labels)

    async def grown() -> float:
        return await metric(service, name, **labels) - before

    return grown
