"""Live connections on any ASGI server: a queue, and a task that sends its contents."""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from adapters.websocket.bounds import check_room
from application.pace import Pace
from application.ports import Monotonic
from application.streams import Lagging, TooFast

CLOSE_SECONDS = 30.0
"""How long a client may take to read its last frames and the close."""


class AsgiConnection(ABC):
    """The base of the Connections for WebSockets and for event streams."""

    close_seconds = CLOSE_SECONDS

    def __init__(
        self,
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
        now: Monotonic,
    ) -> None:
        """`now` returns monotonic seconds."""
        self._now = now
        self._receive = receive
        self._send = send
        self._waiting: deque[tuple[Any, int]] = deque()
        self._bytes = 0
        self._closing = False
        self._gone = asyncio.get_running_loop().create_future()
        self._empty = asyncio.Event()
        self._empty.set()
        self._writer: asyncio.Task[None] | None = None
        self.stalled_since = 0.0

    @property
    def queued(self) -> int:
        return self._bytes

    def send(self, text: str, cursor: str = "") -> None:
        if not self._closing and not self._gone.done():
            check_room(len(self._waiting), self._bytes, len(text))
            self._put(self._event(text, cursor), len(text))

    @abstractmethod
    def ping(self) -> bool: ...

    async def flowing(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        except TimeoutError:
            raise Lagging from None

    async def receive(self) -> str | bytes | None:
        hearing = asyncio.ensure_future(self._hear())
        try:
            await asyncio.wait([hearing, self._gone], return_when=asyncio.FIRST_COMPLETED)
            if not hearing.done():
                return None
            said = hearing.result()
            if said is None:
                self._end()
            return said
        finally:
            hearing.cancel()

    def close(self, code: int, reason: str, bye: str) -> None:
        if self._closing or self._gone.done():
            return
        self._closing = True
        if self.stalled_since:  # a slow client gets the rest when it resumes
            self._waiting.clear()
            self._bytes = 0
        self._put(self._event(bye, ""), len(bye))
        self._put(self._end_event(code, reason), 0)
        asyncio.get_running_loop().call_later(self.close_seconds, self._cut_off)

    @abstractmethod
    def _event(self, text: str, cursor: str) -> Any:
        """Return the ASGI event that carries a frame."""

    @abstractmethod
    def _end_event(self, code: int, reason: str) -> Any:
        """Return the ASGI event that ends the connection."""

    @abstractmethod
    async def _hear(self) -> str | bytes | None:
        """Return the client's next message; None once it has gone."""

    def _cut_off(self) -> None:
        """Drop a client that has not taken its last frames in time."""
        self._end()

    def _put(self, event: Any, size: int) -> None:
        self._waiting.append((event, size))
        self._bytes += size
        self._empty.clear()
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        try:
            while self._waiting:
                event, size = self._waiting.popleft()
                self.stalled_since = self._now()
                await self._send(event)
                self.stalled_since = 0.0
                self._bytes = max(0, self._bytes - size)
            self._empty.set()
        except Exception:  # noqa: BLE001 - each server raises its own error for a client that has gone
            self._end()
        else:
            if self._closing:
                self._end()
        finally:
            self._writer = None

    def _end(self) -> None:
        """Stop sending and receiving."""
        self._waiting.clear()
        self._bytes = 0
        self._empty.set()
        if not self._gone.done():
            self._gone.set_result(None)
        if self._writer is not None and self._writer is not asyncio.current_task():
            self._writer.cancel()


class SocketConnection(AsgiConnection):
    """A Connection of an accepted ASGI WebSocket. It knows of no frames but messages."""

    def __init__(
        self,
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
        now: Monotonic,
        pace: Pace,
    ) -> None:
        super().__init__(receive, send, now)
        self._pace = pace

    def ping(self) -> bool:
        self.send('{"type":"ping"}')
        return True

    def _event(self, text: str, cursor: str) -> Any:
        return {"type": "websocket.send", "text": text}

    def _end_event(self, code: int, reason: str) -> Any:
        return {"type": "websocket.close", "code": code, "reason": reason}

    async def _hear(self) -> str | bytes | None:
        event = await self._receive()
        if event["type"] != "websocket.receive":
            return None
        if not self._pace.left():
            raise TooFast
        self._pace.take(1)
        text: str | None = event.get("text")
        said: str | bytes = event["bytes"] if text is None else text
        return said
