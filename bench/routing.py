"""`python -m bench.routing`: the channels that carry frames to the processes that need them, compared.

One million users, ten API processes, and batches of 500 notifications for users drawn at random. Costs are
processor time: of the thread that announces or listens, and of Redis (INFO).
"""

import asyncio
import random
import resource
import socket
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zlib import crc32

import hiredis
import msgspec
from redis.asyncio import Redis

from adapters.clock import NotificationIds
from adapters.redis import scripts
from adapters.redis.announcer import _packed, message
from adapters.redis.index import applied, entry
from adapters.redis.macs import Macs
from adapters.redis.names import channel
from adapters.redis.server import Connection, RedisServer, connect
from common import wire
from domain.feed import Added, Feed
from domain.identifiers import UserId
from domain.notification import Content, Draft
from workbench import embedded

_PREFIX, _SECRET = "bellwire", "only-for-the-length-of-a-benchmark"
_USERS, _PROCESSES, _BATCH, _BATCHES, _CHUNK = 1_000_000, 10, 500, 20, 250
_TOGETHER = 1_000
_ROUNDS = 3
_MICRO = 1e6
_decode = msgspec.msgpack.Decoder(list[tuple[str, str, int, int, str, tuple[str, ...], float | None]]).decode

Message = tuple[str, bytes]


@dataclass(frozen=True)
class Layout:
    """Which channel carries the frames of a user."""

    name: str
    channels: int = 0
    """0: each user has a channel."""
    in_script: bool = False
    """Whether the script that changes the index publishes them too, as the announcer does."""

    def channel(self, user: UserId) -> str:
        if not self.channels:
            return channel(_PREFIX, user)
        return f"{_PREFIX}:live:{crc32(user.encode()) % self.channels}"

    def listened(self, held: Sequence[UserId]) -> list[str]:
        """The channels to which a process with these users listens: up to now to all 16, whoever they are."""
        if self.channels == 16:
            return [f"{_PREFIX}:live:{number}" for number in range(16)]
        return list({self.channel(user) for user in held})


_LAYOUTS = (
    Layout("16 channels", 16),
    Layout("1,024 channels", 1_024),
    Layout("one per user, published after the script"),
    Layout("one per user, published by the script", in_script=True),
)


class Bench:
    """The server, and notifications for it."""

    def __init__(self, url: str, port: int, chance: random.Random) -> None:
        self.server = RedisServer(connect(url, now=time.monotonic), time.monotonic)
        self.redis: Redis = self.server.client
        self.port = port
        self.chance = chance
        self.macs = Macs(_SECRET, _PREFIX)
        self._new_id = NotificationIds()

    def batches(self, users: Sequence[UserId] | None = None) -> list[list[Added]]:
        """Notifications for these users, or for any."""
        drawn = [self._drawn(users) for _ in range(_BATCHES)]
        return [[self._added(user) for user in batch] for batch in drawn]

    def _drawn(self, users: Sequence[UserId] | None) -> list[UserId]:
        if users is None:
            return list(map(_user, self.chance.sample(range(_USERS), _BATCH)))
        return self.chance.choices(users, k=_BATCH)

    def _added(self, user: UserId) -> Added:
        content = Content(user_id=user, event="bench.done", title="Build 7", message="Build 7 has passed.")
        item = Draft(self._new_id(), datetime.now(UTC), content).stored(8)
        return Added(Feed(user, "4f1c2a9b", 8, 3), (item,))

    def messages(self, layout: Layout, changes: Sequence[Added]) -> list[Message]:
        grouped: dict[str, list[tuple[object, ...]]] = {}
        for change in changes:
            frame = wire.frame(change, [wire.render(item) for item in change.notifications])
            grouped.setdefault(layout.channel(frame.user_id), []).append(_packed(frame))
        return [(name, message(self.macs, name, frames)) for name, frames in grouped.items()]

    async def announce(self, layout: Layout, changes: Sequence[Added]) -> None:
        """What the announcer does with a batch."""
        entries = [
            entry(one, [wire.render(item) for item in one.notifications], self.macs) for one in changes
        ]
        messages = [] if layout.in_script else self.messages(layout, changes)
        async with self.redis.pipeline(transaction=False) as pipeline:
            for start in range(0, len(entries), _CHUNK):
                part = slice(start, start + _CHUNK)
                own = self.messages(layout, changes[part]) if layout.in_script else []
                words = [word for each in own for word in each]
                keys, arguments = applied(_PREFIX, 100, entries[part], _same, words)
                pipeline.execute_command("EVAL", scripts.APPLY, len(keys), *keys, *arguments)
            for name, data in messages:
                pipeline.execute_command("PUBLISH", name, data)
            await pipeline.execute()

    async def busy(self) -> float:
        """The processor seconds that Redis has used."""
        about = await self.redis.info("cpu")
        return float(about["used_cpu_user"]) + float(about["used_cpu_sys"])

    # --- what is measured ---

    async def consumer(self, layout: Layout, batches: Sequence[Sequence[Added]]) -> tuple[float, float]:
        """Seconds for a notification: the consumer's, and Redis'."""
        await self.announce(layout, batches[0])
        redis, own = await self.busy(), time.thread_time()
        for changes in batches:
            await self.announce(layout, changes)
        own, redis = time.thread_time() - own, await self.busy() - redis
        return own / (_BATCH * _BATCHES), redis / (_BATCH * _BATCHES)

    async def process(self, layout: Layout, held: Sequence[UserId], messages: Sequence[Message]) -> float:
        """Seconds that a process with these users spends on each notification of these messages."""
        link = await self._listening([*layout.listened(held), "end"])
        sending = threading.Thread(target=_publish, args=(self.port, [*messages, ("end", b"")]))
        began = time.thread_time()
        sending.start()
        await self._hear(link, set(held))
        spent = time.thread_time() - began
        sending.join()
        await link.disconnect(nowait=True)
        return spent / (_BATCH * _BATCHES)

    async def _hear(self, link: Connection, held: set[UserId]) -> int:
        """Check and unpack what arrives, until the end. Return how many frames concerned somebody."""
        count = 0
        while True:
            for _, name, data in await link.messages():
                if name == b"end":
                    return count
                packed = self.macs.opened(name.decode(), data)
                count += sum(UserId(row[0]) in held for row in _decode(packed or b"\x90"))

    async def _listening(self, names: Sequence[str]) -> Connection:
        link = self.server.subscriber()
        await link.connect()
        for start in range(0, len(names), _TOGETHER):
            await link.send_command("SUBSCRIBE", *names[start : start + _TOGETHER])
        confirmed = 0
        while confirmed < len(names):
            confirmed += len(await link.messages())
        return link

    async def subscribing(self, names: Sequence[str], processes: int) -> dict[str, float]:
        """What it takes that so many processes subscribe to their share of these channels."""
        memory, redis = await self._memory(), await self.busy()
        began, own = time.monotonic(), time.thread_time()
        links = [await self._listening(names[number::processes]) for number in range(processes)]
        seconds, own, redis = time.monotonic() - began, time.thread_time() - own, await self.busy() - redis
        found = {"seconds": seconds, "own": own, "redis": redis, "bytes": await self._memory() - memory}
        for link in links:
            await link.disconnect(nowait=True)
        return found

    async def _memory(self) -> int:
        about: dict[str, Any] = await self.redis.info("memory")
        return int(about["used_memory"])


def _same(low: float, high: float) -> float:
    return (low + high) / 2


def _user(number: int) -> UserId:
    return UserId(f"customer-{number:07}")


def _publish(port: int, messages: Sequence[Message]) -> None:
    reader = hiredis.Reader()
    with socket.create_connection(("127.0.0.1", port)) as link:
        for start in range(0, len(messages), 200):
            part = messages[start : start + 200]
            commands: list[tuple[Any, ...]] = [("PUBLISH", *each) for each in part]
            link.sendall(b"".join(map(hiredis.pack_command, commands)))
            waiting = len(part)
            while waiting:
                reader.feed(link.recv(65536))
                while reader.gets() is not False:
                    waiting -= 1


async def _report(bench: Bench) -> None:
    batches = bench.batches()
    for layout in _LAYOUTS:
        found = [await bench.consumer(layout, batches) for _ in range(_ROUNDS)]
        own, redis = (min(each) * _MICRO for each in zip(*found, strict=True))
        print(f"consumer, {layout.name}: {own:.1f} µs own, {redis:.1f} µs in Redis")
    for online in (1_000, 100_000):
        held = list(map(_user, bench.chance.sample(range(_USERS), online // _PROCESSES)))
        for what, drawn in (("of anybody", None), ("of its own users", held)):
            async for line in _listeners(bench, held, bench.batches(drawn), what):
                print(f"{online:,} online, {line}")
    names = [channel(_PREFIX, _user(number)) for number in range(100_000)]
    for count, processes in ((10_000, 1), (100_000, _PROCESSES)):
        spent = await bench.subscribing(names[:count], processes)
        costs = f"{spent['own']:.3f} s own, {spent['redis']:.3f} s in Redis"
        memory = f"{spent['bytes'] / count:.0f} bytes of Redis each"
        print(f"subscribing to {count:,} users: {spent['seconds']:.2f} s; {costs}, {memory}")


async def _listeners(
    bench: Bench, held: Sequence[UserId], batches: Sequence[Sequence[Added]], what: str
) -> AsyncIterator[str]:
    for layout in _LAYOUTS[:3]:
        messages = [each for changes in batches for each in bench.messages(layout, changes)]
        spent = min([await bench.process(layout, held, messages) for _ in range(_ROUNDS)])
        yield f"a process, a notification {what}, {layout.name}: {spent * _MICRO:.2f} µs"


def main() -> None:
    """Measure, and print the figures."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory() as folder:
        redis = embedded.RedisServer(Path(folder))
        redis.start()
        try:
            asyncio.run(_measure(redis))
        finally:
            redis.stop()


async def _measure(redis: embedded.RedisServer) -> None:
    bench = Bench(redis.url, redis.port, random.Random(1))
    await _report(bench)
    await bench.server.close()


if __name__ == "__main__":
    main()
