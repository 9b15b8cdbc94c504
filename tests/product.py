"""The product as its users meet it: API and consumer as processes, a client on a socket, and checks of
what the stores hold in the end.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import asyncpg
import httpx
from redis.asyncio import Redis
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from entrypoints.container import build
from entrypoints.embedded import free_port
from entrypoints.processes import Process
from entrypoints.settings import Settings
from entrypoints.setup import migrate

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 45.0
SETTLE_SECONDS = 90.0

Json = dict[str, Any]


class Product:
    """Processes of one installation. Stopped in the end, whatever happened."""

    def __init__(self, folder: Path, environment: Mapping[str, str], settings: Settings) -> None:
        self.folder = folder
        self.settings = settings
        self.api_key = ""
        self._environment = {**os.environ, **environment, "PYTHONPATH": str(ROOT / "src")}
        self._started: list[Process] = []

    async def prepare(self) -> None:
        """Migrate, and make a key for a producer that may do everything."""
        await asyncio.to_thread(migrate, self.settings)
        container = build(self.settings)
        try:
            scopes = frozenset({"publish", "users"})
            _, self.api_key = await container.create_api_key()("test", scopes)
        finally:
            await container.maintenance().close()

    async def api(self) -> "Api":
        port = free_port()
        process = await self._start("api", {"BELLWIRE_PORT": str(port)}, port)
        return Api(process, f"http://127.0.0.1:{port}", self)

    async def consumer(self, *, group: str | None = None, until: str = "ready") -> Process:
        """A consumer of the installation's group or another; one that is only `live` need not read yet."""
        port = free_port()
        chosen = {"BELLWIRE_KAFKA_GROUP": group} if group else {}
        return await self._start("consumer", {"BELLWIRE_CONSUMER_PORT": str(port), **chosen}, port, until)

    async def stop(self) -> None:
        for process in reversed(self._started):
            await asyncio.to_thread(process.stop)

    def token(self, user: str) -> str:
        container = build(self.settings)
        return container.tokens().mint(user, container.clock()())[0]  # type: ignore[arg-type]

    async def _start(
        self, command: str, environment: Mapping[str, str], port: int, until: str = "ready"
    ) -> Process:
        process = Process(
            f"{command} {len(self._started)}",
            [sys.executable, "-m", "bellwire", command],
            log=self.folder / f"{command}-{len(self._started)}.log",
            environment={**self._environment, **environment},
        )
        self._started.append(process)
        process.start()
        await _healthy(process, port, until)
        return process


async def _healthy(process: Process, port: int, what: str) -> None:
    """Wait until the process says that it runs (`live`), or can do its work (`ready`)."""

    async def answers() -> bool:
        assert process.running, process.log_tail()
        async with httpx.AsyncClient() as client:
            try:
                return (await client.get(f"http://127.0.0.1:{port}/health/{what}")).status_code == 200
            except httpx.TransportError:
                return False

    await eventually(answers, f"{process.name} is {what}", START_SECONDS)


@dataclass
class Api:
    """A running API process."""

    process: Process
    url: str
    product: Product

    @asynccontextmanager
    async def client(self, user: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
        """A client with a producer's key, and the token of a user."""
        headers = {"X-API-Key": self.product.api_key}
        if user:
            headers["Authorization"] = f"Bearer {self.product.token(user)}"
        async with httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30) as client:
            yield client

    def follow(self, user: str, *, query: str = "") -> "Follower":
        return Follower(self, user, query)


async def create_users(client: httpx.AsyncClient, users: Sequence[str]) -> None:
    for user in users:
        response = await client.post("/v1/users", json={"id": user, "name": user})
        assert response.status_code == 201, response.text


@dataclass
class Follower:
    """A client that keeps the contract: it resumes by cursor, and checks that no frame leaves a hole."""

    api: Api
    user: str
    query: str = ""
    cursor: str | None = None
    frames: list[Json] = field(default_factory=list)
    created: dict[str, int] = field(default_factory=dict)
    """The ids that came as notifications, with the version they came with first."""
    items: dict[str, Json] = field(default_factory=dict)
    holes: list[str] = field(default_factory=list)
    connections: int = 0
    _socket: ClientConnection | None = None
    _task: "asyncio.Task[None] | None" = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        await eventually(lambda: self.cursor is not None, f"{self.user} is welcomed")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        outcome = (await asyncio.gather(self._task, return_exceptions=True))[0]
        assert isinstance(outcome, asyncio.CancelledError), outcome

    async def send(self, **frame: Any) -> None:
        assert self._socket is not None
        await self._socket.send(json.dumps(frame))

    async def seen(self, condition: Callable[[Json], bool], what: str) -> Json:
        """Wait for a frame, also one that came before."""
        await eventually(lambda: any(map(condition, self.frames)), f"{self.user} sees {what}")
        return next(filter(condition, self.frames))

    async def _run(self) -> None:
        while True:
            try:
                await self._connect_once()
            except (ConnectionClosed, OSError, TimeoutError):
                await asyncio.sleep(0.1)

    async def _connect_once(self) -> None:
        token = self.api.product.token(self.user)
        query = "&".join(filter(None, [self.query, f"cursor={self.cursor}" if self.cursor else ""]))
        url = f"{self.api.url.replace('http', 'ws')}/ws/{self.user}?{query}"
        headers = {"Authorization": f"Bearer {token}"}
        async with connect(url, additional_headers=headers, open_timeout=10) as self._socket:
            self.connections += 1
            async for text in self._socket:
                self._take(json.loads(text))

    def _take(self, frame: Json) -> None:
        self.frames.append(frame)
        if frame["type"] in {"welcome", "reset"}:
            self.cursor = frame["cursor"]
        elif frame["type"] in {"notifications", "update"}:
            if frame["prev"] != self.cursor:
                self.holes.append(f"{frame['prev']} does not follow {self.cursor}")
            self.cursor = frame["cursor"]
            for item in frame.get("items", ()):
                self.items[item["id"]] = item
                self.created.setdefault(item["id"], item["version"])
            for identifier in frame.get("ids", ()):
                if identifier in self.items:
                    self.items[identifier] |= frame["set"]


async def eventually(condition: Callable[[], Any], what: str, seconds: float = SETTLE_SECONDS) -> None:
    """Wait for a condition, plain or awaitable."""
    deadline = time.monotonic() + seconds
    while True:
        met = condition()
        if asyncio.iscoroutine(met):
            met = await met
        if met:
            return
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.05)


class Stores:
    """What PostgreSQL and Redis hold."""

    def __init__(self, postgres: "asyncpg.Pool[Any]", redis: "Redis", prefix: str) -> None:
        self.postgres = postgres
        self.redis = redis
        self._prefix = prefix

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator[Self]:
        url = settings.postgres_url.replace("+asyncpg", "")
        async with asyncpg.create_pool(url, min_size=1, max_size=2) as pool:
            redis = Redis.from_url(settings.redis_url)
            try:
                yield cls(pool, redis, settings.redis_prefix)
            finally:
                await redis.aclose()

    async def count(self) -> int:
        return int(await self.postgres.fetchval("SELECT count(*) FROM notifications"))

    async def ids(self) -> list[str]:
        return [str(row["id"]) for row in await self.postgres.fetch("SELECT id FROM notifications")]

    async def broken_feeds(self) -> list[str]:
        """Feeds whose versions collide, pass the feed's own, or whose count is wrong."""
        rows = await self.postgres.fetch(
            """
            SELECT f.user_id, f.version, f.unread_count, count(n.id) AS stored,
                count(DISTINCT n.version) AS versions, coalesce(max(n.version), 0) AS highest,
                count(n.id) FILTER (
                    WHERE read_at IS NULL AND archived_at IS NULL AND retracted_at IS NULL
                ) AS unread
            FROM feeds f LEFT JOIN notifications n USING (user_id) GROUP BY f.user_id
            """
        )
        return [
            str(dict(row))
            for row in rows
            if row["stored"] != row["versions"]
            or row["highest"] != row["version"]
            or row["unread"] != row["unread_count"]
        ]

    async def disagreements(self) -> list[str]:
        """Users for whom the unread index says other than PostgreSQL."""
        wrong = []
        for feed in await self.postgres.fetch("SELECT * FROM feeds"):
            user = feed["user_id"]
            held: Any = await self.redis.hgetall(f"{self._prefix}:feed:{user}")
            if not held:
                continue
            items: Any = await self.redis.zrange(f"{self._prefix}:unread:{user}", 0, -1, desc=True)
            unread = await self.postgres.fetch(
                """
                SELECT id FROM notifications WHERE user_id = $1 AND read_at IS NULL
                AND archived_at IS NULL AND retracted_at IS NULL ORDER BY id DESC
                """,
                user,
            )
            expected = [str(row["id"]) for row in unread]
            indexed = [json.loads(item)["id"] for item in items]
            told = int(held[b"v"]), int(held[b"n"]), held[b"e"].decode()
            if told != (feed["version"], feed["unread_count"], feed["epoch"]):
                wrong.append(f"{user}: index is at {told}, feed at {dict(feed)}")
            elif indexed != expected[: len(indexed)] or (held[b"c"] == b"1" and indexed != expected):
                wrong.append(f"{user}: index holds {len(indexed)}, {len(expected)} are unread")
        return wrong
