"""The whole service on ports in memory: the real container, application and use cases; no server."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

import httpx
from dependency_injector import providers
from litestar import Litestar

from adapters.websocket.hub import Hub
from application.credentials import Scope
from application.errors import Unavailable
from application.known_keys import KnownKeys
from application.log_ins import LocalLogInAttempts
from application.revoking import Revocations
from application.streams import Frame
from common import wire
from domain.feed import Chosen, FeedChange, Settled
from domain.identifiers import UserId
from domain.rates import Patience, Rate
from entrypoints.app import create_app, state
from entrypoints.live.sessions import Sessions
from entrypoints.live.state import Streams
from entrypoints.settings import Settings
from entrypoints.timing import Timing
from entrypoints.web.state import part_of
from tests.answers import broken_promises
from tests.build import ADA, CountedIds, TestClock, TestSeconds, a_user
from tests.memory import (
    MemoryAnnouncer,
    MemoryApiKeys,
    MemoryAudit,
    MemoryCarrier,
    MemoryCategories,
    MemoryErasures,
    MemoryExports,
    MemoryFeeds,
    MemoryIndex,
    MemoryKeys,
    MemoryPasswords,
    MemoryQueue,
    MemoryRates,
    MemoryRevokedTokens,
    MemoryStages,
    MemoryTickets,
    MemoryUsers,
)
from tests.stream_schema import broken_rules
from tests.whole import Container, build

SECRET = "s" * 32
OPERATOR_SECRET = "o" * 32


def operator_token(container: Container, at: datetime) -> str:
    """A token with which commands operate a process."""
    tokens = container.operator_tokens()
    assert tokens is not None
    return tokens.mint(ADA, at)[0]


HOST = "bellwire.test"

Json = dict[str, Any]


def change_frame(change: FeedChange) -> Frame:
    """A change as it travels."""
    items = (
        []
        if isinstance(change, Settled | Chosen)
        else [wire.render(item) for item in change.notifications or ()]
    )
    return wire.frame(change, items)


@asynccontextmanager
async def running(app: Litestar) -> AsyncIterator[None]:
    """The application's lifespan, in a task of its own: a fixture ends in another task than it began in."""
    started, stop = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with app.lifespan():
            started.set()
            await stop.wait()

    life = asyncio.create_task(live())
    await asyncio.wait([life, asyncio.create_task(started.wait())], return_when=asyncio.FIRST_COMPLETED)
    try:
        yield
    finally:
        stop.set()
        await life


class Idle:
    """What a process runs, stops and asks after, without anything behind it."""

    connected = True

    def __init__(self) -> None:
        self.away = False

    async def run(self) -> None:
        return

    async def stop(self) -> None:
        return

    async def close(self) -> None:
        return

    async def ping(self) -> None:
        if self.away:
            raise Unavailable("It is out of reach.")


@dataclass
class Memory:
    """Every port in memory, with what a test turns on them."""

    clock: TestClock = field(default_factory=TestClock)
    seconds: TestSeconds = field(default_factory=TestSeconds)
    ids: CountedIds = field(default_factory=CountedIds)
    queue: MemoryQueue = field(default_factory=MemoryQueue)
    keys: MemoryKeys = field(default_factory=MemoryKeys)
    stages: MemoryStages = field(default_factory=MemoryStages)
    tickets: MemoryTickets = field(default_factory=MemoryTickets)
    passwords: MemoryPasswords = field(default_factory=MemoryPasswords)
    api_keys: MemoryApiKeys = field(default_factory=MemoryApiKeys)
    categories: MemoryCategories = field(default_factory=MemoryCategories)
    audit: MemoryAudit = field(default_factory=MemoryAudit)
    postgres: Idle = field(default_factory=Idle)
    redis: Idle = field(default_factory=Idle)
    kafka: Idle = field(default_factory=Idle)

    def __post_init__(self) -> None:
        self.live = Hub(self.clock, MemoryCarrier())
        self.users = MemoryUsers(self.clock)
        self.revoked_tokens = MemoryRevokedTokens(self.clock)
        self.rates = MemoryRates(self.seconds)
        self.attempts = LocalLogInAttempts(Patience(10), Rate(100, 600), self.seconds)
        self.feeds = MemoryFeeds(self.users)
        self.erasures = MemoryErasures(self.users, self.feeds, self.clock)
        self.exports = MemoryExports(self.users, self.feeds)
        self.index = MemoryIndex(wire.render)
        self.announcer = MemoryAnnouncer(self.index, self.live, change_frame)

    def clear(self) -> None:
        """Put every port back to how it began, without anybody who holds it noticing."""
        fresh = Memory()
        for name, part in vars(self).items():
            part.__dict__ = getattr(fresh, name).__dict__

    def container(self, **settings: Any) -> Container:
        """The real container with these ports in it. Tokens are real: they need no server."""
        built = build(Settings(**{"token_secret": SECRET, "operator_secret": OPERATOR_SECRET, **settings}))
        for provider, value in (
            (built.clock, self.clock),
            # A serving process collects garbage seldom; here it is how what was not closed is noticed.
            (built.tune_gc, _do_nothing),
            (built.now, self.seconds),
            (built.new_id, self.ids),
            (built.users, self.users),
            (built.directory, self.users),
            (built.missing_users, self.users),
            (built.revoked_tokens, self.revoked_tokens),
            (built.feeds, self.feeds),
            (built.retention, self.feeds),
            (built.categories, self.categories),
            (built.preferences, self.feeds),
            (built.audit_trail, self.audit),
            (built.erasures, self.erasures),
            (built.exports, self.exports),
            (built.index, self.index),
            (built.announcer, self.announcer),
            (built.live_feed, self.live),
            (built.queue, self.queue),
            (built.idempotency_keys, self.keys),
            (built.stages, self.stages),
            (built.tickets, self.tickets),
            (built.passwords, self.passwords),
            (built.api_keys, self.api_keys),
            (built.rates, self.rates),
            (built.log_in_attempts, self.attempts),
            (built.maintenance, self.postgres),
            (built.redis_server, self.redis),
            (built.redis_announcer, Idle()),
            (built.live_frames, Idle()),
            (built.kafka_queue, self.kafka),
        ):
            provider.override(providers.Object(value))
        return built


def _do_nothing() -> None:
    return


_BUILT: dict[str, tuple[Memory, Container, Litestar]] = {}


def on_memory(timing: Timing | None = None, **settings: Any) -> tuple[Memory, Container, Litestar]:
    """An application with nothing in it. Building one takes as long as ten tests, so it is used again."""
    key = repr(sorted(settings.items()))
    if key not in _BUILT:
        memory = Memory()
        container = memory.container(**settings)
        _BUILT[key] = memory, container, create_app(container)
    memory, container, app = _BUILT[key]
    memory.clear()
    container.limits().clear()
    container.catch_ups.reset()  # it remembers pages for a moment, of feeds that are gone now
    fresh = Revocations(container.users(), container.revoked_tokens())
    container.revocations().__dict__ = fresh.__dict__
    container.known_keys().__dict__ = KnownKeys(memory.api_keys, memory.seconds).__dict__
    container.stream_timing.reset_override()
    container.stream_timing.override(providers.Object(timing or Timing()))
    app.state.update(state(container))
    return _BUILT[key]


@dataclass
class Service:
    """An application, and what is behind it."""

    app: Litestar
    container: Container
    memory: Memory
    client: httpx.AsyncClient
    key: str

    @classmethod
    @asynccontextmanager
    async def run(
        cls, *, live: bool = False, timing: Timing | None = None, **settings: Any
    ) -> AsyncIterator[Self]:
        """Serve with one producer's key, and nobody in it; with live sockets if they are asked for."""
        memory, container, app = on_memory(timing, **settings)
        _, key = await container.create_api_key()("producer", frozenset({Scope.PUBLISH, Scope.USERS}))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)  # type: ignore[arg-type]

        async def check(response: httpx.Response) -> None:
            await response.aread()
            if app.openapi_config is not None:
                assert broken_promises(app, response) == [], response.text

        async with (
            running(app) if live else nullcontext(),
            httpx.AsyncClient(
                transport=transport, base_url=f"http://{HOST}", event_hooks={"response": [check]}
            ) as client,
        ):
            yield cls(app, container, memory, client, key)

    async def silence(self, seconds: float) -> None:
        """Let so much time pass after what the streams were sent last."""
        await self.sessions._tick()
        self.memory.seconds.advance(seconds)

    async def add(self, *users: UserId) -> None:
        for user in users:
            await self.memory.users.add(a_user(user), None)

    def token(self, user: UserId = ADA) -> str:
        return self.container.tokens().mint(user, self.memory.clock())[0]

    def bearer(self, user: UserId = ADA) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(user)}"}

    @property
    def sessions(self) -> Sessions:
        return part_of(self.app, Streams).sessions

    @property
    def producer(self) -> dict[str, str]:
        return {"X-API-Key": self.key}

    @asynccontextmanager
    async def socket(
        self,
        path: str = "/ws/ada",
        *,
        query: str = "",
        headers: dict[str, str] | None = None,
        subprotocols: Sequence[str] = ("bellwire.v1",),
    ) -> AsyncIterator["Socket"]:
        """A client on a live socket. Leaving the block disconnects it and waits for the session's end."""
        socket = Socket()
        scope: Any = {
            **_scope("websocket", path, query, headers),
            "scheme": "ws",
            "subprotocols": list(subprotocols),
        }
        session = asyncio.create_task(self.app(scope, socket.inbound.get, socket.take))
        try:
            yield socket
        finally:
            socket.inbound.put_nowait({"type": "websocket.disconnect", "code": 1000})
            async with asyncio.timeout(30):
                await session

    @asynccontextmanager
    async def events(
        self,
        path: str = "/sse/ada",
        *,
        query: str = "",
        headers: dict[str, str] | None = None,
        method: str = "GET",
    ) -> AsyncIterator["Events"]:
        """A client on an event stream. Leaving the block disconnects it and waits for the session's end."""
        events = Events()
        scope: Any = {**_scope("http", path, query, headers), "scheme": "http", "method": method}
        session = asyncio.create_task(self.app(scope, events.inbound.get, events.take))
        try:
            yield events
        finally:
            events.leave()
            async with asyncio.timeout(30):
                await session


def _scope(kind: str, path: str, query: str, headers: dict[str, str] | None) -> Any:
    return {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "server": (HOST, 80),
        "client": ("192.0.2.1", 50000),
        "root_path": "",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [
            (name.lower().encode(), value.encode())
            for name, value in {"host": HOST, **(headers or {})}.items()
        ],
        "extensions": {},
    }


class Socket:
    """The client's end of a live socket."""

    def __init__(self) -> None:
        self.inbound: asyncio.Queue[Any] = asyncio.Queue()
        self.outbound: asyncio.Queue[Any] = asyncio.Queue()
        self.inbound.put_nowait({"type": "websocket.connect"})
        self.stuck = False
        self._unstuck = asyncio.Event()

    def go_on(self) -> None:
        """What the client did not take until now, it takes."""
        self._unstuck.set()

    async def take(self, event: Any) -> None:
        """What the server sends. A client whose network is stuck takes nothing until it is cut off."""
        if self.stuck:
            self.stuck = False
            await self._unstuck.wait()
        self.outbound.put_nowait(event)

    async def event(self) -> Json:
        async with asyncio.timeout(30):
            found: Json = await self.outbound.get()
        return found

    async def frame(self, kind: str | None = None) -> Json:
        """The next frame; or the next of a kind, past others."""
        while True:
            event = await self.event()
            if event["type"] == "websocket.send":
                frame: Json = json.loads(event["text"])
                assert broken_rules(frame) == [], frame
                if kind is None or frame["type"] == kind:
                    return frame
            assert event["type"] != "websocket.close", f"closed with {event['code']}, waiting for {kind}"

    async def heard(self) -> None:
        """Wait until the server has taken what was said."""
        async with asyncio.timeout(30):
            while not self.inbound.empty():  # noqa: ASYNC110 - a queue has no event for it
                await asyncio.sleep(0)
        for _ in range(5):  # and has done something about it
            await asyncio.sleep(0)

    async def closed(self) -> int:
        """Wait until the server has closed it; return the code."""
        while True:
            event = await self.event()
            if event["type"] == "websocket.close":
                return int(event["code"])

    def send(self, **frame: Any) -> None:
        self.send_text(json.dumps(frame))

    def send_text(self, text: str) -> None:
        self.inbound.put_nowait({"type": "websocket.receive", "text": text})


@dataclass(frozen=True, slots=True)
class Event:
    """A block of an event stream, by the rules of WHATWG HTML, section 9.2. A comment has no data."""

    data: str
    id: str | None
    retry: str | None

    @classmethod
    def parse(cls, block: str) -> Self:
        fields = dict(line.split(":", 1) for line in block.split("\n"))
        assert set(fields) <= {"", "id", "retry", "data"}, block
        value = {name: text.removeprefix(" ") for name, text in fields.items()}
        return cls(value.get("data", ""), value.get("id"), value.get("retry"))


class Events:
    """The client's end of an answer over HTTP, which may be an event stream."""

    def __init__(self) -> None:
        self.inbound: asyncio.Queue[Any] = asyncio.Queue()
        self.outbound: asyncio.Queue[Any] = asyncio.Queue()
        self.inbound.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        self.last_id = ""
        self.taking = asyncio.Event()
        self.taking.set()
        self._text = ""

    def leave(self) -> None:
        self.inbound.put_nowait({"type": "http.disconnect"})

    async def take(self, message: Any) -> None:
        """What the server sends. Clear `taking` for a client that reads nothing."""
        await self.taking.wait()
        self.outbound.put_nowait(message)

    async def start(self) -> tuple[int, dict[str, str]]:
        """The status and the headers of the answer."""
        message = await self._message()
        assert message["type"] == "http.response.start"
        return message["status"], {name.decode(): value.decode() for name, value in message["headers"]}

    async def problem(self) -> Json:
        """The whole body of an answer that is no stream."""
        message = await self._message()
        assert not message.get("more_body")
        body: Json = json.loads(message["body"])
        return body

    async def event(self) -> Event | None:
        """The next block; None at the end of the answer."""
        while "\n\n" not in self._text:
            message = await self._message()
            if message["type"] == "http.response.start":
                assert message["status"] == 200
                continue
            self._text += message["body"].decode()
            if not message["more_body"]:
                assert self._text == ""
                return None
        block, _, self._text = self._text.partition("\n\n")
        event = Event.parse(block)
        if event.id is not None:
            self.last_id = event.id
        return event

    async def frame(self, kind: str | None = None) -> Json:
        """The next frame; or the next of a kind, past others."""
        while True:
            event = await self.event()
            assert event is not None, f"ended, waiting for {kind}"
            if not event.data:
                continue
            frame: Json = json.loads(event.data)
            assert broken_rules(frame) == [], frame
            assert event.id == frame.get("cursor"), frame
            if kind is None or frame["type"] == kind:
                return frame

    async def _message(self) -> Any:
        async with asyncio.timeout(30):
            return await self.outbound.get()
