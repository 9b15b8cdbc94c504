"""The JSON that leaves the service: notifications and the frames of the live stream.

A notification is encoded once, where it is changed. Frames, pages and index entries are assembled from those
bytes.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from application.exports import Exported, ExportedUser, ExportEnd
from application.pages import Rendered
from application.streams import Frame
from domain.feed import Added, Cursor, Feed, FeedChange, Marked
from domain.group import ALONE
from domain.identifiers import NotificationId
from domain.metadata import Metadata
from domain.notification import Notification
from domain.rich import PLAIN, Action, Actor


def _as_json(value: object) -> msgspec.Raw:
    """Encode metadata as it was sent."""
    if not isinstance(value, Metadata):
        raise NotImplementedError(type(value).__name__)
    text = value.text.encode()
    return msgspec.Raw(text if len(text) <= METADATA_BYTES else b"{}")


class _Item(msgspec.Struct, omit_defaults=True):
    """A notification as JSON. Its fields are in this order; `id` comes first."""

    id: NotificationId
    user_id: str
    version: int
    event: str
    category: str
    title: str | None
    message: str
    metadata: Any
    action_url: str | None
    created_at: datetime
    seen_at: datetime | None
    read_at: datetime | None
    archived_at: datetime | None
    retracted_at: datetime | None
    expires_at: datetime | None
    # Absent when they have these values.
    edited_at: datetime | None = None
    acted_at: datetime | None = None
    action: str | None = None
    severity: str = PLAIN.severity
    image_url: str | None = None
    icon: str | None = None
    actions: tuple[Action, ...] = ()
    collapse_key: str | None = None
    count: int = ALONE.count
    actors: tuple[Actor, ...] = ()
    actor_count: int = 0


FIELDS = _Item.__struct_fields__
"""The fields of a notification as JSON, in their order."""

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder(enc_hook=_as_json).encode
METADATA_BYTES = 900 * 1024
"""Metadata with more is left out: with it a notification alone could exceed what clients accept as a message.
No release has accepted that much; rows that another program wrote may have it."""
FRAME_BYTES = 512 * 1024
"""The limit of the notifications in a frame, unless one alone has more. Many WebSocket libraries refuse
messages above 1 MiB by default."""
_ID = slice(len('{"id":"'), len('{"id":"') + 36)


def render(notification: Notification) -> Rendered:
    """Encode a notification. `id` is its first field, which the unread index relies on."""
    rich, group = notification.rich, notification.group
    return Rendered(
        _encode(
            _Item(
                notification.id,
                notification.user_id,
                notification.version,
                notification.event,
                notification.category,
                notification.title,
                notification.message,
                notification.metadata,
                notification.action_url,
                notification.created_at,
                notification.seen_at,
                notification.read_at,
                notification.archived_at,
                notification.retracted_at,
                notification.expires_at,
                notification.edited_at,
                notification.acted_at,
                notification.action,
                rich.severity,
                rich.image_url,
                rich.icon,
                rich.actions,
                notification.collapse_key,
                group.count,
                group.actors,
                group.actor_count,
            )
        )
    )


def identifier(item: Rendered) -> str:
    """The id of a rendered notification, without decoding it: the first field, 36 characters."""
    return item[_ID].decode()


def counts(feed: Feed) -> dict[str, object]:
    """The counts of a feed, for a frame or an answer."""
    return {
        "unread_count": feed.unread_count,
        "unseen_count": feed.unseen_count,
        "unread_in": feed.unread_in,
    }


def _counts(feed: Feed) -> bytes:
    return b'"unread_count":%d,"unseen_count":%d,"unread_in":%b' % (
        feed.unread_count,
        feed.unseen_count,
        _encode(feed.unread_in),
    )


def encode(value: object) -> bytes:
    """Encode any other object that leaves the service."""
    return _encode(value)


def decode(text: str) -> dict[str, Any]:
    """Decode an object of the service's own."""
    found: dict[str, Any] = _decode(text)
    return found


def export_line(item: Exported) -> bytes:
    """Encode a line of an export, as application/x-ndjson."""
    match item:
        case ExportedUser(user, feed):
            line: dict[str, object] = {"type": "user", "user": user, "cursor": str(feed.cursor)}
        case Notification():
            return b'{"type":"notification","notification":%b}\n' % render(item)
        case ExportEnd():
            counts = {"users": item.users, "notifications": item.notifications}
            line = {"type": "end", "counts": counts, "snapshots": item.snapshots}
    return _encode(line) + b"\n"


def text(value: object) -> str:
    """Encode any other object as a frame's text."""
    return _encode(value).decode()


def frame(change: FeedChange, items: Sequence[Rendered]) -> Frame:
    """Encode a change as the frame for every stream of the user."""
    match change:
        case Added() if sum(map(len, items)) <= FRAME_BYTES:
            return Frame(
                user_id=change.feed.user_id,
                epoch=change.feed.epoch,
                prev=change.prev,
                version=change.feed.version,
                text=notifications_frame(change.feed, change.prev, items),
                unread_ids=tuple(map(identifier, items)),
                accepted_at=min(item.created_at for item in change.notifications).timestamp(),
            )
        case Marked():
            return Frame(
                user_id=change.feed.user_id,
                epoch=change.feed.epoch,
                prev=change.prev,
                version=change.feed.version,
                text=_update_frame(change),
            )
        case _:  # a bare position, or too much for a frame: streams behind it catch up in pages
            feed = change.feed
            return Frame(feed.user_id, feed.epoch, feed.version, feed.version, "")


def notifications_frame(feed: Feed, prev: int, items: Iterable[bytes], *, replay: bool = False) -> str:
    """A frame of new notifications, or in a replay of changed ones, up to the feed's version."""
    body = b'{"type":"notifications",%b"items":[%b],"prev":"%b","cursor":"%b",%b}' % (
        b'"replay":true,' if replay else b"",
        b",".join(items),
        str(Cursor(feed.epoch, prev)).encode(),
        str(feed.cursor).encode(),
        _counts(feed),
    )
    return body.decode()


def page(items: Iterable[bytes], next_cursor: str | None, feed: Feed) -> bytes:
    """A page of a feed."""
    return b'{"items":[%b],"next_cursor":%b,%b,"cursor":"%b"}' % (
        b",".join(items),
        _encode(next_cursor),
        _counts(feed),
        str(feed.cursor).encode(),
    )


def _update_frame(change: Marked) -> str:
    body: dict[str, object] = {"type": "update"}
    if change.notifications is None:
        body["up_to"] = str(Cursor(change.feed.epoch, change.up_to or 0))
    else:
        body["ids"] = change.ids
    body |= {
        "set": change.set,
        "prev": str(Cursor(change.feed.epoch, change.prev)),
        "cursor": str(change.feed.cursor),
        **counts(change.feed),
    }
    return text(body)
