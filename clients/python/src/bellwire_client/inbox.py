"""A user's inbox, kept up to date by a stream."""

from dataclasses import replace
from typing import Any

from bellwire_client.events import (
    Connected,
    Disconnected,
    Event,
    Notification,
    Notifications,
    Page,
    Replayed,
    Reset,
    Update,
    is_after,
    version_of,
)

_STATES = ("read_at", "archived_at", "retracted_at")


class Inbox:
    """A list of notifications to which pages and events are applied. It does no I/O.

    Load a page, open the stream with `inbox.cursor`, and apply each event. After a Reset, which can be
    applied too, the list is out of date: load a page again.
    """

    def __init__(self, page: Page) -> None:
        self._items: dict[str, Notification] = {}
        self.cursor = page.cursor
        self.unread_count = page.unread_count
        self.load(page)

    @property
    def items(self) -> list[Notification]:
        """Newest first, in every state; retracted ones are removed."""
        return sorted(self._items.values(), key=lambda item: item.id, reverse=True)

    def load(self, page: Page) -> None:
        """Replace the list by a page."""
        self._items = {item.id: item for item in page.items}
        self.cursor, self.unread_count = page.cursor, page.unread_count

    def apply(self, event: Event) -> None:
        """Apply an event. One that is not newer than the list changes nothing."""
        if isinstance(event, Connected | Disconnected):
            return
        if not isinstance(event, Reset) and not is_after(event.cursor, self.cursor):
            return
        match event:
            case Notifications():
                for item in event.items:
                    self._put(item)
            case Update():
                self._update(event)
            case Replayed() | Reset():
                pass
        self.cursor, self.unread_count = event.cursor, event.unread_count

    def _update(self, event: Update) -> None:
        # A state that this release does not know changes only the version here.
        changes: dict[str, Any] = {name: event.set[name] for name in _STATES if name in event.set}
        if event.ids is not None:
            for version, identifier in enumerate(event.ids, version_of(event.prev) + 1):
                if item := self._items.get(identifier):
                    self._put(replace(item, **changes, version=version))
            return
        highest, version = version_of(event.up_to or event.cursor), version_of(event.cursor)
        for item in list(self._items.values()):
            if item.version <= highest and _differs(item, changes):
                self._put(replace(item, **changes, version=version))

    def _put(self, item: Notification) -> None:
        if item.retracted_at is not None:
            self._items.pop(item.id, None)
        else:
            self._items[item.id] = item


def _differs(item: Notification, changes: dict[str, Any]) -> bool:
    """Whether a change applies: marking as read again keeps the first time."""
    return any((getattr(item, name) is None) != (value is None) for name, value in changes.items())
