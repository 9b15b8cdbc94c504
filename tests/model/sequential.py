"""What a feed is after arrivals came one after the other, in the plainest words.

It is written from docs/http-api.md and not from domain.arrivals: no batches, no versions, nothing that is
withheld apart from what is gone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from domain.arrivals import Arrival
from domain.category import Category
from domain.identifiers import NotificationId
from domain.notification import Draft, Notification, Retraction
from domain.states import Mark

MONTH = timedelta(days=30)


@dataclass
class Row:
    """A notification that the user can get at."""

    message: str
    revision: int
    category: str
    created_at: datetime
    expires_at: datetime | None
    key: str | None
    sender: str | None
    read: bool = False
    seen: bool = False
    archived: bool = False
    count: int = 1
    shown: list[str] = field(default_factory=list)
    actors: set[str] = field(default_factory=set)

    @property
    def unread(self) -> bool:
        return not self.read and not self.archived


def as_row(item: Notification, sender: str | None) -> Row:
    """What a store holds, in the same words. The actors beyond those that are shown are only counted."""
    row = Row(
        item.message,
        item.revision,
        item.category,
        item.created_at,
        item.expires_at,
        item.collapse_key,
        sender,
        item.read_at is not None,
        item.seen_at is not None,
        item.archived_at is not None,
        item.group.count,
        [actor.name for actor in item.group.actors],
    )
    row.actors = set(map(str, range(item.group.actor_count)))
    return row


@dataclass
class Sequential:
    """One user's feed."""

    rows: dict[NotificationId, Row] = field(default_factory=dict)
    gone: set[NotificationId] = field(default_factory=set)
    """What was accepted and is in no view: it never comes back."""
    expired: dict[NotificationId, int] = field(default_factory=dict)
    """The revision of what had expired when it arrived. A higher one may not have."""
    choices: dict[str, bool] = field(default_factory=dict)
    categories: Mapping[str, Category] = field(default_factory=dict)

    def take(self, arrival: Arrival, now: datetime) -> None:
        """The next one arrives."""
        if arrival.id in self.gone or self._is_foreign(arrival):
            return
        if isinstance(arrival, Retraction):
            self._lose(arrival.id)
        elif arrival.id in self.rows:
            self._edit(self.rows[arrival.id], arrival)
        elif arrival.revision <= self.expired.get(arrival.id, -1):
            return
        elif not self.wants(arrival.content.category):
            self.gone.add(arrival.id)
        elif self._has_expired(arrival, now):
            self.expired[arrival.id] = arrival.revision
        else:
            self._add(arrival, now)

    def mark(self, mark: Mark, row: Row) -> None:
        """The user marks one."""
        if mark is Mark.SEEN and not row.unread:
            return
        if mark in {Mark.READ, Mark.UNREAD}:
            row.read = mark is Mark.READ
        if mark in {Mark.ARCHIVED, Mark.UNARCHIVED}:
            row.archived = mark is Mark.ARCHIVED
        if mark in {Mark.SEEN, Mark.READ, Mark.ARCHIVED}:
            row.seen = True

    def wants(self, name: str) -> bool:
        """Whether the user is shown new ones of a category."""
        category = self.categories.get(name, Category(id=name))
        return category.mandatory or self.choices.get(name, category.default_on)

    def _is_foreign(self, arrival: Arrival) -> bool:
        row = self.rows.get(arrival.id)
        return row is not None and arrival.own_only and row.sender != arrival.key_id

    def _edit(self, row: Row, draft: Draft) -> None:
        if draft.revision <= row.revision:
            return
        row.message, row.revision = draft.content.message, draft.revision
        row.expires_at = draft.content.expires_at or self._usual_end(row.category, row.created_at)
        if draft.unread:
            row.read = row.seen = False

    def _add(self, draft: Draft, now: datetime) -> None:
        content = draft.content
        end = content.expires_at or self._usual_end(content.category, draft.created_at)
        row = Row(
            content.message,
            draft.revision,
            content.category,
            draft.created_at,
            end,
            content.collapse_key,
            draft.key_id,
        )
        name = content.actor.name if content.actor else None
        holder = self._holder(draft, now)
        if holder is not None and holder > draft.id:
            _join(self.rows[holder], name, last=True)
            self.gone.add(draft.id)
            return
        if holder is not None:
            before = self.rows[holder]
            row.count, row.shown, row.actors = before.count, before.shown, before.actors
            _join(row, name)
            self._lose(holder)
        elif name is not None:
            row.shown, row.actors = [name], {name}
        self.rows[draft.id] = row

    def _holder(self, draft: Draft, now: datetime) -> NotificationId | None:
        key, always = draft.content.collapse_key, draft.content.collapse == "always"
        ids = [
            one
            for one, row in self.rows.items()
            if row.key == key
            and not row.archived
            and (always or not row.read)
            and row.created_at > now - MONTH
        ]
        return max(ids) if ids and key is not None else None

    def _has_expired(self, draft: Draft, now: datetime) -> bool:
        end = draft.content.expires_at or self._usual_end(draft.content.category, draft.created_at)
        return end is not None and end <= now

    def _usual_end(self, category: str, created_at: datetime) -> datetime | None:
        after = self.categories.get(category, Category(id=category)).expires_after
        return None if after is None else created_at + after

    def _lose(self, one: NotificationId) -> None:
        self.rows.pop(one, None)
        self.gone.add(one)


def _join(row: Row, name: str | None, *, last: bool = False) -> None:
    row.count += 1
    if name is None:
        return
    row.actors.add(name)
    if not last:
        row.shown = [name, *(other for other in row.shown if other != name)]
    elif name not in row.shown:
        row.shown = [*row.shown, name]
    row.shown = row.shown[:3]
