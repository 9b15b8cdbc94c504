"""Queue and event for one socket, with little memory, for one reader or a few writers."""

import asyncio
from typing import Any


class Inbox:
    """Unread messages of a peer. Replaces the asyncio.Queue of uvicorn, for one reader."""

    __slots__ = ("_events", "_reader")

    def __init__(self) -> None:
        self._events: list[Any] = []
        self._reader: asyncio.Future[None] | None = None

    def empty(self) -> bool:
        """Whether everything has been read."""
        return not self._events

    def put_nowait(self, event: Any) -> None:
        """Add a message."""
        self._events.append(event)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def get(self) -> Any:
        """Wait for the oldest message and take it."""
        while not self._events:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self._events.pop(0)


class Gate:
    """Whether the transport accepts more. Replaces the asyncio.Event of uvicorn."""

    __slots__ = ("_open", "_waiting")

    def __init__(self) -> None:
        self._open = False
        self._waiting: list[asyncio.Future[None]] = []

    def is_set(self) -> bool:
        """Whether the gate is open."""
        return self._open

    def set(self) -> None:
        """Open the gate and let all waiters pass."""
        self._open = True
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    def clear(self) -> None:
        """Close the gate."""
        self._open = False

    async def wait(self) -> None:
        """Wait until the gate is open."""
        if not self._open:
            future = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future
