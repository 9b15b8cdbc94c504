"""Guards: who may call which route. A guard runs before the body is read, and puts the claims of the token or
the API key into the connection's `auth`.

All are coroutines, even those that await nothing: Litestar would run them in a thread otherwise.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from application.credentials import Claims, Scope
from application.errors import NotAllowed, NotAuthenticated
from entrypoints.web.state import Access, part

Connection: TypeAlias = ASGIConnection[Any, Any, Any, Any]

API_KEY_HEADER = "x-api-key"

# The guards below, as OpenAPI describes them.
NEEDS_KEY: "list[dict[str, list[str]]]" = [{"apiKey": []}]
NEEDS_KEY_UNLESS_OPEN: "list[dict[str, list[str]]]" = [{"apiKey": []}, {}]
NEEDS_TOKEN: "list[dict[str, list[str]]]" = [{"userToken": []}]
NEEDS_OPERATOR: "list[dict[str, list[str]]]" = [{"operatorToken": []}]


async def publisher(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Admit API keys that may publish."""
    await _admit_producer(connection, Scope.PUBLISH)


async def registrar(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Admit API keys that may create users, and everybody if sign-up is open."""
    if not part(connection, Access).open_signup or API_KEY_HEADER in connection.headers:
        await _admit_producer(connection, Scope.USERS)


async def manager(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Admit API keys that may create and disable users."""
    await _admit_producer(connection, Scope.USERS)


async def user(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Admit any user's token."""
    connection.scope["auth"] = await _claims(connection)


async def owner(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Admit the token of the user in the path."""
    claims = await _claims(connection)
    if claims.user_id != connection.path_params["user_id"]:
        raise NotAllowed("This token belongs to another user.")
    connection.scope["auth"] = claims


async def operator(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Admit operator tokens, which commands make for themselves."""
    part(connection, Access).operator(bearer_token(connection.headers))


def bearer_token(headers: Mapping[str, str]) -> str:
    """The token of the Authorization header. Raises NotAuthenticated."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise NotAuthenticated("An Authorization header with a Bearer token is required.")
    return token.strip()


async def _claims(connection: Connection) -> Claims:
    return await part(connection, Access).user.token(bearer_token(connection.headers))


async def _admit_producer(connection: Connection, scope: str) -> None:
    key = connection.headers.get(API_KEY_HEADER)
    if not key:
        raise NotAuthenticated("An X-API-Key header is required.")
    connection.scope["auth"] = await part(connection, Access).producer(key, scope)
