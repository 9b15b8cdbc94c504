"""Following a feed: what makes a live stream whole.

`Following` holds the rules for one client on one feed, without I/O. Each method reports an event (a frame
arrived, the store was read, a timer fired) and returns the actions to take, in order. The session
(`entrypoints/live/session.py`) takes them and reports the results. Nothing here waits or starts a task, so a
test can try every order of events (`tests/unit/test_following.py`).

The client's position is the last change that it was sent. From there

- a frame that follows the position is sent;
- a frame up to the position is dropped;
- any other frame reveals a gap. It is kept for `GAP_SECONDS`, because two processes may announce changes of
  one user at the same time. If the gap stays open, the missing changes are read from the store and sent as a
  replay.

The session subscribes to frames before it first reads the store, so no change is lost between the two.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import Enum
from typing import Final

from application.feeds import FeedHistory, Standing
from application.following_actions import (
    Action,
    CatchUpReason,
    Drop,
    GiveUp,
    PassOn,
    ReadPage,
    ReadStanding,
    Replay,
    Replayed,
    Reset,
    ResetReason,
    StartGapTimer,
    StopGapTimer,
    View,
    Welcome,
)
from application.ports import Monotonic
from application.streams import Frame
from domain.feed import Cursor, Feed

EARLY_FRAMES = 256
"""How many frames are kept. One more, and all are forgotten; their changes are read from the store later."""
GAP_SECONDS = 0.05
"""How long a gap may take to close by itself."""
GIVE_UP_SECONDS = 30.0
"""After this long without the store, a catch-up ends the stream, so that the client tries another process."""


class State(Enum):
    """The state of a stream. docs/architecture.md has the table."""

    OPENING = "opening"
    """Nothing has been sent. The feed's standing is being read. Frames are kept."""
    LIVE = "live"
    """The client has been sent every known change. No frame is kept."""
    GAP = "gap"
    """Frames are kept that do not follow the position. The gap timer runs."""
    CATCHING_UP = "catching up"
    """The store is being read, or a page of it is being sent. Frames are kept."""
    CLOSED = "closed"
    """Final: every event is ignored."""


# Module names, because attribute access on an Enum is slow and `take` runs for every frame.
OPENING, LIVE, GAP, CATCHING_UP, CLOSED = State

PASS_ON: Final = (PassOn(),)
"""The answer to nearly every frame. It stands for `[frame]`, which would have to be built each time."""
_NOTHING: Final[Sequence[Action]] = ()
_DROP: Final = (Drop(),)
_START_TIMER, _STOP_TIMER = StartGapTimer(), StopGapTimer()
_READ_STANDING, _READ_AGAIN = ReadStanding(), ReadStanding(pause=True)


class Following:
    """One client on one feed. It asks for at most one read at a time, and at most one timer."""

    __slots__ = (
        "_again",
        "_asked",
        "_auto",
        "_early",
        "_epoch",
        "_give_up_at",
        "_heard",
        "_now",
        "_oldest",
        "_reason",
        "_version",
        "state",
    )

    def __init__(self, asked: Cursor | None, *, auto: bool, now: Monotonic) -> None:
        """`asked` is the cursor to resume from. With `auto`, what is delivered live is marked read. `now` is
        a monotonic clock, in seconds.
        """
        self.state = OPENING
        """Changed only by `_settle`, `_catch_up` and `close`."""
        self._epoch = ""
        """The epoch of the client's position. Changed only by a reset. While OPENING, the epoch of the first
        frame that arrived; empty if none has.
        """
        self._version = 0
        """The version of the client's position. It includes a page that is still being sent. It grows with
        everything that is sent; only a reset may lower it. 0 while OPENING.
        """
        self._early: EarlyFrames | None = None
        """Frames of `_epoch` ahead of the position. None if there are none, which saves memory on thousands
        of quiet streams: always None in LIVE, never None in GAP.
        """
        self._heard = 0
        """The newest version of `_epoch` that was announced and did not follow the position. The client must
        be sent everything up to it: what the kept frames do not cover is read from the store. Set to 0 when
        a read of the standing begins, because that read includes it.
        """
        self._again = False
        """Whether to read the store once more after the current read, which may be too old: frames may have
        been lost since, or one of another epoch arrived. Set while OPENING or CATCHING_UP, cleared after it.
        """
        self._reason: CatchUpReason = "resume"
        """Why the current catch-up began, or the last one. Set by `_catch_up`."""
        self._give_up_at = 0.0
        """The time after which a failed read ends the stream. Set by `_catch_up`."""
        self._oldest: datetime | None = None
        """When the oldest notification of the current catch-up was created, for the metric."""
        self._asked = asked
        """The cursor to resume from. None once the client has been welcomed."""
        self._auto = auto
        """Whether what is delivered live is marked read. Never changes."""
        self._now = now
        """The clock. Never changes."""

    @property
    def position(self) -> Cursor:
        """The client's position. Meaningless while OPENING."""
        return Cursor(self._epoch, self._version)

    # --- frames ---

    def take(self, frame: Frame) -> Sequence[Action]:
        """A frame arrived. Frames may be lost, repeated and out of order."""
        if (
            frame.prev == self._version
            and self.state is LIVE
            and frame.epoch == self._epoch
            and frame.version > frame.prev
        ):
            self._version = frame.version
            if self._auto and frame.unread_ids:
                return frame, View(frame.unread_ids)
            return PASS_ON
        return self._take_out_of_turn(frame)

    def miss(self) -> Sequence[Action]:
        """Frames may have been lost."""
        if self.state is LIVE or self.state is GAP:
            return self._catch_up("carrier")
        self._again = True
        return _NOTHING

    def gap_stayed(self) -> Sequence[Action]:
        """The gap timer fired."""
        return self._catch_up("gap") if self.state is GAP else _NOTHING

    def _take_out_of_turn(self, frame: Frame) -> Sequence[Action]:
        if self.state is CLOSED:
            return _NOTHING
        if self.state is OPENING and not self._epoch:
            self._epoch = frame.epoch
        if frame.epoch == self._epoch and frame.version <= self._version:
            return _DROP if frame.text else _NOTHING
        if self.state is OPENING or self.state is CATCHING_UP:
            self._again |= frame.epoch != self._epoch  # only the store knows which epoch is the newer one
            self._keep(frame)
            return _NOTHING
        if frame.epoch != self._epoch or not _has_content(frame):
            return self._catch_up("gap")
        self._keep(frame)
        return [*self._pass_on_early(), *self._settle("gap")]

    def _keep(self, frame: Frame) -> None:
        """Keep a frame of this epoch, or only its version if it is a bare position."""
        if frame.epoch != self._epoch:
            return
        self._heard = max(self._heard, frame.version)
        if _has_content(frame):
            if self._early is None:
                self._early = EarlyFrames()
            self._early.add(frame, self._version)

    def _pass_on_early(self) -> Sequence[Action]:
        """Send the kept frames that follow the position now, and forget those up to it."""
        if self._early is None:
            return _NOTHING
        actions: list[Action] = []
        for frame in self._early.take_from(self._version):
            self._version = frame.version
            actions.append(frame)
            if self._auto and frame.unread_ids:
                actions.append(View(frame.unread_ids))
        self._early = self._early or None
        return actions

    def _settle(self, reason: CatchUpReason) -> Sequence[Action]:
        """LIVE if the client has been sent all that is known, GAP if frames are kept. Else catch up."""
        if self._early is None and self._heard > self._version:
            return self._catch_up(reason)
        before, self.state = self.state, LIVE if self._early is None else GAP
        if self.state is GAP:
            return _NOTHING if before is GAP else (_START_TIMER,)
        return (_STOP_TIMER,) if before is GAP else _NOTHING

    # --- the store ---

    def standing_read(self, standing: Standing) -> Sequence[Action]:
        """The standing was read."""
        if self.state is OPENING:
            return self._open(standing)
        if self.state is not CATCHING_UP:
            return _NOTHING
        reason = why_reset(self.position, standing)
        if reason is not None:
            return [self._reset(standing.feed, reason), *self._caught_up()]
        if standing.feed.version == self._version:
            return self._caught_up()
        return (ReadPage(self._version, standing.feed.cursor),)

    def page_read(self, page: FeedHistory) -> Sequence[Action]:
        """A page of what was missed was read."""
        if self.state is not CATCHING_UP:
            return _NOTHING
        reason = why_reset(self.position, Standing(page.feed, page.horizon))
        if reason is not None:
            return [self._reset(page.feed, reason), *self._caught_up()]
        if self._oldest is None and page.notifications:
            self._oldest = page.notifications[0].created_at
        prev, self._version = self._version, end_of(page)
        return (Replay(page, prev),)

    def page_sent(self, page: FeedHistory) -> Sequence[Action]:
        """The page was sent to the client."""
        if self.state is not CATCHING_UP:
            return _NOTHING
        if page.more:
            # What has changed since that page was read has left it. An older next page would lack it.
            return (ReadPage(self._version, page.feed.cursor),)
        return [Replayed(page.feed, self._reason, self._oldest), *self._caught_up()]

    def read_failed(self, detail: str) -> Sequence[Action]:
        """A read failed because the store is out of reach."""
        if self.state is not CATCHING_UP:
            return _NOTHING
        return (GiveUp(self._reason, detail),) if self._now() > self._give_up_at else (_READ_AGAIN,)

    def is_behind(self, standing: Standing) -> bool:
        """Whether the client lacks changes that this standing includes, and no catch-up is under way."""
        if self.state is not LIVE and self.state is not GAP:
            return False
        return standing.feed.epoch != self._epoch or standing.feed.version > self._version

    def compare(self, standing: Standing) -> Sequence[Action]:
        """The standing was this one a while ago. Frames up to it would have arrived by now."""
        return self._catch_up("position") if self.is_behind(standing) else _NOTHING

    def close(self) -> Sequence[Action]:
        """The stream has ended."""
        before, self.state = self.state, CLOSED
        self._early = None
        return (_STOP_TIMER,) if before is GAP else _NOTHING

    def _open(self, standing: Standing) -> Sequence[Action]:
        """Welcome the client at the cursor it asked for if a replay from there is possible, else at the
        feed's position.
        """
        feed, asked = standing.feed, self._asked
        reason = None if asked is None else why_reset(asked, standing)
        resumed = asked is not None and reason is None
        start = asked if asked is not None and resumed else feed.cursor
        welcome = Welcome(feed, start, resumed)
        if self._epoch not in {"", feed.epoch}:
            self._early, self._heard, self._again = None, 0, True
        self._asked, self._epoch, self._version = None, feed.epoch, start.version
        if resumed and start.version < feed.version:
            return [welcome, *self._catch_up("resume", ReadPage(start.version, feed.cursor))]
        if resumed:
            return [welcome, Replayed(feed, "resume", None), *self._caught_up()]
        if reason is not None:
            return [welcome, self._reset(feed, reason), *self._caught_up()]
        return [welcome, *self._caught_up()]

    def _reset(self, feed: Feed, reason: ResetReason) -> Reset:
        if feed.epoch != self._epoch:
            self._heard = 0
        self._early = None
        self._epoch, self._version = feed.epoch, feed.version
        return Reset(feed, reason)

    def _catch_up(
        self, reason: CatchUpReason, read: ReadStanding | ReadPage = _READ_STANDING
    ) -> Sequence[Action]:
        """Ask for the missing changes from the store."""
        before, self.state = self.state, CATCHING_UP
        self._reason = reason
        self._oldest = None
        self._give_up_at = self._now() + GIVE_UP_SECONDS
        if read is _READ_STANDING:
            self._heard = 0
        return (_STOP_TIMER, read) if before is GAP else (read,)

    def _caught_up(self) -> Sequence[Action]:
        """Continue with the frames that arrived meanwhile."""
        again, self._again = self._again, False
        passed_on = self._pass_on_early()
        return [*passed_on, *(self._catch_up(self._reason) if again else self._settle(self._reason))]


class EarlyFrames:
    """Frames ahead of a position, by the version that they follow."""

    __slots__ = ("_frames",)

    def __init__(self) -> None:
        self._frames: dict[int, Frame] = {}

    def __bool__(self) -> bool:
        return bool(self._frames)

    def add(self, frame: Frame, version: int) -> None:
        """Keep a frame. If there are too many, forget the others, unless this one follows `version`."""
        if len(self._frames) >= EARLY_FRAMES and frame.prev != version:
            self._frames.clear()
        self._frames[frame.prev] = frame

    def take_from(self, version: int) -> Iterator[Frame]:
        """Take out the chain of frames that begins at `version`. Frames up to its end are forgotten."""
        while (frame := self._frames.pop(version, None)) is not None:
            version = frame.version
            yield frame
        for prev in [prev for prev, frame in self._frames.items() if frame.version <= version]:
            del self._frames[prev]


def why_reset(position: Cursor, standing: Standing) -> ResetReason | None:
    """Why a replay from this position is impossible; None if it is possible."""
    if position.epoch != standing.feed.epoch:
        return "epoch"
    if position.version > standing.feed.version:
        return "future"
    if position.version < standing.horizon:
        return "retention"
    return None


def end_of(page: FeedHistory) -> int:
    """The version of a client's position after this page."""
    return page.notifications[-1].version if page.more else page.feed.version


def _has_content(frame: Frame) -> bool:
    """Whether it is a change, not a bare position."""
    return bool(frame.text) and frame.version > frame.prev
