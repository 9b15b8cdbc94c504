"""Publishing: from a producer's request into the queue."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from application.credentials import ApiKey
from application.errors import NotAllowed, Unavailable, Unconfirmed
from application.ports import Clock, IdempotencyKeys, NewId, NotificationQueue, Users
from domain.errors import DomainError, FieldError, Invalid, UnknownUser
from domain.identifiers import NotificationId, UserId
from domain.notification import Content, Draft


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A producer's promise that requests with this key and fingerprint are the same request."""

    producer: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishNotification:
    """Accept a notification: it is durable in the queue when this returns its id.

    Raises NotAllowed, UnknownUser, KeyReused, and Unconfirmed when the outcome is not known in time.
    """

    users: Users
    queue: NotificationQueue
    keys: IdempotencyKeys
    clock: Clock
    new_id: NewId
    creates_users: bool = False
    """Whether the consumer creates unknown users."""

    async def __call__(
        self, key: ApiKey, content: Content, idempotency: Idempotency | None = None
    ) -> NotificationId:
        key.check(content.user_id, content.event)
        now = self.clock()
        check_expiry(content, now)
        if not self.creates_users and content.user_id in await unknown_users(self.users, [content.user_id]):
            raise UnknownUser
        notification_id = self.new_id()
        if idempotency is not None:
            notification_id = await _claim(self.keys, idempotency, notification_id)
        await self.queue.put(_draft(key, notification_id, now, content))
        return notification_id


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishBatch:
    """Accept many notifications, each on its own.

    Takes for each item its content, or the error that it already has. Returns its id or its error.
    """

    users: Users
    queue: NotificationQueue
    keys: IdempotencyKeys
    clock: Clock
    new_id: NewId
    creates_users: bool = False
    """Whether the consumer creates unknown users."""

    async def __call__(
        self, key: ApiKey, items: Sequence[Content | DomainError], idempotency: Idempotency | None = None
    ) -> "Sequence[NotificationId | DomainError | NotAllowed | Unconfirmed]":
        now = self.clock()
        permitted = [_permitted(key, item) for item in items]
        first = self.new_id()
        if idempotency is not None:
            first = await _claim(self.keys, idempotency, first)
        named = {item.user_id for item in permitted if isinstance(item, Content)}
        unknown = frozenset() if self.creates_users else await unknown_users(self.users, list(named))
        results: list[NotificationId | DomainError | NotAllowed | Unconfirmed] = []
        drafts: dict[int, Draft] = {}
        for position, item in enumerate(permitted):
            if isinstance(item, Exception):
                results.append(item)
            elif item.expires_at is not None and item.expires_at <= now:
                results.append(Invalid([FieldError("expires_at", "must be in the future")]))
            elif item.user_id in unknown:
                results.append(UnknownUser())
            else:
                drafts[position] = _draft(key, nth_id(first, position), now, item)
                results.append(drafts[position].id)
        outcomes = await self.queue.put_all(list(drafts.values()))
        for position, outcome in zip(drafts, outcomes, strict=True):
            if outcome is not None:
                results[position] = outcome
        return results


def _draft(key: ApiKey, notification: NotificationId, now: datetime, content: Content) -> Draft:
    if content.collapse_key is None:
        return Draft(notification, now, content, key.id)
    # It may become one with another, and so change it.
    return Draft(notification, now, content, key.id, own_only=key.changes_own_only)


def _permitted(key: ApiKey, item: Content | DomainError) -> Content | DomainError | NotAllowed:
    """The item, or the error that it is beyond the limits of the key."""
    if isinstance(item, Content):
        try:
            key.check(item.user_id, item.event)
        except NotAllowed as error:
            return error
    return item


def check_expiry(content: Content, now: datetime) -> None:
    """Raise Invalid if it has expired."""
    if content.expires_at is not None and content.expires_at <= now:
        raise Invalid([FieldError("expires_at", "must be in the future")])


def nth_id(first: NotificationId, position: int) -> NotificationId:
    """The id of the n-th item of a batch: the same in a retry, and sorted like the items.

    New ids leave their lowest 10 bits free for it.
    """
    return NotificationId(UUID(int=first.int + position))


async def unknown_users(users: Users, ids: Sequence[UserId]) -> frozenset[UserId]:
    """Which of these users do not exist.

    Empty if the store is out of reach: publishing goes on, and the consumer finds the unknown users when it
    stores the notifications.
    """
    try:
        return frozenset(ids) - await users.known(ids)
    except Unavailable:
        return frozenset()


async def _claim(
    keys: IdempotencyKeys, idempotency: Idempotency, notification_id: NotificationId
) -> NotificationId:
    return await keys.claim(idempotency.producer, idempotency.key, idempotency.fingerprint, notification_id)
