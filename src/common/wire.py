"""The JSON that leaves the service: notifications and the frames of the live stream.

A notification is encoded once, where it is changed. Frames, pages and index entries are assembled from those
bytes.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from application.exports import Exported, ExportedUser, ExportedWithheld, ExportEnd
from application.pages import Rendered
from application.streams import Frame
from domain.feed import Added, Chosen, Cursor, Edited, Feed, FeedChange, Marked
from domain.group import ALONE
from domain.identifiers import NotificationId
from domain.metadata import Metadata
from domain.notification import Notification
from domain.rich import PLAIN, Action, Actor

_NO_METADATA = msgspec.Raw(b"{}")


def _as_json(value: object) -> msgspec.Raw:
    """Encode metadata as it was sent."""
    if not isinstance(value, Metadata):
        raise NotImplementedError(type(value).__name__)
    return _metadata(value.text)


def _metadata(text: str) -> msgspec.Raw:
    if text == "{}":
        return _NO_METADATA
    encoded = text.encode()
    return msgspec.Raw(encoded) if len(encoded) <= METADATA_BYTES else _NO_METADATA


class _Action(msgspec.Struct, omit_defaults=True):
    id: str
    label: str
    url: str | None = None
    style: str = "default"


class _Actor(msgspec.Struct, omit_defaults=True):
    name: str
    id: str | None = None
    avatar_url: str | None = None


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
    snoozed_until: datetime | None = None
    woken_at: datetime | None = None
    severity: str = PLAIN.severity
    image_url: str | None = None
    icon: str | None = None
    actions: tuple[_Action, ...] = ()
    collapse_key: str | None = None
    count: int = ALONE.count
    actors: tuple[_Actor, ...] = ()
    actor_count: int = 0
    actors_more: bool = False


FIELDS = _Item.__struct_fields__
"""The fields of a notification as JSON, in their order."""
PLAIN_FIELDS = FIELDS[: FIELDS.index("severity")]
"""Those of a notification without rich content that is not one of a group."""

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
                notification.snoozed_until,
                notification.woken_at,
                rich.severity,
                rich.image_url,
                rich.icon,
                _actions(rich.actions) if rich.actions else (),
                notification.collapse_key,
                group.count,
                _actors(group.actors) if group.actors else (),
                group.actor_count,
                group.more_actors,
            )
        )
    )


def render_plain(values: Iterable[Any]) -> Rendered:
    """Encode a plain notification, as `render` does, from the values of PLAIN_FIELDS, where `metadata` is its
    text. Lists of them are read often, and to make an object of each costs several times as much.
    """
    item = _Item(*values)
    item.metadata = _metadata(item.metadata)
    return Rendered(_encode(item))


def _actions(actions: Iterable[Action]) -> tuple[_Action, ...]:
    return tuple(_Action(one.id, one.label, one.url, one.style) for one in actions)


def _actors(actors: Iterable[Actor]) -> tuple[_Actor, ...]:
    return tuple(_Actor(one.name, one.id, one.avatar_url) for one in actors)


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
        case ExportedUser(user, feed, choices):
            line: dict[str, object] = {"type": "user", "user": user, "cursor": str(feed.cursor)}
            line["preferences"] = choices
        case Notification():
            return b'{"type":"notification","notification":%b}\n' % render(item)
        case ExportedWithheld():
            line = {"type": "withheld", "withheld": item}
        case ExportEnd():
            counts = {"users": item.users, "notifications": item.notifications, "withheld": item.withheld}
            line = {"type": "end", "counts": counts, "snapshots": item.snapshots}
    return _encode(line) + b"\n"


def text(value: object) -> str:
    """Encode any other object as a frame's text."""
    return _encode(value).decode()


def frame(change: FeedChange, items: Sequence[Rendered]) -> Frame:
    """Encode a change as the frame for every stream of the user."""
    match change:
        case Added() if _fit(items):
            accepted = min(item.created_at for item in change.notifications)
            body = notifications_frame(change.feed, change.prev, items)
            return _frame(change, body, tuple(map(identifier, items)), accepted.timestamp())
        case Edited() if _fit(items):
            return _frame(change, notifications_frame(change.feed, change.prev, items, flag="changed"))
        case Marked() if change.notifications is not None or change.category is None:
            return _frame(change, _update_frame(change))
        case Chosen():
            return _frame(change, _update_frame(change))
    # A bare position: what happened is in no frame, or is too much for one. Streams behind it catch up
    # in pages.
    feed = change.feed
    return Frame(feed.user_id, feed.epoch, feed.version, feed.version, "")


def _fit(items: Iterable[Rendered]) -> bool:
    return sum(map(len, items)) <= FRAME_BYTES


def _frame(
    change: Added | Edited | Marked | Chosen,
    body: str,
    unread_ids: tuple[str, ...] = (),
    accepted_at: float | None = None,
) -> Frame:
    feed = change.feed
    return Frame(feed.user_id, feed.epoch, change.prev, feed.version, body, unread_ids, accepted_at)


def notifications_frame(feed: Feed, prev: int, items: Iterable[bytes], *, flag: str = "") -> str:
    """A frame of new notifications up to the feed's version; with a flag of edited ones (`changed`), or in a
    replay of changed ones (`replay`).
    """
    body = b'{"type":"notifications",%b"items":[%b],"prev":"%b","cursor":"%b",%b}' % (
        b'"%b":true,' % flag.encode() if flag else b"",
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


def _update_frame(change: Marked | Chosen) -> str:
    body: dict[str, object] = {"type": "update"}
    if isinstance(change, Chosen):
        body |= {"ids": (), "set": {}, "preferences": change.choices}
    elif change.notifications is None:
        body |= {"up_to": str(Cursor(change.feed.epoch, change.up_to or 0)), "set": change.set}
    else:
        body |= {"ids": change.ids, "set": change.set}
    if isinstance(change, Marked) and change.action is not None:
        body["action"] = change.action
    body |= {
        "prev": str(Cursor(change.feed.epoch, change.prev)),
        "cursor": str(change.feed.cursor),
        **counts(change.feed),
    }
    return text(body)
