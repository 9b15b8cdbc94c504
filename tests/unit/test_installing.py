"""What `make` installs with."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from workbench import installing

LISTED = """\
:env:.cert='/etc/authority.pem'
:env:.disable-pip-version-check='1'
global.index-url='https://example.com/global'
global.extra-index-url='https://example.com/a\\nhttps://example.com/b'
install.index-url='https://example.com/install'
install.find-links='/one\\n/two'
"""


def test_uv_is_told_where_pip_looks() -> None:
    settings = installing.pip_settings(LISTED)

    assert installing.uv_environment(settings, {"HOME": "/home"}) == {
        "HOME": "/home",
        "SSL_CERT_FILE": "/etc/authority.pem",
        "UV_DEFAULT_INDEX": "https://example.com/install",
        "UV_FIND_LINKS": "/one,/two",
        "UV_INDEX": "https://example.com/a\nhttps://example.com/b",
    }


def test_what_is_set_for_uv_wins() -> None:
    settings = installing.pip_settings(LISTED)

    told = installing.uv_environment(settings, {"UV_DEFAULT_INDEX": "https://example.com/uv"})

    assert told["UV_DEFAULT_INDEX"] == "https://example.com/uv"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A pip and a uv that only note how they were called, and end as they are told."""
    log = tmp_path / "calls"

    def program(name: str, status: int) -> str:
        file = tmp_path / name
        file.write_text(f'#!/bin/sh\necho "{name} $*" >> "{log}"\necho "{name} says"\nexit {status}\n')
        file.chmod(0o755)
        return str(file)

    def make(*, pip: int = 0, uv: int | None = 0) -> Path:
        monkeypatch.setattr(installing, "PIP", (program("pip", pip),))
        if uv is not None:
            program("uv", uv)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
        return log

    return make


def installed_with(log: Path) -> Sequence[str]:
    lines = log.read_text().splitlines() if log.exists() else []
    return [line.split()[0] for line in lines if ".[embedded]" in line]


def test_uv_installs_where_there_is_one(programs: Callable[..., Path]) -> None:
    log = programs()

    assert installing.main(["embedded"]) == 0
    assert installed_with(log) == ["uv"]


def test_pip_installs_where_uv_fails(programs: Callable[..., Path]) -> None:
    log = programs(uv=1)

    assert installing.main(["embedded"]) == 0
    assert installed_with(log) == ["uv", "pip"]


def test_pip_installs_where_it_cannot_get_a_uv(programs: Callable[..., Path]) -> None:
    log = programs(uv=None)

    assert installing.main(["embedded"]) == 0
    assert installed_with(log) == ["pip"]


def test_pip_installs_where_that_is_asked_for(programs: Callable[..., Path]) -> None:
    log = programs()

    assert installing.main(["--installer", "pip", "embedded"]) == 0
    assert installed_with(log) == ["pip"]


def test_the_reason_is_shown_where_nothing_could_install(
    programs: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    programs(pip=3, uv=1)

    assert installing.main(["embedded"]) == 3
    assert capsys.readouterr().err.splitlines() == ["uv says", "pip says"]
