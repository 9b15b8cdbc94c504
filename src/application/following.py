"""Following a feed: what makes a live stream whole.

`Following` is one client on one feed, without I/O: it is told what happened (a frame came, the store was
read, a timer ran out) and returns the actions that are to be taken, in order. The session
(`entrypoints/live/session.py`) takes them and reports back. Nothing here waits or starts anything, so every
order of events can be tried (`tests/unit/test_following.py`).

A client holds a position, a cursor: it has been told every change up to that version. From there

- a frame that follows the position is sent;
- a frame from before it is dropped;
- any other frame means that something is missing. It is kept for `GAP_SECONDS`, because two processes may
  announce changes of one user at the same time. If the gap does not close, the missing part is read from
  the store and sent as a replay.

Frames are joined before the store is read for the first time, so nothing falls between the two.
"""

from collections.abc import Callable, Iterator, Sequence
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
from application.streams import Frame
from domain.feed import Cursor, Feed

EARLY_FRAMES = 256
"""How many frames are kept. When another one comes, those are forgotten and read from the store later."""
GAP_SECONDS = 0.05
"""How long a gap has to close by itself."""
GIVE_UP_SECONDS = 30.0
"""A catch-up that cannot read the store for this long gives its client to another process."""


class State(Enum):
    """Where a stream is. Frames are sent as they come in LIVE only."""

    OPENING = "opening"
    """Nothing has been sent. Where the feed stands is being read; frames are kept."""
    LIVE = "live"
    """The client has been told all that is known. No frame is kept."""
    GAP = "gap"
    """Frames are kept that do not follow the position. The gap timer runs."""
    CATCHING_UP = "catching up"
    """The store is being read, or what was read of it is being sent; frames are kept."""
    CLOSED = "closed"
    """Nothing is done any more. No state follows."""


# As names of this module: an attribute of an Enum is slow to find, and `take` runs for every frame.
OPENING, LIVE, GAP, CATCHING_UP, CLOSED = State

PASS_ON: Final = (PassOn(),)
"""What is answered to nearly every frame: `[frame]` would have to be made each time."""
_NOTHING: Final[Sequence[Action]] = ()
_DROP: Final = (Drop(),)
_START_TIMER, _STOP_TIMER = StartGapTimer(), StopGapTimer()
_READ_STANDING, _READ_AGAIN = ReadStanding(), ReadStanding(pause=True)


class Following:
    """One client on one feed. At most one read is asked for at a time, and at most one timer."""

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

    def __init__(self, asked: Cursor | None, *, auto: bool, now: Callable[[], float]) -> None:
        """`asked` is the cursor that the client resumes from; with `auto` delivery is viewing; `now` is in
        monotonic seconds.
        """
        self.state = OPENING
        """Changed by `_settle`, `_catch_up` and `close`, and by nothing else."""
        self._epoch = ""
        """The epoch of the client's position; changed by a reset only. While OPENING: that of the first
        frame that came, if any.
        """
        self._version = 0
        """The version of the client's position: it has been told, or is being sent, all up to here. Grows
        with what is sent; only a reset may set it back. 0 while OPENING.
        """
        self._early: EarlyFrames | None = None
        """Frames of `_epoch` that wait for what is before them. None for none: there are thousands of quiet
        streams. Always None in LIVE, never None in GAP.
        """
        self._heard = 0
        """The newest version of `_epoch` that anything came of, if it did not follow the position; 0 if the
        store is being asked anyway. The client must be told of it: if no frame that is kept leads there, it
        is read from the store.
        """
        self._again = False
        """Whether what is being read now may be older than what has happened since: frames may have been
        lost, or one came of another epoch. Set while OPENING or CATCHING_UP, cleared at the end of it.
        """
        self._reason: CatchUpReason = "resume"
        """What the catch-up that is under way, or was the last, began with. Set by `_catch_up`."""
        self._give_up_at = 0.0
        """After when a read that fails ends the stream. Set by `_catch_up`."""
        self._oldest: datetime | None = None
        """When the oldest notification of the catch-up that is under way was created, for a measure."""
        self._asked = asked
        """The cursor that the client resumes from. None once it has been welcomed."""
        self._auto = auto
        """Whether delivery is viewing. Never changes."""
        self._now = now
        """The clock. Never changes."""

    @property
    def position(self) -> Cursor:
        """Up to where the client has been told everything. Means nothing while OPENING."""
        return Cursor(self._epoch, self._version)

    # --- frames ---

    def take(self, frame: Frame) -> Sequence[Action]:
        """A frame came. Frames may be lost, repeated and out of order."""
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
        """The gap timer ran out."""
        return self._catch_up("gap") if self.state is GAP else _NOTHING

    def _take_out_of_turn(self, frame: Frame) -> Sequence[Action]:
        if self.state is CLOSED:
            return _NOTHING
        if self.state is OPENING and not self._epoch:
            self._epoch = frame.epoch
        if frame.epoch == self._epoch and frame.version <= self._version:
            return _DROP if frame.text else _NOTHING
        if self.state is OPENING or self.state is CATCHING_UP:
            self._again |= frame.epoch != self._epoch  # which of them is newer, only the store knows
            self._keep(frame)
            return _NOTHING
        if frame.epoch != self._epoch or not _has_content(frame):
            return self._catch_up("gap")
        self._keep(frame)
        return [*self._pass_on_early(), *self._settle("gap")]

    def _keep(self, frame: Frame) -> None:
        """Keep a frame of this epoch; of a bare position there is only its version to remember."""
        if frame.epoch != self._epoch:
            return
        self._heard = max(self._heard, frame.version)
        if _has_content(frame):
            if self._early is None:
                self._early = EarlyFrames()
            self._early.add(frame, self._version)

    def _pass_on_early(self) -> Sequence[Action]:
        """Pass on what was kept and follows the position now; forget what is from before it."""
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
        """LIVE if the client has been told all that is known, GAP if frames are kept; else catch up."""
        if self._early is None and self._heard > self._version:
            return self._catch_up(reason)
        before, self.state = self.state, LIVE if self._early is None else GAP
        if self.state is GAP:
            return _NOTHING if before is GAP else (_START_TIMER,)
        return (_STOP_TIMER,) if before is GAP else _NOTHING

    # --- the store ---

    def standing_read(self, standing: Standing) -> Sequence[Action]:
        """Where the feed stands was read."""
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
        """The client was sent all that is on the page."""
        if self.state is not CATCHING_UP:
            return _NOTHING
        if page.more:
            # What changed since that page was read has moved behind its end, so an older next page lacks it.
            return (ReadPage(self._version, page.feed.cursor),)
        return [Replayed(page.feed, self._reason, self._oldest), *self._caught_up()]

    def read_failed(self, detail: str) -> Sequence[Action]:
        """The store is out of reach."""
        if self.state is not CATCHING_UP:
            return _NOTHING
        return (GiveUp(self._reason, detail),) if self._now() > self._give_up_at else (_READ_AGAIN,)

    def is_behind(self, standing: Standing) -> bool:
        """Whether this says that the client has missed something about which nothing is being done."""
        if self.state is not LIVE and self.state is not GAP:
            return False
        return standing.feed.epoch != self._epoch or standing.feed.version > self._version

    def compare(self, standing: Standing) -> Sequence[Action]:
        """The feed stood here a while ago, so that frames up to here have come if they were to come."""
        return self._catch_up("position") if self.is_behind(standing) else _NOTHING

    def close(self) -> Sequence[Action]:
        """Do nothing from now on."""
        before, self.state = self.state, CLOSED
        self._early = None
        return (_STOP_TIMER,) if before is GAP else _NOTHING

    def _open(self, standing: Standing) -> Sequence[Action]:
        """Welcome the client at the cursor it asked for, if it can be brought up to date from there."""
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
        """Have what is missing read from the store."""
        before, self.state = self.state, CATCHING_UP
        self._reason = reason
        self._oldest = None
        self._give_up_at = self._now() + GIVE_UP_SECONDS
        if read is _READ_STANDING:
            self._heard = 0  # all that was heard of is in what will be read
        return (_STOP_TIMER, read) if before is GAP else (read,)

    def _caught_up(self) -> Sequence[Action]:
        """Go on with what came meanwhile."""
        again, self._again = self._again, False
        passed_on = self._pass_on_early()
        return [*passed_on, *(self._catch_up(self._reason) if again else self._settle(self._reason))]


class EarlyFrames:
    """Frames that wait for what is before them, by the version that they follow."""

    __slots__ = ("_frames",)

    def __init__(self) -> None:
        self._frames: dict[int, Frame] = {}

    def __bool__(self) -> bool:
        return bool(self._frames)

    def add(self, frame: Frame, version: int) -> None:
        """Keep a frame. If there are too many, all but the one that follows this version are forgotten."""
        if len(self._frames) >= EARLY_FRAMES and frame.prev != version:
            self._frames.clear()
        self._frames[frame.prev] = frame

    def take_from(self, version: int) -> Iterator[Frame]:
        """Those that follow this version, one after another. Those from before where they end are gone."""
        while (frame := self._frames.pop(version, None)) is not None:
            version = frame.version
            yield frame
        for prev in [prev for prev, frame in self._frames.items() if frame.version <= version]:
            del self._frames[prev]


def why_reset(position: Cursor, standing: Standing) -> ResetReason | None:
    """Why a client cannot be brought from a position to where the feed stands; None if it can."""
    if position.epoch != standing.feed.epoch:
        return "epoch"
    if position.version > standing.feed.version:
        return "future"
    if position.version < standing.horizon:
        return "retention"
    return None


def end_of(page: FeedHistory) -> int:
    """The version at which a client stands that was sent this page."""
    return page.notifications[-1].version if page.more else page.feed.version


def _has_content(frame: Frame) -> bool:
    """Whether it is a change, not a bare position."""
    return bool(frame.text) and frame.version > frame.prev
