"""What the service says on a stream, as types, and what a close code asks of a client.

Nothing is built from these types: a frame is put together from bytes encoded once (common.wire). They are
what the AsyncAPI document is made of, and what the tests hold every frame to.
"""

from typing import Annotated, Literal, NamedTuple, TypeAlias
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from entrypoints.live import frames
from entrypoints.web.schemas import NotificationBody, Timestamp

Position: TypeAlias = Annotated[
    str,
    Meta(description="The position after this frame: keep the newest, and resume from it.", min_length=3),
]
Previous: TypeAlias = Annotated[str, Meta(description="The position that this frame follows.", min_length=3)]
UnreadAt: TypeAlias = Annotated[int, Meta(description="How many are unread at `cursor`.", ge=0)]


class Welcome(Struct, tag="welcome"):
    """The first frame."""

    session: Annotated[str, Meta(description="This connection; for logs.")]
    cursor: Annotated[
        str, Meta(description="Where the stream starts; the client's own if it resumes.", min_length=3)
    ]
    unread_count: Annotated[
        int, Meta(description="How many are unread; in a resume, what it will be at the end of it.", ge=0)
    ]
    ping_interval: Annotated[
        int, Meta(description="After so many seconds of silence there is a sign of life.", ge=1)
    ]
    token_expires_in: Annotated[int, Meta(description="Seconds; `refresh` before that, or reconnect.")]
    resumed: Annotated[
        bool,
        Meta(description="Whether the cursor was good: `replayed` will follow, after a bad one `reset`."),
    ]
    server: Annotated[str, Meta(description="The process; for logs.")]


class Notifications(Struct, tag="notifications"):
    """Notifications to upsert by `id`: new ones, or in a replay those that changed."""

    items: Annotated[
        list[NotificationBody],
        Meta(
            description="In version order. In a replay as they are now: remove those with a `retracted_at`."
        ),
    ]
    prev: Previous
    cursor: Position
    unread_count: UnreadAt
    replay: Annotated[
        bool, Meta(description="Whether these are a part of a catch-up: at most 200 a frame.")
    ] = False


class Change(Struct):
    """The one field that changed, and its new value."""

    read_at: Annotated[Timestamp | UnsetType | None, Meta(description="Read then; null: unread again.")] = (
        UNSET
    )
    archived_at: Annotated[
        Timestamp | UnsetType | None, Meta(description="Put away then; null: brought back.")
    ] = UNSET
    retracted_at: Annotated[Timestamp | UnsetType | None, Meta(description="Taken back by the service.")] = (
        UNSET
    )


class Update(Struct, tag="update"):
    """Notifications changed state, on this device or another."""

    set: Annotated[Change, Meta(description="The one field that changed, and its new value.")]
    prev: Previous
    cursor: Position
    unread_count: UnreadAt
    ids: Annotated[
        list[UUID] | UnsetType,
        Meta(
            description="Which ones: the first now has the version after `prev`, the next the one after that."
        ),
    ] = UNSET
    up_to: Annotated[
        str | UnsetType,
        Meta(
            description="Instead of `ids`: all that the change can apply to and whose `version` is not above "
            "this cursor's. They now have the version of `cursor`."
        ),
    ] = UNSET


class Replayed(Struct, tag="replayed"):
    """A catch-up is complete; what follows is live."""

    cursor: Position
    unread_count: UnreadAt


class Reset(Struct, tag="reset"):
    """The position is worth nothing: load a page over HTTP again. The stream goes on from `cursor`."""

    cursor: Position
    unread_count: UnreadAt
    reason: Annotated[
        Literal["epoch", "future", "retention"],
        Meta(
            description="`epoch`: another life of the feed, such as a restored database. `future`: newer "
            "than the feed. `retention`: so old that what followed is no longer kept."
        ),
    ]


class Ok(Struct, tag="ok"):
    """A command that carried a `ref` was obeyed: what it changed is stored, and told to every stream."""

    ref: Annotated[str | int, Meta(description="The command's own.")]
    changed: Annotated[int, Meta(description="How many notifications changed.", ge=0)]
    token_expires_in: Annotated[int | UnsetType, Meta(description="After a `refresh`: seconds.")] = UNSET


class Error(Struct, tag="error"):
    """A command was not obeyed. The stream goes on."""

    ref: Annotated[str | int | None, Meta(description="The command's own; null if it had none.")]
    code: Annotated[
        Literal["bad_frame", "too_large", "refused", "unavailable"],
        Meta(
            description="`bad_frame`: not JSON, an unknown `type`, or a field of the wrong type. "
            "`too_large`: more than 4 KiB. `refused`: a rule is broken, or the token is not good. "
            "`unavailable`: a server behind the service is out of reach."
        ),
    ]
    detail: Annotated[str, Meta(description="For people.", min_length=1)]
    temporary: Annotated[bool, Meta(description="Whether the same command can succeed later.")]


class Ping(Struct, tag="ping"):
    """Nothing was sent for a while. Answer `pong`, or anything, within 8 s."""


class Bye(Struct, tag="bye"):
    """The last frame before every close that the service starts."""

    code: Annotated[int, Meta(description="The close code.", ge=4000, le=4999)]
    reason: Annotated[str, Meta(description="For people.", min_length=1)]
    retry_ms: Annotated[int | None, Meta(description="After how many milliseconds to come back.")]
    resume: Annotated[bool, Meta(description="Whether to come back, with the last cursor.")]


ServerFrame: TypeAlias = Welcome | Notifications | Update | Replayed | Reset | Ok | Error | Ping | Bye


class CloseCode(NamedTuple):
    """Why the service closes a socket, and what the client does then."""

    name: str
    meaning: str
    action: str


_RESUME = "Reconnect with the last cursor."

CLOSE_CODES = {
    frames.DRAIN: CloseCode("drain", "This process is about to stop.", f"{_RESUME} Another process answers."),
    frames.NO_PONG: CloseCode("no pong", "No `pong` came in time.", _RESUME),
    frames.SLOW_READER: CloseCode("slow reader", "The client takes too slowly what is sent to it.", _RESUME),
    frames.POSITION_LOST: CloseCode("position lost", "What the client missed cannot be read now.", _RESUME),
    frames.TOKEN_EXPIRED: CloseCode(
        "token expired", "The token has expired.", "Reconnect with a new token or ticket and the last cursor."
    ),
    frames.RATE_LIMITED: CloseCode(
        "rate limited", "The client says too much.", f"{_RESUME} Say less: mark many ids in one frame."
    ),
    frames.INTERNAL: CloseCode(
        "internal", "Something failed in the service, it is full, or a server behind it is away.", _RESUME
    ),
    frames.BAD_REQUEST: CloseCode(
        "bad request", "`cursor` or `view` is wrong, or the user does not exist.", "Correct the request."
    ),
    frames.INVALID_TOKEN: CloseCode(
        "invalid token",
        "The token or ticket is not valid.",
        "Get a new one; if that fails too, log in again.",
    ),
    frames.REVOKED: CloseCode(
        "revoked", "The token was revoked, or the user disabled.", "Do not come back; log in again."
    ),
    frames.TOO_MANY: CloseCode(
        "too many", "This user has too many streams open.", "Close others, or share one among tabs."
    ),
    frames.FORBIDDEN: CloseCode(
        "forbidden",
        "Another user's path, or a page of another origin.",
        "Correct the path, or allow the origin.",
    ),
}
