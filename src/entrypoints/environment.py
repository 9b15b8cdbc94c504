"""The environment: BELLWIRE_… variables, and where they are not set, those of a running `make dev`."""

import os
import shlex
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

PREFIX = "BELLWIRE_"
_FOLDER, _FILE = ".bellwire", "env"
_DATA = "BELLWIRE_DATA"
_WHERE = {
    f"{PREFIX}{name}"
    for name in ("POSTGRES_URL", "MIGRATION_URL", "REDIS_URL", "KAFKA_BOOTSTRAP", "TOKEN_SECRET", "URL")
}
"""Whoever sets one of these means another installation, which must not be mixed with that of `make dev`."""
OF_OTHERS = {f"{PREFIX}{name}" for name in ("URL", "API_KEY", "TOKEN", "CURSOR", "DATA", "CHOSEN_BY_DEV")}
"""Variables that are not settings of a process: those of clients, and of `bellwire dev`."""


def variables() -> Mapping[str, str]:
    """The BELLWIRE_… variables that are set and not empty.

    If none of them says where an installation is, those that `make dev` wrote to `.bellwire/env` in the
    working directory or above (or to BELLWIRE_DATA) are added; the environment overrides them.
    """
    file = dev_file()
    return ({} if file is None else _read(file)) | given()


def dev_file() -> Path | None:
    """The file of `make dev` from which `variables` takes some; None if it takes none."""
    names = given()
    if names.keys() & _WHERE:
        return None
    folders = [Path(names[_DATA])] if _DATA in names else _folders()
    return next((folder / _FILE for folder in folders if _is_own(folder / _FILE)), None)


def given() -> dict[str, str]:
    """The BELLWIRE_… variables of the environment alone, without those that are empty."""
    return {name: value for name, value in os.environ.items() if name.startswith(PREFIX) and value}


def telemetry() -> dict[str, str]:
    """The OTEL_… variables of the environment. Those that are empty count as not set (OpenTelemetry
    specification, "Environment Variable Specification"), which its SDK does not know: they are removed.
    """
    found = {name: value for name, value in os.environ.items() if name.startswith("OTEL_")}
    for name in [name for name, value in found.items() if not value]:
        del os.environ[name], found[name]
    return found


def _folders() -> Iterator[Path]:
    try:
        here = Path.cwd()
    except FileNotFoundError:  # the working directory was removed
        return
    for folder in (here, *here.parents):
        yield folder / _FOLDER


def _is_own(file: Path) -> bool:
    """Whether the file is ours alone to write: in a folder above, anyone could have put one."""
    try:
        found = file.stat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022


def _read(file: Path) -> dict[str, str]:
    """The variables that the file exports. Lines that cannot be read are left out."""
    found = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue
        if len(words) == 2 and words[0] == "export" and words[1].startswith(PREFIX):
            name, _, value = words[1].partition("=")
            if value:
                found[name] = value
    return found
