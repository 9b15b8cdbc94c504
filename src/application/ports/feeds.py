"""The truth: feeds, and what becomes of old notifications."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from application.feeds import Appended, Dropped, FeedHistory, FeedPage, Pruned, Spot, Standing
from domain.feed import Feed, Marked
from domain.identifiers import NotificationId, UserId
from domain.notification import Draft, Mark, Notification, Status


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
