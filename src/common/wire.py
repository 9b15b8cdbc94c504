"""The JSON that leaves the service: notifications and the frames of the live stream.

A notification is encoded once, where it is changed. Frames, pages and index entries are assembled from those
bytes.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from application.exports import Exported, ExportedUser, ExportEnd
from application.pages import Rendered
from application.streams import Frame
from domain.feed import Added, Cursor, Feed, FeedChange, Marked
from domain.metadata import Metadata
from domain.notification import Notification


def _as_json(value: object) -> msgspec.Raw:
    """Encode metadata as it was sent."""
    if not isinstance(value, Metadata):
        raise NotImplementedError(type(value).__name__)
    return msgspec.Raw(value.text.encode())


_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder(enc_hook=_as_json).encode
FRAME_BYTES = 512 * 1024
"""The approximate limit of a frame. Many WebSocket libraries refuse messages above 1 MiB by default."""
_ID = slice(len('{"id":"'), len('{"id":"') + 36)


def render(notification: Notification) -> Rendered:
    """Encode a notification. `id` is its first field, which the unread index relies on."""
    return Rendered(_encode(notification))


def identifier(item: Rendered) -> str:
    """The id of a rendered notification, without decoding it: the first field, 36 characters."""
    return item[_ID].decode()


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
    body = b'{"type":"notifications",%b"items":[%b],"prev":"%b","cursor":"%b","unread_count":%d}' % (
        b'"replay":true,' if replay else b"",
        b",".join(items),
        str(Cursor(feed.epoch, prev)).encode(),
        str(feed.cursor).encode(),
        feed.unread_count,
    )
    return body.decode()


def page(items: Iterable[bytes], next_cursor: str | None, feed: Feed) -> bytes:
    """A page of a feed."""
    return b'{"items":[%b],"next_cursor":%b,"unread_count":%d,"cursor":"%b"}' % (
        b",".join(items),
        _encode(next_cursor),
        feed.unread_count,
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
        "unread_count": change.feed.unread_count,
    }
    return text(body)
