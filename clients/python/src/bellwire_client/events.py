"""The events of a stream, and the objects in them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self, TypeAlias

Json: TypeAlias = Mapping[str, Any]

STATES = (
    "seen_at",
    "read_at",
    "archived_at",
    "retracted_at",
    "acted_at",
    "snoozed_until",
    "woken_at",
)
_TIMES = ("created_at", "expires_at", "edited_at", *STATES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who did what a notification is about."""

    name: str
    id: str | None = None
    avatar_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A button of a notification. Without a `url` it is answered to the producer: `act`."""

    id: str
    label: str
    url: str | None = None
    style: str = "default"
    """`default`, `primary` or `danger`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A notification, as it was at `version` of its user's feed."""

    id: str
    user_id: str
    version: int
    event: str
    category: str
    title: str | None
    message: str
    metadata: Json
    action_url: str | None
    created_at: datetime
    seen_at: datetime | None = None
    read_at: datetime | None = None
    archived_at: datetime | None = None
    retracted_at: datetime | None = None
    expires_at: datetime | None = None
    edited_at: datetime | None = None
    acted_at: datetime | None = None
    action: str | None = None
    """The id of the action that the user chose."""
    snoozed_until: datetime | None = None
    woken_at: datetime | None = None
    """When it came back from a snooze."""
    severity: str = "info"
    """`info`, `success`, `warning` or `critical`."""
    image_url: str | None = None
    icon: str | None = None
    actions: tuple[Action, ...] = ()
    collapse_key: str | None = None
    count: int = 1
    """How many notifications it stands for."""
    actors: tuple[Actor, ...] = ()
    """The latest three, the newest first."""
    actor_count: int = 0
    """How many different actors; exact up to 100."""

    @classmethod
    def of(cls, item: Json) -> Self:
        """Read it from JSON, without fields that this release does not know."""
        known = _known(cls, item)
        times = {name: _time(known.get(name)) for name in _TIMES}
        actions = tuple(Action(**_known(Action, one)) for one in item.get("actions") or ())
        actors = tuple(Actor(**_known(Actor, one)) for one in item.get("actors") or ())
        return cls(**{**known, **times, "actions": actions, "actors": actors})


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """The counts of a feed, exact at `cursor`."""

    cursor: str
    """The feed's position: open a stream from here, or hand it back as `up_to`."""
    unread_count: int
    unseen_count: int
    """How many of the unread are unseen."""
    unread_in: Mapping[str, int]
    """How many are unread in each category that has any."""

    @classmethod
    def of(cls, body: Json) -> Self:
        """Read it from JSON."""
        return cls(**_fields(cls, body))


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Counts):
    """A page of a feed, newest first."""

    items: tuple[Notification, ...]
    next_cursor: str | None
    """The cursor of the next page; None on the last."""

    @classmethod
    def of(cls, body: Json) -> Self:
        """Read it from JSON."""
        return cls(**_fields(cls, {**body, "items": tuple(map(Notification.of, body["items"]))}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected(Counts):
    """A connection is open. The counts are those once the catch-up is complete."""

    preferences_version: int
    """The version of the feed when the user's preferences changed last; 0 if never."""
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
class Notifications(Counts):
    """New notifications; with `replay` those that changed while the client was away, as they are now; with
    `changed` those that their producer edited.

    Upsert them by id. One with a `retracted_at` has been retracted and must be removed.
    """

    items: tuple[Notification, ...]
    replay: bool = False
    changed: bool = False
    prev: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Update(Counts):
    """Notifications changed state, on this device or another: those in `ids`, or if that is None, all to
    which the change applies and whose version is not above that of the cursor `up_to`.
    """

    ids: tuple[str, ...] | None
    up_to: str | None
    set: Mapping[str, datetime | None]
    """The time that a mark set, with its new value; empty if only `preferences` changed."""
    action: str | None = None
    """The action that was chosen, if `set` has `acted_at`."""
    preferences: Mapping[str, bool | None] | None = None
    """The user's choices that changed, by category."""
    prev: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed(Counts):
    """The catch-up is complete; from here on the stream is live."""

    preferences_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset(Counts):
    """The cursor cannot be resumed: reload over HTTP. The stream continues from `cursor`."""

    reason: str
    preferences_version: int


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
            return Notifications(**_known(Notifications, {**frame, "items": items}))
        case "update":
            ids = frame.get("ids")
            changes = {name: _time(value) for name, value in frame["set"].items()}
            parts = {"ids": None if ids is None else tuple(ids), "up_to": frame.get("up_to"), "set": changes}
            return Update(**_known(Update, {**frame, **parts}))
        case "replayed":
            return Replayed(**_fields(Replayed, frame))
        case "reset":
            return Reset(**_fields(Reset, frame))
        case _:
            return None


def step_of(frame: Json, known: Counts) -> Update:
    """Read a frame of an unknown kind that moves the feed: a change of nothing. It has the counts that are
    known, unless it brings others. Raises KeyError.
    """
    counts = {name: getattr(known, name) for name in Counts.__dataclass_fields__}
    given = _fields(Counts, {**counts, **frame})
    return Update(**given, prev=frame["prev"], ids=(), up_to=None, set={})


def is_after(cursor: str, other: str) -> bool:
    """Whether a cursor has another epoch, or is newer."""
    return epoch_of(cursor) != epoch_of(other) or version_of(cursor) > version_of(other)


def epoch_of(cursor: str) -> str:
    """The epoch, which identifies one life of the feed: a restored database has others."""
    return cursor.rpartition(".")[0]


def version_of(cursor: str) -> int:
    """The feed's version, with which an item's version can be compared."""
    return int(cursor.rpartition(".")[2])


def _fields(kind: Any, frame: Json) -> dict[str, Any]:
    return {name: frame[name] for name in kind.__dataclass_fields__}


def _known(kind: Any, frame: Json) -> dict[str, Any]:
    return {name: frame[name] for name in kind.__dataclass_fields__ if name in frame}


def _time(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)
