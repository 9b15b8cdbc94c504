"""Notifications as Kafka records: our own, and those that any other service writes.

A record's value is the JSON that the HTTP API takes, plus `id` and `created_at`. Both may be missing: then
they are derived from the record, so that a redelivered record is the same notification.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from uuid import UUID

import msgspec

from adapters.kafka.headers import Headers, Origin, Source, Timestamp, origin
from domain.errors import Invalid
from domain.identifiers import ENTROPY_BITS, NotificationId, UserId, uuid7
from domain.metadata import NO_METADATA, Metadata
from domain.notification import Content, Draft

_NO_METADATA = msgspec.Raw(NO_METADATA.text.encode())


class Undecodable(Exception):
    """The record is no notification."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        super().__init__(detail)


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
# The last millisecond that a datetime can name: a record's timestamp is whatever its producer says.
_LAST_MS = 253_402_300_799_999

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
    first = origin(source)
    created_at = record.created_at or _event_time(attributes) or _record_time(first)
    identifier = record.id if record.id is not None else _derived_id(first, attributes, created_at)
    return Draft(NotificationId(identifier), created_at, content)


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
    try:
        return msgspec.convert(attributes["ce_time"], Timestamp)
    except (KeyError, msgspec.ValidationError):
        return None


def _record_time(first: Origin) -> datetime:
    return datetime.fromtimestamp(min(max(first.timestamp, 0), _LAST_MS) / 1000, UTC)


def _derived_id(first: Origin, attributes: Mapping[str, str], created_at: datetime) -> UUID:
    """An id that the same record, redelivered or replayed, or the same CloudEvent sent twice, gets again.

    The time in it is the record's, so that it lands in that month's partition of the store.
    """
    name = f"{first.topic}/{first.partition}/{first.offset}"
    if "ce_id" in attributes and "ce_time" in attributes:
        name = f"{attributes.get('ce_source', '')}\n{attributes['ce_id']}"
    digest = int.from_bytes(blake2b(name.encode(), digest_size=10).digest())
    return uuid7(int(created_at.timestamp() * 1000), digest & (1 << ENTROPY_BITS) - 1)
