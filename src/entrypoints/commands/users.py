"""`bellwire users`: lists, finds, erases and exports them."""

import argparse
import sys
from contextlib import aclosing

from application.erasures import Erasure
from common import wire
from domain.identifiers import UserId
from entrypoints.commands import finding
from entrypoints.commands.account import by_account
from entrypoints.commands.running import on_postgres
from entrypoints.container.accounts import AccountsContainer


def users(parser: argparse.ArgumentParser) -> None:
    """The commands below `bellwire users`."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    finding.add_list(commands.add_parser("list", help="print users, by id"))
    finding.add_find(commands.add_parser("find", help="print the user with an id, an address or such a name"))
    erase = commands.add_parser("erase", help="erase a user and everything that is kept of it, for good")
    erase.add_argument("id")
    erase.add_argument("--forget", action="store_true", help="let the id be used again")
    erase.add_argument("--yes", action="store_true", help="do not ask")
    erase.set_defaults(run=_erase)
    export = commands.add_parser("export", help="print everything that is kept of a user, as JSON lines")
    export.add_argument("id")
    export.set_defaults(run=_export)


def _erase(arguments: argparse.Namespace) -> int:
    if not arguments.yes and not _agreed(f"Erase {arguments.id} for good?"):
        print("bellwire: nothing was erased; confirm with --yes", file=sys.stderr)
        return 1

    async def erase(container: AccountsContainer) -> Erasure:
        return await container.erase_user()(UserId(arguments.id), by_account(), forget=arguments.forget)

    print(on_postgres(AccountsContainer, erase).id)
    return 0


def _export(arguments: argparse.Namespace) -> None:
    async def export(container: AccountsContainer) -> None:
        async with aclosing(container.export_user()(UserId(arguments.id), by_account())) as items:
            async for item in items:
                sys.stdout.buffer.write(wire.export_line(item))
        sys.stdout.flush()

    on_postgres(AccountsContainer, export)


def _agreed(question: str) -> bool:
    """Ask for confirmation at a terminal. Scripts must say --yes: this cannot be undone."""
    if not sys.stdin.isatty():
        return False
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
