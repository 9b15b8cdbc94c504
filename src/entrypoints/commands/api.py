"""`bellwire api`."""

import argparse
import signal
import sys

from entrypoints import lifespan, serving
from entrypoints.container.parts.base import build
from entrypoints.container.parts.server import WithServer
from entrypoints.settings import Settings


def api(parser: argparse.ArgumentParser) -> None:
    """Run the HTTP API and the live streams."""
    parser.set_defaults(run=_run)


def _run(_arguments: argparse.Namespace) -> int:
    container = build(WithServer, Settings.for_serving())
    # After a graceful stop uvicorn raises the signal again, as if it had ended the process.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(lifespan.exit_status()))
    serving.run(container)
    return lifespan.exit_status()
