"""`bellwire token`."""

import argparse

from domain.errors import FieldError, Invalid
from domain.identifiers import USER_ID_RULE, UserId, is_user_id
from entrypoints.commands.output import Output, add_json
from entrypoints.container.parts.base import build
from entrypoints.container.parts.tokens import WithTokens
from entrypoints.settings import Settings


def token(parser: argparse.ArgumentParser) -> None:
    """Mint a token for a user."""
    parser.add_argument("user_id")
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    container = build(WithTokens, Settings.for_serving())
    if not is_user_id(arguments.user_id):
        raise Invalid([FieldError("user_id", USER_ID_RULE)])
    user = UserId(arguments.user_id)
    text, seconds = container.tokens().mint(user, container.clock()())
    Output.of(arguments).value(text, {"user_id": user, "token": text, "expires_in": seconds})
