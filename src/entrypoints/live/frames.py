"""What clients say on a stream, and why a stream ends. What the service says is in common.wire."""

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

# After how long to come back, in milliseconds: spread, for what ends one stream often ends thousands.
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

    4000 to 4499 ask the client to come back, 4500 to 4999 not to (docs/live-stream.md).
    """

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(reason)

    @property
    def resume(self) -> bool:
        """Whether the client is to come back with its cursor."""
        return self.code < BAD_REQUEST

    def bye(self, chance: Chance) -> dict[str, object]:
        """The frame that says it. By chance clients come back at different times."""
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
    Meta(description="Of the client's choice: the answer carries it. Without it there is no `ok`."),
]


class Refresh(msgspec.Struct, tag="refresh"):
    """Replaces the token in place: the stream lives until the new one expires."""

    token: Annotated[str, Meta(description="A token of the same user.")]
    ref: Ref = None


class Marking(msgspec.Struct):
    """A command that marks notifications. One for each mark that a user makes."""

    mark: ClassVar[Mark]

    ids: Annotated[
        list[NotificationId] | None,
        Meta(description="Which ones, up to 100. Those that are not this user's are skipped."),
    ] = None
    up_to: Annotated[
        str | None, Meta(description="Instead of `ids`: all whose `version` is not above this cursor's.")
    ] = None
    ref: Ref = None

    def time(self) -> datetime | None:
        """The time of a mark that carries one."""
        return None


class Read(Marking, tag="read"):
    """Marks notifications read."""

    mark = Mark.READ


class Unread(Marking, tag="unread"):
    """Marks notifications unread."""

    mark = Mark.UNREAD


class Archive(Marking, tag="archive"):
    """Puts notifications away."""

    mark = Mark.ARCHIVED


class Unarchive(Marking, tag="unarchive"):
    """Brings archived notifications back."""

    mark = Mark.UNARCHIVED


Command: TypeAlias = Refresh | Read | Unread | Archive | Unarchive
ClientFrame: TypeAlias = Pong | Command

decode = msgspec.json.Decoder(ClientFrame).decode
_decode_ref = msgspec.json.Decoder(dict[str, Any]).decode


def ref_of(text: str | bytes) -> str | int | None:
    """The `ref` of a frame that is otherwise not understood, if it is one."""
    try:
        ref = _decode_ref(text).get("ref")
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return ref if isinstance(ref, str | int) and not isinstance(ref, bool) else None
