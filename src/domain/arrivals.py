"""Arrivals: what becomes of drafts and retractions when they reach a feed.

Publishing is an upsert by user, id and revision. Whatever the order in which an original, its edits and its
retraction arrive, and however often, the feed ends the same. What is accepted and not shown is withheld, and
stays so: a draft that comes again after the user changed a preference is still withheld. But what had expired
comes back with an edit that has not, because the edit alone would have been shown.

This is the definition. The store applies it under the lock of the feed's row.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from domain.category import Category, wanted
from domain.feed import Added, Edited, Feed, Marked
from domain.group import OPEN_FOR
from domain.identifiers import NotificationId, UserId
from domain.notification import Draft, Notification, Retraction
from domain.states import Mark

Arrival: TypeAlias = Draft | Retraction


class Reason(StrEnum):
    """Why a notification is withheld."""

    PREFERENCE = "preference"
    """The user does not want its category."""
    EXPIRED = "expired"
    """It had expired when it arrived."""
    RETRACTED = "retracted"
    """Its producer took it back before it was stored."""
    SUPERSEDED = "superseded"
    """It became part of another one."""


@dataclass(frozen=True, slots=True)
class Withheld:
    """A notification that was accepted and is not shown."""

    user_id: UserId
    id: NotificationId
    reason: Reason
    event: str | None = None
    category: str | None = None
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Known:
    """What must be known of a feed to judge some arrivals. It is true until the feed's lock is released."""

    feed: Feed
    held: Mapping[NotificationId, Notification] = field(default_factory=dict)
    """Those of the arrivals that are stored, and those that others may collapse with: of each key the newest,
    and the newest unread one."""
    keys: Mapping[NotificationId, str | None] = field(default_factory=dict)
    """The API keys that sent these."""
    withheld: Mapping[NotificationId, Withheld] = field(default_factory=dict)
    choices: Mapping[str, bool] = field(default_factory=dict)
    """The categories that the user chose for or against."""
    categories: Mapping[str, Category] = field(default_factory=dict)
    """Those of the arrivals, and of what is held, that are refined."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What arrivals do to a feed."""

    feed: Feed
    retracted: Marked | None = None
    edited: Edited | None = None
    added: Added | None = None
    """The changes, in the order of their versions."""
    senders: Mapping[NotificationId, str | None] = field(default_factory=dict)
    """The API keys that sent what was added."""
    withheld: Sequence[Withheld] = ()
    """What is not shown. It replaces what was withheld under the same ids."""
    returned: Sequence[NotificationId] = ()
    """What was added and had been withheld."""
    repeated: bool = False
    """Whether something arrived that had arrived before."""
    foreign: Sequence[Arrival] = ()
    """What would change a notification of another API key, which its own key may not."""


def arrive(known: Known, arrivals: Iterable[Arrival], now: datetime) -> Outcome:
    """Judge arrivals of one user, in this order."""
    judge = _Judge(known, now)
    for arrival in arrivals:
        judge.take(arrival)
    return judge.outcome()


class _Judge:
    """A feed while arrivals are applied to it. Versions are given out at the end."""

    def __init__(self, known: Known, now: datetime) -> None:
        self._known = known
        self._now = now
        self._items = dict(known.held)
        self._drafts: dict[NotificationId, Draft] = {}
        """What is new, in the order of arrival."""
        self._edited: dict[NotificationId, None] = {}
        self._retracted: dict[NotificationId, None] = {}
        self._withheld: dict[NotificationId, Withheld] = {}
        self._repeated = False
        self._foreign: list[Arrival] = []

    def take(self, arrival: Arrival) -> None:
        """Apply one arrival."""
        if self._stays_withheld(arrival):
            self._repeated = True
        elif arrival.id in self._items and self._is_foreign(arrival):
            self._foreign.append(arrival)
        elif isinstance(arrival, Retraction):
            self._retract(arrival)
        elif arrival.id in self._items:
            self._edit(arrival, self._items[arrival.id])
        elif (reason := self._objection(arrival)) is not None:
            self._withhold(arrival, reason)
        else:
            self._add(arrival)

    def outcome(self) -> Outcome:
        """What all of them do together."""
        feed = before = self._known.feed
        retracted, feed = self._numbered(feed, self._retracted)
        gone = Marked(feed, before.version, Mark.RETRACTED, self._now, retracted) if retracted else None
        prev = feed.version
        changed, feed = self._numbered(feed, self._edited)
        edited = Edited(feed, prev, changed) if changed else None
        new, feed = self._numbered(feed, self._drafts)
        return Outcome(
            feed,
            gone,
            edited,
            Added(feed, new) if new else None,
            {one: draft.key_id for one, draft in self._drafts.items()},
            list(self._withheld.values()),
            [one for one in self._drafts if one in self._known.withheld],
            self._repeated,
            self._foreign,
        )

    def _numbered(self, feed: Feed, ids: Iterable[NotificationId]) -> tuple[tuple[Notification, ...], Feed]:
        """Give notifications the next versions of the feed."""
        after = tuple(
            replace(self._items[one], version=version) for version, one in enumerate(ids, feed.version + 1)
        )
        changes = [(self._known.held.get(item.id), item) for item in after]
        return after, feed.changed(feed.version + len(after), changes)

    def _stays_withheld(self, arrival: Arrival) -> bool:
        if arrival.id in self._items:
            return False
        withheld = self._withheld.get(arrival.id) or self._known.withheld.get(arrival.id)
        if withheld is None or withheld.reason is not Reason.EXPIRED:
            return withheld is not None
        return isinstance(arrival, Draft) and arrival.revision <= withheld.revision

    def _is_foreign(self, arrival: Arrival) -> bool:
        changes = isinstance(arrival, Retraction) or arrival.revision > self._items[arrival.id].revision
        return changes and not self._may_change(arrival, arrival.id)

    def _may_change(self, arrival: Arrival, one: NotificationId) -> bool:
        """Whether the key of an arrival may change this notification."""
        drafted = self._drafts.get(one)
        sender = self._known.keys.get(one) if drafted is None else drafted.key_id
        return not arrival.own_only or sender == arrival.key_id

    def _retract(self, retraction: Retraction) -> None:
        item = self._items.get(retraction.id)
        if item is None or retraction.id in self._drafts:
            self._forget(retraction.id, retraction.user_id, Reason.RETRACTED)
        elif item.retracted_at is not None:
            self._repeated = True
        else:
            self._take_back(item)

    def _edit(self, draft: Draft, item: Notification) -> None:
        if draft.revision <= item.revision or item.retracted_at is not None:
            self._repeated = True
            return
        after = draft.edited(item, None if item.id in self._drafts else self._now)
        if after.expires_at is None:
            after = replace(after, expires_at=self._usual_expiry(item))
        self._items[item.id] = after
        if item.id not in self._drafts:
            self._edited[item.id] = None

    def _objection(self, draft: Draft) -> Reason | None:
        """Why a new notification is not shown."""
        name = draft.content.category
        if not wanted(self._known.categories.get(name), self._known.choices.get(name)):
            return Reason.PREFERENCE
        expires_at = self._stored(draft).expires_at
        return Reason.EXPIRED if expires_at is not None and expires_at <= self._now else None

    def _stored(self, draft: Draft) -> Notification:
        """What a new notification is, apart from its version and its group."""
        item = draft.stored(0)
        return item if item.expires_at is not None else replace(item, expires_at=self._usual_expiry(item))

    def _usual_expiry(self, item: Notification) -> datetime | None:
        """When a notification expires that does not say so itself."""
        category = self._known.categories.get(item.category)
        if category is None or category.expires_after is None:
            return None
        return item.created_at + category.expires_after

    def _add(self, draft: Draft) -> None:
        content, item = draft.content, self._stored(draft)
        self._withheld.pop(draft.id, None)
        holder = self._holder(draft)
        if holder is not None and holder.id > draft.id:
            self._items[holder.id] = replace(holder, group=holder.group.joined(content.actor, newest=False))
            if holder.id not in self._drafts:
                self._edited[holder.id] = None
            self._withhold(draft, Reason.SUPERSEDED)
            return
        if holder is not None:
            item = replace(item, group=holder.group.joined(content.actor, newest=True))
            self._supersede(holder)
        self._items[draft.id] = item
        self._drafts[draft.id] = draft

    def _holder(self, draft: Draft) -> Notification | None:
        """The notification that this one becomes one with: a limited key's, only with one that it sent."""
        content = draft.content
        if content.collapse_key is None:
            return None
        open_ones = [
            item
            for item in self._items.values()
            if item.collapse_key == content.collapse_key
            and item.retracted_at is None
            and item.archived_at is None
            and item.created_at > self._now - OPEN_FOR
            and (item.unread or content.collapse == "always")
        ]
        newest = max(open_ones, key=lambda item: item.id, default=None)
        return newest if newest is not None and self._may_change(draft, newest.id) else None

    def _supersede(self, holder: Notification) -> None:
        if holder.id in self._drafts:
            # It was never to be seen. Without this, its record would be stored on top when it comes again.
            self._withhold(self._drafts[holder.id], Reason.SUPERSEDED)
            del self._drafts[holder.id], self._items[holder.id]
        else:
            self._take_back(holder)

    def _take_back(self, item: Notification) -> None:
        # Nobody will see how it was edited in the same moment. A retraction says no more than that.
        self._edited.pop(item.id, None)
        self._items[item.id] = replace(self._known.held[item.id], retracted_at=self._now)
        self._retracted[item.id] = None

    def _forget(self, one: NotificationId, user: UserId, reason: Reason) -> None:
        draft = self._drafts.pop(one, None)
        self._items.pop(one, None)
        if draft is None:
            self._withheld[one] = Withheld(user, one, reason)
        else:
            self._withhold(draft, reason)

    def _withhold(self, draft: Draft, reason: Reason) -> None:
        content = draft.content
        self._withheld[draft.id] = Withheld(
            content.user_id, draft.id, reason, content.event, content.category, draft.revision
        )
