"""What clients say on a stream, and why a stream ends. What the service says is in adapters.wire."""

from typing import Any, TypeAlias
from uuid import UUID

import msgspec

from domain.notification import Mark

SUBPROTOCOL = "bellwire.v1"
INBOUND_BYTES = 4 * 1024


class Close(Exception):
    """End the session with a `bye` and this close code.

    4000 to 4499 ask the client to come back, 4500 to 4999 not to (docs/live-stream.md).
    """

    def __init__(self, code: int, reason: str, *, retry_ms: int = 1_000) -> None:
        self.code = code
        self.reason = reason
        self.retry_ms = retry_ms
        super().__init__(reason)


NO_PONG, SLOW_READER, TOKEN_EXPIRED, INTERNAL = 4001, 4002, 4004, 4006
BAD_REQUEST, INVALID_TOKEN, FORBIDDEN = 4510, 4511, 4515


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


def ref_of(text: str) -> object:
    """The `ref` of a frame that is otherwise not understood."""
    try:
        return _decode_ref(text).get("ref")
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
