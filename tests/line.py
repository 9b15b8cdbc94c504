"""The other side of a client's stream, scripted: in memory and in virtual time."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

from bellwire_client import Bellwire, Event, Stream
from bellwire_client.errors import ConnectionLost
from bellwire_client.tokens import Token
from bellwire_client.websocket import Socket
from tests.simulation.loop import SimulatedLoop

Json = dict[str, Any]

SCHEDULES = 8
PING_SECONDS = 25


class Line:
    """One connection, as the service sees it."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self.url = url
        self.query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        self.token = headers["Authorization"].removeprefix("Bearer ")
        self.sent: list[Json] = []
        self.read = 0
        self.open = True
        self.opened_at = self.closed_at = asyncio.get_running_loop().time()
        self._coming: asyncio.Queue[str | Exception] = asyncio.Queue()
        self._sent = asyncio.Event()

    # --- what the client does ---

    async def receive(self) -> str:
        item = await self._coming.get()
        if isinstance(item, Exception):
            self._coming.put_nowait(item)
            raise item
        self.read += 1
        return item

    async def send(self, text: str) -> None:
        assert len(text.encode()) <= 4096
        self.sent.append(json.loads(text))
        self._sent.set()

    # --- what the service does ---

    def say(self, kind: str, **frame: Any) -> None:
        self._coming.put_nowait(json.dumps({"type": kind, **frame}))

    def garble(self, text: str) -> None:
        self._coming.put_nowait(text)

    def end(self, error: Exception) -> None:
        self._coming.put_nowait(error)

    def lose(self) -> None:
        self.end(ConnectionLost("it broke"))

    def bye(self, code: int, retry_ms: int | None = None) -> None:
        self.say("bye", code=code, reason=f"because of {code}", retry_ms=retry_ms, resume=code < 4500)

    def welcome(
        self, version: int = 0, *, resumed: bool | None = None, epoch: str = "e", expires: int = 3600
    ) -> None:
        self.say(
            "welcome",
            session="s",
            cursor=f"{epoch}.{version}",
            **counts(version),
            preferences_version=0,
            ping_interval=PING_SECONDS,
            token_expires_in=expires,
            resumed="cursor" in self.query if resumed is None else resumed,
            server="n",
        )

    def notify(self, *versions: int, replay: bool = False, prev: int | None = None) -> None:
        self.say(
            "notifications",
            items=[item(version) for version in versions],
            prev=f"e.{versions[0] - 1 if prev is None else prev}",
            cursor=f"e.{versions[-1]}",
            **counts(versions[-1]),
            **({"replay": True} if replay else {}),
        )

    async def taken(self) -> None:
        """Wait until the client has read all that was said."""
        while not self._coming.empty():  # noqa: ASYNC110 - time is virtual
            await asyncio.sleep(0.01)

    async def asked(self, number: int = 1) -> Json:
        """Wait for the client's nth frame."""
        while len(self.sent) < number:
            self._sent.clear()
            await self._sent.wait()
        return self.sent[number - 1]


class Lines:
    """The connections that a client opens, in order; each is open until the client leaves it."""

    def __init__(self) -> None:
        self.all: list[Line] = []
        self.failures: list[Exception] = []
        """What the next ones fail with."""
        self._opened = asyncio.Event()

    @asynccontextmanager
    async def open(self, url: str, headers: Mapping[str, str]) -> AsyncIterator[Socket]:
        if self.failures:
            raise self.failures.pop(0)
        line = Line(url, headers)
        self.all.append(line)
        self._opened.set()
        try:
            yield line
        finally:
            line.open = False
            line.closed_at = asyncio.get_running_loop().time()

    async def line(self, number: int = 1) -> Line:
        """Wait for the nth connection."""
        while len(self.all) < number:
            self._opened.clear()
            await self._opened.wait()
        return self.all[number - 1]

    def stream(
        self,
        *,
        token: Token = "t",
        cursor: str | None = None,
        random: Callable[[], float] = lambda: 0.5,
    ) -> Stream:
        client = Bellwire("http://b.test", token=token, open_socket=self.open, random=random)
        return client.stream("ada", cursor=cursor)


def counts(number: int) -> Json:
    """Counts of which all are unseen, and of one category."""
    return {"unread_count": number, "unseen_count": number, "unread_in": {"tick": number} if number else {}}


def item(version: int, **fields: Any) -> Json:
    return {
        "id": f"id-{version:05}",
        "user_id": "ada",
        "version": version,
        "event": "tick",
        "category": "tick",
        "title": None,
        "message": f"tick {version}",
        "metadata": {},
        "action_url": None,
        "created_at": "2026-11-22T10:09:43.177090Z",
        "seen_at": None,
        "read_at": None,
        "archived_at": None,
        "retracted_at": None,
        "expires_at": None,
        **fields,
    }


async def following(stream: Stream, kind: type[Event]) -> Any:
    """The next event of a kind; what comes before it is passed over."""
    async for event in stream:
        if isinstance(event, kind):
            return event
    raise AssertionError(f"the stream ended before a {kind.__name__}")


Scenario: TypeAlias = Callable[[Lines], Coroutine[Any, Any, None]]


def in_virtual_time(scenario: Scenario) -> Callable[[], None]:
    """Make a test of a scenario."""

    def test() -> None:
        play(scenario)

    test.__doc__ = scenario.__doc__
    return test


def play(scenario: Scenario) -> None:
    """Run it in several orders of what could run next. None may leave a task or a connection behind."""
    for seed in range(SCHEDULES):
        loop = SimulatedLoop(Random(seed))
        try:
            left = loop.run_until_complete(_alone(scenario))
        finally:
            loop.bury()
        assert not left, f"schedule {seed}"


async def _alone(scenario: Scenario) -> list[Any]:
    lines = Lines()
    await scenario(lines)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    return [*others, *(line for line in lines.all if line.open)]
