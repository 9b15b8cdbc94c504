"""From what PostgreSQL and its driver raise to what the ports promise.

Errors are told apart by SQLSTATE, not by exception class: data that the store will never take, against a
store that is away, busy or not as it should be
(https://www.postgresql.org/docs/current/errcodes-appendix.html).
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

from adapters.postgres.states import READ_ONLY, driver_error, sqlstate
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
"""What the database and the way to it raise."""

# 22 data exception, 23 integrity violation, 54000 and 54001 a value too large or nested too deeply.
_DATA = ("22", "23", "54000", "54001")
# Of these, no fault of the data: 22023 a setting that the server does not take; 23502 a column that this
# release does not know and that must not be null.
_NOT_DATA = {"22023", "23502"}
_CHECK_VIOLATION = "23514"
_COLLISIONS = {"40001", "40P01"}
# 08 connection, 57 operator intervention: expected when a server goes away; no need to name them. Why it
# cannot be reached, or takes no writes, is said once (engine.py).
_AWAY = ("08", "57", READ_ONLY)
_TAKEN = {"users_pk", "users_email_key"}

_PAUSES_SECONDS = (0.02, 0.1, 0.5)

JITTER = "bellwire_jitter"
"""The option of an engine that holds the jitter of what is done on it."""


class Taken(Exception):
    """A unique constraint of users was hit."""


class Collided(Unavailable):
    """Another transaction was in the way. Try again shortly."""


@contextmanager
def translated() -> Iterator[None]:
    """Raise Unavailable (or Collided) or Refused (or Taken) for whatever the database raises."""
    try:
        yield
    except Exception as error:
        if isinstance(error, FAILURES) or _ended_meanwhile(error):
            raise translation(error) from error
        raise


def retried(work: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Do it again, up to three times, if another transaction was in the way: a deadlock, a serialization
    failure, or a schema change that outdated a statement prepared before. The work is whole transactions. Its
    first argument is an engine, or an adapter that holds one.
    """

    @wraps(work)
    async def again(*args: P.args, **kwargs: P.kwargs) -> T:
        for pause in _PAUSES_SECONDS:
            try:
                return await work(*args, **kwargs)
            except Collided as error:
                logger.info("%s is tried again: %s", work.__qualname__, error.__cause__)
            await asyncio.sleep(pause * _jitter(args[0])(0.5, 1))
        return await work(*args, **kwargs)

    return again


def _jitter(owner: Any) -> Jitter:
    engine: AsyncEngine = getattr(owner, "_engine", owner)
    jitter: Jitter = engine.get_execution_options()[JITTER]
    return jitter


def translation(error: Exception) -> Exception:
    """What a port raises for this."""
    cause = driver_error(error)
    state = sqlstate(cause)
    if getattr(cause, "constraint_name", None) in _TAKEN:
        return Taken()
    if state in _COLLISIONS or isinstance(cause, asyncpg.InvalidCachedStatementError):
        return Collided()
    if _is_data(cause, state):
        return Refused(state, "The store refuses this data.")
    if state and not state.startswith(_AWAY):
        # Without its DETAIL, which may hold the whole row.
        logger.warning("PostgreSQL answered %s: %s", state, cause.args[0])
    return unreachable()


def unreachable() -> Unavailable:
    """For everybody, so without the reason."""
    return Unavailable("The store is out of reach. Try again shortly.")


def _is_data(cause: BaseException, state: str) -> bool:
    if not state.startswith(_DATA) or state in _NOT_DATA:
        return False
    # A row for which there is no partition has this state too, but names no constraint.
    return state != _CHECK_VIOLATION or bool(getattr(cause, "constraint_name", None))


def _ended_meanwhile(error: Exception) -> bool:
    """Whether the driver stumbled because its connection was ended under it.

    A connection that is ended between an answer and who waits for it lacks what the driver goes on to use:
    AttributeError, among others. On a connection that is open, and elsewhere, that is a defect.
    """
    return any(
        isinstance(value, asyncpg.Connection) and value.is_closed()
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).startswith("asyncpg.")
        for value in frame.f_locals.values()
    )
