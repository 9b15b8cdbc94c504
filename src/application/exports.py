"""Exports as the store returns them, and as they are handed out."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from domain.feed import Feed
from domain.identifiers import NotificationId
from domain.notification import Notification
from domain.user import User


@dataclass(frozen=True, slots=True)
class ExportedWithheld:
    """A notification that was accepted and is not shown. Nothing but this is kept of it."""

    id: NotificationId
    reason: str
    event: str | None
    category: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class ExportPage:
    """A part of an export."""

    user: User
    feed: Feed
    choices: Mapping[str, bool]
    notifications: tuple[Notification, ...]
    more: bool
    withheld: tuple[ExportedWithheld, ...] = ()
    """All of them, on the last page."""


@dataclass(frozen=True, slots=True)
class ExportedUser:
    """The first line of an export."""

    user: User
    feed: Feed
    choices: Mapping[str, bool]
    """Which categories the user switched on and off."""


@dataclass(frozen=True, slots=True)
class ExportEnd:
    """The last line of an export. Without it the export is not complete."""

    users: int
    notifications: int
    withheld: int
    snapshots: int
    """1 if everything is of one moment. Otherwise it is of so many, one after the other."""


Exported: TypeAlias = ExportedUser | Notification | ExportedWithheld | ExportEnd
