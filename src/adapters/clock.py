"""The clock and new ids, which use cases are given."""

import os
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from domain.identifiers import NotificationId, UserId, uuid7_number

# Zero bits at the end of an id, for the other ids of a batch.
_BATCH_BITS = 10
# The topmost random bit stays 0 too, so that an addition never carries into the variant.
_ENTROPY = (1 << 73) - 1 & ~(1 << 61) & -(1 << _BATCH_BITS)
# One minute in the bits of an id.
_SET_BACK = 60_000 << 80


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


class NotificationIds:
    """Makes UUIDv7s that increase within a process, also within a millisecond and when a clock is set back by
    less than a minute (RFC 9562 §6.2). A clock that is set back further is followed: otherwise ids of the
    future would be on top of every list until then.
    """

    def __init__(
        self,
        time_ns: Callable[[], int] = time.time_ns,
        randbits: Callable[[int], int] = lambda bits: int.from_bytes(os.urandom(bits // 8 + 1)),
    ) -> None:
        """`randbits` may give more bits than it is asked for."""
        self._time_ns = time_ns
        self._randbits = randbits
        self._last = 0

    def __call__(self) -> NotificationId:
        entropy = self._randbits(73) & _ENTROPY
        fresh = uuid7_number(self._time_ns() // 1_000_000, entropy)
        if self._last - _SET_BACK < fresh <= self._last:
            fresh = self._last + (1 << _BATCH_BITS)
        self._last = fresh
        return NotificationId(UUID(int=fresh))


def new_user_id() -> UserId:
    """Make a user id."""
    return UserId(f"u-{secrets.token_hex(8)}")
