"""The objects that the application holds for its streams."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from application.accounts import AuthenticateUser
from application.audit import Entry, note
from application.errors import Unavailable
from application.ports import AuditTrail, Connection, EventStream
from entrypoints.live.sessions import Sessions

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """The sessions of this process, and what is needed to begin one."""

    sessions: Sessions
    authenticate: AuthenticateUser
    origins: frozenset[str]
    """Origins of pages that may connect, besides the API's own."""
    connect: Callable[[Any, Any, Any], Connection]
    """Makes the connection of an accepted WebSocket from its ASGI scope, receive and send."""
    connect_events: Callable[[Any, Any, Any], EventStream]
    """The same for server-sent events."""
    workers: int
    """How many processes share the port."""
    drain_seconds: float
    drain_delay_seconds: float
    audit: AuditTrail | None = None

    def drain(self) -> "asyncio.Task[None]":
        """See Sessions.drain."""
        return self.sessions.drain(self.drain_seconds, self.drain_delay_seconds)

    async def record(self, entry: Entry) -> None:
        """Write an entry of the audit trail. A drain must not wait for the store, nor fail with it."""
        try:
            if self.audit is not None:
                await self.audit.add(entry)
        except Unavailable as error:
            logger.warning("an entry of the audit trail was only logged: %s", error)
        note(entry)
