"""The events of a stream as lines for people, and as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from application.ports import Clock
from bellwire_client import (
    Connected,
    Disconnected,
    Event,
    Notification,
    Notifications,
    Replayed,
    Reset,
    Update,
)
from entrypoints.commands.notification_texts import STYLES, ago, headline, short
from entrypoints.commands.output import Cell
from entrypoints.commands.times import clock_time

_TYPES = {
    Connected: "welcome",
    Disconnected: "disconnected",
    Notifications: "notifications",
    Replayed: "replayed",
    Reset: "reset",
    Update: "update",
}
_MARKS = {
    "seen_at": ("seen", "unseen"),
    "read_at": ("read", "unread"),
    "archived_at": ("archived", "unarchived"),
    "retracted_at": ("retracted", "retracted"),
    "snoozed_until": ("snoozed", "back"),
    "woken_at": ("back", "back"),
}
_REMEMBERED = 1_000
_NAMED = 3
_WORD = 12

Line = Sequence[Cell]


def entry(event: Event) -> Mapping[str, Any]:
    """An event as a frame of the live stream; `disconnected` is none of those."""
    fields: dict[str, Any] = msgspec.to_builtins(event)
    return {"type": _TYPES[type(event)], **fields}


class Telling:
    """Tells what happens in a feed. It remembers the latest 1,000 notifications, to name what changes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[str, str] = {}
        self._connected = False

    def __call__(self, event: Event) -> Iterator[Line]:
        """The lines that say it."""
        match event:
            case Connected():
                self._connected = True
                yield self._line("connected", "green", f"{event.unread_count} unread")
            case Disconnected():
                if self._connected:  # once, not for each attempt
                    yield self._line("disconnected", "red", f"{event.reason}; it will be tried again")
                self._connected = False
            case Notifications():
                for item in event.items:
                    yield self._item(item, event)
            case Update():
                yield from self._update(event)
            case Replayed():
                yield self._line("caught up", "green", f"{event.unread_count} unread")
            case Reset():
                yield self._line(
                    "reset", "yellow", f"what was missed is not known ({event.reason}): list it anew"
                )

    def _item(self, item: Notification, event: Notifications) -> Line:
        text = self._known[item.id] = headline(item)
        if len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]
        if item.retracted_at:
            return self._line("retracted", "dim", text, item.id)
        now = self._clock()
        age = ago(now - item.created_at)
        word = "edited" if event.changed else item.severity
        return (
            (clock_time(item.created_at), "dim"),
            (f"{word:{_WORD}}", STYLES.get(item.severity, "")),
            (f"{item.event:20}", "dim"),
            text,
            *([(f"({age})", "dim")] if age != "now" else []),
            (short(item.id), "dim"),
        )

    def _update(self, event: Update) -> Iterator[Line]:
        for name, value in event.set.items():
            word = _word(name, value, event.action)
            yield self._line(word, "dim", f"{self._named(event)} ({event.unread_count} unread)")
        for category, choice in (event.preferences or {}).items():
            chosen = "as by default" if choice is None else "on" if choice else "off"
            yield self._line("preference", "dim", f"{category}: {chosen}")

    def _named(self, event: Update) -> str:
        if event.ids is None:
            return "everything so far"
        if len(event.ids) > _NAMED:
            return f"{len(event.ids)} notifications"
        return ", ".join(self._known.get(identifier, short(identifier)) for identifier in event.ids)

    def _line(self, word: str, style: str, text: str, identifier: str = "") -> Line:
        ending: Line = [(short(identifier), "dim")] if identifier else []
        return ((clock_time(self._clock()), "dim"), (f"{word:{_WORD}}", style), text, *ending)


def _word(name: str, value: datetime | None, action: str | None) -> str:
    if name == "acted_at":
        return f"chose {action}"
    yes, no = _MARKS.get(name, (name, name))
    return no if value is None else yes
