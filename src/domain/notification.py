"""A notification: what a producer may send, and how it changes in a feed."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from domain.category import CATEGORY, CATEGORY_RULE, OTHER, category_of
from domain.errors import FieldError, Invalid
from domain.group import ALONE, Group
from domain.identifiers import USER_ID_RULE, NotificationId, UserId, is_user_id, milliseconds_of
from domain.metadata import NO_METADATA, Metadata
from domain.rich import PLAIN, Actor, Rich
from domain.states import RULES, UNREAD, UNSEEN, VIEWS, Mark, Status

MESSAGE_LENGTH = 4_000
TITLE_LENGTH = 200
ACTION_URL_LENGTH = 2_048

EVENT = re.compile(r"[a-z0-9_.-]{1,100}")
EVENT_RULE = "must be 1 to 100 of a-z 0-9 _ . -"
# Users click on it, and applications put it into HTML: no other scheme; no "//host", which only looks like a
# path; no credentials, which make "https://bank.example@evil.example" look like the bank; no quotes and angle
# brackets, which RFC 3986 excludes, apart from the apostrophe; no controls; no bidirectional and invisible
# characters, which make an address look like another (RFC 3987 §4.1).
_REFUSED = (
    r"\s\\\u0022'`<>\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    r"\ufeff\ufff9-\ufffb"
)
ACTION_URL = re.compile(rf"(?:https?://[^/?#@{_REFUSED}]+(?:[/?#][^{_REFUSED}]*)?|/(?!/)[^{_REFUSED}]*)")
ACTION_URL_RULE = (
    "must be an http(s) URL or a path from /, without credentials, quotes, angle brackets and control "
    "characters: escape them as %22, %27 and so on"
)
# PostgreSQL stores neither; one such row would make it refuse a whole batch.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
UNSTORABLE_RULE = "must not contain NUL or an unpaired surrogate"
# Spaces, controls, format characters and combining marks; and characters that are blank: Hangul fillers and
# the empty Braille cell.
INVISIBLE = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf", "Mn", "Me"})
BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
VISIBLE_RULE = "must have at least one visible character"

# The range that ids, stores and clients can represent: PostgreSQL's driver reads the last microsecond of the
# year 9999 as "infinity".
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
TIME_RULE = "must be from 1970-01-01T00:00:00Z to 9999-12-31T23:59:59Z"
ZONE_RULE = "must carry a time zone"
AHEAD = timedelta(days=1)
"""How far ahead a notification may be dated, because producers' clocks differ. One from the year 9000 would
be at the top of its list until then."""
AHEAD_RULE = "must not be more than a day ahead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a producer sends. Raises Invalid, which names every field that breaks a rule."""

    user_id: UserId
    event: str
    message: str
    title: str | None = None
    metadata: Metadata = NO_METADATA
    action_url: str | None = None
    expires_at: datetime | None = None
    category: str = ""
    """If it is empty, that of the event."""
    rich: Rich = PLAIN
    actor: Actor | None = None
    collapse_key: str | None = None
    """Notifications of a user with the same key become one."""
    collapse: str = "unread"
    """With which earlier one: `unread`, or `always` with a read one too."""

    def __post_init__(self) -> None:
        if errors := _broken_rules(self):
            raise Invalid(errors)
        if not self.category:
            object.__setattr__(self, "category", category_of(self.event))


@dataclass(frozen=True, slots=True)
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

    def __post_init__(self) -> None:
        if errors := _broken_time_rules("created_at", self.created_at):
            raise Invalid(errors)

    def check_not_ahead(self, now: datetime) -> None:
        """Raise Invalid if `created_at` or the time in the id, by which lists are sorted, is more than a day
        ahead.
        """
        latest = now + AHEAD
        if self.created_at > latest:
            raise Invalid([FieldError("created_at", AHEAD_RULE)])
        if milliseconds_of(self.id) > latest.timestamp() * 1000:
            raise Invalid([FieldError("id", f"names a time that {AHEAD_RULE}")])

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
            rich=content.rich,
        )


@dataclass(frozen=True, slots=True)
class Retraction:
    """An order of a producer to take a notification back, whether or not it has arrived."""

    user_id: UserId
    id: NotificationId
    key_id: str | None = None
    """As that of a draft."""


@dataclass(frozen=True, slots=True, kw_only=True)
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

    def marked(self, mark: Mark, at: datetime, version: int) -> Self:
        """Apply a mark with this time. A notification already in that state, or retracted, does not
        change.
        """
        rule = RULES[mark]
        if not rule.changes(self, at):
            return self
        changed: dict[str, Any] = {rule.sets: rule.value(at)}
        return replace(self, **changed, version=version)


def _broken_rules(content: Content) -> list[FieldError]:
    errors: list[FieldError] = []
    if not is_user_id(content.user_id):
        errors.append(FieldError("user_id", USER_ID_RULE))
    if EVENT.fullmatch(content.event) is None:
        errors.append(FieldError("event", EVENT_RULE))
    if content.category and CATEGORY.fullmatch(content.category) is None:
        errors.append(FieldError("category", CATEGORY_RULE))
    errors += _broken_text_rules("message", content.message, 1, MESSAGE_LENGTH)
    if content.title:  # an empty title means none
        errors += _broken_text_rules("title", content.title, 0, TITLE_LENGTH)
    if content.action_url is not None and not _is_action_url(content.action_url):
        errors.append(FieldError("action_url", ACTION_URL_RULE))
    if content.expires_at is not None:
        errors += _broken_time_rules("expires_at", content.expires_at)
    if content.metadata.broken_rule is not None:
        errors.append(FieldError("metadata", content.metadata.broken_rule))
    return errors


def _broken_text_rules(name: str, text: str, shortest: int, longest: int) -> Sequence[FieldError]:
    if not shortest <= len(text) <= longest:
        return [FieldError(name, f"must have {shortest} to {longest} characters")]
    if UNSTORABLE.search(text) is not None:
        return [FieldError(name, UNSTORABLE_RULE)]
    if not any(_is_visible(character) for character in text):
        return [FieldError(name, VISIBLE_RULE)]
    return ()


def _is_visible(character: str) -> bool:
    return unicodedata.category(character) not in INVISIBLE and character not in BLANK


def _broken_time_rules(name: str, time: datetime) -> Sequence[FieldError]:
    if time.tzinfo is None:
        return [FieldError(name, ZONE_RULE)]
    if not EARLIEST <= time <= LATEST:
        return [FieldError(name, TIME_RULE)]
    return ()


def _is_action_url(url: str) -> bool:
    return (
        len(url) <= ACTION_URL_LENGTH
        and UNSTORABLE.search(url) is None
        and ACTION_URL.fullmatch(url) is not None
    )
