"""Exports as the store returns them, and as they are handed out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from domain.feed import Feed
from domain.notification import Notification
from domain.user import User


@dataclass(frozen=True, slots=True)
class ExportPage:
    """A part of an export."""

    user: User
    feed: Feed
    choices: Mapping[str, bool]
    notifications: tuple[Notification, ...]
    more: bool


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
    snapshots: int
    """1 if everything is of one moment. Otherwise it is of so many, one after the other."""


Exported: TypeAlias = ExportedUser | Notification | ExportEnd
