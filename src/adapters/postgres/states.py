"""What an error says of the connection on which it was met; and why the store is out of reach, in words.

Most errors are a statement's: the connection goes on. Some are the connection's, which will not do any better
until it is replaced.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Mapping
from enum import Enum, auto

import asyncpg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

READ_ONLY = "25006"
_REASON_LENGTH = 300


class Fate(Enum):
    """What becomes of a connection."""

    GOES_ON = auto()
    ENDS = auto()
    ENDS_WITH_PEERS = auto()
    """And those that were opened when it was: what ended it they would meet too."""
    ENDS_IF_OLD = auto()
    """With its peers. A new one may do better, but not one that is new already."""


# By SQLSTATE or its class (https://www.postgresql.org/docs/current/errcodes-appendix.html). What is not named
# goes on. Among others: 53 (resources), 55 (locks), 57014 (cancelled), 58 (the server's disk); 0A000 and
# 42501, of which the server thinks anew at each statement. 28 and 3D000 are met before there is a connection.
_FATES: Mapping[str, Fate] = {
    # The connection failed; or a pooler and the driver no longer talk about the same thing.
    "08": Fate.ENDS,
    # In a transaction that nobody here began, or in none: as a pooler, or who had it before, left it.
    "25": Fate.ENDS,
    # Read-only: a server that is a standby now; or default_transaction_read_only, which a connection keeps
    # for ever as it was when it was opened.
    READ_ONLY: Fate.ENDS_IF_OLD,
    # A prepared statement or a portal that the driver knows is not there, or its name is taken: DISCARD ALL,
    # or a pooler that lends another connection of its own for each transaction.
    "26000": Fate.ENDS,
    "34000": Fate.ENDS,
    "42P05": Fate.ENDS,
    # Nobody knows whether it was done.
    "40003": Fate.ENDS,
    # No such schema or table. A connection keeps search_path, too, as it was when it was opened.
    "3F000": Fate.ENDS_IF_OLD,
    "42P01": Fate.ENDS_IF_OLD,
    # The server shuts down, crashed, starts, dropped the database, or found the connection idle for too long.
    # It closes it; a pooler may not.
    "57P01": Fate.ENDS,
    "57P02": Fate.ENDS,
    "57P03": Fate.ENDS,
    "57P04": Fate.ENDS,
    "57P05": Fate.ENDS,
    # A defect of the server, which may lie in what it holds for this connection; or of a pooler.
    "XX000": Fate.ENDS,
}
# Prepared for tables that have changed since; or in a network cut, which took the others too.
_SHARED = (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError, TimeoutError)
# Nobody knows what the connection would answer next.
_UNCERTAIN = (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, asyncio.CancelledError)


def fate(error: BaseException) -> Fate:
    """What becomes of the connection on which this was met."""
    cause = driver_error(error)
    if isinstance(cause, _SHARED):
        return Fate.ENDS_WITH_PEERS
    if isinstance(cause, _UNCERTAIN) or not isinstance(cause, Exception):
        return Fate.ENDS
    state = sqlstate(cause)
    return _FATES.get(state) or _FATES.get(state[:2]) or Fate.GOES_ON


def sqlstate(error: BaseException) -> str:
    """The SQLSTATE of an error of the driver, or nothing."""
    return getattr(error, "sqlstate", None) or ""


def driver_error(error: BaseException) -> BaseException:
    """What the driver raised: SQLAlchemy wraps its own wrapper around it."""
    while isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    cause = error.__cause__
    theirs = asyncpg.PostgresError | asyncpg.InterfaceError | asyncpg.InternalClientError
    return cause if isinstance(cause, theirs) else error


def reason(error: BaseException) -> str:
    """Why there is no connection, for whoever runs this.

    Nothing that is secret: no password, no URL, no statement with its values, and of an answer of the server
    neither DETAIL nor HINT.
    """
    words = _reason(driver_error(error))
    return " ".join(words.split())[:_REASON_LENGTH]


def _reason(cause: BaseException) -> str:
    if isinstance(cause, asyncpg.PostgresError):
        return f"{cause.args[0]} ({sqlstate(cause)})"
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    if isinstance(cause, OSError):
        return _system_reason(cause)
    if isinstance(cause, asyncpg.TargetServerAttributeNotMatched):
        return "it is not what target_session_attrs asks for"
    told = isinstance(cause, asyncpg.InterfaceError | asyncpg.InternalClientError | SQLAlchemyError)
    return str(cause.args[0]) if told and cause.args else type(cause).__name__


def _system_reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, socket.gaierror):
        return error.strerror or "its name is not known"
    if error.errno and not isinstance(error, ssl.SSLError):
        return os.strerror(error.errno)  # asyncio has put the address where the system said what is wrong
    return str(error) or type(error).__name__
