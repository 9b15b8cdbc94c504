"""The `bellwire` command, and `python -m bellwire`."""

import gc
import sys
from importlib.util import find_spec
from pathlib import Path


def main() -> int:
    """Run the command line. Returns the exit status, also if it is interrupted before it could begin."""
    try:
        return _run()
    except KeyboardInterrupt:
        return 130


def _run() -> int:
    """Run with our own packages first on the path.

    They have plain names: `entrypoints` is also a distribution that older tools bring along, and an
    editable install comes after those on the path.
    """
    folder = Path(__file__).resolve().parent
    here = str(folder)
    if sys.path[0] != here:
        sys.path.insert(0, here)
    in_checkout = find_spec("workbench") is not None
    if in_checkout:  # in a wheel the client is beside this file
        sys.path.insert(1, str(folder.parent / "clients" / "python" / "src"))
    # Imports make many objects and hardly any garbage. What serves sets thresholds of its own afterwards.
    gc.set_threshold(100_000)
    from entrypoints.commands.cli import COMMANDS
    from entrypoints.commands.cli import main as command

    if in_checkout:
        from workbench.cli import COMMANDS as OF_A_CHECKOUT

        return command(commands=COMMANDS | OF_A_CHECKOUT)
    return command()


if __name__ == "__main__":
    sys.exit(main())
