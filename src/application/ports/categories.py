"""The categories of notifications, which all users share."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from application.audit import Entry
from domain.category import Category


class Categories(Protocol):
    """The categories that notifications have had, and what the operator made of them. None is ever deleted.

    There are at most CATEGORIES, and OTHER: also if several processes enter some at once.
    """

    async def enter(self, names: Collection[str]) -> Mapping[str, str]:
        """Enter those of these names that are new, the first ones first. Returns for each the category under
        which its notifications are stored: itself, or OTHER if there were too many. May answer from memory.
        """
        ...

    async def all(self) -> Sequence[Category]:
        """Every category, by id."""
        ...

    async def set(self, category: Category, entry: Entry | None = None) -> bool:
        """Store what the operator made of a category, new or not. Returns False and stores nothing if it is
        new and there are too many.
        """
        ...
