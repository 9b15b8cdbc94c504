"""Completion of the command line in shells, and what every command has in common."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from application.errors import Unavailable
from entrypoints.commands import cli
from tests import commands_page

SOURCES = Path(__file__).resolve().parents[2] / "src"
IN_BASH = """
eval "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_shtab_bellwire
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script() -> Callable[[str], str]:
    def printed(shell: str) -> str:
        done = bellwire("completion", shell)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return printed


def bellwire(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "bellwire", *words],
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_commands_options_and_choices(script: Callable[[str], str]) -> None:
    text = script("bash")

    def completed(*words: str) -> set[str]:
        done = subprocess.run(
            ["bash", "-c", IN_BASH, "bash", text, "bellwire", *words],
            capture_output=True,
            text=True,
            check=True,
        )
        return set(done.stdout.split())

    assert completed("") == cli.COMMANDS.keys() | {"dev", "soak"}
    assert completed("stat") == {"status"}
    assert completed("keys", "") == {"create", "list", "rotate", "revoke"}
    assert completed("keys", "create", "--sc") == {"--scope"}
    assert completed("keys", "create", "--scope", "p") == {"publish"}
    assert completed("soak", "--serv") == {"--servers"}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_told_of_every_command(script: Callable[[str], str], shell: str) -> None:
    text = script(shell)

    assert all(name in text for name in cli.COMMANDS)
    if shutil.which(shell) is not None:
        subprocess.run([shell, "-n"], input=text, text=True, check=True)


# --- how a command ends -----------------------------------------------------------------------------------


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], int]:
    """Runs a command that does this."""

    def run(work: Callable[[], None]) -> int:
        arguments = argparse.Namespace(run=lambda _: work())
        monkeypatch.setattr(argparse.ArgumentParser, "parse_args", lambda *_: arguments)
        return cli.main(["any"])

    return run


def test_an_interrupt_is_130_and_no_traceback(
    running: Callable[[Callable[[], None]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert running(lambda: signal.raise_signal(signal.SIGINT)) == 130
    assert capsys.readouterr() == ("", "")


def test_a_failure_is_one_line_and_1(
    running: Callable[[Callable[[], None]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        raise Unavailable("Kafka is away.")

    assert running(work) == 1
    assert capsys.readouterr() == ("", "bellwire: Kafka is away.\n")


def test_a_failure_with_the_settings_of_make_dev_says_so(
    running: Callable[[Callable[[], None]], int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "env").touch(mode=0o600)
    monkeypatch.setenv("BELLWIRE_DATA", str(tmp_path))

    def work() -> None:
        raise Unavailable("Kafka is away.")

    assert running(work) == 1
    assert f"{tmp_path / 'env'}, which `make dev` wrote" in capsys.readouterr().err


def test_a_misspelt_setting_is_named_with_the_one_that_is_meant(
    running: Callable[[Callable[[], None]], int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("REDIS_ULR", "IMAGE_TAG", "SERVICE_PORT", "URL", "PORT_8000_TCP", "TOKEN"):
        monkeypatch.setenv(f"BELLWIRE_{name}", "x")

    assert running(lambda: None) == 0
    said = "bellwire: BELLWIRE_REDIS_ULR is not a setting; did you mean BELLWIRE_REDIS_URL?\n"
    assert capsys.readouterr() == ("", said)


def test_a_closed_pipe_is_quiet() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "bellwire", "completion", "bash"],
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
        timeout=60,
    )
    os.close(write)

    assert (done.returncode, done.stderr) == (0, b"")


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parsers of all commands that have none below them."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield parser
    for action in below:
        for command in action.choices.values():
            yield from leaves(command)


QUIET = {
    "api", "consumer", "disable-user", "enable-user", "health", "revoke-key", "keys revoke", "revoke-token",
    "revoke-tokens",
}  # fmt: skip
"""Commands that print no result."""
JSON = {"openapi", "asyncapi", "demo-access", "export-users", "users export"}
"""Commands that print JSON anyway."""


def test_every_command_that_prints_can_print_json() -> None:
    commands = {command.prog.removeprefix("bellwire "): command for command in leaves(cli.whole_parser())}
    without = {name for name, command in commands.items() if "--json" not in command._option_string_actions}

    assert without == QUIET | JSON | {"completion"}


def test_the_page_of_the_commands_is_up_to_date() -> None:
    assert commands_page.PAGE.read_text(encoding="utf-8") == commands_page.text(), (
        "run python -m tests.commands_page"
    )
