"""Categories: what notifications are about, as users see it in tabs and preferences."""

import re

CATEGORY = re.compile(r"[a-z0-9_.-]{1,64}")
CATEGORY_LENGTH = 64
CATEGORY_RULE = "must be 1 to 64 of a-z 0-9 _ . -"
OTHER = "other"
"""The category of notifications whose own could not be entered, because there are too many."""
CATEGORIES = 64
"""How many there are at most, besides OTHER: every count and every page of preferences lists them."""


def category_of(event: str) -> str:
    """The category of an event that names none: what comes before the first dot."""
    return event.partition(".")[0][:CATEGORY_LENGTH] or OTHER
