"""Translates what PostgreSQL and its driver raise into the errors of the ports.

Errors are classified by SQLSTATE, not by exception class: data that the store will never accept, or a store
that is unavailable, busy or misconfigured (https://www.postgresql.org/docs/current/errcodes-appendix.html).
"""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import asyncpg
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.states import READ_ONLY, driver_error, reason, sqlstate
from application.errors import Refused, Unavailable
from application.ports import Jitter

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger(__name__)

FAILURES = (
    SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""Raised by the database, its driver and the network."""

# 22 data exception, 23 integrity violation, 54000 and 54001 a value too large or nested too deeply.
_DATA = ("22", "23", "54000", "54001")
# Exceptions, which are not the data's fault: 22023 a setting that the server does not accept; 23502 a column
# that this release does not know and that must not be null.
_NOT_DATA = {"22023", "23502"}
_CHECK_VIOLATION = "23514"
_COLLISIONS = {"40001", "40P01"}
# 08 connection, 57 operator intervention: expected when a server goes away, so not logged here. engine.py
# logs once why the server is out of reach or read-only.
_AWAY = ("08", "57", READ_ONLY)
# Wrong user or password, and no such database.
_NO_ENTRY = ("28", "3D")
# No such schema, table, column or function.
_UNMIGRATED = {"3F000", "42P01", "42703", "42883"}
_OUT_OF_REACH = "The store is out of reach. Try again shortly."
_TAKEN = {"users_pk", "users_email_key"}

_PAUSES_SECONDS = (0.02, 0.1, 0.5)

JITTER = "bellwire_jitter"
"""The engine's execution option that holds the jitter for its retries."""


class Taken(Exception):
    """A unique constraint on users was violated."""


class Collided(Unavailable):
    """Another transaction was in the way; a retry may succeed."""


@contextmanager
def translated() -> Iterator[None]:
    """Translate the database's errors to Unavailable (or Collided) or Refused (or Taken)."""
    try:
        yield
    except Exception as error:
        if isinstance(error, FAILURES) or _ended_meanwhile(error):
            raise translation(error) from error
        raise


def retried(work: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Decorate work to run it up to three times if another transaction is in the way: a deadlock, a
    serialization failure, or a schema change that outdated a prepared statement. The work must consist of
    whole transactions. Its first argument is an engine, or an adapter that holds one.
    """

    @wraps(work)
    async def again(*args: P.args, **kwargs: P.kwargs) -> T:
        for pause in _PAUSES_SECONDS:
            try:
                return await work(*args, **kwargs)
            except Collided as error:
                logger.info("retrying %s: %s", work.__qualname__, error.__cause__)
            await asyncio.sleep(pause * _jitter(args[0])(0.5, 1))
        return await work(*args, **kwargs)

    return again


def _jitter(owner: Any) -> Jitter:
    engine: AsyncEngine = getattr(owner, "_engine", owner)
    jitter: Jitter = engine.get_execution_options()[JITTER]
    return jitter


def translation(error: Exception) -> Exception:
    """The error that a port raises instead of this one."""
    cause = driver_error(error)
    state = sqlstate(cause)
    if getattr(cause, "constraint_name", None) in _TAKEN:
        return Taken()
    if state in _COLLISIONS or isinstance(cause, asyncpg.InvalidCachedStatementError):
        return Collided()
    if _is_data(cause, state):
        return Refused(state, "The store refuses this data.")
    if state and not state.startswith(_AWAY):
        # Without DETAIL, which may hold the whole row.
        logger.warning("PostgreSQL answered %s: %s", state, cause.args[0])
    return unreachable()


def unreachable() -> Unavailable:
    """For every caller, so without the reason."""
    return Unavailable(_OUT_OF_REACH)


def explained(error: Unavailable) -> Unavailable:
    """For operators: the error with its reason, and what to do about it. Others than of the store stay."""
    cause = error.__cause__
    if error.detail != _OUT_OF_REACH or cause is None:
        return error
    state = sqlstate(driver_error(cause))
    if state in _UNMIGRATED:
        return Unavailable(f"The database is not migrated: run `bellwire migrate` ({reason(cause)}).")
    if state == READ_ONLY:
        return Unavailable(f"PostgreSQL takes no writes: {reason(cause)}")
    return Unavailable(
        f"PostgreSQL {'is out of reach' if _is_away(state) else 'refuses this'}: {reason(cause)}"
    )


def _is_away(state: str) -> bool:
    return not state or state.startswith((*_AWAY, *_NO_ENTRY))


def _is_data(cause: BaseException, state: str) -> bool:
    if not state.startswith(_DATA) or state in _NOT_DATA:
        return False
    # A row without a partition has this state too, but names no constraint.
    return state != _CHECK_VIOLATION or bool(getattr(cause, "constraint_name", None))


def _ended_meanwhile(error: Exception) -> bool:
    """Whether the driver failed because its connection was closed under it.

    A connection that is closed between an answer and its receiver lacks attributes that the driver goes on to
    use, hence AttributeError, among others. On an open connection, and elsewhere, that is a defect.
    """
    return any(
        isinstance(value, asyncpg.Connection) and value.is_closed()
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).startswith("asyncpg.")
        for value in frame.f_locals.values()
    )
