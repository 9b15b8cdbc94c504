"""The commands of a client on its stream: marks, and another token."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from application.credentials import Claims
from application.errors import NotAuthenticated, Unavailable
from domain.errors import DomainError
from domain.identifiers import NotificationId
from domain.states import Mark
from entrypoints.live import outgoing
from entrypoints.live.frames import (
    INBOUND_BYTES,
    Act,
    Command,
    Pong,
    Refresh,
    Snooze,
    Unsnooze,
    decode,
    ref_of,
)
from entrypoints.live.streaming import Streaming

_VIEW_BATCH: Final = 100


class Commands:
    """Carries out the commands of one client."""

    __slots__ = ("_with", "claims")

    def __init__(self, streaming: Streaming, claims: Claims) -> None:
        self._with = streaming
        self.claims = claims
        """The claims of the client's token. `refresh` replaces them by those of another token."""

    @property
    def token_seconds(self) -> int:
        """How long the token is still valid."""
        return int((self.claims.expires_at - self._with.clock()).total_seconds())

    async def handle(self, message: str | bytes) -> outgoing.Body | None:
        """Carry out what the client sent. Returns the answer, if there is one."""
        if len(message if isinstance(message, bytes) else message.encode()) > INBOUND_BYTES:
            return outgoing.error(ref_of(message), "too_large", f"a frame has at most {INBOUND_BYTES} bytes")
        try:
            command = decode(message)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            return outgoing.error(ref_of(message), "bad_frame", str(error))
        return None if isinstance(command, Pong) else await self._answer(command)

    async def view(self, ids: list[str], send: Callable[[outgoing.Body], None]) -> None:
        """Mark delivered notifications read until the list is empty; ids may be added to it meanwhile.
        Errors are sent with `send`.
        """
        while ids:
            chunk = ids[:_VIEW_BATCH]
            try:
                viewed = [NotificationId(UUID(item)) for item in chunk]
                await self._with.mark_notifications(self.claims.user_id, Mark.READ, viewed)
            except Unavailable as error:
                send(outgoing.error(None, "unavailable", error.detail, temporary=True))
            del ids[: len(chunk)]

    async def _answer(self, command: Command) -> outgoing.Body | None:
        try:
            answer = await self._carry_out(command)
        except (DomainError, NotAuthenticated) as error:
            return outgoing.error(command.ref, "refused", error.detail)
        except Unavailable as error:
            return outgoing.error(command.ref, "unavailable", error.detail, temporary=True)
        return None if command.ref is None else outgoing.ok(command.ref, answer)

    def _carry_out(self, command: Command) -> Awaitable[Mapping[str, int]]:
        match command:
            case Refresh():
                return self._refresh(command)
            case Act():
                return self._act(command)
            case Snooze():
                return self._mark(Mark.SNOOZED, command.ids, until=command.until)
            case Unsnooze():
                return self._mark(Mark.WOKEN, command.ids)
            case _:
                return self._mark(command.mark, command.ids, command.up_to, category=command.category)

    async def _refresh(self, command: Refresh) -> Mapping[str, int]:
        claims = await self._with.authenticate.token(command.token)
        if claims.user_id != self.claims.user_id:
            raise NotAuthenticated("This token belongs to another user.")
        self.claims = claims
        return {"changed": 0, "token_expires_in": self.token_seconds}

    async def _mark(
        self,
        mark: Mark,
        ids: Sequence[NotificationId] | None,
        up_to: str | None = None,
        *,
        category: str | None = None,
        until: datetime | None = None,
    ) -> Mapping[str, int]:
        marked = await self._with.mark_notifications(
            self.claims.user_id, mark, ids, up_to, category=category, until=until
        )
        return {"changed": marked.changed}

    async def _act(self, command: Act) -> Mapping[str, int]:
        acted = await self._with.act(self.claims.user_id, command.id, command.action)
        return {"changed": int(acted.changed)}
