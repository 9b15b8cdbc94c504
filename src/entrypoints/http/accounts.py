"""Users, sessions and stream tickets."""

from typing import Any

from litestar import Request, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from application.accounts import CreateUser, IssueStreamTicket
from application.credentials import ApiKey, Claims
from application.errors import Limited, NotAllowed
from application.log_ins import LimitedLogIn
from application.revoking import DisableUser, EnableUser, EndSession, RevokeToken, RevokeTokens
from domain.identifiers import UserId
from entrypoints.http.schemas import (
    CreatedUser,
    Credentials,
    NewUser,
    RevokedToken,
    Session,
    StreamTicket,
)
from entrypoints.web import guards, limits
from entrypoints.web.attribution import by_of
from entrypoints.web.client import client_network
from entrypoints.web.headers import NO_STORE
from entrypoints.web.schemas import problems as problem_responses

_BODY_LIMIT = 8 * 1024


@post(
    ["/v1/users", "/createUser"],
    guards=[guards.registrar],
    security=guards.NEEDS_KEY_UNLESS_OPEN,
    request_max_body_size=_BODY_LIMIT,
    tags=["users"],
    summary="Create a user",
    responses=problem_responses(400, 401, 403, 409, 413, 422, 429, 503),
)
async def create_user(
    request: Request[Any, ApiKey | None, Any],
    data: JSONBody[NewUser],
    create: NamedDependency[CreateUser],
) -> CreatedUser:
    """Needs an API key with the scope `users`, unless sign-up is open. A user without a password cannot log
    in but can be notified: your application mints tokens for it. Without a key, an `id` cannot be chosen.
    """
    user_id = UserId(data.id) if data.id is not None else None
    key, party = request.scope.get("auth"), client_network(request.scope)
    if user_id is not None and key is None:
        # Otherwise anyone could be the user to whom an application is about to send.
        raise NotAllowed("Without an API key an id cannot be chosen: leave it out, and one is generated.")
    user = await create(data.name, data.email, data.password, user_id, party, key=key, by=by_of(request))
    return CreatedUser(user.id, user.name, user.email, user.created_at)


@post(
    "/v1/sessions",
    status_code=200,
    request_max_body_size=_BODY_LIMIT,
    tags=["users"],
    summary="Log in",
    cache_control=NO_STORE,
    responses=problem_responses(400, 401, 413, 422, 429, 503),
)
async def log_in(
    request: Request[Any, Any, Any], data: JSONBody[Credentials], log_in: NamedDependency[LimitedLogIn]
) -> Session:
    """Exchange an e-mail address and a password for a user token. After some failures each further one makes
    the next attempt wait for longer; see `Retry-After`.
    """
    network = client_network(request.scope)
    try:
        user, token, seconds = await log_in(data.email, data.password, network, by_of(request))
    except Limited as limited:
        limits.limited(request.scope, limited)
        raise
    return Session(user_id=user, access_token=token, expires_in=seconds)


@post(
    "/v1/stream-tickets",
    guards=[guards.user, guards.ticket_buyer],
    security=guards.NEEDS_TOKEN,
    tags=["live stream"],
    summary="Get a stream ticket",
    cache_control=NO_STORE,
    responses=problem_responses(400, 401, 429, 503),
)
async def create_stream_ticket(
    request: Request[Any, Claims, Any], issue: NamedDependency[IssueStreamTicket]
) -> StreamTicket:
    """A single-use ticket for a stream that a browser opens: `/ws/{user_id}?ticket=…`."""
    ticket, seconds = await issue(request.auth)
    return StreamTicket(ticket, seconds)


@post(
    "/v1/sessions/end",
    status_code=204,
    guards=[guards.user],
    security=guards.NEEDS_TOKEN,
    tags=["users"],
    summary="Log out",
    responses=problem_responses(401, 429, 503),
)
async def end_session(request: Request[Any, Claims, Any], end: NamedDependency[EndSession]) -> None:
    """Revoke the token of this request. Within 5 s every process refuses it, and streams opened with it are
    closed. Other tokens of the user stay valid.
    """
    await end(request.auth)


@post(
    "/v1/revoked-tokens",
    status_code=204,
    guards=[guards.manager],
    security=guards.NEEDS_KEY,
    request_max_body_size=_BODY_LIMIT,
    tags=["users"],
    summary="Revoke a single token",
    responses=problem_responses(400, 401, 403, 413, 422, 429, 503),
)
async def revoke_token(
    request: Request[Any, ApiKey, Any],
    data: JSONBody[RevokedToken],
    revoke_one: NamedDependency[RevokeToken],
) -> None:
    """Send the `token`, or the `user_id` and `jti` in it. Within 5 s every process refuses it, and streams
    opened with it are closed.
    """
    data.check()
    if data.token is not None:
        await revoke_one(data.token, request.auth.check, by=by_of(request))
    else:
        user, jti = data.identity()
        request.auth.check(user)
        await revoke_one.by_jti(user, jti, data.expiry(), by=by_of(request))


_LOCKING: dict[str, Any] = {
    "status_code": 204,
    "guards": [guards.manager],
    "security": guards.NEEDS_KEY,
    "tags": ["users"],
    "responses": problem_responses(401, 403, 404, 429, 503),
}


@post("/v1/users/{user_id:str}/disable", summary="Disable a user", **_LOCKING)
async def disable_user(
    request: Request[Any, Any, Any], user_id: FromPath[str], disable: NamedDependency[DisableUser]
) -> None:
    """Within 5 s every token of the user is refused, including those issued later, and the user's streams are
    closed. Notifications for the user are still stored.
    """
    await disable(UserId(user_id), by_of(request))


@post("/v1/users/{user_id:str}/enable", summary="Enable a user", **_LOCKING)
async def enable_user(
    request: Request[Any, Any, Any], user_id: FromPath[str], enable: NamedDependency[EnableUser]
) -> None:
    """Enable a disabled user. Tokens issued from now on are accepted; earlier ones stay invalid."""
    await enable(UserId(user_id), by_of(request))


@post("/v1/users/{user_id:str}/revoke-tokens", summary="Sign a user out everywhere", **_LOCKING)
async def revoke_tokens(
    request: Request[Any, Any, Any], user_id: FromPath[str], revoke: NamedDependency[RevokeTokens]
) -> None:
    """Within 5 s every token issued until now is refused, and streams opened with one are closed."""
    await revoke(UserId(user_id), by_of(request))


HANDLERS = [
    create_user,
    log_in,
    end_session,
    revoke_token,
    create_stream_ticket,
    disable_user,
    enable_user,
    revoke_tokens,
]
