"""The directory of users, as the store returns it."""

from collections.abc import Sequence
from dataclasses import dataclass

from application.audit import Entry
from domain.identifiers import UserId
from domain.user import User


@dataclass(frozen=True, slots=True)
class Put:
    """The outcome of creating or changing a user."""

    user: User
    """As it is now."""
    entry: Entry | None
    """The entry of the audit trail that was written; None if nothing changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSearch:
    """Which users to list. A field that is not given restricts nothing."""

    prefix: str = ""
    """What the ids begin with."""
    emails: Sequence[str] | None = None
    """Forms of one address."""
    name: str = ""
    """A part of the name, regardless of case."""


@dataclass(frozen=True, slots=True)
class UserPage:
    """Some of the users that were searched for. There can be more even if it has none."""

    users: Sequence[User]
    next: UserId | None
    """After whom the next page begins; None on the last."""
