"""Changing passwords."""

from typing import Annotated, Any

from litestar import Request, Response, put
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from application.credentials import Claims
from application.errors import Limited
from application.passwords import ChangePassword, ResetPassword
from domain.errors import FieldError, Invalid
from domain.identifiers import UserId
from entrypoints.http.schemas import Session
from entrypoints.web import guards, limits, rules
from entrypoints.web.attribution import by_of
from entrypoints.web.client import client_network
from entrypoints.web.headers import NO_STORE
from entrypoints.web.rules import ruled
from entrypoints.web.schemas import problems

_BODY_LIMIT = 8 * 1024


class NewPassword(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A password to set."""

    new_password: Annotated[
        str, ruled(rules.PASSWORD, "8 to 256 characters, as for a new user.", "correct horse battery")
    ]
    current_password: Annotated[
        str | None,
        Meta(description="Required with the user's own token.", examples=["correct horse"]),
    ] = None


@put(
    "/v1/users/{user_id:str}/password",
    status_code=200,
    guards=[guards.owner_or_manager],
    security=guards.NEEDS_TOKEN_OR_KEY,
    request_max_body_size=_BODY_LIMIT,
    tags=["users"],
    summary="Change or reset a password",
    cache_control=NO_STORE,
    responses={
        200: ResponseSpec(Session, description="A new token, for the user's own request."),
        204: ResponseSpec(None, description="The password was reset with an API key."),
        **problems(400, 401, 403, 404, 413, 422, 429, 503),
    },
)
async def put_password(
    request: Request[Any, Any, Any],
    user_id: FromPath[str],
    data: JSONBody[NewPassword],
    change_password: NamedDependency[ChangePassword],
    reset_password: NamedDependency[ResetPassword],
) -> Response[Session | None]:
    """With the user's own token and the current password, or with an API key and without it. All tokens that
    were issued until now are refused within 5 s.
    """
    user, by = UserId(user_id), by_of(request)
    if not isinstance(request.auth, Claims):
        await reset_password(user, by, data.new_password)
        return Response(None, status_code=204)
    if data.current_password is None:
        raise Invalid([FieldError("current_password", "is required")])
    address = client_network(request.scope)
    try:
        token, seconds = await change_password(user, by, data.current_password, data.new_password, address)
    except Limited as limited:
        limits.limited(request.scope, limited)
        raise
    return Response(Session(user_id=user, access_token=token, expires_in=seconds))


HANDLERS = [put_password]
