"""From what PostgreSQL and its driver raise to what the ports promise.

Errors are told apart by SQLSTATE, not by exception class: data that the store will never take, against a
store that is away or busy (https://www.postgresql.org/docs/current/errcodes-appendix.html).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from application.errors import Refused, Unavailable

# 22 data exception, 23 integrity violation, 54 program limit exceeded (a row too large).
_DATA_CLASSES = ("22", "23", "54")
_TAKEN = {"users_pk", "users_email_key"}


class Taken(Exception):
    """A unique constraint of users was hit."""


@contextmanager
def translated() -> Iterator[None]:
    """Raise Unavailable or Refused (or Taken) for whatever the database raises."""
    try:
        yield
    except (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise _translate(error) from error


def _translate(error: Exception) -> Exception:
    cause = _driver_error(error)
    state = getattr(cause, "sqlstate", None) or ""
    if getattr(cause, "constraint_name", None) in _TAKEN:
        return Taken()
    if state.startswith(_DATA_CLASSES):
        return Refused(state, "The store refuses this data.")
    return Unavailable("The store is out of reach. Try again shortly.")


def _driver_error(error: BaseException) -> BaseException:
    """SQLAlchemy wraps its own wrapper around asyncpg's exception."""
    while isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    cause = error.__cause__
    return cause if isinstance(cause, asyncpg.PostgresError) else error
