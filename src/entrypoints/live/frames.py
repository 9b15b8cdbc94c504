"""What clients say on a stream, and why a stream ends. What the service says is in adapters.wire."""

import random
from typing import Any, TypeAlias
from uuid import UUID

import msgspec

from domain.notification import Mark

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

    def bye(self) -> dict[str, object]:
        """The frame that says it."""
        return {
            "type": "bye",
            "code": self.code,
            "reason": self.reason,
            "retry_ms": random.randint(*_RETRY_MS[self.code]) if self.resume else None,  # noqa: S311 - jitter
            "resume": self.resume,
        }


class Pong(msgspec.Struct, tag="pong"):
    pass


class Refresh(msgspec.Struct, tag="refresh"):
    token: str
    ref: str | int | None = None


class Marking(msgspec.Struct):
    ids: list[UUID] | None = None
    up_to: str | None = None
    ref: str | int | None = None


class Read(Marking, tag="read"):
    mark = Mark.READ


class Unread(Marking, tag="unread"):
    mark = Mark.UNREAD


class Archive(Marking, tag="archive"):
    mark = Mark.ARCHIVED


class Unarchive(Marking, tag="unarchive"):
    mark = Mark.UNARCHIVED


Command: TypeAlias = Refresh | Read | Unread | Archive | Unarchive

decode = msgspec.json.Decoder(Pong | Refresh | Read | Unread | Archive | Unarchive).decode
_decode_ref = msgspec.json.Decoder(dict[str, Any]).decode


def ref_of(text: str | bytes) -> object:
    """The `ref` of a frame that is otherwise not understood."""
    try:
        return _decode_ref(text).get("ref")
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
