"""The notifications that a mark applies to."""

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

MOST_IDS = 100

Ids: TypeAlias = str | Iterable[str]
"""The id of a notification, or several ids."""


def selections(ids: Ids | None, up_to: str | None) -> Iterator[dict[str, Any]]:
    """The arguments of as many marks as are needed: one accepts 100 ids. Raises ValueError unless exactly one
    of the two is given.
    """
    if (ids is None) == (up_to is None):
        raise ValueError("give either ids or up_to, not both")
    if ids is None:
        yield {"up_to": up_to}
        return
    chosen = [ids] if isinstance(ids, str) else list(ids)
    for start in range(0, len(chosen), MOST_IDS):
        yield {"ids": chosen[start : start + MOST_IDS]}
