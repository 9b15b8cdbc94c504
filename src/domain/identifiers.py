"""Identifiers: typed names for them, and the layout of a UUIDv7."""

import re
from typing import NewType
from uuid import UUID

UserId = NewType("UserId", str)
NotificationId = NewType("NotificationId", UUID)

USER_ID_LENGTH = 128
# Not "." and "..": clients remove them from a path before they send it (RFC 3986 §5.2.4).
USER_ID = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._:@-]{1,128}")
ID_PREFIX = re.compile(r"[A-Za-z0-9._:@-]{1,128}")
ID_PREFIX_RULE = "must be 1 to 128 of A-Z a-z 0-9 . _ : @ -"
USER_ID_RULE = "must be 1 to 128 of A-Z a-z 0-9 . _ : @ - and not only . or .."

ENTROPY_BITS = 74
_TIME, _RAND_B = (1 << 48) - 1, (1 << 62) - 1
_VERSION_AND_VARIANT = 0x7 << 76 | 0b10 << 62
ID_VERSION = 7
ID_RULE = "must be a UUIDv7: it decides where and in which order the notification is stored"


def is_user_id(value: str) -> bool:
    """Whether the text can be a user id."""
    return USER_ID.fullmatch(value) is not None


def uuid7(milliseconds: int, entropy: int) -> UUID:
    """Lay out a UUIDv7 (RFC 9562 §5.7) from Unix milliseconds and 74 bits of entropy.

    Such ids sort by time, so one primary key serves as order, page cursor and partition key.
    """
    return UUID(int=uuid7_number(milliseconds, entropy))


def uuid7_number(milliseconds: int, entropy: int) -> int:
    """The same as an integer of 128 bits."""
    rand_a, rand_b = (entropy >> 62 & 0xFFF) << 64, entropy & _RAND_B
    return (milliseconds & _TIME) << 80 | _VERSION_AND_VARIANT | rand_a | rand_b


def is_uuid7(identifier: UUID) -> bool:
    """Whether a UUID has that layout."""
    return identifier.int >> 76 & 0xF == ID_VERSION and identifier.int >> 62 & 0b11 == 0b10


def milliseconds_of(identifier: UUID) -> int:
    """The Unix milliseconds in a UUIDv7."""
    return identifier.int >> 80
