"""`bellwire users list` and `find`."""

import argparse
import json
import sys
from collections.abc import AsyncIterator

from application.dead_letters import printable
from domain.identifiers import UserId
from domain.user import User
from entrypoints.commands.running import on_postgres
from entrypoints.container.parts.signup import WithSignup

_PAGE = 1_000


def add_list(parser: argparse.ArgumentParser) -> None:
    """Print users by id."""
    parser.add_argument("--prefix", help="only users with such ids, as in acme:")
    _add_json(parser)
    parser.set_defaults(run=_list, email=None, name=None)


def add_find(parser: argparse.ArgumentParser) -> None:
    """Print the users that match."""
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("id", nargs="?")
    way.add_argument("--email", help="whoever has this address, however it is typed")
    way.add_argument("--name", metavar="TEXT", help="whose names contain this, regardless of case")
    _add_json(parser)
    parser.set_defaults(run=_find, prefix=None)


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json", action="store_true", dest="as_json", help="print JSON, one object on each line"
    )


def _find(arguments: argparse.Namespace) -> int:
    if arguments.id is None:
        return _list(arguments)
    user = on_postgres(WithSignup, lambda container: container.find_user()(UserId(arguments.id)))
    _print(user, as_json=arguments.as_json)
    return 0


def _list(arguments: argparse.Namespace) -> int:
    """Print while reading: there may be millions. The status is 1 if nobody is found."""

    async def listed(container: WithSignup) -> int:
        count = 0
        async for user in _found(container, arguments):
            _print(user, as_json=arguments.as_json)
            count += 1
        return count

    if on_postgres(WithSignup, listed):
        return 0
    print("bellwire: there is no such user", file=sys.stderr)
    return 1


async def _found(container: WithSignup, arguments: argparse.Namespace) -> AsyncIterator[User]:
    find, after, more = container.list_users(), None, True
    while more:
        page = await find(_PAGE, after, prefix=arguments.prefix, email=arguments.email, name=arguments.name)
        for user in page.users:
            yield user
        after, more = page.next, page.next is not None


def _print(user: User, *, as_json: bool) -> None:
    print(json.dumps(_entry(user)) if as_json else _line(user))


def _entry(user: User) -> dict[str, object]:
    return {
        "id": user.id,
        "name": user.name,
        "email": user.email,
        "created_at": user.created_at.isoformat(),
        "disabled_at": user.disabled_at and user.disabled_at.isoformat(),
    }


def _line(user: User) -> str:
    disabled = f"disabled {user.disabled_at:%Y-%m-%d}" if user.disabled_at else None
    details = ", ".join(filter(None, (user.name, user.email, disabled)))
    return printable(f"{user.id}  {user.created_at:%Y-%m-%d}  {details}")
