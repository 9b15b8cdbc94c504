"""`bellwire token`."""

import argparse

from domain.identifiers import UserId
from entrypoints.container.parts.base import build
from entrypoints.container.parts.tokens import WithTokens
from entrypoints.settings import Settings


def token(parser: argparse.ArgumentParser) -> None:
    """Mint a token for a user."""
    parser.add_argument("user_id")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    container = build(WithTokens, Settings.for_serving())
    print(container.tokens().mint(UserId(arguments.user_id), container.clock()())[0])
