"""The counts of a feed, kept by a client from what it was sent."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]

_FOLLOWS: Mapping[str, tuple[str, ...]] = {
    "read_at": ("seen_at",),
    "archived_at": ("seen_at",),
    "acted_at": ("read_at", "seen_at"),
}
"""What a time implies for other times that are missing (docs/live-stream.md)."""
_TAKES_AWAY: Mapping[str, tuple[str, ...]] = {"woken_at": ("snoozed_until", "read_at", "seen_at")}


def is_unread(item: Json) -> bool:
    """Whether a notification counts as unread."""
    return not any(item.get(time) for time in ("read_at", "archived_at", "retracted_at", "snoozed_until"))


def implied(item: Json, changes: Json) -> dict[str, Any]:
    """What an update sets: what it names, and what follows from that."""
    more: dict[str, Any] = {}
    for name, value in changes.items():
        if value is not None:
            more |= dict.fromkeys(_TAKES_AWAY.get(name, ()))
            more |= {time: value for time in _FOLLOWS.get(name, ()) if item.get(time) is None}
    return {**more, **changes}


class Tally:
    """How many of some notifications are unread, by category, and unseen."""

    def __init__(self) -> None:
        self.unread_in: Counter[str] = Counter()
        self.unseen = 0

    def add(self, item: Json, weight: int) -> None:
        """Count a notification, or no longer (-1)."""
        if item and is_unread(item):
            self.unread_in[item.get("category", "")] += weight
            self.unseen += weight * (item.get("seen_at") is None)

    def difference(self, told: Json) -> str:
        """How the counts differ from those that a frame or a page tells; empty if they do not."""
        mine = {category: count for category, count in sorted(self.unread_in.items()) if count}
        own = (sum(mine.values()), self.unseen, mine)
        theirs = (told["unread_count"], told["unseen_count"], told["unread_in"])
        return "" if own == theirs else f"told {theirs}, are {own}"


def contradictions(told: Json) -> str:
    """What is wrong with counts by themselves."""
    unread_in = told["unread_in"]
    if sum(unread_in.values()) != told["unread_count"] or not all(unread_in.values()):
        return f"{unread_in} does not add up to {told['unread_count']}"
    if not 0 <= told["unseen_count"] <= told["unread_count"]:
        return f"{told['unseen_count']} unseen of {told['unread_count']} unread"
    return ""
