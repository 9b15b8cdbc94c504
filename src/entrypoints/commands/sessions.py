"""`bellwire revoke-token`: revokes a single token."""

import argparse
import sys
from datetime import datetime

from domain.identifiers import UserId
from entrypoints.commands.account import by_account
from entrypoints.commands.running import on_postgres
from entrypoints.container.sessions import SessionsContainer


def revoke_token(parser: argparse.ArgumentParser) -> None:
    """Revoke a token that is read from standard input, or one by its user and jti."""
    parser.add_argument("--user", metavar="ID", help="of the token")
    parser.add_argument("--jti", help="of the token; without it, the token is read from standard input")
    parser.add_argument(
        "--expires-at", type=_time, metavar="TIME", help="of the token, such as 2100-01-01T00:00:00Z"
    )
    parser.set_defaults(run=lambda arguments: _run(parser, arguments))


def _run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    if (arguments.user is None) != (arguments.jti is None):
        parser.error("--user and --jti belong together")

    async def revoke(container: SessionsContainer) -> None:
        if arguments.jti is None:
            # Not an argument: others on this machine could see it.
            await container.revoke_token()(sys.stdin.read().strip(), by=by_account())
        else:
            by_jti = container.revoke_token().by_jti
            await by_jti(UserId(arguments.user), arguments.jti, arguments.expires_at, by=by_account())

    on_postgres(SessionsContainer, revoke)


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)  # argparse reports its ValueError
    if time.tzinfo is None:
        raise argparse.ArgumentTypeError("must have a time zone, such as a Z at the end")
    return time
