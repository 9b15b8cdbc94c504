"""`bellwire openapi`."""

import argparse
import sys

from common import wire
from entrypoints.app import create_app
from entrypoints.container.api import ApiContainer
from entrypoints.container.parts.base import build
from entrypoints.http import contract
from entrypoints.settings import Settings


def openapi(parser: argparse.ArgumentParser) -> None:
    """Print the OpenAPI document."""
    parser.add_argument("--aliases", action="store_true", help="with the paths at the root that are aliases")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    app = create_app(build(ApiContainer, Settings(token_secret="x" * 32)))
    sys.stdout.write(wire.text(contract.document(app, aliases=arguments.aliases)) + "\n")
