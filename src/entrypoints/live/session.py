"""A session: one client on one feed.

`application.following` decides what the client is sent and when. The session takes the actions it returns
(send a frame, read the store, run the gap timer) and reports the results. `commands` answers what the client
asks for, and `liveness` judges whether it is still there.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any

from application.errors import Unavailable
from application.feeds import Standing
from application.following import CLOSED, GAP_SECONDS, PASS_ON, Following
from application.following_actions import (
    Action,
    Drop,
    GiveUp,
    ReadPage,
    ReadStanding,
    Replay,
    Replayed,
    Reset,
    StartGapTimer,
    StopGapTimer,
    View,
    Welcome,
)
from application.ports import Connection
from application.streams import Frame, Lagging
from common import metrics, wire
from entrypoints.live import outgoing
from entrypoints.live.closing import close_for
from entrypoints.live.commands import Commands
from entrypoints.live.frames import (
    NO_PONG,
    POSITION_LOST,
    REVOKED,
    TOKEN_EXPIRED,
    Close,
)
from entrypoints.live.liveness import Due, Liveness
from entrypoints.live.replay import count_catch_up, replay_frames
from entrypoints.live.streaming import Hello, Streaming

# The pause, with jitter, before the store is read again after it was out of reach.
_PAUSE_SECONDS = (0.25, 1.0)


class Session:
    """One client on one feed. It has no task that writes: `take` sends a frame before it returns, which keeps
    thousands of quiet streams small. Only work that must wait runs in tasks, which end.
    """

    __slots__ = (
        "_commands",
        "_connection",
        "_gap_timer",
        "_liveness",
        "_tasks",
        "_viewed",
        "_with",
        "following",
        "user",
    )

    def __init__(self, streaming: Streaming, hello: Hello, connection: Connection) -> None:
        self.user = hello.claims.user_id
        self.following = Following(hello.cursor, auto=hello.auto, now=streaming.now)
        self._with = streaming
        self._connection = connection
        self._commands = Commands(streaming, hello.claims)
        self._liveness = Liveness(streaming.now())
        self._gap_timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] | None = None
        """Running tasks. None if there are none, which saves memory on quiet streams."""
        self._viewed: list[str] | None = None
        """Delivered ids that are being marked read, or wait for it. None if there are none."""

    async def run(self, welcomed: Callable[[], None]) -> None:
        """Serve until either side ends the stream; call back once the client has been welcomed."""
        try:
            await self._with.live_feed.join(self.user, self)
            standing = await self._with.first_standing(self._commands.claims)
            self._do(self.following.standing_read(standing))
            welcomed()
            await self._listen()
        except Exception as error:  # noqa: BLE001 - any error closes the stream with its code
            self.close(close_for(error))
        finally:
            self._release()
            await asyncio.gather(*(self._tasks or ()), return_exceptions=True)

    @property
    def queued(self) -> int:
        """How many bytes wait for a client that does not read them."""
        return self._connection.queued if self._connection.stalled_since else 0

    def close(self, close: Close) -> None:
        """Send `bye` and end. Does nothing if it is already closed."""
        if self.following.state is CLOSED:
            return
        self._release()
        metrics.CLOSES.labels(close.code).inc()
        self._connection.close(close.code, close.reason[:100], wire.text(close.bye(self._with.chance)))

    def _release(self) -> None:
        """Leave the live feed and stop all work."""
        self._do(self.following.close())
        self._with.live_feed.leave(self.user, self)
        for task in self._tasks or ():
            if task is not asyncio.current_task():
                task.cancel()

    # --- events ---

    def take(self, frame: Frame) -> None:
        actions = self.following.take(frame)
        if actions is PASS_ON:
            self._send_text(frame.text, f"{frame.epoch}.{frame.version}")
        else:
            self._do(actions)

    def miss(self) -> None:
        self._do(self.following.miss())

    def compare(self, standing: Standing) -> None:
        """Catch up if the client still lacks what this standing, read a while ago, includes."""
        if self.following.is_behind(standing):
            metrics.POSITION_MISSES.inc()
            self._do(self.following.compare(standing))

    def tick(self, now: float, at: datetime) -> float:
        """Do what is due. Return when there is something to do next, unless something happens before: then
        the session is awake, and has the next tick too. It stays awake while its client does not read, and
        for a tick after the last frame, whose bytes may be written only then.
        """
        claims, stalled = self._commands.claims, self._connection.stalled_since
        if self._liveness.sent or stalled:
            self._with.awake.add(self)
        due = self._liveness.due(now, self._with.timing)
        if stalled and now - stalled >= self._with.timing.send:
            self.close(close_for(Lagging()))
        elif at >= claims.expires_at:
            self.close(Close(TOKEN_EXPIRED, "the token has expired"))
        elif self._with.revocations.is_revoked(claims):
            self.close(Close(REVOKED, "the user has been disabled, or the token revoked"))
        elif due is Due.CLOSE:
            self.close(Close(NO_PONG, "no pong came back"))
        elif due is Due.PING:
            self._with.awake.add(self)
            self._liveness.pinged(now, answers=self._connection.ping())
        expires_at = now + (claims.expires_at - at).total_seconds()
        return min(self._liveness.next_at(self._with.timing), expires_at)

    async def _listen(self) -> None:
        """Handle the client's commands, one after the other, until it leaves."""
        while (message := await self._connection.receive()) is not None:
            if self.following.state is CLOSED:
                return
            self._liveness.heard(self._with.now())
            answer = await self._commands.handle(message)
            if answer is not None:
                self._send(answer)

    def _gap_stayed(self) -> None:
        metrics.GAPS.inc()
        self._do(self.following.gap_stayed())

    # --- actions ---

    def _do(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Drop():
                    metrics.DUPLICATES.inc()
                case StopGapTimer() if self._gap_timer is not None:
                    self._gap_timer.cancel()
                    self._gap_timer = None
                case _ if self.following.state is CLOSED:
                    return  # the client was too slow for the action before
                case StartGapTimer():
                    loop = asyncio.get_running_loop()
                    self._gap_timer = loop.call_later(GAP_SECONDS, self._gap_stayed)
                case ReadStanding() | ReadPage():
                    self._start(self._read(action))
                case Replay():
                    self._start(self._replay(action))
                case View(ids) if self._viewed is not None:
                    self._viewed += ids
                case View(ids):
                    self._viewed = [*ids]
                    self._start(self._view(self._viewed))
                case _:
                    self._send_action(action)

    def _send_action(self, action: Action) -> None:
        match action:
            case Frame():
                self._send_text(action.text, f"{action.epoch}.{action.version}")
            case Welcome():
                welcome = outgoing.welcome(
                    action,
                    session=self._with.new_session_id(),
                    ping_seconds=self._with.timing.ping,
                    token_seconds=self._commands.token_seconds,
                    server=self._with.server,
                )
                self._send(welcome, str(action.position))
            case Reset(feed, reason):
                metrics.RESETS.labels(reason).inc()
                self._send(outgoing.reset(action), str(feed.cursor))
            case Replayed(feed, reason, oldest):
                self._send(outgoing.replayed(action), str(feed.cursor))
                age = None if oldest is None else (self._with.clock() - oldest).total_seconds()
                count_catch_up(reason, "ok", age)
            case GiveUp(reason, detail):
                count_catch_up(reason, "failed", None)
                self.close(Close(POSITION_LOST, f"the missed changes cannot be read: {detail}"))

    async def _read(self, wanted: ReadStanding | ReadPage) -> None:
        try:
            if isinstance(wanted, ReadPage):
                page = await self._with.catch_ups.page(self.user, wanted.after, wanted.at_least)
                actions = self.following.page_read(page)
            else:
                if wanted.pause:
                    await asyncio.sleep(self._with.chance.uniform(*_PAUSE_SECONDS))
                standing = await self._with.catch_ups.standing(self.user)
                actions = self.following.standing_read(standing)
        except Unavailable as error:
            actions = self.following.read_failed(str(error))
        self._do(actions)

    async def _replay(self, replay: Replay) -> None:
        """Send a page in frames, no faster than the client reads them."""
        for upto, text in replay_frames(replay.page, replay.prev):
            if text and self.following.state is not CLOSED:
                self._send_text(text, str(upto.cursor))
                await self._connection.flowing(self._with.timing.send)
        self._do(self.following.page_sent(replay.page))

    async def _view(self, ids: list[str]) -> None:
        await self._commands.view(ids, self._send)
        self._viewed = None

    def _send(self, frame: outgoing.Body, cursor: str = "") -> None:
        if self.following.state is not CLOSED:
            self._send_text(wire.text(frame), cursor)

    def _send_text(self, text: str, cursor: str) -> None:
        """Send a frame. Must not be called once the stream is closed."""
        if not self._liveness.sent:
            self._liveness.sent = True
            self._with.awake.add(self)
        try:
            self._connection.send(text, cursor)
        except Lagging as error:
            self.close(close_for(error))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks = self._tasks or set()
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if self._tasks is not None:
            self._tasks.discard(task)
            self._tasks = self._tasks or None
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.close(close_for(error))
