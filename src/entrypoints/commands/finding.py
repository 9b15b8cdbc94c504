"""`bellwire users list`, `find` and `show`."""

import argparse
from collections.abc import AsyncIterator, Mapping, Sequence

from domain.feed import Feed
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


def add_show(parser: argparse.ArgumentParser) -> None:
    """Print a user and the state of its feed."""
    parser.add_argument("id")
    add_json(parser)
    parser.set_defaults(run=_show)


def _find(arguments: argparse.Namespace) -> int:
    if arguments.id is None:
        return _list(arguments)
    user = on_postgres(WithSignup, lambda container: container.find_user()(UserId(arguments.id)))
    print_users(Output.of(arguments), [user])
    return 0


def _list(arguments: argparse.Namespace) -> int:
    """Print while reading: there may be millions. The status is 1 if nobody is found."""

    async def listed(container: WithSignup) -> int:
        count, out = 0, Output.of(arguments)
        async for users in _found(container, arguments):
            print_users(out, users)
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


def _show(arguments: argparse.Namespace) -> None:
    async def found(container: WithSignup) -> tuple[User, Feed]:
        user = await container.find_user()(UserId(arguments.id))
        return user, await container.feeds().feed(user.id)

    user, feed = on_postgres(WithSignup, found)
    entry = {**_entry(user), **_counts(feed)}
    Output.of(arguments).fields({name: _shown(value) for name, value in entry.items()}, entry)


def _counts(feed: Feed) -> Mapping[str, object]:
    return {
        "cursor": str(feed.cursor),
        "unread_count": feed.unread_count,
        "unseen_count": feed.unseen_count,
        "unread_in": dict(feed.unread_in),
    }


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {count}" for name, count in value.items()) or "-"
    return "-" if value is None else str(value)


def print_users(out: Output, users: Sequence[User]) -> None:
    """Print users, one below the other."""
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
