"""Who makes a request, for the audit trail."""

from typing import Any

from litestar.connection import ASGIConnection

from application.audit import ActorKind, By
from application.credentials import ApiKey, Claims
from common import tracing
from entrypoints.web.client import client_address


def by_of(connection: "ASGIConnection[Any, Any, Any, Any]") -> By:
    """The caller that the guard let in, with its address and the id of the request."""
    name: str | None = None
    kind = ActorKind.USER
    match connection.scope.get("auth"):
        case ApiKey(id=key):
            kind, name = ActorKind.KEY, key
        case Claims(user_id=user):
            name = str(user)
    return By(kind, name, client_address(connection.scope) or None, tracing.request_id.get())


def operator_of(connection: "ASGIConnection[Any, Any, Any, Any]") -> By:
    """The holder of an operator token."""
    by = by_of(connection)
    return By(ActorKind.OPERATOR, None, by.address, by.request_id)
