"""`bellwire dev` in a folder, for tests."""

import os
import sys
from pathlib import Path

from workbench.embedded import free_port
from workbench.processes import Process

ROOT = Path(__file__).resolve().parents[1]


def development(folder: Path) -> Process:
    """Not started yet. Its data is in `.bellwire` below the folder, its output in `dev.log`."""
    own = {
        "PYTHONPATH": str(ROOT / "src"),
        "BELLWIRE_DATA": str(folder / ".bellwire"),
        "BELLWIRE_PORT": str(free_port()),
    }
    command = [sys.executable, "-m", "bellwire", "dev"]
    others = {name: value for name, value in os.environ.items() if not name.startswith("BELLWIRE_")}
    return Process("bellwire dev", command, log=folder / "dev.log", environment={**others, **own})
