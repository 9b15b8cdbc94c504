"""A copy of the checkout, in which a bug can be planted without touching the checkout itself."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import cache_from_source
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.mutants.mutant import ROOT, Mutant


@contextmanager
def copied() -> Iterator[Path]:
    """Copy every file that Git tracks or would track, as it is in the working tree."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    with TemporaryDirectory(prefix="bellwire-mutants-") as folder:
        copy = Path(folder)
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():  # a tracked file may be deleted and not committed yet
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, copy / name)
        yield copy


@contextmanager
def planted(mutant: Mutant, copy: Path) -> Iterator[None]:
    """Plant a bug in a copy, and take it out again. Raises Stale."""
    path = copy / mutant.file
    right, wrong = path.read_text(), mutant.planted(copy)
    try:
        _write(path, wrong)
        yield
    finally:
        _write(path, right)


def _write(path: Path, text: str) -> None:
    """Python takes compiled code for up to date if the source has the same size and was written in the same
    second, so the compiled code goes.
    """
    path.write_text(text)
    if path.suffix == ".py":
        Path(cache_from_source(str(path))).unlink(missing_ok=True)
