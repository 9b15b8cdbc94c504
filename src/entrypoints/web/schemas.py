"""Bodies that the REST routes and the live streams share."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from litestar.openapi.datastructures import ResponseSpec
from msgspec import Meta, Struct, field

Timestamp = Annotated[datetime, Meta(tz=True)]


class ActorBody(Struct, omit_defaults=True):
    """Who did what a notification is about."""

    name: Annotated[str, Meta(description="The name to show.")]
    id: Annotated[str | None, Meta(description="The producer's id of the actor.")] = None
    avatar_url: Annotated[str | None, Meta(description="An https URL or a path.")] = None


class ActionBody(Struct, omit_defaults=True):
    """A button of a notification."""

    id: Annotated[str, Meta(description="Its name in the answer.")]
    label: Annotated[str, Meta(description="Plain text.")]
    url: Annotated[
        str | None, Meta(description="Where it leads. Without one it is answered to the producer.")
    ] = None
    style: Annotated[Literal["default", "primary", "danger"], Meta(description="How it looks.")] = "default"


class NotificationBody(Struct, omit_defaults=True):
    """A notification, the same over REST and on streams."""

    id: Annotated[UUID, Meta(description="UUID version 7: ids sort by time.")]
    user_id: Annotated[str, Meta(description="The user that it is for.")]
    version: Annotated[
        int, Meta(description="Of two states of a notification, the one with the higher version is newer.")
    ]
    event: Annotated[str, Meta(description="What happened.")]
    category: Annotated[str, Meta(description="What it is about.")]
    title: Annotated[str | None, Meta(description="Plain text.")]
    message: Annotated[str, Meta(description="Plain text.")]
    metadata: Annotated[dict[str, Any], Meta(description="The producer's data, as it was sent.")]
    action_url: Annotated[str | None, Meta(description="An http(s) URL or a path.")]
    created_at: Annotated[Timestamp, Meta(description="When it was accepted.")]
    seen_at: Annotated[Timestamp | None, Meta(description="When it was first before the user's eyes.")]
    read_at: Annotated[Timestamp | None, Meta(description="When it was read; null while it is unread.")]
    archived_at: Annotated[Timestamp | None, Meta(description="When it was archived; null if it is not.")]
    retracted_at: Annotated[
        Timestamp | None, Meta(description="When it was retracted: remove it from what you show.")
    ]
    expires_at: Annotated[Timestamp | None, Meta(description="When it will be retracted.")]
    edited_at: Annotated[Timestamp | None, Meta(description="When its producer changed it last.")] = None
    acted_at: Annotated[Timestamp | None, Meta(description="When the user chose an action.")] = None
    action: Annotated[str | None, Meta(description="The id of that action.")] = None
    snoozed_until: Annotated[
        Timestamp | None, Meta(description="Until when it is put off: it is unread again then.")
    ] = None
    woken_at: Annotated[Timestamp | None, Meta(description="When it came back after that.")] = None
    severity: Annotated[
        Literal["info", "success", "warning", "critical"], Meta(description="How much it matters.")
    ] = "info"
    image_url: Annotated[str | None, Meta(description="An https URL or a path.")] = None
    icon: Annotated[str | None, Meta(description="The name of an icon; the page knows its picture.")] = None
    actions: Annotated[list[ActionBody], Meta(description="Up to three buttons.")] = field(
        default_factory=list
    )
    collapse_key: Annotated[str | None, Meta(description="Notifications with the same key become one.")] = (
        None
    )
    count: Annotated[int, Meta(description="How many notifications it stands for.")] = 1
    actors: Annotated[list[ActorBody], Meta(description="The latest three actors, the newest first.")] = (
        field(default_factory=list)
    )
    actor_count: Annotated[int, Meta(description="How many different actors; exact up to 100.")] = 0
    actors_more: Annotated[bool, Meta(description="Whether there are more than these 100.")] = False


class ProblemField(Struct):
    """A field that breaks a rule."""

    field: str
    message: str


class Problem(Struct, omit_defaults=True):
    """An error (RFC 9457)."""

    type: Annotated[str, Meta(description="The stable identifier of the kind of problem.")]
    title: str
    status: int
    detail: Annotated[str, Meta(description="What is wrong, for people.")]
    errors: list[ProblemField] | None = None
    id: UUID | None = None
    request_id: str | None = None
    violated_policies: Annotated[
        list[str] | None, Meta(description="The limits that the request exceeds.")
    ] = field(default=None, name="violated-policies")


PROBLEM_TEXTS = {
    400: "The body is not JSON, or nests too deeply.",
    401: "Valid credentials are required.",
    403: "These credentials do not allow that.",
    404: "There is no such user, notification, key or erasure.",
    409: "The user already exists or its id was erased, the key is not in use, or the notification was "
    "answered with another action.",
    413: "The body is too large.",
    415: "The body is not JSON, by its Content-Type.",
    422: "A field breaks a rule, or an Idempotency-Key was used again with another body.",
    429: "Too many requests for a limit, or too many streams of a user; see Retry-After.",
    503: "A server behind the service is out of reach; see Retry-After.",
    # Those below may answer any operation.
    408: "The body did not arrive in time.",
    414: "The head of the request is too large, mostly because of the URL.",
    421: "The service is not known by this Host.",
    431: "The head of the request is too large.",
    500: "A defect of the service; `request_id` finds it in the log.",
}


def problems(*statuses: int) -> dict[int, ResponseSpec]:
    """Describe the errors of a path to OpenAPI. A path that limits a body (413) checks its type (415)."""
    return {
        status: ResponseSpec(
            Problem,
            description=PROBLEM_TEXTS[status],
            media_type="application/problem+json",
            generate_examples=False,
        )
        for status in (*statuses, *([415] if 413 in statuses else []))
    }
