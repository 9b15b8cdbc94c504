"""What the use cases need from the outside. The docstrings are the specification.

Every method of a port that reaches a server raises `Unavailable` when that server is out of reach,
unless its docstring says otherwise, and returns within a bounded time.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeAlias

from application.credentials import ApiKey, Claims, LatestRevocations
from application.errors import Unconfirmed
from application.feeds import Appended, Dropped, FeedHistory, FeedPage, Pruned, Spot, Standing
from application.letters import DeadLetter, Position, Progress
from application.pages import IndexEntry, Missing, Rendered, UnreadPage
from application.records import Batch, Failure, Partition
from application.streams import Frame
from domain.feed import Feed, FeedChange, Marked
from domain.identifiers import NotificationId, UserId
from domain.notification import Draft, Mark, Notification, Status
from domain.user import User

Clock: TypeAlias = Callable[[], datetime]
NewId: TypeAlias = Callable[[], NotificationId]

Render: TypeAlias = Callable[[Notification], Rendered]


# --- the truth ----------------------------------------------------------------------------------------


class FeedWriter(Protocol):
    """Where new notifications are stored. Each method is one transaction; a user's changes are totally
    ordered.
    """

    async def append(self, drafts: Sequence[Draft]) -> Appended:
        """Store drafts, giving each feed the next versions in the order of the drafts.

        A draft whose id its feed holds already changes nothing, neither does one for an unknown user.
        Raises Refused if the store will never take one of them: then none is stored.
        """
        ...


class FeedMarks(Protocol):
    """What a user changes in a feed, and what it must know for that. Each method is one transaction."""

    async def mark(self, user: UserId, mark: Mark, ids: Sequence[NotificationId], at: datetime) -> Marked:
        """Mark these; skip ids that the feed does not hold and what is so already.

        Raises UnknownUser.
        """
        ...

    async def mark_up_to(self, user: UserId, mark: Mark, version: int, at: datetime) -> Marked:
        """Mark everything whose version is not above this one. Raises UnknownUser."""
        ...

    async def feed(self, user: UserId) -> Feed:
        """Where the feed stands. Raises UnknownUser."""
        ...

    async def get(self, user: UserId, notification: NotificationId) -> Notification:
        """Raise UnknownNotification if the user's feed does not hold it (or it was retracted)."""
        ...


class Expiry(Protocol):
    """What is taken back because its time is over."""

    async def expired(self, at: datetime, limit: int) -> Sequence[tuple[UserId, NotificationId]]:
        """Notifications whose time is over and that were not retracted yet."""
        ...

    async def mark(self, user: UserId, mark: Mark, ids: Sequence[NotificationId], at: datetime) -> Marked:
        """Mark these; skip ids that the feed does not hold and what is so already.

        Raises UnknownUser.
        """
        ...


class FeedViews(Protocol):
    """The lists that a user is shown."""

    async def page(
        self,
        user: UserId,
        status: Status,
        *,
        limit: int,
        before: NotificationId | None = None,
        event: str | None = None,
    ) -> FeedPage:
        """The newest notifications of a view that are older than `before`. Raises UnknownUser."""
        ...


class FeedReplay(Protocol):
    """What followers of a feed compare themselves with, and what they have missed."""

    async def history(self, user: UserId, after: int, limit: int) -> FeedHistory:
        """What changed after this version, the first `limit` of it. Raises UnknownUser."""
        ...

    async def standings(self, users: Collection[UserId]) -> Mapping[UserId, Standing]:
        """Where these feeds stand, read at once. Users without a feed are left out."""
        ...

    async def histories(
        self, wanted: Sequence[tuple[UserId, int]], limit: int
    ) -> Sequence[FeedHistory | None]:
        """The `history` of each user after the version next to it, read at once and in this order; None
        for a user without a feed. Up to `limit` notifications each: mind how many are asked for.
        """
        ...


class Feeds(FeedWriter, FeedMarks, Expiry, FeedViews, FeedReplay, Protocol):
    """All of a feed's store, for the adapter and its contract. A use case asks for the part that it calls."""


class Retention(Protocol):
    """Takes what is old away. Months are those of UTC, by the time in the ids; `before` is the first moment
    of one. May be done by several at once, and while everything else goes on.
    """

    async def prune(self, before: datetime, after: Spot | None, limit: int) -> Pruned:
        """Delete up to so many notifications from before that month, by user and id, beyond `after`. One
        transaction: the version of each feed that loses some grows by one and becomes its horizon, and its
        unread count is what is left.
        """
        ...

    async def drop(self, before: datetime) -> Dropped:
        """Drop the storage of the months before, where nothing is stored in it any more."""
        ...


class Users(Protocol):
    """Who has a feed, and who of them is let in. Times are those of the store's own clock: revocations are
    made by many processes, and one clock must say which of them are new.
    """

    async def add(self, user: User, password_hash: str | None) -> None:
        """Store a user and open its feed. Raises UserTaken."""
        ...

    async def get(self, user: UserId) -> User:
        """Raise UnknownUser."""
        ...

    async def known(self, users: Sequence[UserId]) -> frozenset[UserId]:
        """Which of these exist. May remember that one did: users are never removed."""
        ...

    async def credentials(self, emails: Sequence[str]) -> tuple[User, str] | None:
        """The user with the first of these addresses that somebody with a password has, and its hash."""
        ...

    async def renew(self, user: User, password_hash: str, email: str, new_hash: str) -> None:
        """Store another form of the address and another hash of the password, if the user still has these.

        Raises UserTaken if another user has that address.
        """
        ...

    async def has_address(self, email: str) -> bool:
        """Whether somebody has this address, in exactly this form."""
        ...

    async def disable(self, user: UserId) -> None:
        """Kill all tokens, also those issued until the user is enabled. The first time counts.

        Raises UnknownUser.
        """
        ...

    async def enable(self, user: UserId) -> None:
        """Let a disabled user in again; tokens issued until now stay dead. Changes nothing for one who is
        not disabled. Raises UnknownUser.
        """
        ...

    async def revoke_tokens(self, user: UserId) -> None:
        """Kill the tokens issued until now. Raises UnknownUser."""
        ...

    async def revocations(self, since: datetime | None) -> LatestRevocations:
        """Who was disabled, enabled or had tokens revoked at or after this time, as it is now; ever, without
        one. What was made before the time and is not committed yet will not be in a later answer: ask with
        an overlap.
        """
        ...


# --- the index and the live streams -------------------------------------------------------------------


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


# --- the queue ----------------------------------------------------------------------------------------


class NotificationQueue(Protocol):
    """The queue that accepts notifications durably. Drafts of one user stay in order."""

    async def put(self, draft: Draft) -> None:
        """Return once the draft is durable. Raises Unconfirmed when that is not known in time."""
        ...

    async def put_all(self, drafts: Sequence[Draft]) -> Sequence[Unconfirmed | None]:
        """Put many; return for each None, or why it is not known to be durable."""
        ...


class QueueReader(Protocol):
    """A member of the group of consumers that share the queue's partitions."""

    async def start(self, revoked: Callable[[], Awaitable[None]]) -> None:
        """Join the group. `revoked` is awaited before partitions go to another member: it finishes and
        commits what is under way.
        """
        ...

    async def stop(self) -> None:
        """Leave the group, so that the others take over at once. Raises TimeoutError."""
        ...

    async def ping(self) -> None:
        """Raise Unavailable if the queue cannot be reached, or no partition is assigned."""
        ...

    async def next_batch(self, wait_seconds: float) -> Batch:
        """What has arrived, up to the size of a batch; wait at most this long for the first record.

        Raises NotRead.
        """
        ...

    async def read_alone(self, partition: Partition, shrunk: int = 0) -> Batch:
        """What comes next of a partition that was put back, up to the size of a batch halved `shrunk` times.

        Raises Unavailable, also where a batch cannot be unpacked: then the partition stays where it is.
        """
        ...

    def put_back(self, partition: Partition, offset: int) -> None:
        """Go to an offset and leave the partition out of `next_batch` until it was read alone. Does nothing
        if it is another member's by now.
        """
        ...

    def go_to(self, partition: Partition, offset: int) -> None:
        """Read a partition from this offset on. Does nothing if it is another member's by now."""
        ...

    async def commit(self, offsets: Mapping[Partition, int]) -> bool:
        """Commit offsets; return whether that is done. If it is not, the records may come again."""
        ...

    async def behind(self) -> Mapping[Partition, int]:
        """How many records of each assigned partition are still to be read."""
        ...

    @property
    def assignments(self) -> int:
        """How often partitions were assigned to this member."""
        ...

    @property
    def rebalancing(self) -> bool:
        """Whether the group has taken the partitions away and has not assigned new ones yet."""
        ...


class DeadLetters(Protocol):
    """Keeps records that can never be stored, byte for byte, with the reason."""

    async def start(self) -> None:
        """Connect."""
        ...

    async def stop(self) -> None:
        """Disconnect. Raises TimeoutError."""
        ...

    async def put(self, letters: Sequence[Failure]) -> None:
        """Return once all of them are durable. If it raises, no offset may be committed past any of them."""
        ...


class IdempotencyKeys(Protocol):
    """Remembers for a day which id a producer's key stands for."""

    async def claim(
        self, producer: str, key: str, fingerprint: str, notification: NotificationId
    ) -> NotificationId:
        """Return the id that the key stands for: this one, if the key is new.

        Raises KeyReused if it came with another fingerprint.
        """
        ...


# --- dead letters -------------------------------------------------------------------------------------


class DeadLetterBox(Protocol):
    """The dead letters that were kept."""

    @property
    def replays_to(self) -> str:
        """The topic that records are replayed to."""
        ...

    def read(
        self, progress: Progress, partitions: Collection[int] | None = None
    ) -> AsyncGenerator[DeadLetter, None]:
        """Read every letter that is there at the start (of these partitions), by partition and offset."""
        ...

    async def get(self, position: Position) -> DeadLetter:
        """Raise UnknownDeadLetter if there is none, or none any more."""
        ...

    async def replay(self, letter: DeadLetter) -> None:
        """Return once the record is durable in its topic again, with the key, the value, the headers and
        the id that it had. A letter without a value is none that can be replayed.
        """
        ...


# --- credentials --------------------------------------------------------------------------------------


class Tokens(Protocol):
    """User tokens."""

    def mint(self, user: UserId, at: datetime) -> tuple[str, int]:
        """A token, issued at this very moment and not only within its second, and its lifetime in seconds."""
        ...

    def verify(self, token: str, at: datetime) -> Claims:
        """Raise NotAuthenticated."""
        ...


class TextForms(Protocol):
    """Texts that can be typed in several ways, in the one form in which they are compared. A form has itself
    as its form. The work grows no faster than the length of the text, and is bounded.
    """

    def email(self, typed: str) -> str:
        """The local part as a username without regard to case (UsernameCaseMapped, RFC 8265), the domain as
        it is written in its own script (IDNA, UTS #46), in lower case. Raises Invalid.
        """
        ...

    def password(self, typed: str) -> str:
        """As an OpaqueString (RFC 8265). Raises Invalid, without a word of what was typed."""
        ...


class Passwords(Protocol):
    """Slow hashes, computed off the event loop and few at a time."""

    async def hash(self, password: str) -> str: ...

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Compare; without a hash, take as long and say no, so that nobody learns who has an account."""
        ...


class Tickets(Protocol):
    """Single-use admissions to a stream, for clients that cannot set headers."""

    lifetime: int
    """Seconds."""

    async def issue(self, claims: Claims) -> str:
        """A ticket that admits whom these claims are about, to a stream that ends when they expire."""
        ...

    async def redeem(self, ticket: str) -> Claims:
        """Raise NotAuthenticated if it is unknown, used or too old."""
        ...


class ApiKeys(Protocol):
    """The producers' keys."""

    async def add(self, key: ApiKey) -> None: ...

    async def get(self, key_id: str) -> ApiKey | None:
        """May be remembered for up to 30 s."""
        ...

    async def all(self) -> Sequence[ApiKey]: ...

    async def revoke(self, key_id: str, at: datetime) -> bool:
        """Return whether there was such a key in use."""
        ...
