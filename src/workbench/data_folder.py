"""The folder of `bellwire dev`: its lock, the secrets kept in it, and the environment file for other
commands.
"""

import contextlib
import fcntl
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import TextIO

from entrypoints.settings import InvalidSettings

# Which variables in the environment file `bellwire dev` chose itself.
CHOSEN_BY_DEV = "BELLWIRE_CHOSEN_BY_DEV"


class AlreadyRunning(Exception):
    """The data folder is in use by another `bellwire dev`."""


def project() -> Path:
    """The checkout that this file belongs to, or the current folder when it is installed elsewhere."""
    checkout = Path(__file__).resolve().parents[2]
    return checkout if (checkout / "pyproject.toml").exists() else Path.cwd()


def make(folder: Path, setting: str) -> None:
    """Make a folder, and see that files can be made in it. Raises InvalidSettings, naming the setting."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = "it is no folder" if isinstance(error, FileExistsError) else error.strerror
        raise InvalidSettings(f"{setting}: {folder} cannot be written: {reason}") from error


# --- the lock -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[TextIO]:
    """Hold the folder's lock. The system releases it when this process dies, however that happens."""
    with (folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            pid, _, url = lock.read().strip().partition(" ")
            where = f"at {url}" if url else "and is starting"
            raise AlreadyRunning(f"Bellwire already runs here {where} (process {pid}).") from None
        write(lock, str(os.getpid()))
        try:
            yield lock
        finally:
            write(lock, "")


def write(lock: TextIO, text: str) -> None:
    lock.truncate(0)
    lock.write(text)
    lock.flush()


# --- what is kept ---------------------------------------------------------------------------------------


def kept(file: Path, make: Callable[[], str]) -> str:
    """Return a secret that is made once and kept in a file that only the owner can read."""
    if not file.exists() or not file.stat().st_size:
        _write_private(file, make())
    return file.read_text()


def _write_private(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text)


# --- the environment file -------------------------------------------------------------------------------


def write_environment(file: Path, environment: Mapping[str, str], given: Mapping[str, str]) -> None:
    """Write a file to source. With it, any command, such as `bellwire keys`, works on this installation.

    Only BELLWIRE_… variables are written. `given` is the environment before `bellwire dev`.
    """
    ours = {name: value for name, value in environment.items() if name.startswith("BELLWIRE_")}
    chosen = {name: value for name, value in ours.items() if given.get(name) != value}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in sorted(ours.items())]
    command = shlex.quote(str(Path(sys.executable).with_name("bellwire")))
    _write_private(
        file,
        "# Made by `bellwire dev` each time it starts. Source it, again after a restart.\n"
        + "\n".join(lines)
        + f"\nexport {CHOSEN_BY_DEV}={shlex.quote(json.dumps(chosen))}"
        + f"\nalias bellwire={shlex.quote(command)}\n",
    )


def without_own(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without what such a file set, so that the next run chooses anew."""
    chosen = json.loads(environment.get(CHOSEN_BY_DEV) or "{}")
    return {
        name: value
        for name, value in environment.items()
        if name != CHOSEN_BY_DEV and chosen.get(name) != value
    }
