"""The objects that an application holds for its routes and guards, found by their type."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias, TypeVar

from litestar import Litestar
from litestar.connection import ASGIConnection
from litestar.datastructures import State

from application.accounts import AuthenticateOperator, AuthenticateUser
from application.arriving import Arrive
from application.keys import AuthenticateProducer
from entrypoints.web.workers import Workers

T = TypeVar("T")

Check: TypeAlias = Callable[[], Awaitable[None]]
"""Raises Unavailable, with the reason."""


@dataclass(frozen=True, slots=True)
class Checks:
    """The checks of readiness, by the name of the server."""

    required: Mapping[str, Check]
    optional: Mapping[str, Check]
    """Reported, but not needed to be ready."""


@dataclass(frozen=True, slots=True)
class Scraping:
    """Who may read the metrics, and of which processes."""

    token: str
    """If it is empty: clients on this machine."""
    workers: Workers | None = None
    """Whose metrics are read; None: those of this process, which has no others."""

    def __repr__(self) -> str:
        """Hide the token."""
        return f"{type(self).__name__}(…)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The checks of credentials, and who comes in."""

    user: AuthenticateUser
    arrive: Arrive
    producer: AuthenticateProducer
    operator: AuthenticateOperator
    open_signup: bool
    """Whether users can be created without an API key."""


def application_state(*parts: object) -> State:
    """The state of an application, which holds one part of each type."""
    return State({_name(type(part)): part for part in parts})


def part(connection: "ASGIConnection[Any, Any, Any, Any]", kind: type[T]) -> T:
    """The part of this type, in the application that serves the connection."""
    found: T = connection.app.state[_name(kind)]  # every guard asks: a call less each time
    return found


def part_of(app: Litestar, kind: type[T]) -> T:
    """The part of this type, in the application."""
    found: T = app.state[_name(kind)]
    return found


def found_in(app: Litestar, kind: type[T]) -> T | None:
    """The part of this type, if the application has one."""
    found: T | None = app.state.get(_name(kind))
    return found


# mypy says that types cannot be hashed.
_name: Callable[[Any], str] = cache(lambda kind: f"{kind.__module__}.{kind.__qualname__}")
