"""A session: one client on one feed.

It holds the position up to which its client has been told everything; a frame that follows that position is
passed on, one from before it is dropped, and one that leaves a hole makes the session read what is missing
from the store.
"""

import asyncio
import logging
import random
import secrets
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any
from uuid import UUID

import msgspec

from application.accounts import AuthenticateUser
from application.catching_up import CatchUps
from application.credentials import Claims
from application.errors import ApplicationError, NotAllowed, NotAuthenticated, Revoked, Unavailable
from application.feeds import FeedHistory, Standing
from application.inbox import MarkNotifications
from application.ports import Clock, Connection, LiveFeed
from application.revoking import Revocations
from application.streams import Frame, Lagging
from common import metrics, wire
from domain.errors import DomainError, Invalid, UnknownUser
from domain.feed import Cursor, Feed
from domain.identifiers import NotificationId
from domain.states import Mark
from entrypoints.live.frames import (
    BAD_REQUEST,
    FORBIDDEN,
    INBOUND_BYTES,
    INTERNAL,
    INVALID_TOKEN,
    NO_PONG,
    POSITION_LOST,
    RATE_LIMITED,
    REVOKED,
    SLOW_READER,
    TOKEN_EXPIRED,
    Close,
    Command,
    Marking,
    Pong,
    Refresh,
    decode,
    ref_of,
)
from entrypoints.live.pace import Pace
from entrypoints.live.replay import count_catch_up, replay_frames, why_reset

logger = logging.getLogger(__name__)

PING_SECONDS = 25
PONG_SECONDS = 8
# How long a client may leave what was sent to it unread once the kernel's buffers are full.
SEND_SECONDS = 5
# Two processes may announce one user's changes at the same time, and the later be heard first. So a hole is
# given this long to close by itself.
HOLE_SECONDS = 0.05
# A session whose store is away this long gives its client to another process.
_GIVE_UP_SECONDS = 30.0
_EARLY_FRAMES = 256
_COMMANDS_A_SECOND, _COMMANDS_AT_ONCE = 20.0, 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Streaming:
    """What the sessions of a process share."""

    authenticate: AuthenticateUser
    live_feed: LiveFeed
    catch_ups: CatchUps
    mark_notifications: MarkNotifications
    revocations: Revocations
    clock: Clock
    server: str


@dataclass(frozen=True, slots=True)
class Hello:
    """What a client asked for when it connected."""

    claims: Claims
    cursor: Cursor | None
    auto: bool


class Session:
    """One client on one feed. Frames are passed on as they come (`take`), without a task of its own: that
    keeps thousands of quiet streams small. What has to wait runs in tasks that end.
    """

    __slots__ = (
        "_again",
        "_asked",
        "_auto",
        "_behind",
        "_claims",
        "_closed",
        "_connection",
        "_early",
        "_epoch",
        "_hole",
        "_known",
        "_last_inbound",
        "_last_outbound",
        "_last_ping",
        "_pace",
        "_spoke",
        "_tasks",
        "_version",
        "_viewed",
        "_with",
        "user",
    )

    def __init__(self, streaming: Streaming, hello: Hello, connection: Connection) -> None:
        self._with = streaming
        self._connection = connection
        self._claims = hello.claims
        self.user = hello.claims.user_id
        self._asked = hello.cursor
        self._auto = hello.auto
        self._epoch = ""
        self._version = 0
        self._behind = True  # what comes now follows what is read for the welcome
        self._again = False
        self._known = 0
        self._early: dict[int, Frame] = {}
        self._hole: asyncio.TimerHandle | None = None
        self._viewed: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._last_inbound = self._last_outbound = monotonic()
        self._last_ping = 0.0
        self._spoke = False
        self._pace = Pace(_COMMANDS_A_SECOND, _COMMANDS_AT_ONCE)

    async def run(self, welcomed: Callable[[], None]) -> None:
        """Serve until either side ends it; call back once the client has been welcomed."""
        self._with.live_feed.join(self.user, self)
        try:
            await self._welcome()
            welcomed()
            await self._read()
        except Exception as error:  # noqa: BLE001 - whatever it is, the client is told
            self.close(closing(error))
        finally:
            self._release()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def queued(self) -> int:
        """How many bytes wait for a client that does not take them."""
        return self._connection.queued if self._connection.stalled_since else 0

    def close(self, close: Close) -> None:
        """Say `bye` and end. Once it is closed, nothing changes that."""
        if self._closed:
            return
        self._release()
        metrics.CLOSES.labels(close.code).inc()
        self._connection.close(close.code, close.reason[:100], wire.text(close.bye()))

    def _release(self) -> None:
        """Take no more frames and do nothing more."""
        self._closed = True
        self._with.live_feed.leave(self.user, self)
        self._cancel_hole()
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()

    # --- frames as they come ---

    def take(self, frame: Frame) -> None:
        if (
            frame.prev == self._version
            and not self._behind
            and frame.epoch == self._epoch
            and frame.version > frame.prev
        ):
            self._pass_on(frame)
            if self._early:
                self._take_early()
        else:
            self._take_out_of_turn(frame)

    def miss(self) -> None:
        if self._behind:
            self._again = True
        else:
            self._fill("carrier")

    def _pass_on(self, frame: Frame) -> None:
        self._send_text(frame.text, f"{frame.epoch}.{frame.version}")
        self._version = frame.version
        if self._auto and frame.unread_ids:
            self._view(frame.unread_ids)

    def _take_out_of_turn(self, frame: Frame) -> None:
        if self._closed:
            return
        if frame.epoch == self._epoch and frame.version <= self._version:
            if frame.text:
                metrics.DUPLICATES.inc()
        elif self._behind:
            self._known = max(self._known, frame.version)
            self._again |= frame.epoch != self._epoch != ""
            self._keep(frame)
        elif frame.text and frame.epoch == self._epoch:
            self._keep(frame)
            self._await_hole()
        else:
            self._fill("gap")

    def _keep(self, frame: Frame) -> None:
        """For when what is before it has come. Those that are too many are read from the store."""
        if len(self._early) >= _EARLY_FRAMES:
            self._early.clear()
        if frame.version > frame.prev:
            self._early[frame.prev] = frame

    def _take_early(self) -> None:
        while not self._closed and (frame := self._early.pop(self._version, None)) is not None:
            self._pass_on(frame)
        for prev in [prev for prev, frame in self._early.items() if frame.version <= self._version]:
            del self._early[prev]
        if self._early:
            self._await_hole()
        else:
            self._cancel_hole()

    def _await_hole(self) -> None:
        if self._hole is None and not self._closed:
            loop = asyncio.get_running_loop()
            self._hole = loop.call_later(HOLE_SECONDS, self._hole_stays)

    def _hole_stays(self) -> None:
        self._hole = None
        metrics.GAPS.inc()
        self._fill("gap")

    def _cancel_hole(self) -> None:
        if self._hole is not None:
            self._hole.cancel()
            self._hole = None

    # --- catching up ---

    async def _welcome(self) -> None:
        """Greet, and bring the client up to date. The live feed has been joined already, so nothing falls
        between what is read here and what comes live.
        """
        standing = await self._with.catch_ups.standing(self.user)
        feed, asked = standing.feed, self._asked
        reset = None if asked is None else why_reset(asked, standing)
        resumed = asked is not None and reset is None
        self._epoch = feed.epoch
        self._version = asked.version if asked is not None and resumed else feed.version
        self._send(
            {
                "type": "welcome",
                "session": secrets.token_hex(16),
                "cursor": str(Cursor(self._epoch, self._version)),
                "unread_count": feed.unread_count,
                "ping_interval": PING_SECONDS,
                "token_expires_in": self._token_seconds(self._with.clock()),
                "resumed": resumed,
                "server": self._with.server,
            },
            Cursor(self._epoch, self._version),
        )
        if reset is not None:
            self._reset(feed, reset)
        if resumed and self._version < feed.version:
            self._start(self._catch_up("resume", standing))
            return
        if resumed:
            self._replayed(feed)
            count_catch_up("resume", "ok", None)
        self._caught_up("resume")

    def _fill(self, reason: str) -> None:
        """Have what is missing read from the store."""
        if not self._behind and not self._closed:
            self._behind = True
            self._cancel_hole()
            self._start(self._catch_up(reason, None))

    async def _catch_up(self, reason: str, standing: Standing | None) -> None:
        """Send what changed after the client's position, for as long as it takes to know it."""
        give_up = monotonic() + _GIVE_UP_SECONDS
        while True:
            try:
                if standing is None:
                    standing = await self._with.catch_ups.standing(self.user)
                await self._replay(reason, standing)
            except Unavailable as error:
                if monotonic() > give_up:
                    count_catch_up(reason, "failed", None)
                    raise Close(POSITION_LOST, f"what was missed cannot be read: {error}") from error
                await asyncio.sleep(random.uniform(0.25, 1.0))  # noqa: S311 - jitter
            else:
                self._caught_up(reason)
                return
            standing = None

    def _caught_up(self, reason: str) -> None:
        """Go on with what came meanwhile; read again if that is not all that there is."""
        again = self._again or (self._known > self._version and not self._early)
        self._again, self._known, self._behind = False, 0, False
        self._take_early()
        if again:
            self._fill(reason)

    async def _replay(self, reason: str, standing: Standing) -> None:
        why = why_reset(Cursor(self._epoch, self._version), standing)
        if why is not None:
            self._reset(standing.feed, why)
            return
        if standing.feed.version == self._version:
            return
        oldest = None
        feed = standing.feed
        async for page in self._with.catch_ups.pages(self.user, self._version, feed.cursor):
            feed = page.feed
            why = why_reset(Cursor(self._epoch, self._version), Standing(feed, page.horizon))
            if why is not None:
                self._reset(feed, why)
                return
            oldest = oldest or (page.notifications[0].created_at if page.notifications else None)
            await self._send_page(page)
        self._replayed(feed)
        count_catch_up(
            reason, "ok", None if oldest is None else (self._with.clock() - oldest).total_seconds()
        )

    async def _send_page(self, page: FeedHistory) -> None:
        for upto, text in replay_frames(page, self._version):
            if text:
                self._send_text(text, str(upto.cursor))
                await self._connection.flowing(SEND_SECONDS)
            self._version = upto.version

    def _replayed(self, feed: Feed) -> None:
        cursor = str(feed.cursor)
        frame = {"type": "replayed", "cursor": cursor, "unread_count": feed.unread_count}
        self._send(frame, feed.cursor)

    def _reset(self, feed: Feed, reason: str) -> None:
        """Have the client reload over REST; live from here."""
        self._epoch, self._version = feed.epoch, feed.version
        self._early.clear()
        metrics.RESETS.labels(reason).inc()
        self._send(
            {
                "type": "reset",
                "cursor": str(feed.cursor),
                "unread_count": feed.unread_count,
                "reason": reason,
            },
            feed.cursor,
        )

    def behind(self, standing: Standing) -> bool:
        """Whether the client has not been told what is known to have happened."""
        if self._behind or self._closed:
            return False
        return standing.feed.epoch != self._epoch or standing.feed.version > self._version

    def compare(self, standing: Standing) -> None:
        """Catch up if this was true a while ago and the client still has not been told."""
        if self.behind(standing):
            metrics.POSITION_MISSES.inc()
            self._fill("position")

    # --- time ---

    def tick(self, now: float, at: datetime) -> None:
        """See what is due, once a second or so: one clock for all sessions costs less than a timer each."""
        if self._spoke:
            self._spoke = False
            self._last_outbound = now
        stalled = self._connection.stalled_since
        waiting = self._last_inbound < self._last_ping
        if stalled and now - stalled >= SEND_SECONDS:
            self.close(closing(Lagging()))
        elif at >= self._claims.expires_at:
            self.close(Close(TOKEN_EXPIRED, "the token has expired"))
        elif self._with.revocations.dead(self._claims):
            self.close(Close(REVOKED, "the user has been disabled, or the token revoked"))
        elif waiting and now - self._last_ping >= PONG_SECONDS:
            self.close(Close(NO_PONG, "no pong came back"))
        elif not waiting and self._quiet(now) >= PING_SECONDS:
            if self._connection.ping():
                self._last_ping = now
            else:
                self._last_inbound = now
            self._last_outbound = now

    def _quiet(self, now: float) -> float:
        """For how long nothing was sent. A client that is sent something all the time, and says nothing, may
        have gone too: its silence counts half.
        """
        return max(now - self._last_outbound, (now - self._last_inbound) / 2)

    def _token_seconds(self, at: datetime) -> int:
        return int((self._claims.expires_at - at).total_seconds())

    # --- out ---

    def _send(self, frame: dict[str, object], cursor: Cursor | None = None) -> None:
        self._send_text(wire.text(frame), "" if cursor is None else str(cursor))

    def _send_text(self, text: str, cursor: str = "") -> None:
        self._spoke = True
        if self._closed:
            return
        try:
            self._connection.send(text, cursor)
        except Lagging as error:
            self.close(closing(error))

    def _error(self, ref: object, code: str, detail: str, *, temporary: bool = False) -> None:
        frame = {"type": "error", "ref": ref, "code": code, "detail": detail, "temporary": temporary}
        self._send(frame)

    def _view(self, ids: Sequence[str]) -> None:
        """Delivery is viewing: mark what was just delivered."""
        under_way = bool(self._viewed)
        self._viewed += ids
        if not under_way:
            self._start(self._mark_viewed())

    async def _mark_viewed(self) -> None:
        while self._viewed:
            chunk = self._viewed[:100]
            try:
                ids = [NotificationId(UUID(item)) for item in chunk]
                await self._with.mark_notifications(self.user, Mark.READ, ids)
            except Unavailable as error:
                self._error(None, "unavailable", error.detail, temporary=True)
            del self._viewed[: len(chunk)]

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.close(closing(error))

    # --- in ---

    async def _read(self) -> None:
        while (said := await self._connection.receive()) is not None and not self._closed:
            self._last_inbound = monotonic()
            if not self._pace.allows(self._last_inbound):
                raise Close(RATE_LIMITED, "too many frames; slow down")
            if len(said if isinstance(said, bytes) else said.encode()) > INBOUND_BYTES:
                self._error(ref_of(said), "too_large", f"a frame has at most {INBOUND_BYTES} bytes")
                continue
            try:
                command = decode(said)
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                self._error(ref_of(said), "bad_frame", str(error))
                continue
            if not isinstance(command, Pong):
                await self._obey(command)

    async def _obey(self, command: Command) -> None:
        try:
            answer = self._refresh(command) if isinstance(command, Refresh) else await self._mark(command)
        except (DomainError, NotAuthenticated) as error:
            self._error(command.ref, "refused", error.detail)
        except Unavailable as error:
            self._error(command.ref, "unavailable", error.detail, temporary=True)
        else:
            if command.ref is not None:
                self._send({"type": "ok", "ref": command.ref, **answer})

    def _refresh(self, command: Refresh) -> dict[str, int]:
        claims = self._with.authenticate.token(command.token)
        if claims.user_id != self.user:
            raise NotAuthenticated("This token is another user's.")
        self._claims = claims
        return {"changed": 0, "token_expires_in": self._token_seconds(self._with.clock())}

    async def _mark(self, command: Marking) -> dict[str, int]:
        marked = await self._with.mark_notifications(
            self.user, command.mark, command.ids, command.up_to, command.time()
        )
        return {"changed": marked.changed}


_CLOSINGS: tuple[tuple[type[ApplicationError | DomainError], int], ...] = (
    (Revoked, REVOKED),
    (NotAuthenticated, INVALID_TOKEN),
    (NotAllowed, FORBIDDEN),
    (Invalid, BAD_REQUEST),
    (UnknownUser, BAD_REQUEST),
    (Unavailable, INTERNAL),
)


def closing(error: BaseException) -> Close:
    """What a client is told of an error that ends its stream."""
    if isinstance(error, Close):
        return error
    if isinstance(error, Lagging):
        return Close(SLOW_READER, "the stream is read too slowly; resume by cursor")
    for known, code in _CLOSINGS:
        if isinstance(error, known):
            return Close(code, str(error))
    logger.error("a live session failed", exc_info=error)
    return Close(INTERNAL, "internal error")
