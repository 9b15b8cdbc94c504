"""A client that resumes: it reconnects with its cursor, as docs/live-stream.md says."""

import asyncio
import json
import random
import re
import socket
import time
from typing import Any, Protocol

from bench.checking import Told
from bench.user import User
from bench.websocket import WebSocket

_ITEM = re.compile(rb'\{"id":"([0-9a-f-]{36})","user_id":"([^"]*)","version":(\d+)')
_SENT = re.compile(rb'"sent":(\d{19})')
_CURSOR = re.compile(rb'"cursor":"([0-9a-z]+)\.(\d+)"')
_SHORTEST, _LONGEST = 0.25, 1.0
"""The pauses are shorter than real clients' are, so that a minute has many cuts."""
_OPEN_SECONDS = 10.0
_TINY_BUFFER, _TINY_SEGMENT = 4096, 536


class Journal(Protocol):
    """Keeps account of the connections of many clients."""

    def connecting(self, follower: "Follower") -> None:
        """A client opens a connection."""

    def connected(self, follower: "Follower") -> None:
        """It was welcomed."""

    def ended(self, follower: "Follower", how: str, *, welcomed: bool) -> None:
        """Its connection has ended, or could not be opened."""


class Follower:
    """One client of a user: its node, its position in the feed, and what it received."""

    def __init__(self, journal: Journal, user: User, ports: tuple[int, ...], cursor: str = "") -> None:
        self.user = user
        self.cursor = cursor
        self.told = Told(user.id.encode(), int(cursor.partition(".")[2] or 0))
        self.slow = False
        """Whether it asks the kernel for the smallest buffer, from the next connection on."""
        self.here = asyncio.Event()
        """Set while it is welcomed."""
        self.connections = 0
        self.resets = 0
        self.refused = False
        """Whether it was told not to reconnect."""
        self.told_at = 0.0
        """When it last received something new; time.perf_counter, which all processes share."""
        self.ages: list[float] = []
        """Seconds from when a notification was due to be published until it arrived, for those that carry the
        time.
        """
        self._journal = journal
        self._ports = ports
        self._tries = 0
        self._transport: Any = None

    @property
    def port(self) -> int:
        """The node it is connected to, or connects to next: the other one after each end, as with a load
        balancer.
        """
        return self._ports[0]

    async def follow(self) -> None:
        """Stay connected until told not to reconnect."""
        while not self.refused:
            bye = await self._connect_once()
            self._ports = (*self._ports[1:], self._ports[0])
            self.refused = bye.get("code", 0) >= 4500
            await asyncio.sleep(self._pause((bye.get("retry_ms") or 0) / 1000))

    def stop_reading(self) -> None:
        """Leave incoming bytes to the kernel."""
        self._transport.pause_reading()

    def read_again(self) -> None:
        """Continue reading; the connection may have ended meanwhile."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def welcome(self, payload: bytes) -> None:
        """Take the first frame of a connection."""
        if not self.cursor:
            self._keep_cursor(payload)
            self.told = Told(self.user.id.encode(), int(self.cursor.partition(".")[2]))
        elif b'"resumed":true' not in payload:
            self.resets += 1
        self.connections += 1
        self._tries = 0
        self.here.set()
        self._journal.connected(self)

    def got(self, payload: bytes) -> None:
        """Take a frame with notifications."""
        before = self.told.highest
        self.told.take(_ITEM.findall(payload))
        if self.told.highest > before:
            self.told_at = time.perf_counter()
            now = time.time_ns()
            self.ages += [(now - int(sent)) / 1e9 for sent in _SENT.findall(payload)]
        self._keep_cursor(payload)

    def lost(self) -> None:
        """Do nothing: the future that `_connect_once` awaits is set."""

    async def _connect_once(self) -> dict[str, Any]:
        """Make one connection and wait for its end. Return the `bye`, empty if there was none."""
        self._journal.connecting(self)
        made = WebSocket(self, self.user, self.cursor)
        before = self.connections
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                self._transport = await self._open(made)
                await made.welcomed
            await made.ended
        except OSError:
            pass  # counted below
        finally:
            self.here.clear()
            if self._transport is not None:
                self._transport.abort()
        welcomed = self.connections > before
        self._journal.ended(self, _how(made, welcomed), welcomed=welcomed)
        return dict(json.loads(made.bye)) if made.bye else {}

    async def _open(self, made: WebSocket) -> Any:
        opened = socket.socket()
        opened.setblocking(False)
        if self.slow:  # small segments, or the other side's buffer would be megabytes on loopback
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _TINY_BUFFER)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _TINY_SEGMENT)
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(opened, ("127.0.0.1", self.port))
        except BaseException:
            opened.close()
            raise
        return (await loop.create_connection(lambda: made, sock=opened))[0]

    def _keep_cursor(self, payload: bytes) -> None:
        """Keep the newest cursor: a repeated frame must not move it back."""
        for epoch, version in _CURSOR.findall(payload)[-1:]:
            if not self.cursor or int(version) >= int(self.cursor.partition(".")[2]):
                self.cursor = f"{epoch.decode()}.{version.decode()}"

    def _pause(self, at_least: float) -> float:
        """The pause that the service asked for, plus full jitter over a growing length."""
        ceiling = min(_LONGEST, _SHORTEST * 2**self._tries)
        self._tries += 1
        return at_least + random.uniform(0, ceiling)


def _how(made: WebSocket, welcomed: bool) -> str:
    """How a connection ended, in a word."""
    if made.code is not None:
        return str(made.code)
    if welcomed:
        return "cut"
    return {"": "not answered", "101": "not welcomed"}.get(made.status, f"HTTP {made.status}")
