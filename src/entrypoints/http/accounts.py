"""Users, sessions and stream tickets."""

from typing import Any

from litestar import Request, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from application.accounts import CreateUser, IssueStreamTicket, LogIn
from application.credentials import Claims
from application.revoking import DisableUser, EnableUser, RevokeTokens
from domain.identifiers import UserId
from entrypoints.http.schemas import CreatedUser, Credentials, NewUser, Session, StreamTicket
from entrypoints.web import guards
from entrypoints.web.schemas import problems as problem_responses

_BODY_LIMIT = 8 * 1024


@post(
    ["/v1/users", "/createUser"],
    guards=[guards.registrar],
    security=guards.NEEDS_KEY_UNLESS_OPEN,
    request_max_body_size=_BODY_LIMIT,
    tags=["users"],
    summary="Create a user",
    responses=problem_responses(400, 401, 403, 409, 413, 422, 503),
)
async def create_user(data: JSONBody[NewUser], create: NamedDependency[CreateUser]) -> CreatedUser:
    """Needs an API key with the scope `users`, unless sign-up is open. A user without a password cannot log
    in but can be notified: your application mints tokens for it.
    """
    user = await create(
        data.name, data.email, data.password, UserId(data.id) if data.id is not None else None
    )
    return CreatedUser(user.id, user.name, user.email, user.created_at)


@post(
    "/v1/sessions",
    status_code=200,
    request_max_body_size=_BODY_LIMIT,
    tags=["users"],
    summary="Log in",
    responses=problem_responses(400, 401, 413, 422, 503),
)
async def log_in(data: JSONBody[Credentials], log_in: NamedDependency[LogIn]) -> Session:
    """Exchange an e-mail address and a password for a user token."""
    user, token, seconds = await log_in(data.email, data.password)
    return Session(user_id=user, access_token=token, expires_in=seconds)


@post(
    "/v1/stream-tickets",
    guards=[guards.user],
    security=guards.NEEDS_TOKEN,
    tags=["live stream"],
    summary="Get a stream ticket",
    responses=problem_responses(400, 401, 503),
)
async def create_stream_ticket(
    request: Request[Any, Claims, Any], issue: NamedDependency[IssueStreamTicket]
) -> StreamTicket:
    """A single-use ticket for a stream that a browser opens: `/ws/{user_id}?ticket=…`."""
    ticket, seconds = await issue(request.auth)
    return StreamTicket(ticket, seconds)


_LOCKING: dict[str, Any] = {
    "status_code": 204,
    "guards": [guards.manager],
    "security": guards.NEEDS_KEY,
    "tags": ["users"],
    "responses": problem_responses(401, 403, 404, 503),
}


@post("/v1/users/{user_id:str}/disable", summary="Disable a user", **_LOCKING)
async def disable_user(user_id: FromPath[str], disable: NamedDependency[DisableUser]) -> None:
    """Within 5 s every token of the user is refused, including those issued later, and the user's streams are
    closed. Notifications for the user are still stored.
    """
    await disable(UserId(user_id))


@post("/v1/users/{user_id:str}/enable", summary="Enable a user", **_LOCKING)
async def enable_user(user_id: FromPath[str], enable: NamedDependency[EnableUser]) -> None:
    """Enable a disabled user. Tokens issued from now on are accepted; earlier ones stay invalid."""
    await enable(UserId(user_id))


@post("/v1/users/{user_id:str}/revoke-tokens", summary="Sign a user out everywhere", **_LOCKING)
async def revoke_tokens(user_id: FromPath[str], revoke: NamedDependency[RevokeTokens]) -> None:
    """Within 5 s every token issued until now is refused, and streams opened with one are closed."""
    await revoke(UserId(user_id))


HANDLERS = [create_user, log_in, create_stream_ticket, disable_user, enable_user, revoke_tokens]
