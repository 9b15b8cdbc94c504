"""`bellwire users`: creates, lists, finds, shows, erases and exports them."""

import argparse
import sys
from collections.abc import Callable
from contextlib import aclosing

from application.erasures import Erasure
from common import wire
from domain.identifiers import UserId
from domain.user import User
from entrypoints.commands import finding
from entrypoints.commands.account import by_account
from entrypoints.commands.output import Output, add_json, confirmed, status
from entrypoints.commands.running import on_postgres
from entrypoints.container.accounts import AccountsContainer
from entrypoints.container.parts.signup import WithSignup


def users(parser: argparse.ArgumentParser) -> None:
    """The commands below `bellwire users`."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, about: str, add_arguments: Callable[[argparse.ArgumentParser], None]) -> None:
        add_arguments(commands.add_parser(name, help=about, description=about))

    command("create", "create a user", _add_create)
    command("list", "print users, by id", finding.add_list)
    command("find", "print the user with an id, an address or such a name", finding.add_find)
    command("show", "print a user, and how much is unread", finding.add_show)
    command("erase", "erase a user and everything that is kept of it, for good", _add_erase)
    command("export", "print everything that is kept of a user, as JSON lines", _add_export)


def _add_create(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", help="in your own system")
    parser.add_argument("--name", metavar="TEXT", help="what others see; by default the id")
    parser.add_argument("--email", metavar="ADDRESS", help="without a password, nobody can log in with it")
    add_json(parser)
    parser.set_defaults(run=_create)


def _add_erase(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id")
    parser.add_argument("--forget", action="store_true", help="let the id be used again")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    add_json(parser)
    parser.set_defaults(run=_erase)


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id")
    parser.set_defaults(run=_export)


def _create(arguments: argparse.Namespace) -> None:
    async def create(container: WithSignup) -> User:
        return await container.create_user()(
            arguments.name or arguments.id, arguments.email, user_id=UserId(arguments.id), by=by_account()
        )

    finding.print_users(Output.of(arguments), [on_postgres(WithSignup, create)])


def _erase(arguments: argparse.Namespace) -> int:
    if not arguments.yes and not confirmed(f"Erase {arguments.id} for good?"):
        status("nothing was erased; confirm with --yes")
        return 1

    async def erase(container: AccountsContainer) -> Erasure:
        return await container.erase_user()(UserId(arguments.id), by_account(), forget=arguments.forget)

    erasure = on_postgres(AccountsContainer, erase)
    Output.of(arguments).value(str(erasure.id), {"id": erasure.id})
    return 0


def _export(arguments: argparse.Namespace) -> None:
    async def export(container: AccountsContainer) -> None:
        async with aclosing(container.export_user()(UserId(arguments.id), by_account())) as items:
            async for item in items:
                sys.stdout.buffer.write(wire.export_line(item))
        sys.stdout.flush()

    on_postgres(AccountsContainer, export)
