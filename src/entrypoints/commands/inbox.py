"""`bellwire inbox`: what a user has, and marks on it."""

import argparse
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias

import msgspec

from application.errors import ApplicationError
from bellwire_client import Bellwire, Notification, Page
from entrypoints.commands import remote
from entrypoints.commands.notification_texts import STYLES, ago, headline, short, state
from entrypoints.commands.output import Cell, Output, add_json, status
from entrypoints.container.parts.base import Base, build
from entrypoints.settings import Settings

_PAGE = 100
_ID_LENGTH = 36
_COLUMNS = ("State", "Age", "Category", "Severity", "Notification", "Id")
_MARKS = ("read", "unread", "archive")
_Mark: TypeAlias = Callable[..., Awaitable[int]]


def inbox(parser: argparse.ArgumentParser) -> None:
    """List a user's notifications, newest first, or mark some."""
    parser.add_argument("user", metavar="USER", help="whose inbox")
    parser.add_argument(
        "--status",
        choices=["unread", "read", "all", "archived", "snoozed"],
        default="all",
        help="which to list; `all` (the default) are those neither archived nor snoozed",
    )
    parser.add_argument("--category", metavar="NAME", help="only of this one")
    parser.add_argument(
        "--limit", type=_limit, default=20, metavar="N", help="how many at most (%(default)s)"
    )
    marks = parser.add_mutually_exclusive_group()
    marks.add_argument("--read", nargs="+", metavar="ID", help="mark these read; an id, or its end as listed")
    marks.add_argument("--unread", nargs="+", metavar="ID", help="mark these unread")
    marks.add_argument("--archive", nargs="+", metavar="ID", help="move these to the archive")
    marks.add_argument("--read-all", action="store_true", help="mark all read, or all of the category")
    remote.add_url(parser)
    remote.add_token(parser)
    add_json(parser)
    parser.set_defaults(run=_run)


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text[:9]) > 0):
        raise argparse.ArgumentTypeError("must be an integer from 1")
    return int(text[:9])


def _run(arguments: argparse.Namespace) -> int:
    return remote.run(arguments, lambda: _use(arguments))


async def _use(arguments: argparse.Namespace) -> int:
    out = Output.of(arguments)
    async with remote.as_user(arguments, arguments.user) as client:
        if arguments.read_all:
            counts = await client.counts(arguments.user)
            changed = await client.mark_read(arguments.user, up_to=counts.cursor, category=arguments.category)
        elif mark := next((name for name in _MARKS if getattr(arguments, name)), None):
            changed = await _mark(client, arguments, mark)
        else:
            page = await _pages(client, arguments, arguments.limit)
            _print(out, page, build(Base, Settings()).clock()())
            return 0
    out.value(f"{changed} changed", {"changed": changed})
    return 0


async def _mark(client: Bellwire, arguments: argparse.Namespace, name: str) -> int:
    marks = {"read": client.mark_read, "unread": client.mark_unread, "archive": client.archive}
    mark: _Mark = marks[name]
    ids = await _ids(client, arguments, getattr(arguments, name))
    return await mark(arguments.user, ids)


async def _ids(client: Bellwire, arguments: argparse.Namespace, given: Sequence[str]) -> list[str]:
    """Whole ids; the ends of some are looked up among the newest 100. Raises ApplicationError."""
    if all(len(text) == _ID_LENGTH for text in given):
        return list(given)
    listed = (await _pages(client, arguments, _PAGE)).items
    return [text if len(text) == _ID_LENGTH else _whole(text, listed) for text in given]


def _whole(end: str, listed: Sequence[Notification]) -> str:
    found = [item.id for item in listed if item.id.endswith(end.lower())]
    if len(found) != 1:
        what = "no notification" if not found else "several notifications"
        raise ApplicationError(
            f"{what} of the newest {_PAGE} with an id that ends with {end}; give the whole id"
        )
    return found[0]


async def _pages(client: Bellwire, arguments: argparse.Namespace, limit: int) -> Page:
    """As many as are wanted, as one page with the counts of the first."""

    async def fetch(cursor: str | None, most: int) -> Page:
        return await client.notifications(
            arguments.user,
            status=arguments.status,
            category=arguments.category or (),
            limit=min(most, _PAGE),
            cursor=cursor,
        )

    page = await fetch(None, limit)
    while page.next_cursor is not None and len(page.items) < limit:
        more = await fetch(page.next_cursor, limit - len(page.items))
        page = replace(page, items=page.items + more.items, next_cursor=more.next_cursor)
    return page


def _print(out: Output, page: Page, now: datetime) -> None:
    if out.as_json:
        out.line((), page)
        return
    out.table(page.items, columns=_COLUMNS, cells=lambda item: _cells(item, now), entry=msgspec.to_builtins)
    counts = ", ".join(f"{category} {count}" for category, count in sorted(page.unread_in.items()))
    status(
        f"{page.unread_count} unread, {page.unseen_count} of them new{': ' if counts else ''}{counts}"
        + ("; there are more" if page.next_cursor else "")
    )


def _cells(item: Notification, now: datetime) -> Sequence[Cell]:
    where = state(item)
    return (
        (where, "bold" if where == "new" else "dim"),
        (ago(now - item.created_at), "dim"),
        item.category,
        (item.severity, STYLES.get(item.severity, "")),
        headline(item),
        (short(item.id), "dim"),
    )
