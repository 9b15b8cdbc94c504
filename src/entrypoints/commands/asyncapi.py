"""`bellwire asyncapi`."""

import argparse
import sys

from common import wire
from entrypoints.live.asyncapi import document


def asyncapi(parser: argparse.ArgumentParser) -> None:
    """Print the AsyncAPI document of the live stream."""
    parser.set_defaults(run=_run)


def _run(_arguments: argparse.Namespace) -> None:
    sys.stdout.write(wire.text(document()) + "\n")
