"""A process imports what it runs: what a command takes to start is mostly imports."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from entrypoints.commands import cli
from entrypoints.version import app_version

SOURCES = Path(__file__).resolve().parents[2] / "src"
DRIVERS = {
    "aiokafka",
    "alembic",
    "argon2",
    "asyncpg",
    "jwt",
    "litestar",
    "precis_i18n",
    "redis",
    "sqlalchemy",
    "uvicorn",
}
"""What takes long to import, or should not be needed."""

ALLOWED = {
    "--version": set(),
    "api --help": {"uvicorn"},  # which imports the application later
    "consumer --help": {"aiokafka", "asyncpg", "litestar", "redis", "sqlalchemy", "uvicorn"},
    "migrate --help": {"aiokafka", "alembic", "asyncpg", "sqlalchemy"},
    "prune --help": {"asyncpg", "redis", "sqlalchemy"},
    "export-users --help": {"asyncpg", "redis", "sqlalchemy"},
    "import-users --help": {"asyncpg", "redis", "sqlalchemy"},
    "reset-feeds --help": {"asyncpg", "redis", "sqlalchemy"},
    "keys --help": {"asyncpg", "sqlalchemy"},
    "disable-user --help": {"asyncpg", "sqlalchemy"},
    "users --help": {"argon2", "asyncpg", "precis_i18n", "sqlalchemy"},
    "demo-access --help": {"argon2", "asyncpg", "jwt", "precis_i18n", "sqlalchemy"},
    "dlq --help": {"aiokafka"},
    "token --help": {"jwt"},
    "publish --help": set(),
    "listen --help": set(),
    "inbox --help": set(),
    "tail --help": {"aiokafka"},
}


def imported(*words: str) -> set[str]:
    """The modules that a Python program imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *words],
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stderr.splitlines()
    return {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}


@pytest.mark.parametrize("command", ALLOWED)
def test_a_command_imports_what_it_runs(command: str) -> None:
    assert imported("-m", "bellwire", *command.split()) & DRIVERS == ALLOWED[command]


def test_the_api_does_not_import_what_migrates_or_consumes() -> None:
    modules = imported("-c", "import entrypoints.app")

    assert "adapters.kafka.queue" in modules
    assert not modules & {"alembic", "adapters.kafka.reader", "entrypoints.consumer"}


def test_settings_do_not_import_what_they_do_not_need() -> None:
    modules = imported("-c", "from entrypoints.settings import Settings; Settings.from_env()")

    assert not modules & DRIVERS


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_a_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])

    assert ended.value.code == 0
    assert f"usage: bellwire {name}" in capsys.readouterr().out


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])

    assert ended.value.code == 0
    assert capsys.readouterr().out == f"bellwire {app_version()}\n"
