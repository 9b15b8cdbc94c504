"""The body of what producers publish and edit."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Raw, Struct, field

from domain.category import OF_EVENT
from domain.identifiers import UserId
from domain.metadata import NO_METADATA, Metadata
from domain.notification import Content
from domain.rich import PLAIN, Action, Actor, rich_of
from entrypoints.http.times import read_time
from entrypoints.web import rules
from entrypoints.web.rules import ruled

_NO_METADATA = Raw(NO_METADATA.text.encode())


class NewActor(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Who did what a notification is about."""

    name: Annotated[
        str, ruled(rules.ACTOR_TEXT, f"1 to 200 characters. {rules.VISIBLE_WORDS}", "Ada Lovelace")
    ]
    id: Annotated[
        str | None, ruled(rules.ACTOR_TEXT, "Your id of the actor: 1 to 200 characters.", "u-ada")
    ] = None
    avatar_url: Annotated[
        str | None, ruled(rules.IMAGE_URL, "An https URL, or a path that begins with one /.", "/a/ada.png")
    ] = None

    def actor(self) -> Actor:
        """The same for the domain."""
        return Actor(name=self.name, id=self.id, avatar_url=self.avatar_url)


class NewAction(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A button of a notification."""

    id: Annotated[str, ruled(rules.ACTION_ID, "Its name in the answer: 1 to 32 of a-z 0-9 _ -", "approve")]
    label: Annotated[str, ruled(rules.LABEL, f"1 to 80 characters. {rules.VISIBLE_WORDS}", "Approve")]
    url: Annotated[
        str | None,
        ruled(rules.ACTION_URL, "Where it leads, as `action_url`. Without one it is answered to you."),
    ] = None
    style: Annotated[str, ruled(rules.STYLE, "How it looks.")] = "default"

    def action(self) -> Action:
        """The same for the domain."""
        return Action(id=self.id, label=self.label, url=self.url, style=self.style)


class NewContent(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The content of a notification: all of it but its user."""

    event: Annotated[
        str, ruled(rules.EVENT_NAME, "What happened: 1 to 100 of a-z 0-9 _ . -", "comment.created")
    ]
    message: Annotated[
        str, ruled(rules.MESSAGE, f"1 to 4,000 characters. {rules.VISIBLE_WORDS}", "Ada replied to you.")
    ]
    title: Annotated[
        str | None,
        ruled(rules.TITLE, f"Up to 200 characters. {rules.VISIBLE_WORDS} Empty means none.", "New reply"),
    ] = None
    metadata: Annotated[Raw, ruled(rules.METADATA, rules.METADATA_WORDS, {"post": 42})] = field(
        default_factory=lambda: _NO_METADATA
    )
    category: Annotated[
        str | None,
        ruled(
            rules.CATEGORY,
            "What it is about: 1 to 64 of a-z 0-9 _ . - If missing, what `event` has before its first dot.",
            "comment",
        ),
    ] = None
    action_url: Annotated[
        str | None,
        ruled(
            rules.ACTION_URL,
            "An http(s) URL, or a path that begins with one /; without credentials and quotes.",
            "/posts/42",
        ),
    ] = None
    # A string, because the framework would read numbers and strings of digits as seconds.
    expires_at: Annotated[
        str | None,
        ruled(
            rules.TIME,
            "When to retract it: in the future, up to 9999-12-31T23:59:59Z (RFC 3339, with a time zone and "
            "without a leap second).",
            "2100-01-01T00:00:00Z",
        ),
    ] = None

    severity: Annotated[str, ruled(rules.SEVERITY, "How much it matters.")] = PLAIN.severity
    image_url: Annotated[
        str | None, ruled(rules.IMAGE_URL, "An https URL, or a path that begins with one /.", "/i/42.png")
    ] = None
    icon: Annotated[
        str | None,
        ruled(rules.ICON, "The name of an icon; the page knows its picture. 1 to 40 of a-z 0-9 -", "reply"),
    ] = None
    actions: Annotated[
        Sequence[NewAction], ruled(rules.NEW_ACTIONS, "Up to three buttons, with different ids.")
    ] = ()
    actor: Annotated[NewActor | None, Meta(description="Who did it.")] = None
    collapse_key: Annotated[
        str | None,
        ruled(
            rules.COLLAPSE_KEY,
            "Notifications of the user with the same key become one. 1 to 200 characters.",
            "post:42:replies",
        ),
    ] = None
    collapse: Annotated[
        str,
        ruled(
            rules.COLLAPSE,
            "With which earlier one: `unread`, or `always` with one that was read too. Never with an "
            "archived one.",
        ),
    ] = "unread"

    def content_for(self, user: str) -> Content:
        """The content for a user, checked against the rules. Raises Invalid."""
        return Content(
            user_id=UserId(user),
            event=self.event,
            category=OF_EVENT if self.category is None else self.category,
            message=self.message,
            title=self.title,
            metadata=self._metadata(),
            action_url=self.action_url,
            expires_at=None if self.expires_at is None else read_time("expires_at", self.expires_at),
            rich=rich_of(self.severity, self.image_url, self.icon, self._actions() if self.actions else ()),
            actor=None if self.actor is None else self.actor.actor(),
            collapse_key=self.collapse_key,
            collapse=self.collapse,
        )

    def _metadata(self) -> Metadata:
        if self.metadata is _NO_METADATA:
            return NO_METADATA
        return Metadata.of(bytes(self.metadata).decode())

    def _actions(self) -> tuple[Action, ...]:
        return tuple(action.action() for action in self.actions)


class NewNotification(NewContent):
    """A notification to publish."""

    user_id: Annotated[str, ruled(rules.USER_ID, "The user that it is for.", "demo")]

    def content(self) -> Content:
        """The content, checked against the rules. Raises Invalid."""
        return self.content_for(self.user_id)


class Edit(NewContent):
    """The whole content of a notification, in place of what it was. `event` and `category` are those of
    before.
    """

    revision: Annotated[
        int | None,
        ruled(
            rules.REVISION,
            "The highest revision stands, in whatever order they arrive; one that was published has 0. If "
            "missing, the present time in milliseconds.",
            2,
        ),
    ] = None
    unread: Annotated[bool, Meta(description="Whether it becomes unread and unseen again.")] = False
