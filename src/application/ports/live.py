"""The unread index and the live streams: what follows a feed."""

from collections.abc import Sequence
from typing import Protocol

from application.pages import IndexEntry, Missing, UnreadPage
from application.streams import Frame
from domain.feed import FeedChange
from domain.identifiers import NotificationId, UserId


class UnreadIndex(Protocol):
    """The newest unread notifications of recent feeds. May forget anything at any time; never wrong
    for longer than its time to live. Never raises: without its server it only misses.
    """

    async def page(self, user: UserId, limit: int, before: NotificationId | None) -> UnreadPage | Missing:
        """Return a page if the index holds all of it."""
        ...

    async def load(self, page: UnreadPage, lease: str) -> None:
        """Keep what was read from the truth after the lease was taken.

        Does nothing if any change of the feed was announced in between.
        """
        ...

    async def sample(self, count: int) -> Sequence[UserId]:
        """Up to so many users of whose feeds it holds something; others each time, until it is through."""
        ...

    async def entry(self, user: UserId) -> IndexEntry | None:
        """All from which it answers for this feed, at one moment; None if it would ask for the truth."""
        ...

    async def forget(self, user: UserId) -> None:
        """Hold nothing of this feed until somebody loads it."""
        ...

    @property
    def capacity(self) -> int:
        """How many notifications of a feed it keeps."""
        ...


class Announcer(Protocol):
    """Tells whoever follows a feed what was committed: first the unread index, then open streams."""

    async def announce(self, changes: Sequence[FeedChange]) -> None:
        """Announce changes, in this order. Never raises: what could not be told is remembered, and
        told as a bare position (Settled) once the carrier is back, so that followers catch up.
        """
        ...


class Follower(Protocol):
    """A stream of one user. Neither method waits, raises or calls back."""

    def take(self, frame: Frame) -> None:
        """Have a frame of the user. Frames may be lost, repeated and out of order."""
        ...

    def miss(self) -> None:
        """Know that frames may have been lost: compare with the truth."""
        ...


class LiveFeed(Protocol):
    """Frames of feed changes as they happen. May lose and reorder them; each says what it follows."""

    def join(self, user: UserId, follower: Follower) -> None:
        """Hand the user's frames to the follower from now on."""
        ...

    def leave(self, user: UserId, follower: Follower) -> None:
        """Stop doing so. Leaving twice is no error."""
        ...


class Connection(Protocol):
    """The way to one client and back. What the client does not take yet is queued, up to a bound."""

    stalled_since: float
    """Since when (monotonic seconds) the client has taken nothing although something waits; 0 if it does."""

    @property
    def queued(self) -> int:
        """How many bytes wait for the client outside the kernel."""
        ...

    def send(self, text: str, cursor: str = "") -> None:
        """Send a frame after which the client stands at the cursor (if it moves). Never waits; to a client
        that has gone it does nothing. Raises Lagging if too much is waiting.
        """
        ...

    def ping(self) -> bool:
        """Show that the connection lives. Returns whether the client is to answer."""
        ...

    async def flowing(self, seconds: float) -> None:
        """Wait until nothing is queued. Raises Lagging after so many seconds."""
        ...

    async def receive(self) -> str | bytes | None:
        """What the client says next; None once it has gone or the connection was closed."""
        ...

    def close(self, code: int, reason: str, bye: str) -> None:
        """Send a last frame, then close. Never waits; a client that does not take it is cut off in time."""
        ...


class EventStream(Connection, Protocol):
    """A connection on which the client only listens. Refusing it is left to whoever opened it."""

    refused: str
    """The last frame, if the connection was closed before anything was sent: then nothing is."""
