"""Encodes drafts as Kafka records, and decodes our records and those of other services.

A record's value is the JSON that the HTTP API accepts, plus `id` and `created_at`. Without them they are
derived from the record, so that a redelivered record is the same notification.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import blake2b
from uuid import UUID

import msgspec

from adapters.kafka.headers import Headers, Origin, Source, Timestamp, key_id, origin
from application.records import Undecodable
from domain.category import category_of
from domain.errors import Invalid
from domain.identifiers import ENTROPY_BITS, NotificationId, UserId, uuid7
from domain.metadata import NO_METADATA, Metadata
from domain.notification import EARLIEST, LATEST, Content, Draft

_NO_METADATA = msgspec.Raw(NO_METADATA.text.encode())


class _Record(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    user_id: str = ""
    event: str = ""
    message: str = ""
    title: str | None = None
    metadata: msgspec.Raw = _NO_METADATA
    action_url: str | None = None
    expires_at: Timestamp | None = None
    category: str = ""
    id: UUID | None = None
    created_at: Timestamp | None = None


class _Addressed(msgspec.Struct):
    user_id: str = ""


_ID_VERSION = 7
# A record's timestamp is chosen by its producer and may be anything.
_LAST_MS = (LATEST - EARLIEST) // timedelta(milliseconds=1)
# The bits of an offset that go into an id. Higher bits change only after a million million records.
_OFFSET_BITS = 40
_HASH_BITS = ENTROPY_BITS - _OFFSET_BITS

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Record).decode
_decode_addressee = msgspec.json.Decoder(_Addressed).decode


def encode(draft: Draft) -> bytes:
    """Encode a draft as the value of its record."""
    content = draft.content
    return _encode(
        _Record(
            content.user_id,
            content.event,
            content.message,
            content.title,
            _raw(content.metadata),
            content.action_url,
            content.expires_at,
            "" if content.category == category_of(content.event) else content.category,
            draft.id,
            draft.created_at,
        )
    )


def decode(source: Source) -> Draft:
    """Decode a record, from any producer. Raises Undecodable."""
    if source.value is None:
        raise Undecodable("tombstone", "the record has no value")
    attributes = _cloud_event(source.headers)
    try:
        record = _decode(source.value)
        content = Content(
            user_id=UserId(record.user_id or attributes.get("ce_subject", "")),
            event=record.event or attributes.get("ce_type", "").lower(),
            message=record.message,
            title=record.title,
            metadata=Metadata.of(bytes(record.metadata).decode()),
            action_url=record.action_url,
            expires_at=record.expires_at,
            category=record.category,
        )
    except Invalid as error:
        raise Undecodable("invalid", str(error)) from error
    except msgspec.ValidationError as error:
        raise Undecodable("invalid", str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise Undecodable("malformed", f"the value is not JSON: {error}") from error
    if record.id is not None and record.id.version != _ID_VERSION:
        raise Undecodable(
            "invalid", "id must be a UUIDv7: it decides where and in which order the notification is stored"
        )
    try:
        return _draft(source, record, content, attributes)
    except Invalid as error:
        raise Undecodable("invalid", str(error)) from error


def _draft(source: Source, record: _Record, content: Content, attributes: Mapping[str, str]) -> Draft:
    """Make a draft. Missing fields are derived from where and when the record was first read. Raises
    Invalid.
    """
    first = origin(source)
    event_time = _event_time(attributes)
    created_at = record.created_at or event_time or time_of(first.timestamp)
    event = _event_name(attributes) if event_time else None
    notification = NotificationId(record.id or _derived_id(first, event, created_at))
    return Draft(notification, created_at, content, key_id(source.headers))


def _raw(metadata: Metadata) -> msgspec.Raw:
    return _NO_METADATA if metadata == NO_METADATA else msgspec.Raw(metadata.text.encode())


def addressee(key: bytes | None, value: bytes | None, headers: Headers) -> str:
    """The user that a record seems to be for, even if it is not a notification. For display only: the text is
    neither validated nor safe to print.
    """
    try:
        user = _decode_addressee(value or b"").user_id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        user = ""
    return user or _cloud_event(headers).get("ce_subject") or (key or b"").decode(errors="replace")


def _cloud_event(headers: Headers) -> Mapping[str, str]:
    """The attributes of a CloudEvent in binary content mode (CloudEvents 1.0, Kafka binding §3.2)."""
    return {
        name: (value or b"").decode(errors="replace") for name, value in headers if name.startswith("ce_")
    }


def _event_time(attributes: Mapping[str, str]) -> datetime | None:
    """The event's time. A malformed header is ignored: it is no reason to lose the record."""
    try:
        time: datetime = msgspec.convert(attributes["ce_time"], Timestamp)
    except (KeyError, msgspec.ValidationError):
        return None
    return time if EARLIEST <= time <= LATEST else None


def _event_name(attributes: Mapping[str, str]) -> str | None:
    """The identity of a CloudEvent (CloudEvents 1.0, §3.1.1 `id`)."""
    if "ce_id" not in attributes:
        return None
    return f"{attributes.get('ce_source', '')}\n{attributes['ce_id']}"


def time_of(timestamp: int) -> datetime:
    """Convert a record's timestamp, in milliseconds. A time before 1970 (-1 means none) or after 9999 becomes
    the first or the last possible time.
    """
    return EARLIEST + timedelta(milliseconds=min(max(timestamp, 0), _LAST_MS))


def _derived_id(first: Origin, event: str | None, created_at: datetime) -> UUID:
    """The id of a record without one, the same when it is redelivered or replayed, or its CloudEvent is sent
    twice.

    It begins with the record's time, which puts it into that month's partition of the table. The offset
    follows, so that records of the same millisecond keep their order; then a hash that distinguishes
    partitions and topics. A CloudEvent may be sent twice, with two offsets, so it has only a hash.
    """
    milliseconds = (created_at - EARLIEST) // timedelta(milliseconds=1)
    if event is not None:
        return uuid7(milliseconds, _hash(event, ENTROPY_BITS))
    offset = first.offset & (1 << _OFFSET_BITS) - 1
    name = f"{first.topic}/{first.partition}/{first.offset}"
    return uuid7(milliseconds, offset << _HASH_BITS | _hash(name, _HASH_BITS))


def _hash(name: str, bits: int) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=10).digest()) & (1 << bits) - 1
