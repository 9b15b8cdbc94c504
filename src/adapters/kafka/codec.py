"""Encodes drafts and retractions as Kafka records, and decodes our records and those of other services.

A record's value is the JSON that the HTTP API accepts, plus `id` and `created_at`. Without them they are
derived from the record, so that a redelivered record is the same notification.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import blake2b
from uuid import UUID

import msgspec

from adapters.kafka.headers import Headers, Origin, Source, Timestamp, is_own_only, key_id, origin
from application.records import Undecodable
from domain.category import OF_EVENT, category_of
from domain.errors import FieldError, Invalid
from domain.identifiers import ENTROPY_BITS, ID_RULE, ID_VERSION, NotificationId, UserId, uuid7
from domain.metadata import NO_METADATA, Metadata
from domain.notification import EARLIEST, LATEST, Content, Draft, Retraction
from domain.rich import PLAIN, Action, Actor, rich_of

_NO_METADATA = msgspec.Raw(NO_METADATA.text.encode())


class _Actor(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    name: str
    id: str | None = None
    avatar_url: str | None = None


class _Action(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    id: str
    label: str
    url: str | None = None
    style: str = "default"


class _Record(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    user_id: str = ""
    event: str = ""
    message: str = ""
    title: str | None = None
    metadata: msgspec.Raw = _NO_METADATA
    action_url: str | None = None
    expires_at: Timestamp | None = None
    category: str | None = None
    id: UUID | None = None
    created_at: Timestamp | None = None
    severity: str = PLAIN.severity
    image_url: str | None = None
    icon: str | None = None
    actions: tuple[_Action, ...] = ()
    actor: _Actor | None = None
    collapse_key: str | None = None
    collapse: str = "unread"
    revision: int = 0
    unread: bool = False
    retract: bool = False


class _Addressed(msgspec.Struct):
    user_id: str = ""


# A record's timestamp is chosen by its producer and may be anything.
_LAST_MS = (LATEST - EARLIEST) // timedelta(milliseconds=1)
# The bits of an offset that go into an id. Higher bits change only after a million million records.
_OFFSET_BITS = 40
_HASH_BITS = ENTROPY_BITS - _OFFSET_BITS

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Record).decode
_decode_addressee = msgspec.json.Decoder(_Addressed).decode


def encode(draft: Draft | Retraction) -> bytes:
    """Encode a draft or a retraction as the value of its record."""
    if isinstance(draft, Retraction):
        return _encode(_Record(draft.user_id, id=draft.id, retract=True))
    content = draft.content
    rich, actor = content.rich, content.actor
    return _encode(
        _Record(
            content.user_id,
            content.event,
            content.message,
            content.title,
            _raw(content.metadata),
            content.action_url,
            content.expires_at,
            None if content.category == category_of(content.event) else content.category,
            draft.id,
            draft.created_at,
            rich.severity,
            rich.image_url,
            rich.icon,
            tuple(map(_action_of, rich.actions)) if rich.actions else (),
            None if actor is None else _Actor(actor.name, actor.id, actor.avatar_url),
            content.collapse_key,
            content.collapse,
            draft.revision,
            draft.unread,
        )
    )


def _action_of(action: Action) -> _Action:
    return _Action(action.id, action.label, action.url, action.style)


def decode(source: Source) -> Draft | Retraction:
    """Decode a record, from any producer. Raises Undecodable."""
    if source.value is None:
        raise Undecodable("tombstone", "the record has no value")
    attributes = cloud_event(source.headers)
    try:
        record = _decode(source.value)
        _check_id(record.id)
        user = UserId(record.user_id or attributes.get("ce_subject", ""))
        if record.retract:
            return _retraction(source, record, user)
        return _draft(source, record, _content(record, user, attributes), attributes)
    except (Invalid, msgspec.ValidationError) as error:
        raise Undecodable("invalid", str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise Undecodable("malformed", f"the value is not JSON: {error}") from error


def _check_id(identifier: UUID | None) -> None:
    if identifier is not None and identifier.version != ID_VERSION:
        raise Invalid([FieldError("id", ID_RULE)])


def _content(record: _Record, user: UserId, attributes: Mapping[str, str]) -> Content:
    """The content of a notification. Raises Invalid."""
    return Content(
        user_id=user,
        event=record.event or attributes.get("ce_type", "").lower(),
        message=record.message,
        title=record.title,
        metadata=Metadata.of(bytes(record.metadata).decode()),
        action_url=record.action_url,
        expires_at=record.expires_at,
        category=OF_EVENT if record.category is None else record.category,
        rich=rich_of(
            record.severity, record.image_url, record.icon, _actions(record) if record.actions else ()
        ),
        actor=None if record.actor is None else _actor(record.actor),
        collapse_key=record.collapse_key,
        collapse=record.collapse,
    )


def _actions(record: _Record) -> tuple[Action, ...]:
    return tuple(Action(id=one.id, label=one.label, url=one.url, style=one.style) for one in record.actions)


def _actor(actor: _Actor) -> Actor:
    return Actor(name=actor.name, id=actor.id, avatar_url=actor.avatar_url)


def _retraction(source: Source, record: _Record, user: UserId) -> Retraction:
    """Make a retraction. Nothing names what to take back but the id. Raises Invalid."""
    if record.id is None:
        raise Invalid([FieldError("id", "is required")])
    headers = source.headers
    return Retraction(user, NotificationId(record.id), key_id(headers), is_own_only(headers))


def _draft(source: Source, record: _Record, content: Content, attributes: Mapping[str, str]) -> Draft:
    """Make a draft. Missing fields are derived from where and when the record was first read. Raises
    Invalid.
    """
    first = origin(source)
    event_time = _event_time(attributes)
    created_at = record.created_at or event_time or time_of(first.timestamp)
    event = _event_name(attributes) if event_time else None
    notification = NotificationId(record.id or _derived_id(first, event, created_at))
    changes = record.revision > 0 or record.collapse_key is not None
    own_only = changes and is_own_only(source.headers)
    sender = key_id(source.headers)
    return Draft(notification, created_at, content, sender, record.revision, record.unread, own_only)


def _raw(metadata: Metadata) -> msgspec.Raw:
    return (
        _NO_METADATA
        if metadata is NO_METADATA or metadata == NO_METADATA
        else msgspec.Raw(metadata.text.encode())
    )


def addressee(key: bytes | None, value: bytes | None, headers: Headers) -> str:
    """The user that a record seems to be for, even if it is not a notification. For display only: the text is
    neither validated nor safe to print.
    """
    try:
        user = _decode_addressee(value or b"").user_id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        user = ""
    return user or cloud_event(headers).get("ce_subject") or (key or b"").decode(errors="replace")


def cloud_event(headers: Headers) -> Mapping[str, str]:
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
