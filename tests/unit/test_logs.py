"""Log lines."""

import json
import logging
from collections.abc import Iterator
from secrets import token_hex

import pytest

from common import tracing
from entrypoints.logs import JsonFormatter, Repetitions, configure

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(autouse=True)
def same_logging_afterwards() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def line(**changes: object) -> dict[str, object]:
    """What a record looks like in the log."""
    record = logging.LogRecord("bellwire.test", logging.WARNING, "f.py", 1, "took %d ms", (7,), None)
    record.__dict__.update(changes)
    text = JsonFormatter().format(record)
    assert "\n" not in text
    return dict(json.loads(text))


def test_a_line_says_when_what_and_where() -> None:
    found = line()

    assert (found["level"], found["logger"], found["message"]) == ("warning", "bellwire.test", "took 7 ms")
    assert str(found["time"]).endswith("Z")
    assert "request_id" not in found


def test_a_line_carries_the_ids_of_its_request() -> None:
    request, trace = tracing.request_id.set("r-1"), tracing.traceparent.set(TRACE)
    try:
        found = line()
    finally:
        tracing.request_id.reset(request)
        tracing.traceparent.reset(trace)

    assert (found["request_id"], found["trace_id"]) == ("r-1", "0af7651916cd43dd8448eb211c80319c")


def test_what_was_said_extra_is_there_as_text() -> None:
    assert line(partition=3, offset=object)["partition"] == "3"


def test_an_error_is_told_with_its_trace_on_the_same_line() -> None:
    error = ValueError("wrong")

    found = line(exc_info=(ValueError, error, None))

    assert "ValueError: wrong" in str(found["error"])


@pytest.mark.parametrize("message", ["line\nbreak", "\u2028", '"quoted"', "\x1b[31m", "👩"])
def test_no_message_breaks_out_of_its_line(message: str) -> None:
    assert line(msg="%s", args=(message,))["message"] == message


def test_no_message_breaks_out_of_its_line_of_text_either(capsys: pytest.CaptureFixture[str]) -> None:
    configure("INFO", "text")

    logging.getLogger("bellwire.test").info("%s", "one\r\ntwo \x1b[31m")

    assert capsys.readouterr().err.endswith(": one\\r\\ntwo \\x1b[31m\n")


@pytest.mark.parametrize("style", ["json", "text"])
def test_everything_goes_to_standard_error(capsys: pytest.CaptureFixture[str], style: str) -> None:
    configure("INFO", style)

    logging.getLogger("bellwire.test").info("said")
    logging.getLogger("bellwire.test").debug("not said")

    heard = capsys.readouterr()
    assert "said" in heard.err
    assert "not said" not in heard.err
    assert heard.out == ""


@pytest.mark.parametrize("name", ["aiokafka", "uvicorn.error"])
def test_those_who_talk_too_much_are_hushed(name: str) -> None:
    configure("INFO", "json")

    assert not logging.getLogger(name).isEnabledFor(logging.INFO)
    assert logging.getLogger(name).isEnabledFor(logging.WARNING)


# --- the ids of a trace ---


def test_a_trace_that_came_goes_on_under_a_span_of_our_own() -> None:
    continued = tracing.continued(TRACE, token_hex(tracing.FRESH_BYTES))

    assert continued.split("-")[1] == TRACE.split("-")[1]
    assert continued.split("-")[2] != TRACE.split("-")[2]


@pytest.mark.parametrize(
    "received", [None, "", "x", TRACE.upper(), TRACE + "-00", "ff" + TRACE[2:], TRACE + "\n"]
)
def test_what_is_no_trace_begins_a_new_one(received: str | None) -> None:
    continued = tracing.continued(received, token_hex(tracing.FRESH_BYTES))

    assert (
        tracing.continued(continued, token_hex(tracing.FRESH_BYTES)).split("-")[1] == continued.split("-")[1]
    )
    assert TRACE.split("-")[1] not in continued


@pytest.mark.parametrize(("name", "lines"), [("aiokafka.conn", 2), ("bellwire.test", 4)])
def test_a_library_says_the_same_once_a_minute(name: str, lines: int) -> None:
    repetitions = Repetitions("aiokafka")

    def let_through(at: float) -> bool:
        record = logging.LogRecord(name, logging.ERROR, "f.py", 1, "Unable to connect", (), None)
        record.created = at
        return bool(repetitions.filter(record))

    assert sum(let_through(at) for at in (0.0, 0.1, 59.9, 60.0)) == lines
