"""The `bellwire` command, and `python -m bellwire`."""

import sys
from pathlib import Path


def main() -> int:
    """Run the command line with our own packages first on the path.

    They have plain names: `entrypoints` is also a distribution that older tools bring along, and an
    editable install comes after those on the path.
    """
    here = str(Path(__file__).resolve().parent)
    if sys.path[0] != here:
        sys.path.insert(0, here)
    from entrypoints.cli import main as command

    return command()


if __name__ == "__main__":
    sys.exit(main())
