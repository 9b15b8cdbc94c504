"""Request and response bodies, where they differ from the domain's own objects."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self, TypeAlias
from uuid import UUID

import msgspec
from msgspec import Meta, Raw, Struct

from application.revoking import JTI_LENGTH, check_jti
from domain.errors import FieldError, Invalid
from domain.feed import MARK_LIMIT, Feed, Marked
from domain.identifiers import USER_ID_RULE, NotificationId, UserId, is_user_id
from entrypoints.http.contents import NewNotification
from entrypoints.http.times import read_time
from entrypoints.web import rules
from entrypoints.web.rules import refers, ruled
from entrypoints.web.schemas import NotificationBody

_EXAMPLE_ID = "019ab7c4-5b2e-7c3d-8a4f-2f1c6d0e9b00"


class Accepted(Struct):
    """The notification is durable in the queue and will be delivered."""

    id: Annotated[UUID, Meta(examples=[_EXAMPLE_ID])]
    status: Annotated[str, Meta(examples=["accepted"])] = "accepted"


class RetractionOutcome(Struct):
    """What became of a retraction."""

    outcome: Annotated[
        Literal["retracted", "recorded"],
        Meta(
            description="`retracted`: it was in the feed, and is in no list any more. `recorded`: it has not "
            "arrived; what arrives with its id within 30 days is not stored."
        ),
    ]


class NewBatch(Struct, forbid_unknown_fields=True):
    """Many notifications; each is accepted or refused on its own."""

    items: Annotated[
        list[Annotated[Raw, refers("NewNotification")]],
        Meta(
            min_length=1,
            max_length=1000,
            description="1 to 1,000 notifications. One that breaks a rule is refused on its own.",
            examples=[[{"user_id": "demo", "event": "build.passed", "message": "Build 7 passed."}]],
        ),
    ]


class BatchResult(Struct, omit_defaults=True):
    """The outcome of one item: an id or a problem."""

    id: UUID | None = None
    error: Annotated[Any, refers("Problem")] = None


class BatchResults(Struct):
    """One result per item, in the order of the items."""

    results: list[BatchResult]


class NewUser(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A user to create."""

    name: Annotated[
        str, ruled(rules.NAME, "1 to 200 characters, not only whitespace; no NUL.", "Ada Lovelace")
    ]
    email: Annotated[str | None, ruled(rules.EMAIL, rules.EMAIL_WORDS, "ada@example.com")] = None
    password: Annotated[str | None, ruled(rules.PASSWORD, rules.PASSWORD_WORDS, "correct horse")] = None
    id: Annotated[
        str | None,
        ruled(
            rules.USER_ID,
            "The id in your own system: 1 to 128 of A-Z a-z 0-9 . _ : @ -, not . or .. alone. Generated if "
            "missing. Only with an API key.",
            "u-ada",
        ),
    ] = None


class CreatedUser(Struct):
    """A user."""

    id: str
    name: str
    email: Annotated[str | None, Meta(description="In canonical form.")]
    created_at: datetime


class Credentials(Struct, forbid_unknown_fields=True):
    """The credentials to log in with."""

    email: Annotated[str, Meta(examples=["ada@example.com"])]
    password: Annotated[str, Meta(examples=["correct horse"])]


class Session(Struct):
    """A user token, to be sent as `Authorization: Bearer …`."""

    user_id: str
    access_token: str
    expires_in: Annotated[int, Meta(description="Seconds.")]
    token_type: str = "Bearer"  # noqa: S105 - RFC 6750's name of it


class RevokedToken(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A token to revoke: either itself, or its `user_id` and `jti`."""

    token: Annotated[str | None, Meta(description="The token.")] = None
    user_id: Annotated[
        str | None,
        ruled(rules.USER_ID, "The user that it is for. Required with `jti`, without `token`.", "demo"),
    ] = None
    jti: Annotated[
        str | None,
        ruled({"minLength": 1, "maxLength": JTI_LENGTH}, "Its `jti`. Required without `token`.", "7c0f2a"),
    ] = None
    expires_at: Annotated[
        str | None,
        Meta(
            description="When it expires (RFC 3339, with a time zone), so that it can be forgotten then. If "
            "missing, it is kept as long as any token can be valid.",
            examples=["2100-01-01T00:00:00Z"],
            extra_json_schema={"extra": {"format": "date-time"}},
        ),
    ] = None

    def check(self) -> None:
        """Raise Invalid if a field breaks a rule, also one that is not needed beside the token."""
        if self.user_id is not None and not is_user_id(self.user_id):
            raise Invalid([FieldError("user_id", USER_ID_RULE)])
        if self.jti is not None:
            check_jti(self.jti)
        self.expiry()

    def identity(self) -> tuple[UserId, str]:
        """The user and the `jti`. Raises Invalid."""
        given = {"user_id": self.user_id, "jti": self.jti}
        missing = [
            FieldError(name, "is required without a token") for name, text in given.items() if not text
        ]
        if missing or self.user_id is None or self.jti is None:
            raise Invalid(missing)
        return UserId(self.user_id), self.jti

    def expiry(self) -> datetime | None:
        """When it expires. Raises Invalid."""
        return None if self.expires_at is None else read_time("expires_at", self.expires_at)


class StreamTicket(Struct):
    """Opens one stream, as `?ticket=…`, for clients that cannot set headers."""

    ticket: str
    expires_in: Annotated[int, Meta(description="Seconds.")]


class NotificationPage(Struct):
    """A page of a feed, newest first."""

    items: list[NotificationBody]
    next_cursor: Annotated[str | None, Meta(description="For the next page; null on the last.")]
    unread_count: Annotated[int, Meta(description="How many are unread at `cursor`.")]
    unseen_count: Annotated[int, Meta(description="How many of these are unseen.")]
    unread_in: Annotated[
        dict[str, int], Meta(description="How many are unread in each category that has any.")
    ]
    cursor: Annotated[str, Meta(description="The feed's position; a stream can resume from it.")]


class Counts(Struct):
    """The counts of a feed at one position."""

    unread_count: int
    unseen_count: int
    unread_in: Annotated[
        dict[str, int], Meta(description="How many are unread in each category that has any.")
    ]
    cursor: str

    @classmethod
    def of(cls, feed: Feed) -> Self:
        """The counts of this feed."""
        return cls(feed.unread_count, feed.unseen_count, dict(feed.unread_in), str(feed.cursor))


ChosenIds: TypeAlias = Annotated[
    list[NotificationId],
    ruled(
        {"maxItems": MARK_LIMIT},
        "Up to 100 ids. Those that are not this user's are skipped.",
        [_EXAMPLE_ID],
    ),
]


class Selection(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Which notifications to mark: `ids`, or all `up_to` what the client has seen. One of them, not both."""

    ids: ChosenIds | None = None
    up_to: Annotated[
        str | None,
        ruled(
            rules.CURSOR,
            "A `cursor` from a page or a frame, of the feed's present epoch; race-free “mark all”.",
        ),
    ] = None
    category: Annotated[
        str | None,
        ruled(rules.CATEGORY, "With `up_to`: only those of this category."),
    ] = None


class Snoozing(Struct, forbid_unknown_fields=True):
    """Which notifications to take away, and until when."""

    ids: ChosenIds
    until: Annotated[
        str,
        ruled(
            rules.TIME,
            "When they come back: between 1 second and 90 days from now (RFC 3339, with a time zone).",
            "2100-01-01T00:00:00Z",
        ),
    ]


class Unsnoozing(Struct, forbid_unknown_fields=True):
    """Which notifications to bring back at once."""

    ids: ChosenIds


class Changed(Struct):
    """The result of a mark."""

    changed: int
    unread_count: int
    unseen_count: int
    unread_in: dict[str, int]
    cursor: str

    @classmethod
    def after(cls, marked: Marked) -> Self:
        """The result of this mark."""
        feed = marked.feed
        counts = feed.unread_count, feed.unseen_count, dict(feed.unread_in)
        return cls(marked.changed, *counts, str(feed.cursor))


_decode_item = msgspec.json.Decoder(NewNotification).decode


def read_item(item: Raw) -> NewNotification:
    """Read one item of a batch. Raises msgspec.ValidationError, or DecodeError if it is not JSON."""
    return _decode_item(item)
