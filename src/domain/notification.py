"""A notification: what a producer may send, and how it changes in a feed."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from domain.category import CATEGORY, CATEGORY_RULE, OF_EVENT, OTHER, category_of
from domain.errors import FieldError, Invalid
from domain.group import ALONE, Group
from domain.identifiers import USER_ID_RULE, NotificationId, UserId, is_user_id, milliseconds_of
from domain.metadata import NO_METADATA, Metadata
from domain.rich import (
    COLLAPSE_KEY_LENGTH,
    COLLAPSES,
    PLAIN,
    Actor,
    Rich,
    broken_actor_rules,
    broken_choice_rules,
    broken_rich_rules,
)
from domain.states import RULES, UNREAD, UNSEEN, VIEWS, Mark, Status
from domain.text import broken_link_rules, broken_storable_rules, broken_text_rules
from domain.value import value

MESSAGE_LENGTH = 4_000
TITLE_LENGTH = 200

EVENT = re.compile(r"[a-z0-9_.-]{1,100}")
EVENT_RULE = "must be 1 to 100 of a-z 0-9 _ . -"
# The range that ids, stores and clients can represent: PostgreSQL's driver reads the last microsecond of the
# year 9999 as "infinity".
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
BEFORE_ALL = EARLIEST - timedelta(days=1)
"""A time by which nothing has expired."""
LATEST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
TIME_RULE = "must be from 1970-01-01T00:00:00Z to 9999-12-31T23:59:59Z"
ZONE_RULE = "must carry a time zone"
AHEAD = timedelta(days=1)
"""How far ahead a notification may be dated, because producers' clocks differ. One from the year 9000 would
be at the top of its list until then."""
AHEAD_RULE = "must not be more than a day ahead"
REVISION_MAX = 2**53 - 1
"""The largest integer that every JSON parser keeps (RFC 8259 §6)."""


@value(kw_only=True)
class Content:
    """What a producer sends. Raises Invalid, which names every field that breaks a rule."""

    user_id: UserId
    event: str
    message: str
    title: str | None = None
    metadata: Metadata = NO_METADATA
    action_url: str | None = None
    expires_at: datetime | None = None
    category: str = OF_EVENT
    rich: Rich = PLAIN
    actor: Actor | None = None
    collapse_key: str | None = None
    """Notifications of a user with the same key become one."""
    collapse: str = "unread"
    """With which earlier one: `unread`, or `always` with a read one too."""

    def __post_init__(self) -> None:
        if errors := _broken_rules(self):
            raise Invalid(errors)
        if self.category == OF_EVENT:
            object.__setattr__(self, "category", category_of(self.event))


@value()
class Draft:
    """A notification that was accepted but is not stored yet."""

    id: NotificationId
    created_at: datetime
    content: Content
    key_id: str | None = None
    """The API key that sent it; None if another program wrote the record."""
    revision: int = 0
    """Of two drafts with the same id the one with the higher revision stands."""
    unread: bool = False
    """Whether an edit makes the notification unread and unseen again."""
    own_only: bool = False
    """Whether it may only change what the same key sent."""

    def __post_init__(self) -> None:
        errors = _broken_time_rules("created_at", self.created_at)
        if self.revision and not 0 <= self.revision <= REVISION_MAX:
            errors = [*errors, FieldError("revision", f"must be 0 to {REVISION_MAX}")]
        if errors:
            raise Invalid(errors)

    @property
    def user_id(self) -> UserId:
        """The user that it is for."""
        return self.content.user_id

    def check_not_ahead(self, now: datetime) -> None:
        """Raise Invalid if `created_at` or the time in the id, by which lists are sorted, is more than a day
        ahead.
        """
        if self.created_at > now + AHEAD:
            raise Invalid([FieldError("created_at", AHEAD_RULE)])
        check_id_not_ahead(self.id, now)

    def stored(self, version: int) -> "Notification":
        """The notification as it is stored with this version. Its times are in UTC, as a store returns
        them.
        """
        content = self.content
        return Notification(
            id=self.id,
            user_id=content.user_id,
            version=version,
            event=content.event,
            category=content.category,
            title=content.title,
            message=content.message,
            metadata=content.metadata,
            action_url=content.action_url,
            created_at=self.created_at.astimezone(UTC),
            expires_at=None if content.expires_at is None else content.expires_at.astimezone(UTC),
            revision=self.revision,
            collapse_key=content.collapse_key,
            rich=content.rich,
            group=Group.of(content.actor),
        )

    def edited(self, held: "Notification", at: datetime | None) -> "Notification":
        """A stored notification with this content instead, at this time. What the user did to it stays,
        unless it is to be unread again.
        """
        new = self.stored(held.version)
        after = replace(
            held,
            title=new.title,
            message=new.message,
            metadata=new.metadata,
            action_url=new.action_url,
            expires_at=new.expires_at,
            edited_at=at,
            revision=new.revision,
            rich=new.rich,
        )
        if not self.unread:
            return after
        return replace(after, seen_at=None, read_at=None, acted_at=None, action=None)


@dataclass(frozen=True, slots=True)
class Retraction:
    """An order of a producer to take a notification back, whether or not it has arrived."""

    user_id: UserId
    id: NotificationId
    key_id: str | None = None
    """As that of a draft."""
    own_only: bool = False
    """As that of a draft."""

    def __post_init__(self) -> None:
        if not is_user_id(self.user_id):
            raise Invalid([FieldError("user_id", USER_ID_RULE)])

    def check_not_ahead(self, now: datetime) -> None:
        """Raise Invalid if the time in the id is more than a day ahead."""
        check_id_not_ahead(self.id, now)


@value(kw_only=True)
class Notification:
    """A notification in a feed."""

    id: NotificationId
    user_id: UserId
    version: int
    event: str
    title: str | None
    message: str
    metadata: Metadata
    action_url: str | None
    created_at: datetime
    category: str = OTHER
    seen_at: datetime | None = None
    read_at: datetime | None = None
    archived_at: datetime | None = None
    acted_at: datetime | None = None
    snoozed_until: datetime | None = None
    woken_at: datetime | None = None
    retracted_at: datetime | None = None
    expires_at: datetime | None = None
    edited_at: datetime | None = None
    action: str | None = None
    """The id of the action that the user chose."""
    revision: int = 0
    collapse_key: str | None = None
    rich: Rich = PLAIN
    group: Group = ALONE

    @property
    def unread(self) -> bool:
        """Whether it counts as unread."""
        return UNREAD.holds(self)

    @property
    def unseen(self) -> bool:
        """Whether it counts as unseen."""
        return UNSEEN.holds(self)

    def within(self, status: Status) -> bool:
        """Whether this view of the feed shows it."""
        return VIEWS[status].holds(self)

    def marked(self, mark: Mark, at: datetime, version: int, action: str | None = None) -> Self:
        """Apply a mark with this time, and with the action that it names. A notification already in that
        state, or that the mark is not for, does not change.
        """
        rule = RULES[mark]
        if not rule.changes(self, at):
            return self
        changed: dict[Any, Any] = dict(rule.changed(self, at))
        if rule.names_action:
            changed["action"] = action
        return replace(self, **changed, version=version)


def check_id_not_ahead(identifier: NotificationId, now: datetime) -> None:
    """Raise Invalid if the time in an id is more than a day ahead."""
    if milliseconds_of(identifier) > (now + AHEAD).timestamp() * 1000:
        raise Invalid([FieldError("id", f"names a time that {AHEAD_RULE}")])


def _broken_rules(content: Content) -> list[FieldError]:
    errors: list[FieldError] = []
    if not is_user_id(content.user_id):
        errors.append(FieldError("user_id", USER_ID_RULE))
    if EVENT.fullmatch(content.event) is None:
        errors.append(FieldError("event", EVENT_RULE))
    if content.category != OF_EVENT and CATEGORY.fullmatch(content.category) is None:
        errors.append(FieldError("category", CATEGORY_RULE))
    errors += broken_text_rules("message", content.message, 1, MESSAGE_LENGTH)
    if content.title:  # an empty title means none
        errors += broken_text_rules("title", content.title, 0, TITLE_LENGTH)
    if content.action_url is not None:
        errors += broken_link_rules("action_url", content.action_url)
    if content.expires_at is not None:
        errors += _broken_time_rules("expires_at", content.expires_at)
    if content.metadata.broken_rule is not None:
        errors.append(FieldError("metadata", content.metadata.broken_rule))
    if content.rich is not PLAIN or content.actor or content.collapse_key is not None:
        errors += _broken_rich_rules(content)
    if content.collapse != "unread":
        errors += broken_choice_rules("collapse", content.collapse, COLLAPSES)
    return errors


def _broken_rich_rules(content: Content) -> Iterator[FieldError]:
    """Few notifications have any of these fields."""
    yield from broken_rich_rules(content.rich)
    if content.actor is not None:
        yield from broken_actor_rules(content.actor)
    if content.collapse_key is not None:
        yield from broken_storable_rules("collapse_key", content.collapse_key, 1, COLLAPSE_KEY_LENGTH)


def _broken_time_rules(name: str, time: datetime) -> Sequence[FieldError]:
    if time.tzinfo is None:
        return [FieldError(name, ZONE_RULE)]
    if not EARLIEST <= time <= LATEST:
        return [FieldError(name, TIME_RULE)]
    return ()
