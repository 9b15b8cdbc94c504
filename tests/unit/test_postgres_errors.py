"""What becomes of the errors of PostgreSQL: which the data is to blame for, and which not."""

import errno
import re
import socket
import ssl
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError, InvalidRequestError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from adapters.postgres import errors
from adapters.postgres.errors import JITTER, Collided, Taken, explained, retried, translated, translation
from adapters.postgres.pooling import SESSION
from adapters.postgres.states import reason
from application.errors import Refused, Unavailable

ROOT = Path(__file__).resolve().parents[2]


def answered(state: str, constraint: str | None = None) -> Exception:
    """An error as the server reports it."""
    fields = {"C": state, "M": "what went wrong", **({"n": constraint} if constraint else {})}
    error: Exception = asyncpg.PostgresError.new(fields)
    return error


def wrapped(error: Exception) -> Exception:
    """The same as SQLAlchemy raises it."""
    theirs = Exception("SQLAlchemy's own")
    theirs.__cause__ = error
    return DBAPIError("SELECT 1", None, theirs)


@pytest.mark.parametrize(
    ("state", "constraint", "kind"),
    [
        # the data
        ("22001", None, Refused),  # string too long
        ("22003", None, Refused),  # number out of range
        ("22008", None, Refused),  # time out of range
        ("22021", None, Refused),  # not in the encoding, as NUL is
        ("22P02", None, Refused),  # not the text of such a value
        ("22P05", None, Refused),  # no such character, as an escaped NUL
        ("23503", "feeds_user_id_fk", Refused),
        ("23505", "notifications_2026_03_version_key", Refused),
        ("23514", "somebodys_check", Refused),
        ("54000", None, Refused),  # a value too long for its index
        ("54001", None, Refused),  # nested too deeply
        ("23505", "users_pk", Taken),
        ("23505", "users_email_key", Taken),
        # another transaction
        ("40001", None, Collided),  # serialization failure
        ("40P01", None, Collided),  # deadlock
        # the server, its settings and its schema
        ("08006", None, Unavailable),  # connection failure
        ("08P01", None, Unavailable),  # protocol violation
        ("0A000", None, Unavailable),  # not supported
        ("22023", None, Unavailable),  # a setting that the server does not take
        ("23502", None, Unavailable),  # a column of a newer release that must not be null
        ("23514", None, Unavailable),  # no partition
        ("25006", None, Unavailable),  # read-only: a replica
        ("25P02", None, Unavailable),  # in a failed transaction
        ("25P03", None, Unavailable),  # idle in a transaction for too long
        ("28P01", None, Unavailable),  # wrong password
        ("3D000", None, Unavailable),  # no such database
        ("42501", None, Unavailable),  # no privilege
        ("42703", None, Unavailable),  # no such column: a migration is missing
        ("42P01", None, Unavailable),  # no such table
        ("53100", None, Unavailable),  # disk full
        ("53200", None, Unavailable),  # out of memory
        ("53300", None, Unavailable),  # too many connections
        ("53400", None, Unavailable),  # configuration limit exceeded
        ("54011", None, Unavailable),  # too many columns
        ("55P03", None, Unavailable),  # lock not available
        ("57014", None, Unavailable),  # cancelled, or over the statement's time
        ("57P01", None, Unavailable),  # shut down by an administrator
        ("57P02", None, Unavailable),  # crash
        ("57P03", None, Unavailable),  # starting up
        ("58000", None, Unavailable),  # system error
        ("58030", None, Unavailable),  # I/O error
        ("XX000", None, Unavailable),  # internal error
        ("XX001", None, Unavailable),  # data corrupted
    ],
)
@pytest.mark.parametrize("form", [lambda error: error, wrapped], ids=["driver", "sqlalchemy"])
def test_only_data_is_refused(state: str, constraint: str | None, kind: type, form: Any) -> None:
    found = translation(form(answered(state, constraint)))

    assert type(found) is kind
    if isinstance(found, Refused):
        assert found.code == state


@pytest.mark.parametrize(
    "error",
    [
        OSError("connection refused"),
        TimeoutError(),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InternalClientError("what the driver did not expect"),
        PoolTimeout("every connection is in use"),
        InvalidRequestError("this connection is closed"),
    ],
)
def test_without_an_answer_the_store_is_unavailable(error: Exception) -> None:
    with pytest.raises(Unavailable) as caught, translated():
        raise error

    assert caught.value.__cause__ is error


def test_what_the_driver_cannot_encode_is_data() -> None:
    assert isinstance(translation(asyncpg.DataError("invalid input for query argument")), Refused)


def test_a_statement_that_a_schema_change_outdated_is_tried_again() -> None:
    error = asyncpg.InvalidCachedStatementError("cached plan must not change result type")

    assert isinstance(translation(error), Collided)
    assert isinstance(translation(wrapped(error)), Collided)


def test_what_is_wrong_with_the_store_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    translation(answered("42703"))

    assert "42703" in caplog.text


def test_the_log_does_not_repeat_the_row(caplog: pytest.LogCaptureFixture) -> None:
    """PostgreSQL's DETAIL of a constraint is "Failing row contains (…)"."""
    fields = {"C": "23502", "M": "null value", "D": "Failing row contains (canary)."}

    translation(asyncpg.PostgresError.new(fields))

    assert "null value" in caplog.text
    assert "canary" not in caplog.text


def test_the_manual_names_every_setting_that_the_role_needs_behind_a_pooler() -> None:
    manual = (ROOT / "docs" / "operations.md").read_text()

    assert dict(re.findall(r"ALTER ROLE bellwire SET (\w+) = '(.*)';", manual)) == SESSION


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (answered("3D000"), "what went wrong (3D000)"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "('127.0.0.1', 1)"), "Connection refused"),
        (OSError("Multiple exceptions: [Errno 111] a, [Errno 111] b"), "Multiple exceptions: [Errno 111] a,"),
        (ConnectionResetError(), "ConnectionResetError"),
        (TimeoutError(), "no answer in time"),
        (asyncpg.TargetServerAttributeNotMatched("…"), "it is not what target_session_attrs asks for"),
        (asyncpg.InterfaceError("not\nin one line"), "not in one line"),
        (asyncpg.InterfaceError("long " * 100), "long " * 50),
        (DBAPIError("SELECT canary", {"canary": "canary"}, ValueError("canary")), "ValueError"),
        (PoolTimeout("QueuePool limit of size 1"), "QueuePool limit of size 1"),
    ],
)
def test_a_reason_is_one_short_line_without_values(error: Exception, words: str) -> None:
    for form in (error, wrapped(error)) if isinstance(error, asyncpg.PostgresError) else (error,):
        said = reason(form)

        assert said.startswith(words)
        assert len(said) <= 300
        assert "\n" not in said
        assert "canary" not in said


def test_a_certificate_that_is_not_accepted_is_said_to_be_that() -> None:
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
    error.verify_message = "self-signed certificate"

    assert reason(error) == "its certificate is not accepted: self-signed certificate"


async def test_collisions_are_tried_again_a_few_times() -> None:
    engine = SimpleNamespace(get_execution_options=lambda: {JITTER: lambda _low, _high: 0.0})
    outcomes: list[Exception | str] = []

    @retried
    async def work(_engine: object) -> str:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    tries = len(errors._PAUSES_SECONDS) + 1
    outcomes[:] = [Collided()] * (tries - 1) + ["done"]
    assert await work(engine) == "done"

    outcomes[:] = [Collided()] * (tries + 1)
    with pytest.raises(Collided):
        await work(engine)
    assert len(outcomes) == 1

    outcomes[:] = [Unavailable(), "done"]
    with pytest.raises(Unavailable):
        await work(engine)
    assert outcomes == ["done"]


# --- for operators ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [answered, lambda state: wrapped(answered(state))])
@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("42P01", "The database is not migrated: run `bellwire migrate` (what went wrong (42P01))."),
        ("42883", "The database is not migrated: run `bellwire migrate` (what went wrong (42883))."),
        ("28P01", "PostgreSQL is out of reach: what went wrong (28P01)"),
        ("3D000", "PostgreSQL is out of reach: what went wrong (3D000)"),
        ("25006", "PostgreSQL takes no writes: what went wrong (25006)"),
        ("42501", "PostgreSQL refuses this: what went wrong (42501)"),
    ],
)
def test_operators_are_told_why_and_what_to_do(state: str, said: str, form: Any) -> None:
    with pytest.raises(Unavailable) as caught, translated():
        raise form(state)

    assert explained(caught.value).detail == said


def test_a_refused_connection_is_explained_and_what_is_not_of_the_store_stays() -> None:
    with pytest.raises(Unavailable) as caught, translated():
        raise ConnectionRefusedError(errno.ECONNREFUSED, "address")

    assert explained(caught.value).detail == "PostgreSQL is out of reach: Connection refused"
    other = Unavailable("Redis is out of reach.")
    assert explained(other) is other


def test_what_a_server_says_of_a_certificate_after_the_handshake_is_the_reason() -> None:
    error = asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
    error.__cause__ = ssl.SSLError(1, "[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca")

    assert "unknown ca" in reason(error)
