"""The software bill of materials of the wheel: `python -m workbench.sbom FILE` writes it as CycloneDX.

It names what the wheel needs at run time, in the versions that are installed here, which are those of
constraints.txt. The tool reads an environment, so it is given one that has the metadata of these libraries
and nothing else.
"""

import subprocess
import sys
import tomllib
import venv
from collections.abc import Mapping
from importlib.metadata import Distribution, distribution
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Write it to the file that is named. Returns the tool's exit status."""
    file = Path(sys.argv[1])
    file.parent.mkdir(parents=True, exist_ok=True)
    return write(file)


def write(file: Path) -> int:
    """Write it. Returns the tool's exit status, which is not 0 if the document is not valid."""
    with TemporaryDirectory() as folder:
        environment = Path(folder)
        venv.create(environment, symlinks=True)
        (packages,) = environment.glob("lib/python*/site-packages")
        for library in libraries().values():
            metadata = Path(str(library._path))  # type: ignore[attr-defined]  # noqa: SLF001 - nothing else tells
            (packages / metadata.name).symlink_to(metadata)
        command = (sys.executable, "-m", "cyclonedx_py", "environment", str(environment / "bin" / "python"))
        options = ("--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible")
        written = ("--output-file", str(file))
        return subprocess.run([*command, *options, *written], check=False).returncode


def libraries() -> Mapping[str, Distribution]:
    """What the wheel needs at run time, directly or not, by canonical name."""
    wanted = list(map(Requirement, project()["dependencies"]))
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    while wanted:
        one = wanted.pop()
        name, extras = canonicalize_name(one.name), frozenset(one.extras)
        if (name, extras) in seen or not (one.marker is None or one.marker.evaluate()):
            continue
        seen.add((name, extras))
        found[name] = library = distribution(one.name)
        wanted += [need for need in map(Requirement, library.requires or ()) if _holds(need, extras)]
    return found


def project() -> dict[str, list[str]]:
    """The project's own description."""
    described: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return described


def _holds(need: Requirement, extras: frozenset[str]) -> bool:
    """Whether a library is needed with these extras of the one that needs it."""
    marker = need.marker
    if marker is None:
        return True
    holds = any(marker.evaluate({"extra": extra}) for extra in extras or {""})
    need.marker = None  # decided, with what nobody knows later
    return holds


if __name__ == "__main__":
    sys.exit(main())
