"""Errors as RFC 9457 problem details: one table maps the errors of the core to answers."""

import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, SerializationException, ValidationException

from application.errors import (
    ApplicationError,
    KeyNotInUse,
    KeyReused,
    Limited,
    NotAllowed,
    NotAuthenticated,
    Refused,
    Unavailable,
    Unconfirmed,
    UnknownErasure,
    UnknownKey,
)
from common import tracing, wire
from domain.errors import (
    AlreadyActed,
    DomainError,
    FieldError,
    Invalid,
    TooManyCategories,
    UnknownNotification,
    UnknownUser,
    UserTaken,
)
from entrypoints.web.head import allowed

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

# class: status, the stable end of the type, title
_PROBLEMS: dict[type[Exception], tuple[int, str, str]] = {
    Invalid: (422, "invalid", "The input breaks a rule"),
    UnknownUser: (404, "unknown-user", "Unknown user"),
    UnknownNotification: (404, "unknown-notification", "Unknown notification"),
    UnknownErasure: (404, "unknown-erasure", "Unknown erasure"),
    AlreadyActed: (409, "already-acted", "Answered with another action"),
    UserTaken: (409, "user-taken", "User exists"),
    TooManyCategories: (409, "too-many-categories", "Too many categories"),
    NotAuthenticated: (401, "not-authenticated", "Not authenticated"),
    NotAllowed: (403, "not-allowed", "Not allowed"),
    UnknownKey: (404, "unknown-key", "Unknown API key"),
    KeyNotInUse: (409, "key-not-in-use", "API key not in use"),
    KeyReused: (422, "key-reused", "Idempotency key reused"),
    Refused: (422, "refused", "The store refuses this data"),
    Limited: (429, "too-many-requests", "Too many requests"),
    Unconfirmed: (503, "unconfirmed", "Outcome unknown"),
    Unavailable: (503, "unavailable", "Temporarily unavailable"),
}
NO_BODY = FieldError("body", "is required")
_NO_BODY = "'data'"
"""How the framework says that."""
_MISSING = re.compile("Object missing required field `(.+)`")
_UNKNOWN = re.compile("Object contains unknown field `(.+)`")
_HTTP_KINDS = {
    400: "malformed",
    404: "no-such-path",
    405: "method-not-allowed",
    413: "too-large",
    429: "too-many-streams",
}
_ALL_PATHS = "; /schema lists all paths"
_ALL_METHODS = "; /schema lists those that it supports"
_HTTP_DETAILS = {
    404: f"There is nothing at this path{_ALL_PATHS}.",
    405: f"This path does not support this method{_ALL_METHODS}.",
    413: "The body is too large: 64 KiB for one notification, 1 MiB for a batch.",
}


def type_uri(kind: str) -> str:
    """The stable identifier of a kind of problem."""
    return f"urn:bellwire:problem:{kind}"


def describe(error: Exception) -> dict[str, Any]:
    """The problem details of an error of the core."""
    status, kind, title = next(found for known, found in _PROBLEMS.items() if isinstance(error, known))
    body: dict[str, Any] = {"type": type_uri(kind), "title": title, "status": status}
    body["detail"] = getattr(error, "detail", str(error))
    if isinstance(error, Invalid):
        body["errors"] = [{"field": item.field, "message": item.message} for item in error.errors]
    if isinstance(error, Limited):
        body["violated-policies"] = [error.limit]
    if isinstance(error, Unconfirmed) and error.notification_id is not None:
        body["id"] = error.notification_id
    return body


def answer(scope: Any, error: Exception) -> Response[bytes]:
    """The answer to an error that a handler or a guard raised."""
    handler = next(HANDLERS[kind] for kind in type(error).__mro__ if kind in HANDLERS)
    found: Response[bytes] = handler(Request(scope), error)
    return found


def core_problem(_request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer an error of the domain or the application."""
    body = describe(error)
    headers = {}
    if isinstance(error, NotAuthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, Unavailable | Limited):
        headers["Retry-After"] = str(error.retry_seconds)
    return _answer(body, headers)


def validation_problem(_request: Request[Any, Any, Any], error: ValidationException) -> Response[bytes]:
    """Answer input that is JSON but has the wrong structure."""
    extra = error.extra if isinstance(error.extra, list) else []
    errors = [field_error(item["message"], item.get("key", "")) for item in extra]
    return core_problem(_request, Invalid(errors or [FieldError("body", error.detail)]))


def field_error(message: str, path: str = "") -> FieldError:
    """The error of the field that msgspec found to be missing, unknown or of the wrong type."""
    if message == _NO_BODY:
        return NO_BODY
    message, _, found = message.partition(" - at `$.")
    field = found.rstrip("`") or path.removeprefix("data").removeprefix(".")
    if missing := _MISSING.fullmatch(message):
        return FieldError(".".join(filter(None, [field, missing[1]])), "is required")
    if unknown := _UNKNOWN.fullmatch(message):
        return FieldError(".".join(filter(None, [field, unknown[1]])), "is not a known field")
    return FieldError(field or "body", message[0].lower() + message[1:])


def malformed_problem(_request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer a body that is not JSON, or nests too deeply to read."""
    deep = isinstance(error, RecursionError)
    return _answer(
        {
            "type": type_uri("malformed"),
            "title": "Malformed body",
            "status": 400,
            "detail": "The body nests too deeply." if deep else "The body is not valid JSON.",
        }
    )


def http_problem(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Answer a request that the framework refuses."""
    if isinstance(error.__cause__, RecursionError | SerializationException | UnicodeDecodeError):
        return malformed_problem(request, error.__cause__)
    status = HTTPStatus(error.status_code)
    detail = _HTTP_DETAILS.get(status, error.detail)
    if request.app.openapi_config is None:
        detail = detail.replace(_ALL_PATHS, "").replace(_ALL_METHODS, "")
    kind = _HTTP_KINDS.get(status, status.phrase.lower().replace(" ", "-"))
    return _answer(
        {
            "type": type_uri(kind),
            "title": status.phrase,
            "status": status,
            "detail": detail,
        },
        _with_head(request, error.headers or {}),
    )


def _with_head(request: Request[Any, Any, Any], headers: Mapping[str, str]) -> Mapping[str, str]:
    if "allow" not in headers:
        return headers
    return {**headers, "allow": allowed(headers["allow"], request.scope)}


def unexpected_problem(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer a defect of the service: it is logged, and the client gets the id of the request."""
    logger.error("unexpected error in %s %s", request.method, request.url.path, exc_info=error)
    return _answer(
        {
            "type": type_uri("internal"),
            "title": "Internal error",
            "status": 500,
            "detail": "This is a defect of the service. It has been logged.",
            "request_id": tracing.request_id.get(),
        }
    )


def _answer(body: dict[str, Any], headers: Mapping[str, str] | None = None) -> Response[bytes]:
    return Response(
        wire.encode(body),
        status_code=int(body["status"]),
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


HANDLERS: Any = {
    DomainError: core_problem,
    ApplicationError: core_problem,
    ValidationException: validation_problem,
    SerializationException: malformed_problem,
    msgspec.DecodeError: malformed_problem,
    RecursionError: malformed_problem,
    UnicodeDecodeError: malformed_problem,
    HTTPException: http_problem,
    Exception: unexpected_problem,
}
