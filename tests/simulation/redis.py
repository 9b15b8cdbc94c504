"""Redis, in memory: what the real adapters ask of it, and everything it may forget, lose or delay.

The scripts are those of src/adapters/redis/scripts.py in Python; tests/simulation/test_redis.py holds them to
the contracts that the real ones keep.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha1
from typing import Any, Self

import msgspec
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from adapters.redis import scripts
from tests.simulation.loop import Process
from tests.simulation.world import Server, World

PREFIX = "bellwire"

_SHA = {
    sha1(text.encode(), usedforsecurity=False).hexdigest(): text
    for text in (scripts.PAGE, scripts.LOAD, scripts.APPLY, scripts.CLAIM)
}


@dataclass
class Entry:
    """The hash and the sorted set of a feed."""

    epoch: str
    version: int
    count: int
    others: str
    code: str
    complete: bool
    items: list[bytes]
    expires: float


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of the scripts. Each that is taken away must show."""

    checks_versions: bool = True
    checks_leases: bool = True
    voids_leases: bool = True


class Redis:
    """The server."""

    def __init__(self, world: World, rules: Rules) -> None:
        self.world = world
        self.rules = rules
        self.server = Server("Redis", patience=1.0)
        self.entries: dict[str, Entry] = {}
        self.leases: dict[str, tuple[str, float]] = {}
        self.values: dict[str, tuple[bytes, float]] = {}
        self.scripts: set[str] = set()
        self.told: dict[str, int] = {}
        """The newest version that was announced here, by user."""
        self.lost_memory = 0
        self.subscribers: list[Subscriber] = []
        self.term = 0
        """Which primary it is. Those of before are replicas, which still answer clients that stayed."""
        self._read_only = False

    # --- faults ---

    def fail_over(self) -> None:
        """Another server becomes the primary, with all that was written. Nobody is told."""
        self.world.note("Redis: failover")
        self.term += 1
        self.scripts.clear()

    @contextmanager
    def seen_from(self, term: int) -> Iterator[None]:
        """What is done meanwhile is asked of the primary of this term."""
        self._read_only = term != self.term
        try:
            yield
        finally:
            self._read_only = False

    def _about_to_write(self) -> None:
        if self._read_only:
            raise ReadOnlyError("You can't write against a read only replica.", status_code="READONLY")

    def flush(self) -> None:
        """Forget everything."""
        self.world.note("Redis: FLUSHALL")
        self.lost_memory += 1
        self.entries, self.leases, self.values = {}, {}, {}

    def cut(self) -> None:
        """Close every subscriber's connection."""
        self.world.note("Redis: subscribers are cut off")
        for subscriber in self.subscribers:
            subscriber.fail()

    def restart(self) -> None:
        """Lose the scripts and the connections too."""
        self.flush()
        self.scripts.clear()
        self.cut()

    def half_open(self, client: "Client") -> None:
        """A subscriber's connection falls silent, and nothing says so."""
        for subscriber in self.subscribers:
            subscriber.half_open |= subscriber.client is client

    def expire(self) -> None:
        """What lives for minutes is gone, as if they had passed."""
        self.entries, self.leases = {}, {}

    # --- commands ---

    def execute(self, name: str, *words: Any) -> Any:
        """Run one command, atomically."""
        match name:
            case "EVAL":
                self.scripts.add(sha1(words[0].encode(), usedforsecurity=False).hexdigest())
                return self.run(words[0], words[2 : 2 + words[1]], words[2 + words[1] :])
            case "EVALSHA":
                if words[0] not in self.scripts:
                    raise NoScriptError("NOSCRIPT No matching script.")
                script = _SHA[words[0]]
                return self.run(script, words[2 : 2 + words[1]], words[2 + words[1] :])
        return self._look_after(name, words[0])

    def _look_after(self, name: str, key: str) -> Any:
        """Run a command of the code that compares entries with the store."""
        match name:
            case "DEL":
                self._about_to_write()
                return self.entries.pop(_user(key), None) is not None
            case "HMGET":
                entry = self.entry(_user(key))
                return [None] * 6 if entry is None else _state(entry)
            case "ZRANGE":
                entry = self.entry(_user(key))
                return [] if entry is None else entry.items[::-1]
            case "SCAN":
                held = [user for user in sorted(self.entries) if self.entry(user)]
                return 0, [key.replace("*", user).encode() for user in held]
        raise AssertionError(f"{name} is not simulated")

    def run(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Run a registered script."""
        match script:
            case scripts.PAGE:
                return self._page(keys, *arguments)
            case scripts.LOAD:
                return self._load(keys, *arguments)
            case scripts.APPLY:
                return self._apply_all(*arguments)
            case scripts.CLAIM:
                return self._claim(keys[0], *arguments)
        raise AssertionError("this script is not simulated")

    def _page(  # noqa: PLR0917 - the arguments of the script
        self,
        keys: Sequence[str],
        limit: int,
        highest: str,
        lease: str,
        lease_ms: int,
        _bytes: int,
        known: bytes,
    ) -> Any:
        user = _user(keys[0])
        entry = self.entry(user)
        if entry is not None:
            fresh = entry.version >= self.told.get(user, 0)
            self.world.check(
                fresh, f"I3: {user} is shown {entry.version}, but {self.told.get(user)} was told"
            )
            head = _state(entry)[:5]
            if b"\0".join(head) == known:
                return 2
            if limit == 0:
                return b"\0".join([*head, b"0"])
            below = None if highest == "+" else highest[1:].encode()
            items = [item for item in reversed(entry.items) if below is None or item < below][: limit + 1]
            if entry.complete or len(items) > limit:
                more = b"1" if len(items) > limit else b"0"
                return b"\0".join([*head, more, *items[:limit]])
            if below is not None:
                return 0
        if user in self.leases and self.leases[user][1] > self.world.loop.time():
            return 0
        self._about_to_write()
        self.leases[user] = lease, self.world.loop.time() + lease_ms / 1000
        return 1

    def _load(self, keys: Sequence[str], lease: str, *words: Any) -> int:
        self._about_to_write()
        user = _user(keys[0])
        epoch, version, count, others, code, complete, milliseconds, *items = words
        held = self.leases.get(user)
        if self.rules.checks_leases and (
            held is None or held[0] != lease or held[1] <= self.world.loop.time()
        ):
            return 0
        self.leases.pop(user, None)
        expires = self.world.loop.time() + milliseconds / 1000
        self.entries[user] = Entry(
            epoch, version, count, others, code, bool(complete), sorted(items), expires
        )
        self.world.note(f"Redis: the index holds {user} at {version}")
        return 1

    def _apply_all(
        self, capacity: int, _bytes: int, milliseconds: int, changes: bytes, *messages: bytes
    ) -> int:
        self._about_to_write()
        for change in msgspec.msgpack.decode(changes):
            self._apply(capacity, milliseconds / 1000, change)
        for channel, data in zip(messages[::2], messages[1::2], strict=True):
            self.publish(self.term, channel, data)
        return 0

    def _apply(self, capacity: int, seconds: float, change: Sequence[Any]) -> None:
        user, epoch, prev, version, count, others, code, applicable, gone, new = change
        if self.rules.voids_leases:
            self.leases.pop(user, None)
        self.told[user] = max(self.told.get(user, 0), version)
        entry = self.entry(user)
        if entry is None or (
            entry.epoch == epoch and entry.version >= version and self.rules.checks_versions
        ):
            return
        fits = entry.version == prev or not self.rules.checks_versions
        if not (applicable and entry.epoch == epoch and fits and _changed(entry, gone, new)):
            del self.entries[user]
            self.world.note(f"Redis: the index drops {user}, told of {version}")
            return
        entry.version, entry.count, entry.others, entry.code = version, count, others, code
        entry.expires = self.world.loop.time() + seconds
        if len(entry.items) > capacity:
            entry.items, entry.complete = entry.items[-capacity:], False
        self.world.note(f"Redis: the index holds {user} at {version}")

    def _claim(self, key: str, value: bytes, milliseconds: int, *_limits: object) -> bytes:
        self._about_to_write()
        held = self.values.get(key)
        if held is None or held[1] <= self.world.loop.time():
            held = self.values[key] = value, self.world.loop.time() + milliseconds / 1000
        return held[0]

    def publish(self, term: int, channel: str | bytes, data: bytes) -> int:
        """Pass it to the subscribers of the same server."""
        channel = _name(channel)
        reached = [each for each in self.subscribers if channel in each.channels and each.term == term]
        for subscriber in reached:
            subscriber.send(channel, data)
        return len(reached)

    def entry(self, user: str) -> Entry | None:
        """What the index holds of a feed."""
        entry = self.entries.get(user)
        if entry is not None and entry.expires <= self.world.loop.time():
            del self.entries[user]
            return None
        return entry


_HEAD = len('{"id":""') + 36


def _changed(entry: Entry, gone: Sequence[str], new: Sequence[str]) -> bool:
    """Take items out and in; False if the entry cannot tell where one belongs."""
    heads = {f'{{"id":"{item}"'.encode() for item in gone}
    replaced = {item[:_HEAD] for item in entry.items} & heads
    entry.items = [item for item in entry.items if item[:_HEAD] not in heads]
    for item in sorted((text.encode() for text in new), key=lambda item: item[:_HEAD] not in replaced):
        if not entry.complete and item[:_HEAD] not in replaced:
            if not entry.items:
                return False
            if item < entry.items[0]:
                continue
        if item not in entry.items:
            entry.items = sorted([*entry.items, item])
    return True


def _state(entry: Entry) -> list[bytes]:
    words = entry.epoch, entry.version, entry.count, entry.others, entry.code, int(entry.complete)
    return [str(word).encode() for word in words]


def _name(channel: str | bytes) -> bytes:
    return channel.encode() if isinstance(channel, str) else channel


def _user(key: str) -> str:
    return key.split(":", 2)[2][1:-1]


# --- the client -----------------------------------------------------------------------------------------


class Client:
    """Stands in for redis.asyncio.Redis, for one process."""

    def __init__(self, redis: Redis, process: Process | None = None) -> None:
        self._redis = redis
        self._process = process
        self.cut_off = False
        """Whether this process alone does not reach Redis."""
        self.term = redis.term
        """Of the primary that its connections lead to."""
        self.sentinels = None

    @property
    def connection_pool(self) -> Self:
        return self

    async def drop_idle(self) -> None:
        """Connect anew: to the primary of now."""
        self.term = self._redis.term

    drop_all = drop_idle

    async def ask(self, what: str, operations: Sequence[Callable[[], Any]]) -> list[Any]:
        """Send commands together."""
        redis = self._redis
        return await redis.world.ask(redis.server, what, operations, self._lost, lambda: self.cut_off)

    def _lost(self) -> Exception:
        kind = self._redis.world.source.choice([RedisConnectionError, RedisTimeoutError])
        return kind("out of reach")

    async def get_connection(self) -> Self:
        return self

    async def release(self, _connection: Self) -> None:
        """Nothing to do: connections are not simulated."""

    async def exchange(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send commands together, and return errors among the answers."""
        pipeline = Pipeline(self, transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return await pipeline.execute(raise_on_error=False)

    def pipeline(self, transaction: bool = True) -> "Pipeline":
        return Pipeline(self, transaction=transaction)

    def sent(self, *command: Any) -> Callable[[], Any]:
        """What the server does with a command that goes over a connection of now."""
        return partial(self._execute, self.term, *command)

    def _execute(self, term: int, *command: Any) -> Any:
        if command[0] == "PUBLISH":
            return self._redis.publish(term, *command[1:])
        with self._redis.seen_from(term):
            return self._redis.execute(*command)

    async def execute_command(self, *command: Any) -> Any:
        return (await self.ask(str(command[0]), [self.sent(*command)]))[0]

    async def delete(self, key: str, *_others: str) -> None:
        await self.execute_command("DEL", key)

    async def scan(self, _cursor: int, *, match: str, count: int) -> Any:
        return await self.execute_command("SCAN", match)

    async def publish(self, channel: str, data: bytes) -> int:
        reached: int = await self.execute_command("PUBLISH", channel, data)
        return reached

    def make_connection(self) -> "Subscriber":
        return Subscriber(self._redis, self)


class Pipeline:
    """Commands that travel together; others may come between them, unless it is a transaction."""

    def __init__(self, client: Client, *, transaction: bool) -> None:
        self._client = client
        self._transaction = transaction
        self._commands: list[tuple[Any, ...]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._commands = []

    def execute_command(self, *command: Any) -> None:
        self._commands.append(command)

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        words = " ".join(str(command[0]) for command in self._commands)
        operations = [self._client.sent(*command) for command in self._commands]
        if self._transaction:
            return list((await self._client.ask(words, [lambda: [each() for each in operations]]))[0])
        if raise_on_error:
            return await self._client.ask(words, operations)
        found = await self._client.ask(words, [partial(_answer, operation) for operation in operations])
        return [answer.error if isinstance(answer, Refusal) else answer for answer in found]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error among the answers of a pipeline."""

    error: Exception


def _answer(operation: Callable[[], Any]) -> Any:
    try:
        return operation()
    except ResponseError as error:
        return Refusal(error)


class Subscriber:
    """A subscriber's connection."""

    def __init__(self, redis: Redis, client: Client) -> None:
        self._redis = redis
        self._world = redis.world
        self.client = client
        self.term = client.term
        self.channels: set[bytes] = set()
        self._messages: list[tuple[bytes, bytes, Any]] = []
        self._broken = False
        self.half_open = False
        """Nothing comes any more, and nothing says so."""
        self._last = 0.0
        self._sent = 0.0
        self._waiter: asyncio.Future[None] | None = None

    async def connect(self) -> None:
        await self.client.ask("connect", [lambda: self._redis.subscribers.append(self)])

    async def send_command(self, command: str, *channels: str | bytes) -> None:
        """Write it, which takes no time. It arrives in order, or the connection breaks."""
        self._sent = arrives = max(self._sent + 1e-6, self._world.loop.time() + self._world.delay())
        names = [_name(channel) for channel in channels]
        self._world.soon(arrives - self._world.loop.time(), self._change, command, names)

    def _change(self, command: str, names: Sequence[bytes]) -> None:
        if self._redis.server.away or self.client.cut_off:
            self.fail()
        if self._broken or self.half_open:
            return
        for name in names:
            if command == "SUBSCRIBE":
                self.channels.add(name)
            else:
                self.channels.discard(name)
            self._pass_on(self._in_order(), command.lower().encode(), name, len(self.channels))

    async def disconnect(self, *, nowait: bool) -> None:
        self._broken = True
        if self in self._redis.subscribers:
            self._redis.subscribers.remove(self)

    def fail(self) -> None:
        """The connection breaks; the client notices."""
        self._broken = True
        self._wake()

    def send(self, channel: bytes, data: bytes) -> None:
        """A message is on its way: usually in order, sometimes too early or twice, never changed."""
        world = self._world
        if world.chance(world.weather.garbles):
            arrives = world.loop.time() + world.delay()
        else:
            arrives = self._in_order()
        self._pass_on(arrives, b"message", channel, data)
        if world.chance(world.weather.garbles):
            self._pass_on(arrives + world.delay(), b"message", channel, data)

    def _in_order(self) -> float:
        """When something arrives that is not overtaken by what is sent later."""
        arrives = self._world.loop.time() + self._world.delay()
        self._last = arrives = max(self._last + 1e-6, arrives)  # a heap of equals has no order
        return arrives

    def _pass_on(self, arrives: float, *message: Any) -> None:
        self._world.soon(arrives - self._world.loop.time(), self._receive, message)

    def _receive(self, message: tuple[bytes, bytes, Any]) -> None:
        if not (self._broken or self.half_open):
            self._messages.append(message)
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def messages(self) -> Sequence[tuple[bytes, bytes, Any]]:
        while not self._messages and not self._broken:
            self._waiter = self._world.loop.create_future()
            await self._waiter
        if self._broken:
            raise RedisConnectionError("the connection is closed")
        found, self._messages = self._messages, []
        return found
