"""Categories, and what a user chose of them."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from bellwire_client.events import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """A category as it is for all users."""

    id: str
    title: str | None
    description: str | None
    mandatory: bool
    """Users cannot switch it off."""
    default: str
    """`on` or `off`: for users who chose nothing."""
    expires_after: timedelta | None
    """When its notifications expire that do not name a time themselves."""

    @classmethod
    def of(cls, body: Json) -> Self:
        """Read it from JSON."""
        seconds = body["expires_after"]
        known = {name: body[name] for name in cls.__dataclass_fields__}
        return cls(**{**known, "expires_after": None if seconds is None else timedelta(seconds=seconds)})


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryPreference:
    """A category as it is for one user."""

    id: str
    title: str | None
    description: str | None
    enabled: bool
    """Whether the user gets its notifications."""
    mandatory: bool
    """It cannot be switched off."""
    chosen: bool | None
    """What the user chose; None: the default applies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """What a user chose, as it was at `cursor`."""

    categories: tuple[CategoryPreference, ...]
    preferences_version: int
    """The version of the feed when it changed last; 0 if never."""
    cursor: str

    @classmethod
    def of(cls, body: Json) -> Self:
        """Read it from JSON."""
        names = CategoryPreference.__dataclass_fields__
        return cls(
            categories=tuple(
                CategoryPreference(**{name: one.get(name) for name in names}) for one in body["categories"]
            ),
            preferences_version=body["preferences_version"],
            cursor=body["cursor"],
        )
