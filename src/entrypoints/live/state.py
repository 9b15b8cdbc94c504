"""What the application holds for its streams."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from application.accounts import AuthenticateUser
from application.ports import Connection, EventStream
from entrypoints.live.sessions import Sessions


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """The sessions of this process, and how one begins."""

    sessions: Sessions
    authenticate: AuthenticateUser
    origins: frozenset[str]
    """Of pages that may connect, besides our own."""
    connect: Callable[[Any, Any, Any], Connection]
    """Makes the connection of an accepted WebSocket from its ASGI scope, receive and send."""
    connect_events: Callable[[Any, Any, Any], EventStream]
    """The same for an answer over HTTP."""
    workers: int
    """How many processes share the port."""
    drain_seconds: float
    drain_delay_seconds: float

    def drain(self) -> "asyncio.Task[None]":
        """See Sessions.drain."""
        return self.sessions.drain(self.drain_seconds, self.drain_delay_seconds)
