"""Categories: what notifications are about, as users see it in tabs and preferences."""

import re
from dataclasses import dataclass
from datetime import timedelta

CATEGORY = re.compile(r"[a-z0-9_.-]{1,64}")
CATEGORY_LENGTH = 64
CATEGORY_RULE = "must be 1 to 64 of a-z 0-9 _ . -"
OTHER = "other"
"""The category of notifications whose own could not be entered, because there are too many."""
CATEGORIES = 64
"""How many there are at most, besides OTHER: every count and every page of preferences lists them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """What an operator says about a category."""

    id: str
    title: str | None = None
    description: str | None = None
    mandatory: bool = False
    """Whether users get it whatever they choose."""
    default_on: bool = True
    """Whether users get it who chose nothing."""
    expires_after: timedelta | None = None
    """When its notifications expire that do not say so themselves."""


def wanted(category: Category | None, chosen: bool | None) -> bool:
    """Whether a user gets notifications of a category, who chose it, chose against it, or (None) neither."""
    if category is not None and category.mandatory:
        return True
    if chosen is not None:
        return chosen
    return category is None or category.default_on


def category_of(event: str) -> str:
    """The category of an event that names none: what comes before the first dot."""
    return event.partition(".")[0][:CATEGORY_LENGTH] or OTHER
