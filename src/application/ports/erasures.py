"""Erasing and exporting users."""

from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from application.audit import Entry
from application.erasures import Erasure
from application.exports import ExportPage
from domain.identifiers import NotificationId, UserId


class Erasures(Protocol):
    """Erasures. Each call is one transaction. Safe to run in several processes.

    An erased id is kept as a keyed hash: `FeedWriter.append` drops its drafts, and `Users.add` refuses it.
    """

    async def begin(self, user: UserId, entry: Entry, *, reusable: bool) -> Erasure:
        """Remove a user with its feed, which invalidates its tokens, and keep the hash of its id. Its
        notifications are left for `delete_some`. With `reusable` the id can be used again once the erasure is
        finished.

        A user who was erased before gets the same erasure, which becomes reusable if that is asked. Raises
        UnknownUser.
        """
        ...

    async def get(self, erasure: UUID) -> Erasure:
        """Raises UnknownErasure."""
        ...

    async def unfinished(self, limit: int) -> Sequence[Erasure]:
        """The oldest erasures that are not finished."""
        ...

    async def delete_some(
        self, erasure: UUID, after: NotificationId | None, limit: int
    ) -> NotificationId | None:
        """Delete up to `limit` notifications, by id, beyond `after`, and count them. Returns the last one;
        None if there are no more, or if another process is at it.
        """
        ...

    async def finish(self, erasure: UUID, kafka_keeps: timedelta | None, entry: Entry) -> bool:
        """Forget the user's id and note until when Kafka keeps records. Returns whether it did: not if the
        erasure is not settled, if notifications are left, or if another process is at it.
        """
        ...


class Exports(Protocol):
    """Everything that is kept of a user."""

    def pages(self, user: UserId, after: NotificationId | None) -> AsyncGenerator[ExportPage, None]:
        """The user and its notifications in every state, by id, beyond `after`; at least one page.

        All pages are of one moment. It ends early, with a page that has more behind it, when that moment
        cannot be held any longer. Raises UnknownUser.
        """
        ...
