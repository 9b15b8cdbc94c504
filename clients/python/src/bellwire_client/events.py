"""The events of a stream, and the objects in them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self, TypeAlias

Json: TypeAlias = Mapping[str, Any]

_TIMES = ("created_at", "read_at", "archived_at", "retracted_at", "expires_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A notification, as it was at `version` of its user's feed."""

    id: str
    user_id: str
    version: int
    event: str
    title: str | None
    message: str
    metadata: Json
    action_url: str | None
    created_at: datetime
    read_at: datetime | None = None
    archived_at: datetime | None = None
    retracted_at: datetime | None = None
    expires_at: datetime | None = None

    @classmethod
    def of(cls, item: Json) -> Self:
        """Read it from JSON, without fields that this release does not know."""
        known = {name: item[name] for name in cls.__dataclass_fields__ if name in item}
        return cls(**{**known, **{name: _time(known.get(name)) for name in _TIMES}})


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of a feed, newest first."""

    items: tuple[Notification, ...]
    next_cursor: str | None
    """The cursor of the next page; None on the last."""
    unread_count: int
    """Exact at `cursor`."""
    cursor: str
    """The feed's position: open a stream from here, or hand it back as `up_to`."""

    @classmethod
    def of(cls, body: Json) -> Self:
        """Read it from JSON."""
        return cls(
            items=tuple(map(Notification.of, body["items"])),
            next_cursor=body["next_cursor"],
            unread_count=body["unread_count"],
            cursor=body["cursor"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """A connection is open."""

    cursor: str
    unread_count: int
    """The count once the catch-up is complete."""
    resumed: bool
    """Whether missed changes follow, ending with Replayed. False with a cursor: a Reset follows."""
    session: str
    server: str
    token_expires_in: int = field(repr=False)
    ping_interval: int = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnected:
    """The connection ended, or could not be opened. The stream reconnects by itself."""

    reason: str
    code: int | None
    """The close code, if the service sent one."""
    retry_in: float
    """Seconds until the next attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifications:
    """New notifications; with `replay` those that changed while the client was away, as they are now.

    Upsert them by id. One with a `retracted_at` has been retracted and must be removed.
    """

    items: tuple[Notification, ...]
    replay: bool
    prev: str
    cursor: str
    unread_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Notifications changed state, on this device or another: those in `ids`, or if that is None, all to
    which the change applies and whose version is not above that of the cursor `up_to`.
    """

    ids: tuple[str, ...] | None
    up_to: str | None
    set: Mapping[str, datetime | None]
    """One of `read_at`, `archived_at` and `retracted_at`, with its new value."""
    prev: str
    cursor: str
    unread_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """The catch-up is complete; from here on the stream is live."""

    cursor: str
    unread_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """The cursor cannot be resumed: reload over HTTP. The stream continues from `cursor`."""

    reason: str
    cursor: str
    unread_count: int


Event: TypeAlias = Connected | Disconnected | Notifications | Update | Replayed | Reset


def event_of(frame: Json) -> Event | None:
    """Read a frame; None if its kind is unknown. Raises KeyError, TypeError or ValueError if it does not have
    the form of its kind.
    """
    match frame["type"]:
        case "welcome":
            return Connected(**_fields(Connected, frame))
        case "notifications":
            items = tuple(map(Notification.of, frame["items"]))
            return Notifications(**_fields(Notifications, {"replay": False, **frame, "items": items}))
        case "update":
            ids = frame.get("ids")
            changes = {name: _time(value) for name, value in frame["set"].items()}
            parts = {"ids": None if ids is None else tuple(ids), "up_to": frame.get("up_to"), "set": changes}
            return Update(**_fields(Update, {**frame, **parts}))
        case "replayed":
            return Replayed(**_fields(Replayed, frame))
        case "reset":
            return Reset(**_fields(Reset, frame))
        case _:
            return None


def is_after(cursor: str, other: str) -> bool:
    """Whether a cursor has another epoch, or is newer."""
    return epoch_of(cursor) != epoch_of(other) or version_of(cursor) > version_of(other)


def epoch_of(cursor: str) -> str:
    """The epoch, which identifies one life of the feed: a restored database has others."""
    return cursor.rpartition(".")[0]


def version_of(cursor: str) -> int:
    """The feed's version, with which an item's version can be compared."""
    return int(cursor.rpartition(".")[2])


def _fields(kind: type[Event], frame: Json) -> dict[str, Any]:
    return {name: frame[name] for name in kind.__dataclass_fields__}


def _time(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)
