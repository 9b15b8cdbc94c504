"""The headers that name the sender of a record, those of a dead letter, and of a record that is replayed from
one.

The headers of a replayed record hold its origin and its failures, so that it is the same notification again
and its failures are counted on. Any producer can write these headers too: malformed ones, and those that name
another topic, are ignored. With well-formed ones a producer can choose the id of its notification, which the
field `id` allows anyway.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Protocol

import msgspec

Timestamp = Annotated[datetime, msgspec.Meta(tz=True)]
Headers = Sequence[tuple[str, bytes | None]]

KEY = "bellwire-key"
"""The id of the API key that sent the record."""
OWN_ONLY = "bellwire-own-only"
"""There if that key may change only what it sent."""

TOPIC = "dlq-original-topic"
PARTITION = "dlq-original-partition"
OFFSET = "dlq-original-offset"
LAST_OFFSET = "dlq-original-last-offset"
TIMESTAMP = "dlq-original-timestamp"
GROUP = "dlq-consumer-group"
ERROR_CLASS = "dlq-error-class"
ERROR_CODE = "dlq-error-code"
ERROR_MESSAGE = "dlq-error-message"
ATTEMPT = "dlq-attempt"
FIRST_FAILED_AT = "dlq-first-failed-at"
VERSION = "dlq-app-version"

_CARRIED = frozenset({TOPIC, PARTITION, OFFSET, TIMESTAMP, ATTEMPT, FIRST_FAILED_AT})
_OURS = _CARRIED | {LAST_OFFSET, GROUP, ERROR_CLASS, ERROR_CODE, ERROR_MESSAGE, VERSION}

_TOPIC_NAME = re.compile(rb"[A-Za-z0-9._-]{1,249}")
_INTEGER = re.compile(rb"-?[0-9]{1,19}")
_KEY_LENGTH = 64
_INT32_MAX, _INT64_MAX = 2**31 - 1, 2**63 - 1

UNKNOWN_USER = "unknown-user"
_SQLSTATE = re.compile(r"[0-9A-Z]{5}")


class Source(Protocol):
    """The fields of a Kafka record that are used."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    value: bytes | None
    headers: "tuple[tuple[str, bytes | None], ...]"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a record was first read, and what happened to it since."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    """Unix milliseconds, as its producer or broker set them."""
    attempts: int = 0
    """How many times it became a dead letter."""
    first_failed_at: datetime | None = None


def origin(source: Source) -> Origin:
    """Where a record was first read: here, unless it was replayed into this topic."""
    replayed = origin_in(source.headers) if source.headers else None
    if replayed is not None and replayed.topic == source.topic:
        return replayed
    return Origin(source.topic, source.partition, source.offset, source.timestamp)


def key_id(headers: Headers) -> str | None:
    """The API key that sent a record, as its last header says; None if that is malformed.

    Only the API writes this header, but Kafka does not know that: a program that may write to the topic may
    claim any key.
    """
    for name, value in reversed(headers):
        if name == KEY:
            return value.decode() if value and len(value) <= _KEY_LENGTH and value.isalnum() else None
    return None


def is_own_only(headers: Headers) -> bool:
    """Whether the key that sent a record may change only what it sent."""
    return any(name == OWN_ONLY for name, _ in headers)


def origin_in(headers: Headers) -> Origin | None:
    """The origin in these headers; None if they name no record."""
    found = {name: value or b"" for name, value in headers if name in _CARRIED}
    if TOPIC not in found:
        return None
    try:
        return Origin(
            topic=_topic(found[TOPIC]),
            partition=_integer(found, PARTITION, 0, _INT32_MAX),
            offset=_integer(found, OFFSET, 0, _INT64_MAX),
            timestamp=_integer(found, TIMESTAMP, -_INT64_MAX - 1, _INT64_MAX),
            attempts=_attempts(found),
            first_failed_at=_time(found),
        )
    except (KeyError, ValueError):
        return None


def of_letter(source: Source, at: datetime, reasons: Mapping[str, str]) -> Headers:
    """The headers of a record's dead letter: its own byte for byte, then ours. Ours from an earlier failure
    are replaced.
    """
    first = origin(source)
    ours = {
        TOPIC: first.topic,
        PARTITION: str(first.partition),
        OFFSET: str(first.offset),
        TIMESTAMP: str(first.timestamp),
        ATTEMPT: str(first.attempts + 1),
        FIRST_FAILED_AT: (first.first_failed_at or at).isoformat(),
        **reasons,
    }
    return [*_without(source.headers, _OURS), *((name, value.encode()) for name, value in ours.items())]


def of_replay(headers: Headers) -> Headers:
    """The headers of a replayed record: its own, its origin, its failures."""
    return _without(headers, _OURS - _CARRIED)


def error_class(code: str) -> str:
    """The kind of an error code: `undecodable`, `unknown-user` or `refused`."""
    if code == UNKNOWN_USER:
        return code
    return "refused" if _SQLSTATE.fullmatch(code) else "undecodable"


def _without(headers: Iterable[tuple[str, bytes | None]], names: frozenset[str]) -> Headers:
    return [(_writable(name), value) for name, value in headers if name not in names]


def _writable(name: str) -> str:
    r"""A name that can be written. Bytes that are not UTF-8, which a broker accepts and our client does not
    write, become `\xNN`.
    """
    return name if name.isascii() else name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _topic(value: bytes) -> str:
    if _TOPIC_NAME.fullmatch(value) is None:
        raise ValueError(TOPIC)
    return value.decode()


def _integer(found: Mapping[str, bytes], name: str, lowest: int, highest: int) -> int:
    # int() alone would also accept spaces, underscores and digits of other scripts.
    if _INTEGER.fullmatch(found[name]) is None or not lowest <= int(found[name]) <= highest:
        raise ValueError(name)
    return int(found[name])


def _attempts(found: Mapping[str, bytes]) -> int:
    try:
        return _integer(found, ATTEMPT, 1, _INT32_MAX)
    except (KeyError, ValueError):
        return 1


def _time(found: Mapping[str, bytes]) -> datetime | None:
    try:
        return msgspec.convert(found[FIRST_FAILED_AT].decode(), Timestamp).astimezone(UTC)
    except (KeyError, UnicodeDecodeError, msgspec.ValidationError, OverflowError):
        return None
