"""`bellwire consumer`."""

import argparse

from entrypoints import lifespan
from entrypoints.consumer import process
from entrypoints.settings import Settings


def consumer(parser: argparse.ArgumentParser) -> None:
    """Run the consumer."""
    parser.set_defaults(run=_run)


def _run(_arguments: argparse.Namespace) -> int:
    process.main(Settings.for_serving())
    return lifespan.exit_status()
