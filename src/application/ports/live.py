"""The unread index and the live streams: what follows a feed."""

from collections.abc import Sequence
from typing import Protocol

from application.pages import IndexEntry, Missing, RenderedPage
from application.streams import Frame
from domain.feed import FeedChange
from domain.identifiers import NotificationId, UserId


class UnreadIndex(Protocol):
    """The newest unread notifications of recent feeds. May forget anything at any time, and is never wrong
    for longer than its time to live. Never raises: without its server every read is a miss.
    """

    async def page(self, user: UserId, limit: int, before: NotificationId | None) -> RenderedPage | Missing:
        """A page, if the index holds all of it."""
        ...

    async def load(self, page: RenderedPage, lease: str) -> None:
        """Keep a page that was read from the store after the lease was taken.

        Does nothing if any change of the feed was announced in between.
        """
        ...

    async def sample(self, count: int) -> Sequence[UserId]:
        """Up to `count` users that have an entry; repeated calls walk through all of them."""
        ...

    async def entry(self, user: UserId) -> IndexEntry | None:
        """The whole entry of a feed, read atomically; None if there is none."""
        ...

    async def forget(self, user: UserId) -> None:
        """Drop the entry of this feed."""
        ...

    async def erase(self, user: UserId) -> None:
        """Drop everything that is kept of this user. Unlike the others it raises Unavailable."""
        ...

    @property
    def capacity(self) -> int:
        """How many notifications of a feed it keeps at most."""
        ...


class Announcer(Protocol):
    """Announces what was committed: first to the unread index, then to the open streams."""

    async def announce(self, changes: Sequence[FeedChange]) -> None:
        """Announce changes, in this order, and after those of earlier calls, even if these have not returned.
        Never raises: what could not be announced is remembered, and is announced as a bare position once the
        carrier is back, so that followers catch up.
        """
        ...


class Follower(Protocol):
    """A stream of one user. Its methods do not wait, raise or call back."""

    def take(self, frame: Frame) -> None:
        """Receive a frame of the user. Frames may be lost, repeated and out of order."""
        ...

    def miss(self) -> None:
        """Frames may have been lost: compare with the store."""
        ...


class LiveFeed(Protocol):
    """Frames of feed changes as they happen. They may be lost or reordered; each says what it follows."""

    async def join(self, user: UserId, follower: Follower) -> None:
        """Pass the user's frames to the follower from now on. Returns once the follower may read the store:
        it gets the frame of every change after that, or is told that it may have missed some. A follower
        whose joining was cancelled must leave too.
        """
        ...

    def leave(self, user: UserId, follower: Follower) -> None:
        """Pass no more frames to the follower. Leaving twice is no error."""
        ...


class Carrier(Protocol):
    """What brings the frames of users to this process. It needs to know of whom."""

    async def join(self, user: UserId) -> None:
        """Bring the frames of this user. Returns once they come, or their loss will be reported."""
        ...

    def leave(self, user: UserId) -> None:
        """Nobody here follows the user any more."""
        ...


class Connection(Protocol):
    """The connection to one client. What the client does not read is queued, up to a bound."""

    stalled_since: float
    """When the client stopped reading (monotonic seconds); 0 while it reads."""

    @property
    def queued(self) -> int:
        """How many bytes wait for the client outside the kernel."""
        ...

    def send(self, text: str, cursor: str = "") -> None:
        """Send a frame; `cursor` is the client's position after it, if it moves. Never waits. Does nothing if
        the client has gone. Raises Lagging if too much is queued.
        """
        ...

    def ping(self) -> bool:
        """Send a ping. Returns whether the client must answer it."""
        ...

    async def flowing(self, seconds: float) -> None:
        """Wait until nothing is queued. Raises Lagging after `seconds`."""
        ...

    async def receive(self) -> str | bytes | None:
        """The next message from the client; None once it has gone or the connection was closed. Raises
        TooFast, once what came before was received, if the client sends more frames than it may.
        """
        ...

    def close(self, code: int, reason: str, bye: str) -> None:
        """Send a last frame, then close. Never waits; a client that does not read is cut off in time."""
        ...


class EventStream(Connection, Protocol):
    """A connection on which the client only listens. The code that opened it answers a refusal."""

    refused: str
    """The last frame, if the connection was closed before anything was sent; it is not sent then."""
