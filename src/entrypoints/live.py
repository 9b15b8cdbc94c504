"""The live socket: `/ws/{user_id}`.

A session follows one feed. It holds the position up to which its client has been told everything; a frame
that follows that position is passed on, one from before it is dropped, and one that leaves a hole makes the
session read what is missing from the store.
"""

import asyncio
import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from time import monotonic
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
from litestar import WebSocket, websocket
from litestar.exceptions import WebSocketDisconnect
from litestar.params import FromPath

from adapters import metrics, wire
from application.accounts import AuthenticateUser
from application.errors import NotAuthenticated, Unavailable
from application.inbox import CatchUp, MarkNotifications
from application.ports import Claims, Clock, Feeds, Frame, Lagging, LiveFeed, Subscription
from domain.errors import DomainError, Invalid, UnknownUser
from domain.feed import Cursor, Feed
from domain.identifiers import NotificationId, UserId
from domain.notification import Mark
from entrypoints.http.guards import bearer_token

logger = logging.getLogger(__name__)

SUBPROTOCOL = "bellwire.v1"
PING_SECONDS = 25
PONG_SECONDS = 8
INBOUND_BYTES = 4 * 1024
# How many sessions of this process read from the store at once, when all of them missed something.
_CATCH_UPS_AT_ONCE = 8


class Close(Exception):
    """End the session with a `bye` and this close code.

    4000 to 4499 ask the client to come back, 4500 to 4999 not to (docs/live-stream.md).
    """

    def __init__(self, code: int, reason: str, *, retry_ms: int = 1_000) -> None:
        self.code = code
        self.reason = reason
        self.retry_ms = retry_ms
        super().__init__(reason)


NO_PONG, SLOW_READER, TOKEN_EXPIRED, INTERNAL = 4001, 4002, 4004, 4006
BAD_REQUEST, INVALID_TOKEN, FORBIDDEN = 4510, 4511, 4515


class _Pong(msgspec.Struct, tag="pong"):
    pass


class _Refresh(msgspec.Struct, tag="refresh"):
    token: str
    ref: str | int | None = None


class _Marking(msgspec.Struct):
    ids: list[UUID] | None = None
    up_to: str | None = None
    ref: str | int | None = None


class _Read(_Marking, tag="read"):
    mark = Mark.READ


class _Unread(_Marking, tag="unread"):
    mark = Mark.UNREAD


class _Archive(_Marking, tag="archive"):
    mark = Mark.ARCHIVED


class _Unarchive(_Marking, tag="unarchive"):
    mark = Mark.UNARCHIVED


_decode = msgspec.json.Decoder(_Pong | _Refresh | _Read | _Unread | _Archive | _Unarchive).decode
_decode_ref = msgspec.json.Decoder(dict[str, Any]).decode


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
class _Hello:
    """What a client asked for when it connected."""

    claims: Claims
    cursor: Cursor | None
    auto: bool


@websocket("/ws/{user_id:str}")
async def live_socket(socket: WebSocket[Any, Any, Any], user_id: FromPath[str]) -> None:
    """Accept, so that a browser can see the reason of a refusal, then serve the session until it ends."""
    streaming: Streaming = socket.app.state.streaming
    offered = socket.scope.get("subprotocols") or []
    await socket.accept(subprotocols=SUBPROTOCOL if SUBPROTOCOL in offered else None)
    try:
        hello = await _hello(socket, UserId(user_id), streaming)
        await Session(socket, streaming, hello).run()
    except WebSocketDisconnect:
        return
    except Close as close:
        await _say_bye(socket, close)
    except (Unavailable, Lagging, DomainError) as error:
        await _say_bye(socket, _closing(error))
    except Exception:
        logger.exception("a live session failed")
        await _say_bye(socket, Close(INTERNAL, "internal error"))


async def _hello(socket: WebSocket[Any, Any, Any], user: UserId, streaming: Streaming) -> _Hello:
    _check_origin(socket, streaming.origins)
    query = socket.query_params
    try:
        if "ticket" in query:
            claims = await streaming.authenticate.ticket(query["ticket"])
        else:
            claims = streaming.authenticate.token(bearer_token(socket))
    except NotAuthenticated as error:
        raise Close(INVALID_TOKEN, error.detail) from error
    if claims.user_id != user:
        raise Close(FORBIDDEN, "these credentials are another user's")
    view = query.get("view", "manual")
    if view not in {"manual", "auto"}:
        raise Close(BAD_REQUEST, "view must be manual or auto")
    try:
        cursor = Cursor.parse(query["cursor"]) if query.get("cursor") else None
    except Invalid as error:
        raise Close(BAD_REQUEST, error.detail) from error
    return _Hello(claims, cursor, view == "auto")


def _check_origin(socket: WebSocket[Any, Any, Any], allowed: frozenset[str]) -> None:
    """Browsers let any page open a socket to anywhere, and say from where (RFC 6455 §10.2)."""
    origin = socket.headers.get("origin")
    if origin is None or origin in allowed:
        return
    if urlsplit(origin).netloc != socket.headers.get("host"):
        raise Close(FORBIDDEN, "this origin is not allowed")


def _closing(error: Exception) -> Close:
    match error:
        case Lagging():
            return Close(SLOW_READER, "the stream is read too slowly; resume by cursor", retry_ms=500)
        case UnknownUser():
            return Close(BAD_REQUEST, error.detail)
        case _:
            return Close(INTERNAL, str(error))


async def _say_bye(socket: WebSocket[Any, Any, Any], close: Close) -> None:
    resume = close.code < 4500
    metrics.CLOSES.labels(close.code).inc()
    bye = {
        "type": "bye",
        "code": close.code,
        "reason": close.reason,
        "retry_ms": close.retry_ms if resume else None,
        "resume": resume,
    }
    try:
        await socket.send_data(wire.text(bye))
        await socket.close(close.code, close.reason[:100])
    except (WebSocketDisconnect, RuntimeError):
        logger.debug("the client was gone before its bye")


class Session:
    """One client on one feed."""

    def __init__(self, socket: WebSocket[Any, Any, Any], streaming: Streaming, hello: _Hello) -> None:
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
            tasks = [asyncio.create_task(self._write(subscription)), asyncio.create_task(self._read())]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

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
            if not received.frames:
                await self._keep_alive()

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
        sent = False
        async with self._with.catching_up:
            async for page in self._with.catch_up(self._user, self._version):
                if page.feed.epoch != self._epoch or page.feed.version < self._version:
                    await self._reset(page.feed, "epoch")
                    return
                end = page.notifications[-1].version if page.more else page.feed.version
                if page.notifications:
                    items = [wire.render(item) for item in page.notifications]
                    upto = replace(page.feed, version=end)
                    await self._send_text(wire.notifications_frame(upto, self._version, items, replay=True))
                    sent = True
                self._version = end
        if sent or announce:
            metrics.CATCH_UPS.labels(reason).inc()
            await self._send({"type": "replayed", "cursor": str(Cursor(self._epoch, self._version))})

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

    async def _keep_alive(self) -> None:
        if self._token_seconds() <= 0:
            raise Close(TOKEN_EXPIRED, "the token has expired")
        silence = monotonic() - self._last_outbound
        waiting = self._last_inbound < self._last_ping
        if waiting and monotonic() - self._last_ping >= PONG_SECONDS:
            raise Close(NO_PONG, "no pong came back")
        if not waiting and silence >= PING_SECONDS:
            await self._send({"type": "ping"})
            self._last_ping = monotonic()

    def _patience(self) -> float:
        """How long to wait for frames before something else is due."""
        due = PONG_SECONDS if self._last_inbound < self._last_ping else PING_SECONDS
        return max(0.05, min(due, self._token_seconds()))

    def _token_seconds(self) -> int:
        return int((self._expires_at - self._with.clock()).total_seconds())

    async def _send(self, frame: dict[str, object]) -> None:
        await self._send_text(wire.text(frame))

    async def _send_text(self, text: str) -> None:
        await self._socket.send_data(text)
        self._last_outbound = monotonic()

    async def _error(self, ref: object, code: str, detail: str, *, temporary: bool = False) -> None:
        frame = {"type": "error", "ref": ref, "code": code, "detail": detail, "temporary": temporary}
        await self._send(frame)

    # --- in ---

    async def _read(self) -> None:
        while True:
            text = await self._socket.receive_data(mode="text")
            self._last_inbound = monotonic()
            if len(text) > INBOUND_BYTES:
                await self._error(None, "too_large", f"a frame has at most {INBOUND_BYTES} bytes")
                continue
            try:
                command = _decode(text)
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                await self._error(_ref(text), "bad_frame", str(error))
                continue
            if not isinstance(command, _Pong):
                await self._obey(command)

    async def _obey(self, command: _Refresh | _Read | _Unread | _Archive | _Unarchive) -> None:
        try:
            changed = self._refresh(command) if isinstance(command, _Refresh) else await self._mark(command)
        except (DomainError, NotAuthenticated) as error:
            await self._error(command.ref, "refused", error.detail)
        except Unavailable as error:
            await self._error(command.ref, "unavailable", error.detail, temporary=True)
        else:
            if command.ref is not None:
                await self._send({"type": "ok", "ref": command.ref, "changed": changed})

    def _refresh(self, command: _Refresh) -> int:
        claims = self._with.authenticate.token(command.token)
        if claims.user_id != self._user:
            raise NotAuthenticated("This token is another user's.")
        self._expires_at = claims.expires_at
        return 0

    async def _mark(self, command: _Read | _Unread | _Archive | _Unarchive) -> int:
        if command.up_to is not None:
            cursor = Cursor.parse(command.up_to, "up_to")
            return (await self._with.mark.up_to(self._user, command.mark, cursor)).changed
        ids = [NotificationId(item) for item in command.ids or ()]
        return (await self._with.mark(self._user, command.mark, ids)).changed


def _ref(text: str) -> object:
    """The `ref` of a frame that is otherwise not understood."""
    try:
        return _decode_ref(text).get("ref")
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
