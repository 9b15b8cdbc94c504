"""Notifications as text for people."""

from datetime import timedelta

from bellwire_client import Notification

STYLES = {"info": "cyan", "success": "green", "warning": "yellow", "critical": "bold red"}
"""The styles of severities."""

_TEXT_LENGTH = 200
_SHORT_ID = 8
_SPANS = (("d", 86_400), ("h", 3_600), ("min", 60))


def headline(item: Notification) -> str:
    """Who did it, its title and its message, on one line; the end of a long one is cut off."""
    parts = (_actors(item), item.message)
    text = " ".join(" ".join(filter(None, parts)).split())
    whole = f"{' '.join(item.title.split())}: {text}" if item.title else text
    return whole if len(whole) <= _TEXT_LENGTH else f"{whole[: _TEXT_LENGTH - 1]}…"


def _actors(item: Notification) -> str:
    if not item.actors:
        return ""
    others = item.actor_count - 1
    name = item.actors[0].name
    return name if others < 1 else f"{name} and {others} other{'s' if others > 1 else ''}"


def short(identifier: str) -> str:
    """The end of an id, which is enough to tell those of a list apart."""
    return identifier[-_SHORT_ID:]


def ago(span: timedelta) -> str:
    """How long ago something was, in its largest unit."""
    seconds = span.total_seconds()
    for unit, size in _SPANS:
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return "now"


def state(item: Notification) -> str:
    """Where the user is with it: `new` is neither seen nor read."""
    if item.archived_at:
        return "archived"
    if item.snoozed_until:
        return "snoozed"
    if item.read_at:
        return "read"
    return "seen" if item.seen_at else "new"
