"""What an error means for its connection; and a readable reason why the store is out of reach.

Most errors concern a statement: the connection goes on. Some concern the connection, which will not recover
and must be replaced.
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
    """What happens to a connection."""

    GOES_ON = auto()
    ENDS = auto()
    ENDS_WITH_PEERS = auto()
    """It ends, and so do those of its generation: they would meet the same error."""
    ENDS_IF_OLD = auto()
    """It ends with its generation if it is old. A new connection may do better; a recent one would not."""


# By SQLSTATE or its class (https://www.postgresql.org/docs/current/errcodes-appendix.html). Others go on,
# among them 53 (resources), 55 (locks), 57014 (cancelled), 58 (the server's disk); and 0A000 and 42501, which
# the server decides anew for each statement. 28 and 3D000 occur before there is a connection.
_FATES: Mapping[str, Fate] = {
    # The connection failed; or a pooler and the driver disagree about its state.
    "08": Fate.ENDS,
    # In a transaction that we did not begin, or in none: left so by a pooler or the previous user.
    "25": Fate.ENDS,
    # Read-only: the server is a standby now; or default_transaction_read_only, of which a connection keeps
    # the value from when it was opened.
    READ_ONLY: Fate.ENDS_IF_OLD,
    # A prepared statement or portal that the driver knows does not exist, or its name is taken: DISCARD ALL,
    # or a pooler that uses another server connection for each transaction.
    "26000": Fate.ENDS,
    "34000": Fate.ENDS,
    "42P05": Fate.ENDS,
    # The outcome is unknown.
    "40003": Fate.ENDS,
    # No such schema or table. A connection also keeps search_path from when it was opened.
    "3F000": Fate.ENDS_IF_OLD,
    "42P01": Fate.ENDS_IF_OLD,
    # The server shuts down, crashed, starts, dropped the database, or found the connection idle for too long.
    # It closes the connection; a pooler may not.
    "57P01": Fate.ENDS,
    "57P02": Fate.ENDS,
    "57P03": Fate.ENDS,
    "57P04": Fate.ENDS,
    "57P05": Fate.ENDS,
    # A defect of the server, which may be in its state for this connection; or of a pooler.
    "XX000": Fate.ENDS,
}
# Prepared for tables that have changed since; or a network cut, which affects the others too.
_SHARED = (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError, TimeoutError)
# It is unknown what the connection would answer next.
_UNCERTAIN = (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, asyncio.CancelledError)


def fate(error: BaseException) -> Fate:
    """What happens to the connection on which this error occurred."""
    cause = driver_error(error)
    if isinstance(cause, _SHARED):
        return Fate.ENDS_WITH_PEERS
    if isinstance(cause, _UNCERTAIN) or not isinstance(cause, Exception):
        return Fate.ENDS
    state = sqlstate(cause)
    return _FATES.get(state) or _FATES.get(state[:2]) or Fate.GOES_ON


def sqlstate(error: BaseException) -> str:
    """The SQLSTATE of a driver error, or an empty string."""
    return getattr(error, "sqlstate", None) or ""


def driver_error(error: BaseException) -> BaseException:
    """The driver's error, inside SQLAlchemy's wrapper and the wrapper's own."""
    while isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    cause = error.__cause__
    theirs = asyncpg.PostgresError | asyncpg.InterfaceError | asyncpg.InternalClientError
    return cause if isinstance(cause, theirs) else error


def reason(error: BaseException) -> str:
    """Why there is no connection, for operators.

    Without secrets: no password, no URL, no statement with its values, and of a server's answer neither
    DETAIL nor HINT.
    """
    words = _reason(driver_error(error))
    return " ".join(words.split())[:_REASON_LENGTH]


def _reason(cause: BaseException) -> str:
    if isinstance(cause, asyncpg.ConnectionDoesNotExistError) and isinstance(cause.__cause__, ssl.SSLError):
        cause = cause.__cause__  # the server's answer to a certificate, which may come after the handshake
    if isinstance(cause, asyncpg.PostgresError):
        return f"{cause.args[0]} ({sqlstate(cause)})"
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    if isinstance(cause, OSError):
        return _system_reason(cause)
    if isinstance(cause, asyncpg.TargetServerAttributeNotMatched):
        return "it is not what target_session_attrs asks for"
    has_text = isinstance(cause, asyncpg.InterfaceError | asyncpg.InternalClientError | SQLAlchemyError)
    return str(cause.args[0]) if has_text and cause.args else type(cause).__name__


def _system_reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, socket.gaierror):
        return error.strerror or "its name is not known"
    if error.errno and not isinstance(error, ssl.SSLError):
        return os.strerror(error.errno)  # asyncio replaces the system's text by the address
    return str(error) or type(error).__name__
