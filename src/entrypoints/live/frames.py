"""The frames of clients, and the close codes. Those of the service are made in common.wire and outgoing."""

from datetime import datetime
from typing import Annotated, Any, ClassVar, TypeAlias

import msgspec
from msgspec import Meta

from application.ports import Chance
from domain.identifiers import NotificationId
from domain.states import Mark

SUBPROTOCOL = "bellwire.v1"
INBOUND_BYTES = 4 * 1024

NO_PONG, SLOW_READER, POSITION_LOST = 4001, 4002, 4003
DRAIN, TOKEN_EXPIRED, RATE_LIMITED, INTERNAL = 4000, 4004, 4005, 4006
BAD_REQUEST, INVALID_TOKEN, REVOKED, TOO_MANY, FORBIDDEN = 4510, 4511, 4513, 4514, 4515

# When to reconnect, in milliseconds: a range, because what ends one stream often ends thousands.
_RETRY_MS = {
    DRAIN: (0, 3_000),
    NO_PONG: (0, 1_000),
    SLOW_READER: (500, 1_500),
    POSITION_LOST: (1_000, 10_000),
    TOKEN_EXPIRED: (0, 1_000),
    RATE_LIMITED: (5_000, 10_000),
    INTERNAL: (1_000, 10_000),
}


class Close(Exception):
    """End the session with a `bye` and this close code.

    4000 to 4499 ask the client to reconnect, 4500 to 4999 not to (docs/live-stream.md).
    """

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(reason)

    @property
    def resume(self) -> bool:
        """Whether the client is to reconnect with its cursor."""
        return self.code < BAD_REQUEST

    def bye(self, chance: Chance) -> dict[str, object]:
        """The `bye` frame. `chance` makes clients reconnect at different times."""
        return {
            "type": "bye",
            "code": self.code,
            "reason": self.reason,
            "retry_ms": chance.randint(*_RETRY_MS[self.code]) if self.resume else None,
            "resume": self.resume,
        }


class Pong(msgspec.Struct, tag="pong"):
    """The answer to `ping`."""


Ref: TypeAlias = Annotated[
    str | int | None,
    Meta(description="Chosen by the client; the answer carries it. Without it there is no `ok`."),
]


ChosenIds: TypeAlias = Annotated[
    list[NotificationId], Meta(description="Up to 100 ids. Those that are not this user's are skipped.")
]


class Refresh(msgspec.Struct, tag="refresh"):
    """Replaces the token: the stream goes on until the new one expires."""

    token: Annotated[str, Meta(description="A token of the same user.")]
    ref: Ref = None


class Marking(msgspec.Struct):
    """A command that marks notifications. There is one for each mark that users make."""

    mark: ClassVar[Mark]

    ids: Annotated[
        list[NotificationId] | None,
        Meta(description="Up to 100 ids. Those that are not this user's are skipped."),
    ] = None
    up_to: Annotated[
        str | None, Meta(description="Instead of `ids`: all whose `version` is not above this cursor's.")
    ] = None
    category: Annotated[str | None, Meta(description="With `up_to`: only those of this category.")] = None
    ref: Ref = None


class Seen(Marking, tag="seen"):
    """Marks unread notifications seen, such as when the user opens the list."""

    mark = Mark.SEEN


class Read(Marking, tag="read"):
    """Marks notifications read."""

    mark = Mark.READ


class Unread(Marking, tag="unread"):
    """Marks notifications unread."""

    mark = Mark.UNREAD


class Archive(Marking, tag="archive"):
    """Archives notifications."""

    mark = Mark.ARCHIVED


class Unarchive(Marking, tag="unarchive"):
    """Brings archived notifications back."""

    mark = Mark.UNARCHIVED


class Snooze(msgspec.Struct, tag="snooze"):
    """Takes notifications away until a time. Then they are back, unread and unseen."""

    ids: ChosenIds
    until: Annotated[datetime, Meta(tz=True, description="Between 1 second and 90 days from now.")]
    ref: Ref = None


class Unsnooze(msgspec.Struct, tag="unsnooze"):
    """Brings snoozed notifications back at once."""

    ids: ChosenIds
    ref: Ref = None


class Act(msgspec.Struct, tag="act"):
    """Answers a notification with one of its actions, once."""

    id: Annotated[NotificationId, Meta(description="The notification.")]
    action: Annotated[str, Meta(description="The `id` of an action that has no `url`.")]
    ref: Ref = None


Command: TypeAlias = Refresh | Seen | Read | Unread | Archive | Unarchive | Snooze | Unsnooze | Act
ClientFrame: TypeAlias = Pong | Command

decode = msgspec.json.Decoder(ClientFrame).decode
_decode_ref = msgspec.json.Decoder(dict[str, Any]).decode


def ref_of(text: str | bytes) -> str | int | None:
    """The `ref` of a frame that cannot be decoded otherwise; None if it has none."""
    try:
        ref = _decode_ref(text).get("ref")
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return ref if isinstance(ref, str | int) and not isinstance(ref, bool) else None
