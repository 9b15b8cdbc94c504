"""Sessions: the live streams of this process, and the work that is done for all of them."""

import asyncio
import logging
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

from application.errors import Unavailable
from application.feeds import Standing
from common import metrics
from domain.feed import Cursor
from domain.identifiers import UserId
from entrypoints.live.frames import DRAIN, INTERNAL, REVOKED, TOO_MANY, Close
from entrypoints.live.session import Session
from entrypoints.live.streaming import Streaming

logger = logging.getLogger(__name__)

_TICK_BATCH = 500
_CHECK_BATCH = 500
_NEVER = 2**63
# How many streams may be opening: enough to keep the process busy, few enough that none waits long.
_ENTERING = 200
_RETRY_SECONDS = (1, 5)


class Full(Unavailable):
    """No room for another stream in this process. Another process may have some."""

    def __init__(self, detail: str, retry_seconds: int) -> None:
        super().__init__(detail)
        self.retry_seconds = retry_seconds


class Sessions:
    """Admits sessions, tells them the time, compares their positions, and ends them together."""

    def __init__(
        self, streaming: Streaming, *, most: int, per_user: int, carried: Callable[[], bool]
    ) -> None:
        """`most` and `per_user` are limits, 0 for none; `carried` says whether the carrier works."""
        self.streaming = streaming
        self._timing = streaming.timing
        self._most = most
        self._per_user = per_user
        self._carried = carried
        self._open: dict[Session, int] = {}
        """Each with the number of the tick that it waits for."""
        self._waiting: defaultdict[int, set[Session]] = defaultdict(set)
        """By that number."""
        self._revocations = 0
        """How many were known when all sessions had a tick."""
        self._of_user: Counter[UserId] = Counter()
        self._entering: set[_Entrance] = set()
        self._round: dict[Session, None] = {}
        """Those whose positions are still to be compared before any has another turn."""
        self._checking: asyncio.Task[None] | None = None
        self._draining: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._open)

    @property
    def draining(self) -> bool:
        """Whether the streams are being ended, or have been, and no more are taken."""
        return self._draining is not None

    def entrance(self) -> "_Entrance":
        """Admit a stream until its welcome, for which the context is a callback. Raises Full if there is no
        room.

        Only `_ENTERING` streams are opening at a time. Without that limit, an overloaded process would work
        through the handshakes of clients that have already given up and reconnected.
        """
        self.check_room()
        return _Entrance(self._entering)

    def check_room(self) -> None:
        """Raise Full if this process takes no more streams."""
        if self.draining:
            raise self._no_room("This process is about to stop; connect again.")
        if self._full:
            raise self._no_room(f"This process serves {self._most} streams, its limit; connect again later.")
        if len(self._entering) >= _ENTERING:
            metrics.TURNED_AWAY.inc()
            raise self._no_room("Too many streams are opening at this moment; connect again.")

    def _no_room(self, detail: str) -> Full:
        return Full(detail, self.streaming.chance.randint(*_RETRY_SECONDS))

    @property
    def _full(self) -> bool:
        return bool(self._most) and len(self._open) >= self._most

    async def check_serving(self) -> None:
        """Raise Unavailable once the process is draining, so that load balancers send nothing more here."""
        if self.draining:
            raise Unavailable("draining")

    async def serve(self, session: Session, welcomed: Callable[[], None]) -> None:
        """Run a session to its end; call back once its client has been welcomed."""
        user = session.user
        if self.draining:  # since its handshake
            session.close(Close(DRAIN, "this process is about to stop"))
            return
        if self._full:  # since its handshake too: many may have come together
            session.close(Close(INTERNAL, "this process serves as many streams as it can"))
            return
        if self._per_user and self._of_user[user] >= self._per_user:
            session.close(Close(TOO_MANY, f"this user already has {self._per_user} streams open"))
            return
        self._open[session] = _NEVER
        self._wait(session, 0.0)
        self._of_user[user] += 1
        try:
            await session.run(welcomed)
        finally:
            self._stop_waiting(session)
            del self._open[session]
            self._round.pop(session, None)
            self.streaming.awake.discard(session)
            self._of_user[user] -= 1
            if not self._of_user[user]:
                del self._of_user[user]

    async def run(self) -> None:
        """Tick the sessions periodically, forever."""
        try:
            while True:
                await asyncio.sleep(self._timing.tick)
                await self._tick()
        finally:
            for task in (self._checking, self._draining):
                if task is not None:
                    task.cancel()

    async def _tick(self) -> None:
        queued = 0
        sessions = self._due()
        for start in range(0, len(sessions), _TICK_BATCH):
            now, at = self.streaming.now(), self.streaming.clock()
            for session in sessions[start : start + _TICK_BATCH]:
                if session in self._open:
                    self._wait(session, session.tick(now, at))
                    queued += session.queued
            await asyncio.sleep(0)  # frames and requests do not wait for all of them
        metrics.QUEUED_BYTES.set(queued)
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._compare(self._next_of_round()))

    def _due(self) -> Sequence[Session]:
        """Those that are awake or have something to do by now; all, if any token was revoked. No others are
        looked at: thousands of quiet ones are in no cache of the processor, so that each costs microseconds.
        """
        due, number = set(self.streaming.awake), int(self.streaming.now() / self._timing.tick)
        self.streaming.awake.clear()
        for each in [each for each in self._waiting if each <= number]:
            sessions = self._waiting.pop(each)
            self._open.update(dict.fromkeys(sessions, _NEVER))
            due |= sessions
        known = self.streaming.revocations.learned
        if known != self._revocations:
            self._revocations = known
            return list(self._open)
        return list(due)

    def _wait(self, session: Session, until: float) -> None:
        """Have a session wait for the first tick from that time on, unless it waits for an earlier one."""
        number = math.ceil(until / self._timing.tick)
        if number < self._open[session]:
            self._stop_waiting(session)
            self._open[session] = number
            self._waiting[number].add(session)

    def _stop_waiting(self, session: Session) -> None:
        if (number := self._open[session]) != _NEVER:
            self._waiting[number].discard(session)

    def _next_of_round(self) -> Sequence[Session]:
        """The sessions to compare next. All have a turn every `check` seconds (`uncarried_check` without a
        carrier).
        """
        seconds = self._timing.check if self._carried() else self._timing.uncarried_check
        share = min(_CHECK_BATCH, math.ceil(len(self._open) * self._timing.tick / seconds))
        self._round = self._round or dict.fromkeys(self._open)
        return [self._round.popitem()[0] for _ in range(min(share, len(self._round)))]

    async def _compare(self, sessions: Sequence[Session]) -> None:
        if not sessions:
            return
        before = [session.following.position for session in sessions]
        try:
            standings = await self.streaming.catch_ups.standings({session.user for session in sessions})
        except Unavailable as error:
            logger.debug("positions were not compared: %s", error)
            return
        except Exception:
            logger.exception("positions were not compared")
            return
        for session in sessions:
            if session.user not in standings:  # erased; a revocation may have been missed
                session.close(Close(REVOKED, "the user no longer exists"))
        for session, position in zip(sessions, before, strict=True):
            if _is_ahead(position, standings.get(session.user)):
                session.miss()
        late = [
            (session, standing)
            for session in sessions
            if (standing := standings.get(session.user)) is not None and session.following.is_behind(standing)
        ]
        if late:  # by a timer, so that the next comparison does not wait
            asyncio.get_running_loop().call_later(self._timing.on_its_way, _compare_again, late)

    def drain(self, seconds: float, delay: float = 0.0) -> "asyncio.Task[None]":
        """Take no more streams and end all that are open. After `delay` seconds, in which load balancers
        notice, the ends are spread over `seconds`, and each client is asked to reconnect after a time of its
        own: that time alone could not spread the load of streams that all end together.

        A second call returns the drain that is under way or done, or a new one if it left streams open. Wait
        for it with `asyncio.wait`, which does not cancel it for other callers.
        """
        if self._draining is None or (self._draining.done() and self._open):
            again = self._draining is not None
            self._draining = asyncio.create_task(self._end_all(seconds, 0.0 if again else delay))
            self._draining.add_done_callback(_report)
        return self._draining

    async def _end_all(self, seconds: float, delay: float) -> None:
        logger.info("draining %d streams", len(self._open))
        await asyncio.sleep(delay)
        sessions = list(self._open)
        self.streaming.chance.shuffle(sessions)
        seconds = min(seconds, len(sessions) / self._timing.drained_a_second)
        began, closed = self.streaming.now(), 0
        while closed < len(sessions):
            elapsed = self.streaming.now() - began
            due = len(sessions) if elapsed >= seconds else math.ceil(len(sessions) * elapsed / seconds)
            for session in sessions[closed:due]:
                session.close(Close(DRAIN, "this process is about to stop"))
            closed = max(closed, due)
            await asyncio.sleep(self._timing.drain_step)
        end = self.streaming.now() + self._timing.goodbye
        while self._open and self.streaming.now() < end:  # noqa: ASYNC110 - it ends after a while anyway
            await asyncio.sleep(self._timing.drain_step)


class _Entrance:
    """The place of one stream among those that are opening."""

    __slots__ = ("_entering",)

    def __init__(self, entering: "set[_Entrance]") -> None:
        self._entering = entering

    def __enter__(self) -> Callable[[], None]:
        self._entering.add(self)
        return self._leave

    def __exit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        self._entering.discard(self)


def _is_ahead(position: Cursor, standing: Standing | None) -> bool:
    """Whether a standing that was read later lacks changes up to this position: the store has lost them, as a
    standby that was behind when it was promoted.
    """
    return (
        standing is not None
        and position.epoch == standing.feed.epoch
        and position.version > standing.feed.version
    )


def _compare_again(late: Iterable[tuple[Session, Standing]]) -> None:
    for session, standing in late:
        session.compare(standing)


def _report(drain: "asyncio.Task[None]") -> None:
    if not drain.cancelled() and drain.exception() is not None:
        logger.error("draining failed", exc_info=drain.exception())
