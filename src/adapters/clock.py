"""The time and new ids: the two things a use case cannot make up."""

import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from domain.identifiers import NotificationId, UserId, uuid7

# Left free at the end of an id, for the other ids of a batch.
_BATCH_BITS = 10
# What a minute is in an id.
_SET_BACK = 60_000 << 80


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


class NotificationIds:
    """UUIDv7s that rise within a process, also within a millisecond and where a clock is set back by less
    than a minute (RFC 9562 §6.2). A clock that was far ahead and comes back is followed: ids of that time
    would be on top of every list until then.
    """

    def __init__(
        self,
        time_ns: Callable[[], int] = time.time_ns,
        randbits: Callable[[int], int] = secrets.randbits,
    ) -> None:
        self._time_ns = time_ns
        self._randbits = randbits
        self._last = 0

    def __call__(self) -> NotificationId:
        # The topmost random bit stays free, so that adding never carries into the variant.
        entropy = self._randbits(73) & ~(1 << 61) & ~((1 << _BATCH_BITS) - 1)
        fresh = uuid7(self._time_ns() // 1_000_000, entropy).int
        if self._last - _SET_BACK < fresh <= self._last:
            fresh = self._last + (1 << _BATCH_BITS)
        self._last = fresh
        return NotificationId(UUID(int=fresh))


def new_user_id() -> UserId:
    """A user id for whoever brought none."""
    return UserId(f"u-{secrets.token_hex(8)}")
