"""Categories: what notifications are about, as users see it in tabs and preferences."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from domain.errors import FieldError, Invalid

CATEGORY = re.compile(r"[a-z0-9_.-]{1,64}")
CATEGORY_LENGTH = 64
CATEGORY_RULE = "must be 1 to 64 of a-z 0-9 _ . -"
OF_EVENT = "*"
"""Stands for the category of the event. No category has this name."""
OTHER = "other"
"""The category of notifications whose own could not be entered, because there are too many."""
CATEGORIES = 64
"""How many there are at most, besides OTHER: every count and every page of preferences lists them."""

CHOICES = 2 * CATEGORIES
"""How many a user can choose about at most: also about those that no notification has had yet."""

TITLE_LENGTH = 100
DESCRIPTION_LENGTH = 500
LONGEST_EXPIRY = timedelta(days=3650)
EXPIRY_RULE = f"must be 1 to {LONGEST_EXPIRY.days * 86_400} seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """A category. Raises Invalid, which names every field that breaks a rule."""

    id: str
    title: str | None = None
    """What users see; without one they see the id."""
    description: str | None = None
    mandatory: bool = False
    """Whether users are shown it whatever they chose."""
    default_on: bool = True
    """Whether those who chose nothing are shown it."""
    expires_after: timedelta | None = None
    """How long its notifications are shown if they name no time themselves."""

    def __post_init__(self) -> None:
        errors = []
        if CATEGORY.fullmatch(self.id) is None:
            errors.append(FieldError("id", CATEGORY_RULE))
        for name, text, most in (
            ("title", self.title, TITLE_LENGTH),
            ("description", self.description, DESCRIPTION_LENGTH),
        ):
            if text is not None and not (0 < len(text.strip()) <= len(text) <= most and text.isprintable()):
                errors.append(FieldError(name, f"must have 1 to {most} printable characters"))
        if self.expires_after is not None and not timedelta(0) < self.expires_after <= LONGEST_EXPIRY:
            errors.append(FieldError("expires_after", EXPIRY_RULE))
        if errors:
            raise Invalid(errors)


def category_of(event: str) -> str:
    """The category of an event that names none: what comes before the first dot."""
    return event.partition(".")[0][:CATEGORY_LENGTH] or OTHER


def newcomers(names: Iterable[str], held: Collection[str]) -> list[str]:
    """Which of these names are entered beside those that are: the first that there is room for, and OTHER if
    that leaves any out.
    """
    strange = [name for name in dict.fromkeys(names) if name not in held]
    room = max(0, CATEGORIES - len(set(held) - {OTHER}))
    own = [name for name in strange if name != OTHER]
    left_out = len(own) > room or OTHER in strange
    return own[:room] + ([OTHER] if left_out and OTHER not in held else [])


def wanted(category: Category | None, chosen: bool | None) -> bool:
    """Whether a user who chose so (None: nothing) is shown notifications of a category. None stands for a
    category that nobody has refined.
    """
    default = category is None or category.default_on
    mandatory = category is not None and category.mandatory
    return mandatory or (default if chosen is None else chosen)


def check_choices(choices: Mapping[str, bool | None], mandatory: Collection[str]) -> None:
    """Raise Invalid if these cannot be a user's choices: nobody switches off what is mandatory."""
    if len(choices) > CATEGORIES:
        raise Invalid([FieldError("categories", f"must be at most {CATEGORIES}")])
    if any(CATEGORY.fullmatch(name) is None for name in choices):
        raise Invalid([FieldError("categories", f"each name {CATEGORY_RULE}")])
    forced = [name for name, chosen in choices.items() if chosen is False and name in mandatory]
    if forced:
        raise Invalid([FieldError(f"categories.{name}", "is mandatory") for name in forced])


def check_total(choices: int) -> None:
    """Raise Invalid if a user would have made too many choices."""
    if choices > CHOICES:
        raise Invalid([FieldError("categories", f"would be more than {CHOICES} choices of one user")])
