"""Waiting on a socket, for one reader or a few writers, in little memory."""

import asyncio
from typing import Any


class Inbox:
    """What a peer said and nobody has read. Does what uvicorn asks of an asyncio.Queue, for one reader."""

    __slots__ = ("_events", "_reader")

    def __init__(self) -> None:
        self._events: list[Any] = []
        self._reader: asyncio.Future[None] | None = None

    def empty(self) -> bool:
        """Whether all has been read."""
        return not self._events

    def put_nowait(self, event: Any) -> None:
        """Add what was said last."""
        self._events.append(event)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def get(self) -> Any:
        """Wait for what was said first, and take it."""
        while not self._events:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self._events.pop(0)


class Gate:
    """Whether the transport takes more. Does what uvicorn asks of an asyncio.Event."""

    __slots__ = ("_open", "_waiting")

    def __init__(self) -> None:
        self._open = False
        self._waiting: list[asyncio.Future[None]] = []

    def is_set(self) -> bool:
        """Whether nobody has to wait."""
        return self._open

    def set(self) -> None:
        """Let all pass."""
        self._open = True
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def clear(self) -> None:
        """Let nobody pass until it is set."""
        self._open = False

    async def wait(self) -> None:
        """Pass, now or once it is set."""
        if not self._open:
            future = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future
