"""Notifications as Kafka records: our own, and those that any other service writes.

A record's value is the JSON that the HTTP API takes, plus `id` and `created_at`. Both may be missing: then
they are derived from the record, so that a redelivered record is the same notification.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import blake2b
from uuid import UUID

import msgspec

from adapters.kafka.headers import Headers, Origin, Source, Timestamp, origin
from application.records import Undecodable
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
    id: UUID | None = None
    created_at: Timestamp | None = None


class _Addressed(msgspec.Struct):
    user_id: str = ""


_ID_VERSION = 7
# A record's timestamp is whatever its producer says.
_LAST_MS = (LATEST - EARLIEST) // timedelta(milliseconds=1)
# Of an offset; what more it has changes after a million million records.
_OFFSET_BITS = 40
_HASH_BITS = ENTROPY_BITS - _OFFSET_BITS

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Record).decode
_decode_addressee = msgspec.json.Decoder(_Addressed).decode


def encode(draft: Draft) -> bytes:
    """The value of a draft's record."""
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
            draft.id,
            draft.created_at,
        )
    )


def decode(source: Source) -> Draft:
    """Read a record, whoever wrote it. Raises Undecodable."""
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
        )
    except Invalid as error:
        raise Undecodable("invalid", str(error)) from error
    except msgspec.ValidationError as error:
        raise Undecodable("invalid", str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise Undecodable("malformed", f"the value is not JSON: {error}") from error
    if record.id is not None and record.id.version != _ID_VERSION:
        raise Undecodable("invalid", "id must be a UUIDv7: it is where and in which order it is stored")
    try:
        return _draft(source, record, content, attributes)
    except Invalid as error:
        raise Undecodable("invalid", str(error)) from error


def _draft(source: Source, record: _Record, content: Content, attributes: Mapping[str, str]) -> Draft:
    """What is not given is derived from where and when the record was read first. Raises Invalid."""
    first = origin(source)
    event_time = _event_time(attributes)
    created_at = record.created_at or event_time or time_of(first.timestamp)
    event = _event_name(attributes) if event_time else None
    return Draft(NotificationId(record.id or _derived_id(first, event, created_at)), created_at, content)


def _raw(metadata: Metadata) -> msgspec.Raw:
    return _NO_METADATA if metadata == NO_METADATA else msgspec.Raw(metadata.text.encode())


def addressee(key: bytes | None, value: bytes | None, headers: Headers) -> str:
    """Whom a record seems to be for, also one that is no notification. For people to read: it is neither
    checked nor safe to print.
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
    """A header that makes no sense is no reason to lose the record: it is as if it were not there."""
    try:
        time: datetime = msgspec.convert(attributes["ce_time"], Timestamp)
    except (KeyError, msgspec.ValidationError):
        return None
    return time if EARLIEST <= time <= LATEST else None


def _event_name(attributes: Mapping[str, str]) -> str | None:
    """What makes an event the same one (CloudEvents 1.0, §3.1.1 `id`)."""
    if "ce_id" not in attributes:
        return None
    return f"{attributes.get('ce_source', '')}\n{attributes['ce_id']}"


def time_of(timestamp: int) -> datetime:
    """The time of a record's timestamp, in milliseconds. One before 1970 (-1 is none at all) or after 9999 is
    taken for the first or the last moment of these.
    """
    return EARLIEST + timedelta(milliseconds=min(max(timestamp, 0), _LAST_MS))


def _derived_id(first: Origin, event: str | None, created_at: datetime) -> UUID:
    """An id that the same record, redelivered or replayed, or the same CloudEvent sent twice, gets again.

    The time in it is the record's, so that it lands in that month's partition of the store. Then comes the
    offset, so that records of one millisecond are listed as they lie in their partition; then a hash that
    tells partitions and topics apart. An event can be sent twice, to two offsets: it has nothing but a hash.
    """
    milliseconds = (created_at - EARLIEST) // timedelta(milliseconds=1)
    if event is not None:
        return uuid7(milliseconds, _hash(event, ENTROPY_BITS))
    offset = first.offset & (1 << _OFFSET_BITS) - 1
    name = f"{first.topic}/{first.partition}/{first.offset}"
    return uuid7(milliseconds, offset << _HASH_BITS | _hash(name, _HASH_BITS))


def _hash(name: str, bits: int) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=10).digest()) & (1 << bits) - 1
