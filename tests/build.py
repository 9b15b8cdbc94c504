"""Values to test with. Every call without arguments gives the same."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

from adapters.redis.macs import Macs
from application.credentials import ApiKey, Scope
from application.letters import DeadLetter, Position
from domain.feed import Feed
from domain.identifiers import NotificationId, UserId, uuid7
from domain.metadata import Metadata
from domain.notification import Content, Draft, Notification
from domain.user import User

ADA, BOB = UserId("ada"), UserId("bob")
MACS = Macs("a secret of the tests, long enough", "test")
# In the past, because token libraries compare "issued at" with the real clock; with microseconds.
NOW = datetime(2026, 3, 14, 9, 26, 53, 589793, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)


class TestClock:
    """A clock that stands still until it is moved."""

    __test__ = False

    def __init__(self) -> None:
        self.at = NOW

    def __call__(self) -> datetime:
        return self.at

    def advance(self, **by: float) -> None:
        self.at += timedelta(**by)


class TestSeconds:
    """A monotonic clock. It runs, can be put forward, and stands still where it is put."""

    __test__ = False

    def __init__(self) -> None:
        self._ahead = 0.0
        self._stands_at: float | None = None

    def __call__(self) -> float:
        return monotonic() + self._ahead if self._stands_at is None else self._stands_at

    def advance(self, seconds: float) -> None:
        self._ahead += seconds

    def stand_at(self, seconds: float) -> None:
        self._stands_at = seconds


class CountedIds:
    """Ids 1, 2, 3 … as `an_id` makes them."""

    def __init__(self) -> None:
        self.last = 0

    def __call__(self) -> NotificationId:
        self.last += 1
        return an_id(self.last)


def an_id(n: int = 1, at: datetime = NOW) -> NotificationId:
    """The n-th id of a moment; like real ones they sort by time and leave the lowest ten bits free."""
    return NotificationId(uuid7(int(at.timestamp() * 1000), n << 10))


def a_metadata(value: Any) -> Metadata:
    """The metadata that a producer sends for a value; as it is, if it is metadata."""
    return value if isinstance(value, Metadata) else Metadata.of(json.dumps(value, ensure_ascii=False))


def a_content(user: UserId = ADA, *, metadata: Any = None, **changes: Any) -> Content:
    fields: dict[str, Any] = {"user_id": user, "event": "comment.created", "message": "Bob replied to you."}
    return Content(**fields | changes, metadata=a_metadata({} if metadata is None else metadata))


def a_draft(n: int = 1, user: UserId = ADA, *, at: datetime = NOW, **changes: Any) -> Draft:
    return Draft(an_id(n, at), at, a_content(user, **changes))


def drafts(count: int, user: UserId = ADA, *, first: int = 1) -> list[Draft]:
    """Drafts in the order of their ids; the message says which is which."""
    return [a_draft(n, user, message=f"message {n}") for n in range(first, first + count)]


def a_notification(
    n: int = 1, user: UserId = ADA, *, version: int | None = None, metadata: Any = None, **changes: Any
) -> Notification:
    stored = a_draft(n, user, metadata=metadata).stored(n if version is None else version)
    return replace(stored, **changes)


def a_feed(version: int = 1, unread: int = 1, user: UserId = ADA, epoch: str = "e1") -> Feed:
    return Feed(user, epoch, version, unread, unread, {"comment": unread} if unread else {})


def told_counts(unread: int, unseen: int | None = None) -> dict[str, object]:
    """The counts in an answer or a frame, for notifications that are all of one category."""
    return {
        "unread_count": unread,
        "unseen_count": unread if unseen is None else unseen,
        "unread_in": {"comment": unread} if unread else {},
    }


def a_user(user: UserId = ADA, **changes: Any) -> User:
    fields: dict[str, Any] = {"id": user, "name": "Ada Lovelace", "email": None, "created_at": NOW}
    return User(**fields | changes)


def an_api_key(**changes: Any) -> ApiKey:
    """A key that may publish for everybody."""
    fields: dict[str, Any] = {
        "id": "0123456789ab",
        "name": "producer",
        "secret_hash": b"hash",
        "scopes": frozenset({Scope.PUBLISH}),
        "created_at": NOW,
    }
    return ApiKey(**fields | changes)


def a_letter(position: str = "0:1", **changes: Any) -> DeadLetter:
    """A dead letter of the record that lay at the same place in its topic."""
    partition, offset = map(int, position.split(":"))
    fields: dict[str, Any] = {
        "position": Position(partition, offset),
        "at": NOW,
        "key": b"ada",
        "value": b'{"user_id": "ada"}',
        "headers": (),
        "user": "ada",
        "error_class": "unknown-user",
        "code": "unknown-user",
        "message": "there is no such user",
        "attempt": 1,
        "first_failed_at": NOW,
        "record": ("topic", partition, offset),
    }
    return DeadLetter(**fields | changes)
