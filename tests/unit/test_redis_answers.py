"""What error answers of Redis mean, in every form in which redis-py hands them on."""

import pytest
from redis._parsers.base import BaseParser
from redis.asyncio.client import Pipeline
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import TimeoutError as Silence

from adapters.redis import answers

READONLY = "READONLY You can't write against a read only replica."
BY_SCRIPT = " script: 119b0beb461d5982ddacc6dda6829882d5e16b4d, on @user_script:1."
OF_OLD = (
    "ERR Error running script (call to f_119b0beb461d5982ddacc6dda6829882d5e16b4d): "
    "@user_script:17: @user_script: 17: -READONLY You can't write against a read only replica."
)


def answer(line: str) -> Exception:
    """The exception that redis-py makes of an error answer."""
    error: Exception = BaseParser.parse_error(line)  # type: ignore[no-untyped-call]
    return error


def in_pipeline(error: Exception) -> Exception:
    """The same, if a command of a pipeline got it."""
    Pipeline.annotate_exception(None, error, 1, ["EVAL", "a script", 0, "words of ada"])  # type: ignore[arg-type]
    return error


@pytest.mark.parametrize("line", [READONLY, READONLY + BY_SCRIPT, OF_OLD])
@pytest.mark.parametrize("pipeline", [False, True])
def test_a_demoted_server_is_known_in_every_form(line: str, *, pipeline: bool) -> None:
    error = in_pipeline(answer(line)) if pipeline else answer(line)

    assert answers.code(error) == "READONLY"
    assert answers.ends(error)
    assert not answers.refuses(error)
    assert not answers.is_loss(error)


@pytest.mark.parametrize(
    "line",
    [
        "LOADING Redis is loading the dataset in memory",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "CLUSTERDOWN The cluster is down",
        "NOREPLICAS Not enough good replicas to write.",
        "NOREPLICAS Not enough good replicas to write." + BY_SCRIPT,
        "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
    ],
)
def test_answers_of_the_wrong_server_end_connections(line: str) -> None:
    assert answers.ends(answer(line))


@pytest.mark.parametrize(
    "line",
    [
        "NOPERM User weak has no permissions to run the 'getdel' command",
        "ERR ACL failure in script: No permissions to access a key" + BY_SCRIPT,
        "OOM command not allowed when used memory > 'maxmemory'.",
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
        "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "MOVED 3999 127.0.0.1:6381",
        "NOSCRIPT No matching script.",
        "SOMETHING new",
    ],
)
def test_answers_that_every_connection_would_get_end_none(line: str) -> None:
    assert answers.refuses(answer(line))
    assert not answers.is_loss(answer(line))


def test_a_key_of_another_type_says_nothing_about_the_server() -> None:
    said = answer("WRONGTYPE Operation against a key holding the wrong kind of value")

    assert answers.is_about_one_key(said)
    assert not any(judge(said) for judge in (answers.ends, answers.refuses, answers.is_loss))


@pytest.mark.parametrize(
    "line",
    [
        "NOAUTH Authentication required.",
        "WRONGPASS invalid username-password pair or user is disabled.",
        "ERR max number of clients reached",
        "DENIED Redis is running in protected mode",
    ],
)
def test_answers_to_a_login_leave_those_alone_who_are_logged_in(line: str) -> None:
    assert not answers.ends(answer(line))
    assert not answers.is_loss(answer(line))


@pytest.mark.parametrize("error", [ConnectionLost("Connection closed by server."), Silence(), OSError()])
def test_no_answer_is_a_loss(error: Exception) -> None:
    assert answers.is_loss(error)
    assert not answers.ends(error)
    assert not answers.refuses(error)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (READONLY, READONLY),
        (
            "ERR unknown command 'GETDEL', with args beginning with: 'bellwire:ticket:secret' ",
            "unknown command 'GETDEL'",
        ),
        ("WRONGPASS invalid username-password pair", "WRONGPASS invalid username-password pair"),
        ("NOREPLICAS Not enough good replicas to write.", "NOREPLICAS Not enough good replicas to write."),
    ],
)
@pytest.mark.parametrize("pipeline", [False, True])
def test_a_reason_has_the_words_of_the_server_and_none_of_the_command(
    line: str, told: str, *, pipeline: bool
) -> None:
    error = in_pipeline(answer(line)) if pipeline else answer(line)

    assert answers.reason(error) == told


def test_an_error_without_words_is_named() -> None:
    assert answers.reason(TimeoutError()) == "TimeoutError"
