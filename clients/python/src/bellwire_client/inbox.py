"""A user's inbox, kept up to date by a stream."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from bellwire_client.events import (
    STATES,
    Connected,
    Counts,
    Disconnected,
    Event,
    Notification,
    Notifications,
    Page,
    Reset,
    Update,
    is_after,
    version_of,
)


class Inbox:
    """A list of notifications to which pages and events are applied. It does no I/O.

    It has those that are neither archived nor snoozed nor retracted, as far down as they are loaded. Load a
    page, open the stream with `inbox.cursor`, and apply each event; when `apply` returns False, load again.
    """

    def __init__(self, page: Page) -> None:
        self._items: dict[str, Notification] = {}
        self._floor = ""
        self.next_cursor: str | None = None
        """The cursor of the page to `add` next; None after the last."""
        self.load(page)

    @property
    def items(self) -> list[Notification]:
        """Newest first."""
        return self.select()

    @property
    def counts(self) -> Counts:
        """Those of the newest page or event."""
        return self._counts

    @property
    def cursor(self) -> str:
        """The position of the newest page or event."""
        return self._counts.cursor

    @property
    def unread_count(self) -> int:
        """Exact at `cursor`, as the other counts; not only of what is loaded."""
        return self._counts.unread_count

    @property
    def unseen_count(self) -> int:
        """How many of the unread are unseen."""
        return self._counts.unseen_count

    @property
    def unread_in(self) -> dict[str, int]:
        """How many are unread in each category that has any."""
        return dict(self._counts.unread_in)

    def select(self, category: str | None = None, *, unread: bool = False) -> list[Notification]:
        """The loaded notifications of a category, or those that are unread, newest first."""
        chosen = (
            item
            for item in self._items.values()
            if category in {None, item.category}
            and not (unread and item.read_at)
            and _place(item) >= self._floor  # between others below there may be some that are not loaded
        )
        return sorted(chosen, key=_place, reverse=True)

    def load(self, page: Page) -> None:
        """Replace the list by a page."""
        self._items = {}
        self.add(page)
        self._counts: Counts = page

    def add(self, page: Page) -> None:
        """Add the next page, which must not be older than the events that were applied."""
        for item in page.items:
            self._put(item)
        self.next_cursor = page.next_cursor
        if page.next_cursor is None:
            self._floor = ""
        elif page.items:
            self._floor = page.items[-1].id

    def apply(self, event: Event) -> bool:
        """Apply an event. One that is not newer than the list changes nothing. Returns False if a page must
        be loaded again: after a Reset, or when a change brings back notifications that are not in the list.
        """
        if isinstance(event, Connected | Disconnected):
            return True
        if not isinstance(event, Reset) and not is_after(event.cursor, self.cursor):
            return True
        self._counts = event
        match event:
            case Notifications():
                for item in event.items:
                    self._put(item)
            case Update():
                return self._update(event)
        return not isinstance(event, Reset)

    def _update(self, event: Update) -> bool:
        back = any(event.set.get(name, ...) is None for name in ("archived_at", "snoozed_until"))
        back = back or event.set.get("woken_at") is not None
        if event.ids is not None:
            known = [identifier in self._items for identifier in event.ids]
            for version, identifier in enumerate(event.ids, version_of(event.prev) + 1):
                if item := self._items.get(identifier):
                    self._put(_changed(item, event, version))
            return all(known) or not back
        highest = version_of(event.up_to or event.cursor)
        for item in list(self._items.values()):
            if item.version <= highest and _differs(item, event):
                self._put(_changed(item, event, version_of(event.cursor)))
        return not back

    def _put(self, item: Notification) -> None:
        known = self._items.get(item.id)
        if known is not None and known.version >= item.version:
            return
        if item.archived_at or item.snoozed_until or item.retracted_at:
            self._items.pop(item.id, None)
        else:
            self._items[item.id] = item


def _place(item: Notification) -> str:
    """Ids are ordered by time: they begin with its milliseconds. What was snoozed counts as new from when it
    came back.
    """
    if item.woken_at is None:
        return item.id
    digits = f"{int(item.woken_at.timestamp() * 1000):012x}"
    return f"{digits[:8]}-{digits[8:]}"


def _differs(item: Notification, event: Update) -> bool:
    """Whether a change up to a cursor concerns an item: those that are already so keep their first time."""
    changes = ((name, value) for name, value in event.set.items() if name in STATES)
    return any((getattr(item, name) is None) != (value is None) for name, value in changes)


def _changed(item: Notification, event: Update, version: int) -> Notification:
    """An item after a change. A frame says only the time that was marked; others follow from it."""
    # A state that this release does not know changes only the version here.
    times: dict[str, datetime | None] = {name: event.set[name] for name in STATES if name in event.set}
    changes: dict[str, Any] = dict(times)
    acted = times.get("acted_at")
    marked = times.get("read_at") or times.get("archived_at") or acted
    if marked:
        changes["seen_at"] = item.seen_at or marked
    if acted:
        changes |= {"read_at": item.read_at or acted, "action": event.action}
    if times.get("woken_at") or times.get("snoozed_until", ...) is None:
        changes |= {"snoozed_until": None, "seen_at": None, "read_at": None}
    return replace(item, **changes, version=version)
