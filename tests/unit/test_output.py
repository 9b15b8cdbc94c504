"""How commands print."""

import io
import json
import sys
from argparse import ArgumentParser
from datetime import UTC, datetime

import pytest

from entrypoints.commands import output
from entrypoints.commands.output import Output

PEOPLE = [("ada", 36), ("grace\x1b[31m", 85)]
COLUMNS = ("Name", "Age")


def cells(person: tuple[str, int]) -> list[output.Cell]:
    return [(person[0], "bold"), str(person[1])]


def entry(person: tuple[str, int]) -> dict[str, object]:
    return {"name": person[0], "age": person[1]}


def printed(out: Output) -> None:
    out.table(PEOPLE, columns=COLUMNS, cells=cells, entry=entry)


def test_in_a_pipe_a_table_is_lines_without_a_header(capsys: pytest.CaptureFixture[str]) -> None:
    printed(Output(as_json=False))

    assert capsys.readouterr().out == "ada  36\ngrace\\x1b[31m  85\n"


def test_on_a_terminal_a_table_has_a_header_and_nothing_that_a_terminal_interprets(
    capsys: pytest.CaptureFixture[str],
) -> None:
    printed(Output(as_json=False, terminal=True))

    out = capsys.readouterr().out
    assert [line.split() for line in out.splitlines() if "─" not in line] == [
        ["Name", "Age"],
        ["ada", "36"],
        ["grace\\x1b[31m", "85"],
    ]
    assert "\x1b[31m" not in out


@pytest.mark.parametrize(("forbidden", "coloured"), [(None, True), ("1", False)])
def test_colours_are_left_out_where_nobody_wants_them(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    forbidden: str | None,
    coloured: bool,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # makes rich take the buffer for a terminal
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    if forbidden:
        monkeypatch.setenv("NO_COLOR", forbidden)

    Output(as_json=False, terminal=True).line([("late", "red"), "[bold]as it is[/bold]"], None)

    out = capsys.readouterr().out
    assert "[bold]as it is[/bold]" in out
    assert ("\x1b[31m" in out) == coloured


@pytest.mark.parametrize("terminal", [True, False])
def test_json_is_one_object_a_line_in_ascii(capsys: pytest.CaptureFixture[str], *, terminal: bool) -> None:
    out = Output(as_json=True, terminal=terminal)

    printed(out)
    out.line(["not printed"], {"at": datetime(2026, 11, 1, tzinfo=UTC)})
    out.fields({"Name": "not printed"}, {"name": "\u202eada"})
    out.value("not printed", {"token": "t"})

    text = capsys.readouterr().out
    assert text.isascii()
    assert [json.loads(line) for line in text.splitlines()] == [
        {"name": "ada", "age": 36},
        {"name": "grace\x1b[31m", "age": 85},
        {"at": "2026-11-01T00:00:00Z"},
        {"name": "\u202eada"},
        {"token": "t"},
    ]


def test_fields_are_below_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=False).fields({"user": "ada", "unread": ("3", "bold")}, None)

    assert capsys.readouterr().out == "user    ada\nunread  3\n"


def test_a_value_is_alone(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=False).value("bw_live_1", {})

    assert capsys.readouterr().out == "bw_live_1\n"


def test_the_arguments_say_the_form() -> None:
    parser = ArgumentParser()
    output.add_json(parser)

    assert Output.of(parser.parse_args(["--json"])).as_json
    assert not Output.of(parser.parse_args([])).as_json


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stdin", "yes"),
    [(Terminal("y\n"), True), (Terminal("YES\n"), True), (Terminal("\n"), False), (Terminal(""), False)],
)
def test_a_question_is_asked_at_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stdin: Terminal, *, yes: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)

    assert output.confirmed("Erase ada for good?") == yes
    assert capsys.readouterr() == ("", "Erase ada for good? [y/N] ")


def test_nobody_is_asked_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))

    assert not output.confirmed("Erase ada for good?")
    assert capsys.readouterr() == ("", "")
