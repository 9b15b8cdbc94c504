"""`bellwire users list` and `find`."""

import argparse
from collections.abc import AsyncIterator, Sequence

from domain.identifiers import UserId
from domain.user import User
from entrypoints.commands.output import Cell, Output, add_json, status
from entrypoints.commands.running import on_postgres
from entrypoints.container.parts.signup import WithSignup

_PAGE = 1_000


def add_list(parser: argparse.ArgumentParser) -> None:
    """Print users by id."""
    parser.add_argument("--prefix", help="only users with such ids, as in acme:")
    add_json(parser)
    parser.set_defaults(run=_list, email=None, name=None)


def add_find(parser: argparse.ArgumentParser) -> None:
    """Print the users that match."""
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("id", nargs="?")
    way.add_argument("--email", help="whoever has this address, however it is typed")
    way.add_argument("--name", metavar="TEXT", help="whose names contain this, regardless of case")
    add_json(parser)
    parser.set_defaults(run=_find, prefix=None)


def _find(arguments: argparse.Namespace) -> int:
    if arguments.id is None:
        return _list(arguments)
    user = on_postgres(WithSignup, lambda container: container.find_user()(UserId(arguments.id)))
    _print([user], Output.of(arguments))
    return 0


def _list(arguments: argparse.Namespace) -> int:
    """Print while reading: there may be millions. The status is 1 if nobody is found."""

    async def listed(container: WithSignup) -> int:
        count, out = 0, Output.of(arguments)
        async for users in _found(container, arguments):
            _print(users, out)
            count += len(users)
        return count

    if on_postgres(WithSignup, listed):
        return 0
    status("there is no such user")
    return 1


async def _found(container: WithSignup, arguments: argparse.Namespace) -> AsyncIterator[Sequence[User]]:
    find, after, more = container.list_users(), None, True
    while more:
        page = await find(_PAGE, after, prefix=arguments.prefix, email=arguments.email, name=arguments.name)
        yield page.users
        after, more = page.next, page.next is not None


def _print(users: Sequence[User], out: Output) -> None:
    out.table(users, columns=("Id", "Created", "Name, address and state"), cells=_cells, entry=_entry)


def _entry(user: User) -> dict[str, object]:
    return {
        "id": user.id,
        "name": user.name,
        "email": user.email,
        "created_at": user.created_at.isoformat(),
        "disabled_at": user.disabled_at and user.disabled_at.isoformat(),
    }


def _cells(user: User) -> Sequence[Cell]:
    disabled = f"disabled {user.disabled_at:%Y-%m-%d}" if user.disabled_at else None
    details = ", ".join(filter(None, (user.name, user.email, disabled)))
    return user.id, f"{user.created_at:%Y-%m-%d}", details
