"""API keys, managed with an API key."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct

from application.credentials import ApiKey
from application.keys import CreateApiKey, FindApiKey, ListApiKeys, RevokeApiKey, RotateApiKey
from entrypoints.http.times import read_time
from entrypoints.web import guards, rules
from entrypoints.web.attribution import by_of
from entrypoints.web.rules import ruled
from entrypoints.web.schemas import problems
from entrypoints.web.verbatim import VerbatimRequest

_BODY_LIMIT = 8 * 1024
_ONE_DAY = 86_400
# A key is shown once, and kept by nobody on the way.
_NO_STORE = {"Cache-Control": "no-store"}
_EXAMPLE_ID = "0a1b2c3d4e5f"

_GUARDED: dict[str, Any] = {"guards": [guards.admin], "security": guards.NEEDS_KEY, "tags": ["keys"]}

Limit = Annotated[int, QueryParameter(ge=1, le=100, description="How many.")]
PageCursor = Annotated[str | None, QueryParameter(description="`next_cursor` of the page before.")]
ExpiresAt = Annotated[
    str | None,
    ruled(
        rules.TIME,
        "From when on it is refused: in the future (RFC 3339, with a time zone).",
        "2100-01-01T00:00:00Z",
    ),
]


class NewKey(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """An API key to create. It cannot do more than the key that creates it."""

    name: Annotated[str, ruled(rules.KEY_NAME, "1 to 100 printable characters.", "Billing")]
    scopes: Annotated[
        list[Annotated[str, Meta(extra_json_schema=rules.SCOPE)]],
        ruled(rules.SCOPES, "One or more of `publish`, `users`, `read`, `admin`.", ["publish"]),
    ]
    user_prefix: Annotated[
        str | None,
        ruled(
            rules.USER_PREFIX_RULE,
            "Limits the key to users whose ids begin with this: 2 to 64 of A-Z a-z 0-9 . _ : @ - "
            "that end with one of : . _ - By default that of the creating key.",
            "acme:",
        ),
    ] = None
    event_prefix: Annotated[
        str | None,
        ruled(
            rules.EVENT_PREFIX_RULE,
            "Limits the key to events that begin with this: 2 to 64 of a-z 0-9 _ . - that end "
            "with one of . _ - By default that of the creating key. Not together with the scope `read`.",
            "billing.",
        ),
    ] = None
    own_only: Annotated[
        bool | None,
        Meta(
            description="Whether the key may edit and retract only what it sent, as every key with an "
            "`event_prefix`. By default as the creating key."
        ),
    ] = None
    expires_at: ExpiresAt = None


class Rotation(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """How a key passes to its successor."""

    overlap_seconds: Annotated[
        int, Meta(ge=0, le=2_592_000, description="How long the old key stays valid.", examples=[_ONE_DAY])
    ] = _ONE_DAY
    expires_at: ExpiresAt = None


class KeyBody(Struct, kw_only=True):
    """An API key, without its secret."""

    id: Annotated[str, Meta(examples=[_EXAMPLE_ID])]
    name: str
    scopes: list[str]
    user_prefix: str | None
    event_prefix: str | None
    own_only: Annotated[bool, Meta(description="Whether it was made to edit and retract only what it sent.")]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    replaced_by: Annotated[str | None, Meta(description="The id of its successor.")]
    last_used_at: Annotated[datetime | None, Meta(description="To about a minute.")]


class CreatedKey(KeyBody, kw_only=True):
    """A new API key. `key` is not shown again."""

    key: Annotated[str, Meta(description="To be sent as `X-API-Key`.")]


class KeyPage(Struct):
    """A page of API keys, in the order of creation."""

    items: list[KeyBody]
    next_cursor: Annotated[str | None, Meta(description="For the next page; null on the last.")]


@post(
    "/v1/keys",
    request_class=VerbatimRequest,
    request_max_body_size=_BODY_LIMIT,
    summary="Create an API key",
    responses=problems(400, 401, 403, 413, 422, 429, 503),
    **_GUARDED,
)
async def create_key(
    request: VerbatimRequest, data: JSONBody[NewKey], create_key: NamedDependency[CreateApiKey]
) -> Response[CreatedKey]:
    """The answer has the key itself, this once. The new key may do no more than the one that creates it."""
    key, text = await create_key(
        data.name,
        frozenset(data.scopes),
        _expiry(data.expires_at),
        user_prefix=data.user_prefix,
        event_prefix=data.event_prefix,
        own_only=data.own_only,
        by=request.auth,
        actor=by_of(request),
    )
    return _created(key, text)


@get("/v1/keys", summary="List API keys", responses=problems(400, 401, 403, 422, 429, 503), **_GUARDED)
async def list_keys(
    request: Request[Any, ApiKey, Any],
    list_keys: NamedDependency[ListApiKeys],
    limit: Limit = 100,
    cursor: PageCursor = None,
) -> KeyPage:
    """Those that may do no more than the key of the request, without their secrets, oldest first."""
    keys, more = await list_keys(limit, cursor, by=request.auth)
    return KeyPage([_body(key) for key in keys], _next(keys, more))


@get(
    "/v1/keys/{key_id:str}",
    summary="Show an API key",
    responses=problems(400, 401, 403, 404, 429, 503),
    **_GUARDED,
)
async def show_key(
    request: Request[Any, ApiKey, Any], key_id: FromPath[str], find_key: NamedDependency[FindApiKey]
) -> KeyBody:
    """The key without its secret. One that may do more than the key of the request is unknown."""
    return _body(await find_key(key_id, by=request.auth))


@post(
    "/v1/keys/{key_id:str}/rotate",
    request_class=VerbatimRequest,
    request_max_body_size=_BODY_LIMIT,
    summary="Rotate an API key",
    responses=problems(400, 401, 403, 404, 409, 413, 422, 429, 503),
    **_GUARDED,
)
async def rotate_key(
    request: VerbatimRequest,
    key_id: FromPath[str],
    data: JSONBody[Rotation],
    rotate_key: NamedDependency[RotateApiKey],
) -> Response[CreatedKey]:
    """Make a successor with the same name, scopes and limits. The old key stays valid for
    `overlap_seconds`.
    """
    overlap = timedelta(seconds=data.overlap_seconds)
    key, text = await rotate_key(
        key_id, overlap, _expiry(data.expires_at), by=request.auth, actor=by_of(request)
    )
    return _created(key, text)


@post(
    "/v1/keys/{key_id:str}/revoke",
    status_code=204,
    summary="Revoke an API key",
    responses=problems(400, 401, 403, 404, 429, 503),
    **_GUARDED,
)
async def revoke_key(
    request: Request[Any, ApiKey, Any], key_id: FromPath[str], revoke_key: NamedDependency[RevokeApiKey]
) -> None:
    """Every process refuses the key within 5 s. Revoking it again changes nothing."""
    await revoke_key(key_id, by=request.auth, actor=by_of(request))


def _expiry(text: str | None) -> datetime | None:
    return None if text is None else read_time("expires_at", text)


def _fields(key: ApiKey) -> dict[str, Any]:
    return {name: getattr(key, name) for name in KeyBody.__struct_fields__} | {"scopes": sorted(key.scopes)}


def _body(key: ApiKey) -> KeyBody:
    return KeyBody(**_fields(key))


def _created(key: ApiKey, text: str) -> Response[CreatedKey]:
    return Response(CreatedKey(**_fields(key), key=text), status_code=201, headers=_NO_STORE)


def _next(keys: Sequence[ApiKey], more: bool) -> str | None:
    """The cursor of the next page; None on the last."""
    return keys[-1].id if more else None


HANDLERS = [create_key, list_keys, show_key, rotate_key, revoke_key]
