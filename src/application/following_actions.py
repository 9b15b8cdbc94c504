"""What a session is to do for a stream to stay whole: what `application.following` answers to what happens.

A `Frame` among the actions is to be sent as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from application.feeds import FeedHistory
from application.streams import Frame
from domain.feed import Cursor, Feed

CatchUpReason: TypeAlias = Literal["resume", "carrier", "gap", "position"]
"""What a catch-up began with: a cursor, a carrier that lost frames, a gap, a comparison of positions."""
ResetReason: TypeAlias = Literal["epoch", "future", "retention"]


@dataclass(frozen=True, slots=True)
class PassOn:
    """Send the frame that came, as it is."""


@dataclass(frozen=True, slots=True)
class Welcome:
    """Send the first frame: the client stands at `position`, from which it may be brought up to `feed`."""

    feed: Feed
    position: Cursor
    resumed: bool


@dataclass(frozen=True, slots=True)
class Reset:
    """Tell the client to load the feed again: its position is now where `feed` stands."""

    feed: Feed
    reason: ResetReason


@dataclass(frozen=True, slots=True)
class Replay:
    """Send what is on a page to the client, which stands at version `prev`; then call `page_sent`."""

    page: FeedHistory
    prev: int


@dataclass(frozen=True, slots=True)
class Replayed:
    """Tell the client that its catch-up is complete: it stands where `feed` does."""

    feed: Feed
    reason: CatchUpReason
    oldest: datetime | None
    """When the oldest notification in it was created; None if there was none."""


@dataclass(frozen=True, slots=True)
class View:
    """Mark these read: on this stream delivery is viewing."""

    ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class Drop:
    """Do nothing: a frame came that the client has been told."""


@dataclass(frozen=True, slots=True)
class StartGapTimer:
    """Call `gap_stayed` after GAP_SECONDS."""


@dataclass(frozen=True, slots=True)
class StopGapTimer:
    """Do not call it any more."""


@dataclass(frozen=True, slots=True)
class ReadStanding:
    """Read where the feed stands, after this was asked for; then call `standing_read` or `read_failed`.
    With `pause`, wait a moment first: the store was just out of reach.
    """

    pause: bool = False


@dataclass(frozen=True, slots=True)
class ReadPage:
    """Read the first page of what changed after a version; one that was read for another stream will do if
    it is not older than `at_least`. Then call `page_read` or `read_failed`.
    """

    after: int
    at_least: Cursor


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Close the stream: what the client missed cannot be read. Its cursor is good elsewhere."""

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
