"""The version of everything that is published is that of pyproject.toml.

`python -m tests.versions` writes it into the other files.
"""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "pyproject.toml"
COPIES = (
    ROOT / "clients/python/pyproject.toml",
    ROOT / "clients/javascript/package.json",
    ROOT / "clients/element/package.json",
)
CHANGELOGS = (
    ROOT / "CHANGELOG.md",
    *(file.parent / "CHANGELOG.md" for file in COPIES),
)
_VERSION = re.compile(r'^(version = |  "version": )"([^"]+)"', re.MULTILINE)


def version_in(file: Path) -> str:
    """The version that a file declares."""
    found = _VERSION.search(file.read_text())
    assert found, f"{file} has no version"
    return found[2]


def main() -> None:
    """Write the version of the service into the packages of the clients."""
    version = version_in(SOURCE)
    for file in COPIES:
        file.write_text(_VERSION.sub(rf'\g<1>"{version}"', file.read_text(), count=1))


if __name__ == "__main__":
    main()
