"""Notifications one by one at a steady rate, whatever the answers do: an open loop."""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

import httpx

from tests.load import Load
from tests.product import Api

_ANSWER_SECONDS = 60.0

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class PacedLoad(Load):
    """Publishes on time until it is left, on as many connections as answers are awaited, up to a limit."""

    def __init__(
        self,
        api: Api,
        client: httpx.AsyncClient,
        users: Sequence[str],
        *,
        per_second: int,
        most_connections: int,
    ) -> None:
        super().__init__(client, users, size=1)
        self._port = api.process.port
        self._key = api.product.api_key
        self._per_second = per_second
        self._most = most_connections
        self._idle: list[Connection] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self.unknown = 0
        """Publishes whose connection was lost."""
        self.not_sent = 0
        """Publishes that were due while all connections were taken."""
        self.most_awaited = 0
        """How many answers were awaited at once, at most."""
        self.accepted_at: list[float] = []
        self.seconds_to_refuse: list[float] = []

    async def _run(self) -> None:
        started, due = time.monotonic(), 0
        while not self._stopping:
            while due < (time.monotonic() - started) * self._per_second:
                due += 1
                if len(self._under_way) >= self._most:
                    self.not_sent += 1
                    continue
                task = asyncio.create_task(self._publish())
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
            self.most_awaited = max(self.most_awaited, len(self._under_way))
            await asyncio.sleep(0.01)
        await asyncio.gather(*self._under_way)
        for _, writer in self._idle:
            writer.close()

    async def _publish(self) -> None:
        number = next(self._numbers)
        user = self._users[number % len(self._users)]
        message = f"number {number}"
        self.attempted.add(message)
        body = json.dumps({"user_id": user, "event": "load.sent", "message": message}).encode()
        started = time.monotonic()
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                status, answer = await self._exchange(body)
        except (OSError, EOFError):
            self.unknown += 1
            return
        now = time.monotonic()
        if status == 202:
            self.accepted[user].append(answer["id"])
            self.accepted_at.append(now)
        else:
            assert status == 503, answer
            assert answer["id"], answer
            self.refused += 1
            self.seconds_to_refuse.append(now - started)

    async def _exchange(self, body: bytes) -> tuple[int, Any]:
        reader, writer = await self._connection()
        head = (
            f"POST /v1/notifications HTTP/1.1\r\nHost: test\r\nX-API-Key: {self._key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        try:
            writer.write(head.encode() + body)
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            answer = await reader.readexactly(int(lines.partition("content-length:")[2].split()[0]))
        except BaseException:
            writer.close()
            raise
        self._idle.append((reader, writer))
        return int(lines.split()[1]), json.loads(answer)

    async def _connection(self) -> Connection:
        """The one that was used last: a server closes those that were not used for some seconds."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self._port)
