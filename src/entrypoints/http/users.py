"""Users, kept up to date and looked up with an API key."""

from datetime import datetime
from typing import Annotated, Any

from litestar import Request, Response, get, put
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import UNSET, Meta, Struct, UnsetType

from application.audit import Action
from application.credentials import ApiKey
from application.users import KEEP, FindUser, ListUsers, PutUser
from domain.identifiers import UserId
from domain.user import User
from entrypoints.web import guards, rules
from entrypoints.web.attribution import by_of
from entrypoints.web.rules import ruled
from entrypoints.web.schemas import problems

_BODY_LIMIT = 8 * 1024
_GUARDED: dict[str, Any] = {"guards": [guards.manager], "security": guards.NEEDS_KEY, "tags": ["users"]}

Prefix = Annotated[
    str | None, QueryParameter(description="What the ids begin with.", schema_extra=rules.ID_PREFIX_RULE)
]
Email = Annotated[str | None, QueryParameter(description="The user with this address, however it is typed.")]
NamePart = Annotated[
    str | None,
    QueryParameter(description="A part of the name, regardless of case.", schema_extra=rules.NAME),
]
Limit = Annotated[int, QueryParameter(ge=1, le=100, description="How many.")]
PageCursor = Annotated[str | None, QueryParameter(description="`next_cursor` of the page before.")]


class UserState(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What a user is to be."""

    name: Annotated[
        str, ruled(rules.NAME, "1 to 200 characters, not only whitespace; no NUL.", "Ada Lovelace")
    ]
    email: Annotated[
        str | UnsetType | None,
        ruled(
            rules.EMAIL,
            f"{rules.EMAIL_WORDS} Left out: it stays as it is. Null: none, unless the user has a password.",
            "ada@example.com",
        ),
    ] = UNSET


class UserBody(Struct):
    """A user."""

    id: str
    name: str
    email: Annotated[str | None, Meta(description="In canonical form.")]
    created_at: datetime
    disabled_at: Annotated[datetime | None, Meta(description="Since when the user is disabled.")]


class UserPageBody(Struct):
    """A page of users, by id."""

    items: list[UserBody]
    next_cursor: Annotated[str | None, Meta(description="For the next page; null on the last.")]


@put(
    "/v1/users/{user_id:str}",
    status_code=200,
    request_max_body_size=_BODY_LIMIT,
    summary="Create or change a user",
    responses={
        200: ResponseSpec(UserBody, description="The user, who existed.", generate_examples=False),
        201: ResponseSpec(UserBody, description="The user, who was created.", generate_examples=False),
        **problems(400, 401, 403, 409, 413, 422, 429, 503),
    },
    **_GUARDED,
)
async def put_user(
    request: Request[Any, ApiKey, Any],
    user_id: FromPath[str],
    data: JSONBody[UserState],
    put_one: NamedDependency[PutUser],
) -> Response[UserBody]:
    """Create the user, or change its name and address. Repeating it changes nothing. A password is set with
    `PUT /v1/users/{user_id}/password`.
    """
    email = KEEP if data.email is UNSET else data.email
    done = await put_one(UserId(user_id), data.name, email, key=request.auth, by=by_of(request))
    created = done.entry is not None and done.entry.action is Action.USER_CREATED
    return Response(_body(done.user), status_code=201 if created else 200)


@get("/v1/users", summary="List users", responses=problems(400, 401, 403, 422, 429, 503), **_GUARDED)
async def list_users(  # noqa: PLR0917 - each is a part of the query
    request: Request[Any, ApiKey, Any],
    listing_users: NamedDependency[ListUsers],
    prefix: Prefix = None,
    email: Email = None,
    name: NamePart = None,
    limit: Limit = 100,
    cursor: PageCursor = None,
) -> UserPageBody:
    """By id, compared byte for byte. Filters narrow it down together. With `name`, 10,000 users are examined
    for a page: it can have fewer than `limit` items, even none, and still have a `next_cursor`.
    """
    page = await listing_users(limit, cursor, prefix=prefix, email=email, name=name, key=request.auth)
    return UserPageBody([_body(user) for user in page.users], page.next)


@get(
    "/v1/users/{user_id:str}",
    summary="Show a user",
    responses=problems(400, 401, 403, 404, 429, 503),
    **_GUARDED,
)
async def show_user(user_id: FromPath[str], find_user: NamedDependency[FindUser]) -> UserBody:
    """The user, disabled or not."""
    return _body(await find_user(UserId(user_id)))


def _body(user: User) -> UserBody:
    return UserBody(user.id, user.name, user.email, user.created_at, user.disabled_at)


HANDLERS = [put_user, list_users, show_user]
