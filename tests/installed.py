"""Packages that examples need and the service does not: installed once, beside Apache Kafka."""

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import mkdtemp

import pytest

ROOT = Path(__file__).resolve().parents[1]


def installed(wanted: Sequence[Path], install: Callable[[Path], Sequence[str]]) -> Path:
    """The folder into which a command has installed what these files ask for. Skips the test if it cannot."""
    version = hashlib.sha256(b"".join(file.read_bytes() for file in wanted)).hexdigest()[:16]
    folder = ROOT / ".bellwire" / f"packages-{version}"
    if folder.exists():
        return folder
    folder.parent.mkdir(exist_ok=True)
    unfinished = Path(mkdtemp(dir=folder.parent))
    done = subprocess.run(install(unfinished), capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(unfinished)
        pytest.skip(f"cannot be installed here: {done.stderr.strip()[-300:]}")
    try:
        unfinished.rename(folder)
    except OSError:  # another process of the tests was faster
        shutil.rmtree(unfinished)
    return folder
