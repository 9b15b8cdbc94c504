"""What an application holds for its routes and guards: of each room one object, found by its type."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from litestar import Litestar
from litestar.connection import ASGIConnection
from litestar.datastructures import State

from application.accounts import AuthenticateOperator, AuthenticateProducer, AuthenticateUser

T = TypeVar("T")

Check: TypeAlias = Callable[[], Awaitable[None]]
"""Raises Unavailable, with the reason."""


@dataclass(frozen=True, slots=True)
class Checks:
    """What readiness asks, by the name of what is asked for."""

    required: Mapping[str, Check]
    optional: Mapping[str, Check]
    """Reported only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may call."""

    user: AuthenticateUser
    producer: AuthenticateProducer
    operator: AuthenticateOperator
    open_signup: bool
    """Whether users are created without a key."""


def application_state(*parts: object) -> State:
    """The state of an application, of one part of each type."""
    return State({_key(type(part)): part for part in parts})


def part(connection: "ASGIConnection[Any, Any, Any, Any]", kind: type[T]) -> T:
    """The part of this type, of the application that was called."""
    return part_of(connection.app, kind)


def part_of(app: Litestar, kind: type[T]) -> T:
    """The part of this type."""
    found: T = app.state[_key(kind)]
    return found


def _key(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
