"""Edits and retractions: how a producer changes what was published."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from application.credentials import ApiKey
from application.feeds import Retracted
from application.ports import Announcer, Clock, FeedWriter, NotificationQueue, Users
from application.publishing import check_expiry, unknown_users
from domain.errors import FieldError, Invalid, UnknownUser
from domain.identifiers import ID_RULE, NotificationId, UserId, is_uuid7, milliseconds_of
from domain.notification import EARLIEST, Content, Draft, check_id_not_ahead

_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class EditNotification:
    """Replace the content of a notification, or publish it if it has not arrived: the change is durable in
    the queue when this returns. The highest revision stands, in whatever order they arrive.

    Without `revision` it is the present time in milliseconds. Raises Invalid, NotAllowed, UnknownUser, and
    Unconfirmed when the outcome is not known in time.
    """

    users: Users
    queue: NotificationQueue
    clock: Clock

    async def __call__(
        self,
        key: ApiKey,
        notification: NotificationId,
        content: Content,
        revision: int | None = None,
        *,
        unread: bool = False,
    ) -> None:
        key.check(content.user_id, content.event)
        now = self.clock()
        _check_id(notification, now)
        check_expiry(content, now)
        draft = Draft(
            notification,
            EARLIEST + milliseconds_of(notification) * _MILLISECOND,
            content,
            key.id,
            (now - EARLIEST) // _MILLISECOND if revision is None else revision,
            unread,
            key.changes_own_only,
        )
        if await unknown_users(self.users, [content.user_id]):
            raise UnknownUser
        await self.queue.put(draft)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetractNotification:
    """Take a notification back, whether or not it has arrived. The change is announced when this returns;
    doing it again changes nothing.

    Raises Invalid, UnknownUser, and NotAllowed if another key sent it and this one may change only its own.
    """

    feeds: FeedWriter
    announcer: Announcer
    clock: Clock

    async def __call__(self, key: ApiKey, user: UserId, notification: NotificationId) -> Retracted:
        key.check(user)
        now = self.clock()
        _check_id(notification, now)
        sender = key.id if key.changes_own_only else None
        retracted = await self.feeds.retract(user, notification, now, sender)
        if retracted.marked is not None:
            await self.announcer.announce([retracted.marked])
        return retracted


def _check_id(notification: NotificationId, now: datetime) -> None:
    if not is_uuid7(notification):
        raise Invalid([FieldError("id", ID_RULE)])
    check_id_not_ahead(notification, now)
