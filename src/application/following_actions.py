"""The actions that `application.following` returns for a session to take.

A `Frame` among the actions means: send it as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from application.feeds import FeedHistory
from application.streams import Frame
from domain.feed import Cursor, Feed

CatchUpReason: TypeAlias = Literal["resume", "carrier", "gap", "position"]
"""Why a catch-up began: a client's cursor, lost frames, a gap, or a comparison with the store."""
ResetReason: TypeAlias = Literal["epoch", "future", "retention"]


@dataclass(frozen=True, slots=True)
class PassOn:
    """Send the frame that was just taken, as it is."""


@dataclass(frozen=True, slots=True)
class Welcome:
    """Send the first frame. `position` is the client's; a replay up to `feed` may follow."""

    feed: Feed
    position: Cursor
    resumed: bool


@dataclass(frozen=True, slots=True)
class Reset:
    """Tell the client to load the feed again. Its position becomes that of `feed`."""

    feed: Feed
    reason: ResetReason


@dataclass(frozen=True, slots=True)
class Replay:
    """Send a page to the client, whose position is version `prev`; then call `page_sent`."""

    page: FeedHistory
    prev: int


@dataclass(frozen=True, slots=True)
class Replayed:
    """Tell the client that its catch-up is complete, at the position of `feed`."""

    feed: Feed
    reason: CatchUpReason
    oldest: datetime | None
    """When the oldest notification in it was created; None if there was none."""


@dataclass(frozen=True, slots=True)
class View:
    """Mark these read: they were delivered on a stream with `view=auto`."""

    ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class Drop:
    """Do nothing but count: the client has this frame already."""


@dataclass(frozen=True, slots=True)
class StartGapTimer:
    """Call `gap_stayed` after GAP_SECONDS."""


@dataclass(frozen=True, slots=True)
class StopGapTimer:
    """Do not call it any more."""


@dataclass(frozen=True, slots=True)
class ReadStanding:
    """Read the feed's standing, not from a read that began earlier; then call `standing_read` or
    `read_failed`. With `pause`, wait a moment first, because the store was just out of reach.
    """

    pause: bool = False


@dataclass(frozen=True, slots=True)
class ReadPage:
    """Read a page of the changes after a version; then call `page_read` or `read_failed`. A page that was
    read for another stream is fine if it is not older than `at_least`.
    """

    after: int
    at_least: Cursor


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Close the stream: its missing changes cannot be read here. The client can resume elsewhere."""

    reason: CatchUpReason
    detail: str
    """Why it cannot be read."""


Action: TypeAlias = (
    Frame
    | PassOn
    | Welcome
    | Reset
    | Replay
    | Replayed
    | View
    | Drop
    | StartGapTimer
    | StopGapTimer
    | ReadStanding
    | ReadPage
    | GiveUp
)
