"""The frames of the service as types, and what a close code asks of a client.

No frame is built from these types: frames are assembled from bytes that are encoded once (common.wire). The
AsyncAPI document is made from them, and the tests check every frame against them.
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
UnseenAt: TypeAlias = Annotated[int, Meta(description="How many of these are unseen.", ge=0)]
UnreadIn: TypeAlias = Annotated[
    dict[str, Annotated[int, Meta(ge=1)]],
    Meta(description="How many are unread at `cursor` in each category that has any."),
]
PreferencesVersion: TypeAlias = Annotated[
    int,
    Meta(description="The version with which the user's preferences changed last; 0 if never.", ge=0),
]


class Welcome(Struct, tag="welcome"):
    """The first frame."""

    session: Annotated[str, Meta(description="This connection; for logs.")]
    cursor: Annotated[
        str, Meta(description="Where the stream starts: the client's own cursor if it resumes.", min_length=3)
    ]
    unread_count: Annotated[
        int, Meta(description="How many are unread; if the stream resumes, at the end of the replay.", ge=0)
    ]
    unseen_count: UnseenAt
    unread_in: UnreadIn
    preferences_version: PreferencesVersion
    ping_interval: Annotated[
        int, Meta(description="Seconds of silence after which the service sends a sign of life.", ge=1)
    ]
    token_expires_in: Annotated[int, Meta(description="Seconds; send `refresh` before that, or reconnect.")]
    resumed: Annotated[
        bool,
        Meta(description="Whether it resumes from the cursor: `replayed` follows, or `reset` if it cannot."),
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
    unseen_count: UnseenAt
    unread_in: UnreadIn
    replay: Annotated[
        bool, Meta(description="Whether these are part of a catch-up: at most 200 per frame.")
    ] = False


class Change(Struct):
    """The one field that changed, and its new value. What follows from it is the same everywhere.

    - `read_at`, `archived_at` or `acted_at` with a time sets `seen_at` to the same time where it is null;
    - `acted_at` also sets `read_at` where it is null;
    - `woken_at` takes `snoozed_until`, `read_at` and `seen_at` away.
    """

    seen_at: Annotated[Timestamp | UnsetType, Meta(description="When seen.")] = UNSET
    read_at: Annotated[Timestamp | UnsetType | None, Meta(description="When read; null: unread again.")] = (
        UNSET
    )
    archived_at: Annotated[
        Timestamp | UnsetType | None, Meta(description="When archived; null: no longer.")
    ] = UNSET
    acted_at: Annotated[Timestamp | UnsetType, Meta(description="When the user chose `action`.")] = UNSET
    snoozed_until: Annotated[Timestamp | UnsetType, Meta(description="Until when it is put off.")] = UNSET
    woken_at: Annotated[Timestamp | UnsetType, Meta(description="When it came back after that.")] = UNSET
    retracted_at: Annotated[Timestamp | UnsetType | None, Meta(description="When retracted.")] = UNSET


class Update(Struct, tag="update"):
    """Notifications changed state, or the user's preferences changed: on this device or another."""

    set: Annotated[
        Change,
        Meta(description="The one field that changed, and its new value; empty with `preferences`."),
    ]
    prev: Previous
    cursor: Position
    unread_count: UnreadAt
    unseen_count: UnseenAt
    unread_in: UnreadIn
    ids: Annotated[
        list[UUID] | UnsetType,
        Meta(description="The first now has the version after `prev`, the next one the version after that."),
    ] = UNSET
    up_to: Annotated[
        str | UnsetType,
        Meta(
            description="Instead of `ids`: all that the change applies to and whose `version` is not above "
            "this cursor's. They now have the version of `cursor`."
        ),
    ] = UNSET
    action: Annotated[
        str | UnsetType, Meta(description="Beside `acted_at`: the id of the action that the user chose.")
    ] = UNSET
    preferences: Annotated[
        dict[str, bool | None] | UnsetType,
        Meta(
            description="What was chosen for each category that was named; null: its default. Then `ids` and "
            "`set` are empty."
        ),
    ] = UNSET


class Replayed(Struct, tag="replayed"):
    """A catch-up is complete; what follows is live."""

    cursor: Position
    unread_count: UnreadAt
    unseen_count: UnseenAt
    unread_in: UnreadIn
    preferences_version: PreferencesVersion


class Reset(Struct, tag="reset"):
    """The client's position cannot be used: load a page over HTTP again. The stream goes on from `cursor`."""

    cursor: Position
    unread_count: UnreadAt
    unseen_count: UnseenAt
    unread_in: UnreadIn
    preferences_version: PreferencesVersion
    reason: Annotated[
        Literal["epoch", "future", "retention"],
        Meta(
            description="`epoch`: another life of the feed, such as a restored database. `future`: newer "
            "than the feed. `retention`: so old that later changes have been pruned."
        ),
    ]


class Ok(Struct, tag="ok"):
    """A command with a `ref` succeeded: its changes are stored, and announced to every stream."""

    ref: Annotated[str | int, Meta(description="The command's own.")]
    changed: Annotated[int, Meta(description="How many notifications changed.", ge=0)]
    token_expires_in: Annotated[int | UnsetType, Meta(description="After a `refresh`: seconds.")] = UNSET


class Error(Struct, tag="error"):
    """A command failed. The stream goes on."""

    ref: Annotated[str | int | None, Meta(description="The command's own; null if it had none.")]
    code: Annotated[
        Literal["bad_frame", "too_large", "refused", "unavailable"],
        Meta(
            description="`bad_frame`: not JSON, an unknown `type`, or a field of the wrong type. "
            "`too_large`: more than 4 KiB. `refused`: a rule is broken, or the token is not valid. "
            "`unavailable`: a server behind the service is out of reach."
        ),
    ]
    detail: Annotated[str, Meta(description="For people.", min_length=1)]
    temporary: Annotated[bool, Meta(description="Whether the same command can succeed later.")]


class Ping(Struct, tag="ping"):
    """Nothing was sent for a while. Answer with `pong`, or any other frame, within 8 s."""


class Bye(Struct, tag="bye"):
    """The last frame before every close that the service starts."""

    code: Annotated[int, Meta(description="The close code.", ge=4000, le=4999)]
    reason: Annotated[str, Meta(description="For people.", min_length=1)]
    retry_ms: Annotated[int | None, Meta(description="Milliseconds to wait before reconnecting.")]
    resume: Annotated[bool, Meta(description="Whether to reconnect with the last cursor.")]


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
    frames.SLOW_READER: CloseCode("slow reader", "The client reads too slowly what is sent to it.", _RESUME),
    frames.POSITION_LOST: CloseCode("position lost", "What the client missed cannot be read now.", _RESUME),
    frames.TOKEN_EXPIRED: CloseCode(
        "token expired", "The token has expired.", "Reconnect with a new token or ticket and the last cursor."
    ),
    frames.RATE_LIMITED: CloseCode(
        "rate limited", "The client sends too many frames.", f"{_RESUME} Mark many ids in one frame."
    ),
    frames.INTERNAL: CloseCode(
        "internal",
        "Something failed in the service, it is full, or a server behind it is out of reach.",
        _RESUME,
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
        "revoked", "The token was revoked, or the user disabled.", "Do not reconnect; log in again."
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
