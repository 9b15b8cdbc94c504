"""A session: one client on one feed.

It holds the position up to which its client has been told everything; a frame that follows that position is
passed on, one from before it is dropped, and one that leaves a hole makes the session read what is missing
from the store.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from time import monotonic
from typing import Any
from uuid import UUID

import msgspec
from litestar import WebSocket

from adapters import metrics, wire
from application.accounts import AuthenticateUser
from application.errors import NotAuthenticated, Unavailable
from application.inbox import CatchUp, MarkNotifications
from application.ports import Claims, Clock, FeedHistory, Feeds, Frame, Lagging, LiveFeed, Subscription
from domain.errors import DomainError, FieldError, Invalid
from domain.feed import Cursor, Feed
from domain.identifiers import NotificationId
from domain.notification import Mark
from entrypoints.live.frames import (
    INBOUND_BYTES,
    NO_PONG,
    TOKEN_EXPIRED,
    Archive,
    Close,
    Command,
    Pong,
    Read,
    Refresh,
    Unarchive,
    Unread,
    decode,
    ref_of,
)

PING_SECONDS = 25
PONG_SECONDS = 8
# How long a client may leave what was sent to it unread once the kernel's buffers are full.
SEND_SECONDS = 5
# How many sessions of this process read from the store at once, when all of them missed something.
_CATCH_UPS_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Streaming:
    """What sessions need: the use cases, and what they share in a process."""

    authenticate: AuthenticateUser
    live_feed: LiveFeed
    feeds: Feeds
    catch_up: CatchUp
    mark: MarkNotifications
    clock: Clock
    origins: frozenset[str]
    server: str
    catching_up: asyncio.Semaphore


def streaming(**parts: Any) -> Streaming:
    """Build what the sessions of a process share."""
    return Streaming(**parts, server=secrets.token_hex(4), catching_up=asyncio.Semaphore(_CATCH_UPS_AT_ONCE))


@dataclass(frozen=True, slots=True)
class Hello:
    """What a client asked for when it connected."""

    claims: Claims
    cursor: Cursor | None
    auto: bool


class Session:
    """One client on one feed."""

    def __init__(self, socket: WebSocket[Any, Any, Any], streaming: Streaming, hello: Hello) -> None:
        self._socket = socket
        self._with = streaming
        self._user = hello.claims.user_id
        self._expires_at: datetime = hello.claims.expires_at
        self._asked = hello.cursor
        self._auto = hello.auto
        self._epoch = ""
        self._version = 0
        self._last_inbound = self._last_outbound = monotonic()
        self._last_ping = 0.0

    async def run(self) -> None:
        """Serve until either side ends it. Raises Close, Lagging, Unavailable or WebSocketDisconnect."""
        async with self._with.live_feed.subscribe(self._user) as subscription:
            await self._welcome()
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._read())
                    await self._write(subscription)
            except ExceptionGroup as ended:
                raise ended.exceptions[0] from None

    # --- out ---

    async def _welcome(self) -> None:
        """Greet, and bring the client up to date. The subscription is open already, so nothing falls
        between what is read here and what comes live.
        """
        feed = await self._with.feeds.feed(self._user)
        asked = self._asked
        reset = None
        if asked is not None and asked.epoch != feed.epoch:
            reset = "epoch"
        elif asked is not None and asked.version > feed.version:
            reset = "future"
        resumed = asked is not None and reset is None
        self._epoch = feed.epoch
        self._version = asked.version if asked is not None and resumed else feed.version
        await self._send(
            {
                "type": "welcome",
                "session": secrets.token_hex(16),
                "cursor": str(Cursor(self._epoch, self._version)),
                "unread_count": feed.unread_count,
                "ping_interval": PING_SECONDS,
                "token_expires_in": self._token_seconds(),
                "resumed": resumed,
                "server": self._with.server,
            }
        )
        if reset is not None:
            await self._reset(feed, reset)
        elif resumed:
            await self._catch_up("resume", announce=True)

    async def _write(self, subscription: Subscription) -> None:
        while True:
            received = await subscription.next(self._patience())
            if received.missed:
                await self._catch_up("carrier")
            for frame in received.frames:
                await self._forward(frame)
            await self._keep_alive(idle=not received.frames)

    async def _forward(self, frame: Frame) -> None:
        if frame.epoch == self._epoch and frame.version <= self._version:
            return
        if frame.epoch != self._epoch or frame.prev != self._version or not frame.text:
            await self._catch_up("gap")
            return
        await self._send_text(frame.text)
        self._version = frame.version
        if self._auto and frame.unread_ids:
            await self._view(frame.unread_ids)

    async def _view(self, ids: Sequence[str]) -> None:
        """Delivery is viewing: mark what was just delivered."""
        for start in range(0, len(ids), 100):
            chunk = [NotificationId(UUID(item)) for item in ids[start : start + 100]]
            try:
                await self._with.mark(self._user, Mark.READ, chunk)
            except Unavailable as error:
                await self._error(None, "unavailable", error.detail, temporary=True)

    async def _catch_up(self, reason: str, *, announce: bool = False) -> None:
        """Send what changed after the client's position, from the store."""
        start = self._version
        feed = None
        pages = self._with.catch_up(self._user, start)
        while (page := await self._next_page(pages)) is not None:
            feed = page.feed
            if feed.epoch != self._epoch or feed.version < self._version:
                await self._reset(feed, "epoch")
                return
            end = page.notifications[-1].version if page.more else feed.version
            if page.notifications:
                items = [wire.render(item) for item in page.notifications]
                upto = replace(feed, version=end)
                await self._send_text(wire.notifications_frame(upto, self._version, items, replay=True))
            self._version = end
        if feed is not None and (announce or self._version != start):
            metrics.CATCH_UPS.labels(reason).inc()
            await self._send(
                {"type": "replayed", "cursor": str(feed.cursor), "unread_count": feed.unread_count}
            )

    async def _next_page(self, pages: AsyncIterator[FeedHistory]) -> FeedHistory | None:
        """Read the next page in our turn; a client that takes it slowly does not make the others wait."""
        async with self._with.catching_up:
            return await anext(pages, None)

    async def _reset(self, feed: Feed, reason: str) -> None:
        """Have the client reload over REST; live from here."""
        self._epoch, self._version = feed.epoch, feed.version
        await self._send(
            {
                "type": "reset",
                "cursor": str(feed.cursor),
                "unread_count": feed.unread_count,
                "reason": reason,
            }
        )

    async def _keep_alive(self, *, idle: bool) -> None:
        if self._token_seconds() <= 0:
            raise Close(TOKEN_EXPIRED, "the token has expired")
        silence = monotonic() - self._last_outbound
        waiting = self._last_inbound < self._last_ping
        if waiting and monotonic() - self._last_ping >= PONG_SECONDS:
            raise Close(NO_PONG, "no pong came back")
        if idle and not waiting and silence >= PING_SECONDS:
            await self._send({"type": "ping"})
            self._last_ping = monotonic()

    def _patience(self) -> float:
        """How long to wait for frames before something else is due."""
        if self._last_inbound < self._last_ping:
            due = self._last_ping + PONG_SECONDS
        else:
            due = self._last_outbound + PING_SECONDS
        return max(0.05, min(due - monotonic(), self._token_seconds()))

    def _token_seconds(self) -> int:
        return int((self._expires_at - self._with.clock()).total_seconds())

    async def _send(self, frame: dict[str, object]) -> None:
        await self._send_text(wire.text(frame))

    async def _send_text(self, text: str) -> None:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._socket.send_data(text)
        except TimeoutError:
            raise Lagging from None
        self._last_outbound = monotonic()

    async def _error(self, ref: object, code: str, detail: str, *, temporary: bool = False) -> None:
        frame = {"type": "error", "ref": ref, "code": code, "detail": detail, "temporary": temporary}
        await self._send(frame)

    # --- in ---

    async def _read(self) -> None:
        while True:
            text = await self._socket.receive_data(mode="text")
            self._last_inbound = monotonic()
            if len(text.encode()) > INBOUND_BYTES:
                await self._error(None, "too_large", f"a frame has at most {INBOUND_BYTES} bytes")
                continue
            try:
                command = decode(text)
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                await self._error(ref_of(text), "bad_frame", str(error))
                continue
            if not isinstance(command, Pong):
                await self._obey(command)

    async def _obey(self, command: Command) -> None:
        try:
            changed = self._refresh(command) if isinstance(command, Refresh) else await self._mark(command)
        except (DomainError, NotAuthenticated) as error:
            await self._error(command.ref, "refused", error.detail)
        except Unavailable as error:
            await self._error(command.ref, "unavailable", error.detail, temporary=True)
        else:
            if command.ref is not None:
                await self._send({"type": "ok", "ref": command.ref, "changed": changed})

    def _refresh(self, command: Refresh) -> int:
        claims = self._with.authenticate.token(command.token)
        if claims.user_id != self._user:
            raise NotAuthenticated("This token is another user's.")
        self._expires_at = claims.expires_at
        return 0

    async def _mark(self, command: Read | Unread | Archive | Unarchive) -> int:
        if (command.ids is None) == (command.up_to is None):
            raise Invalid([FieldError("ids", "is required, or up_to, but not both")])
        if command.up_to is not None:
            cursor = Cursor.parse(command.up_to, "up_to")
            return (await self._with.mark.up_to(self._user, command.mark, cursor)).changed
        ids = [NotificationId(item) for item in command.ids or ()]
        return (await self._with.mark(self._user, command.mark, ids)).changed
