"""Guards: who may call which route. A guard runs before the body is read, and puts the claims of the token or
the API key into the connection's `auth`.

All are coroutines, even those that await nothing: Litestar would run them in a thread otherwise.
"""

from collections.abc import Mapping
from hmac import compare_digest
from ipaddress import IPv6Address, ip_address
from typing import Any, TypeAlias

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from application.credentials import Claims, Scope
from application.errors import NotAllowed, NotAuthenticated
from application.limits import Limits
from entrypoints.web.client import client_address, client_network
from entrypoints.web.limits import check, count_failure, spend, spend_together
from entrypoints.web.state import Access, Scraping, part

Connection: TypeAlias = ASGIConnection[Any, Any, Any, Any]

API_KEY_HEADER = "x-api-key"

# The guards below, as OpenAPI describes them.
NEEDS_KEY: "list[dict[str, list[str]]]" = [{"apiKey": []}]
NEEDS_KEY_UNLESS_OPEN: "list[dict[str, list[str]]]" = [{"apiKey": []}, {}]
NEEDS_TOKEN_OR_KEY: "list[dict[str, list[str]]]" = [{"userToken": []}, {"apiKey": []}]
NEEDS_TOKEN: "list[dict[str, list[str]]]" = [{"userToken": []}]
NEEDS_METRICS_TOKEN: "list[dict[str, list[str]]]" = [{"metricsToken": []}, {}]
NEEDS_OPERATOR: "list[dict[str, list[str]]]" = [{"operatorToken": []}]


async def publisher(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Admit API keys that may publish, and count one notification; a batch counts its others once read."""
    await _admit_producer(connection, Scope.PUBLISH)
    scope, limits, key_id = connection.scope, part(connection, Limits), connection.scope["auth"].id
    check(scope, limits.refused, key_id)
    spend(scope, limits.publish, key_id)


async def registrar(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Admit API keys that may create users, and everybody if sign-up is open."""
    if not part(connection, Access).open_signup or API_KEY_HEADER in connection.headers:
        await _admit_producer(connection, Scope.USERS)
    else:
        await spend_together(
            connection.scope, part(connection, Limits).sign_ups, client_network(connection.scope)
        )


async def manager(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Admit API keys that may create and disable users."""
    await _admit_producer(connection, Scope.USERS)


async def admin(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Admit API keys that may administer the service."""
    await _admit_producer(connection, Scope.ADMIN)


async def user(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Admit any user's token."""
    connection.scope["auth"] = await _claims(connection)


async def owner(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Admit the token of the user in the path."""
    claims = await _claims(connection)
    if claims.user_id != connection.path_params["user_id"]:
        raise NotAllowed("This token belongs to another user.")
    connection.scope["auth"] = claims


async def marking(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Count a mark of the user whom `owner` has admitted."""
    spend(connection.scope, part(connection, Limits).marks, connection.scope["auth"].user_id)


async def choosing(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Count a choice of the user whom `owner_or_manager` has admitted as a mark; those of keys are free."""
    if isinstance(connection.scope["auth"], Claims):
        await marking(connection, _handler)


async def ticket_buyer(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Count a ticket for the address that asks for it."""
    spend(connection.scope, part(connection, Limits).tickets, client_network(connection.scope))


async def reader(connection: Connection, handler: BaseRouteHandler) -> None:
    """Admit the token of the user in the path, and API keys that may read feeds. Of a request with both, the
    token counts.
    """
    if "authorization" in connection.headers or API_KEY_HEADER not in connection.headers:
        await owner(connection, handler)
    else:
        await _admit_producer(connection, Scope.READ)


async def owner_or_manager(connection: Connection, handler: BaseRouteHandler) -> None:
    """Admit the token of the user in the path, and API keys that may create and disable users. Of a request
    with both, the token counts.
    """
    if "authorization" in connection.headers or API_KEY_HEADER not in connection.headers:
        await owner(connection, handler)
    else:
        await manager(connection, handler)


async def operator(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Admit operator tokens, which commands make for themselves."""
    try:
        part(connection, Access).operator(bearer_token(connection.headers))
    except NotAuthenticated:
        count_failure(connection.scope, part(connection, Limits))
        raise


async def scraper(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Admit the token for metrics. If none is set, admit clients on this machine."""
    token = part(connection, Scraping).token
    if token:
        if not compare_digest(bearer_token(connection.headers).encode(), token.encode()):
            raise NotAuthenticated("This is not the token for metrics.")
    elif not _is_local(connection):
        raise NotAllowed(
            "Only clients on this machine may read metrics, unless BELLWIRE_METRICS_TOKEN is set."
        )


def _is_local(connection: Connection) -> bool:
    """Whether the client is on this machine. What a proxy on this machine forwards is not."""
    if "x-forwarded-for" in connection.headers or "forwarded" in connection.headers:
        return False
    address = client_address(connection.scope)
    try:
        parsed = ip_address(address)
    except ValueError:
        return not address  # a Unix socket
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return (mapped or parsed).is_loopback


def bearer_token(headers: Mapping[str, str]) -> str:
    """The token of the Authorization header. Raises NotAuthenticated."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise NotAuthenticated("An Authorization header with a Bearer token is required.")
    return token.strip()


async def _claims(connection: Connection) -> Claims:
    limits = part(connection, Limits)
    try:
        claims = await part(connection, Access).user.token(bearer_token(connection.headers))
    except NotAuthenticated:
        count_failure(connection.scope, limits)
        raise
    spend(connection.scope, limits.requests, claims.user_id)
    return claims


async def _admit_producer(connection: Connection, scope: str) -> None:
    """Check the key, and that it may touch the user in the path, if there is one. A user in the body is
    checked by the use case.
    """
    text = connection.headers.get(API_KEY_HEADER)
    if not text:
        count_failure(connection.scope, part(connection, Limits))
        raise NotAuthenticated("An X-API-Key header is required.")
    try:
        key = await part(connection, Access).producer(text, scope)
    except NotAuthenticated:
        count_failure(connection.scope, part(connection, Limits))
        raise
    if "user_id" in connection.path_params:
        key.check(connection.path_params["user_id"])
    connection.scope["auth"] = key
