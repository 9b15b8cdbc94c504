"""deploy/systemd: units that systemd accepts, with few rights and time to stop."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from entrypoints.commands import cli
from entrypoints.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))
EXPOSURE = 20
"""Of 100, as `systemd-analyze security` rates what an intruder in the process could do."""

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze (Debian: apt install systemd)"
)
by_name = pytest.mark.parametrize("unit", UNITS, ids=[unit.stem for unit in UNITS])


def service(unit: Path) -> dict[str, list[str]]:
    """The values of each setting of a unit."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", unit.read_text(), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def installed(unit: Path, folder: Path) -> Path:
    """The unit as one instance."""
    return Path(shutil.copy(unit, folder / unit.name.replace("@", "@8000")))


@needs_systemd
@by_name
def test_systemd_accepts_a_unit(unit: Path, tmp_path: Path) -> None:
    file = installed(unit, tmp_path)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    about = [line for line in done.stderr.splitlines() if unit.stem.partition("@")[0] in line]
    assert done.returncode == 0, done.stderr
    assert about == []


@needs_systemd
@by_name
def test_a_unit_has_few_rights(unit: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *("systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE}"),
            str(installed(unit, tmp_path)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@by_name
def test_a_unit_runs_a_command_and_keeps_secrets_in_files(unit: Path) -> None:
    found = service(unit)
    words = found["ExecStart"][0].split()
    assert words[0] == "/usr/bin/env"
    assert words[-2:] in (["/opt/bellwire/bin/bellwire", name] for name in cli.COMMANDS)
    settings = {f"BELLWIRE_{name.upper()}" for name in Settings.__struct_fields__}
    assert {word.partition("=")[0] for word in words if "=" in word} <= settings
    assert "/etc/bellwire/bellwire.env" in found["EnvironmentFile"]
    assert "Environment" not in found


@by_name
def test_a_process_has_time_to_stop_and_is_started_again(unit: Path) -> None:
    found = service(unit)
    if "@" not in unit.stem:
        assert found["Type"] == ["oneshot"]
        return
    drain = Settings().drain_seconds + Settings().drain_delay_seconds
    assert int(found["TimeoutStopSec"][0]) >= drain + 19 + 5
    assert found["Restart"] == ["always"]
    assert found["RestartPreventExitStatus"] == ["2"]
    assert int(found["LimitNOFILE"][0]) > Settings().sockets


@by_name
def test_a_unit_can_be_read(unit: Path) -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read(unit)
    assert parser.sections() == ["Unit", "Service", "Install"]
