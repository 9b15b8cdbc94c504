"""The notifications that a mark applies to."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, TypeAlias

MOST_IDS = 100

Ids: TypeAlias = str | Iterable[str]
"""The id of a notification, or several ids."""


def selections(ids: Ids | None, up_to: str | None, category: str | None = None) -> Iterator[dict[str, Any]]:
    """The arguments of as many marks as are needed: one accepts 100 ids. Raises ValueError unless exactly one
    of `ids` and `up_to` is given; `category` narrows `up_to`.
    """
    if (ids is None) == (up_to is None):
        raise ValueError("give either ids or up_to, not both")
    if ids is None:
        yield {"up_to": up_to} if category is None else {"up_to": up_to, "category": category}
        return
    if category is not None:
        raise ValueError("give a category with up_to only")
    chosen = [ids] if isinstance(ids, str) else list(ids)
    for start in range(0, len(chosen), MOST_IDS):
        yield {"ids": chosen[start : start + MOST_IDS]}


def zoned(name: str, time: datetime) -> str:
    """A time as it is sent. Raises ValueError if it has no time zone."""
    if time.tzinfo is None:
        raise ValueError(f"{name} needs a time zone")
    return time.isoformat()
