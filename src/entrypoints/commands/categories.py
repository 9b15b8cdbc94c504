"""`bellwire categories`: what notifications are about."""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

from domain.category import Category
from entrypoints.commands import times
from entrypoints.commands.account import by_account
from entrypoints.commands.output import Cell, Output, add_json
from entrypoints.commands.running import on_postgres
from entrypoints.container.accounts import AccountsContainer

_NEVER = timedelta(0)


def categories(parser: argparse.ArgumentParser) -> None:
    """Manage categories; without a word of its own, list them."""
    parser.set_defaults(run=_list)
    add_json(parser)
    commands = parser.add_subparsers(metavar="COMMAND")
    about = "list all categories"
    listing = commands.add_parser("list", help=about, description=about)
    add_json(listing)
    listing.set_defaults(run=_list)
    about = "set what is given of a category, and print it; the rest stays"
    _add_set(commands.add_parser("set", help=about, description=about))


def _add_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id")
    parser.add_argument("--title", help="what users see instead of the id; empty for none")
    parser.add_argument("--description", help="for a page of preferences; empty for none")
    parser.add_argument(
        "--mandatory",
        action=argparse.BooleanOptionalAction,
        help="whether users cannot switch it off",
    )
    parser.add_argument("--default", choices=["on", "off"], help="for users who chose nothing")
    parser.add_argument(
        "--expires-after",
        type=_span,
        metavar="SPAN",
        help="when its notifications expire that name no time themselves, such as 7d; or never",
    )
    add_json(parser)
    parser.set_defaults(run=_set)


def _list(arguments: argparse.Namespace) -> None:
    async def every(container: AccountsContainer) -> Sequence[Category]:
        return await container.list_categories()()

    _print(arguments, on_postgres(AccountsContainer, every))


def _set(arguments: argparse.Namespace) -> None:
    async def refine(container: AccountsContainer) -> Category:
        held = {category.id: category for category in await container.list_categories()()}
        before = held.get(arguments.id) or Category(id=arguments.id)
        category = _refined(before, arguments)
        await container.set_category()(category, by_account())
        return category

    _print(arguments, [on_postgres(AccountsContainer, refine)])


def _refined(before: Category, arguments: argparse.Namespace) -> Category:
    """The category with what was given."""
    texts = {"title": arguments.title, "description": arguments.description}
    changes: dict[str, object] = {name: text or None for name, text in texts.items() if text is not None}
    if arguments.mandatory is not None:
        changes["mandatory"] = arguments.mandatory
    if arguments.default is not None:
        changes["default_on"] = arguments.default == "on"
    if arguments.expires_after is not None:
        changes["expires_after"] = arguments.expires_after or None
    return replace(before, **changes)  # type: ignore[arg-type]


def _span(text: str) -> timedelta:
    """A span of time, or zero for `never`. Raises ArgumentTypeError."""
    return _NEVER if text == "never" else times.overlap(text)


def _print(arguments: argparse.Namespace, found: Sequence[Category]) -> None:
    Output.of(arguments).table(found, columns=("Id", "Settings"), cells=_cells, entry=_entry)


def _entry(category: Category) -> dict[str, object]:
    after = category.expires_after
    return {
        "id": category.id,
        "title": category.title,
        "description": category.description,
        "mandatory": category.mandatory,
        "default": "on" if category.default_on else "off",
        "expires_after": None if after is None else int(after.total_seconds()),
    }


def _cells(category: Category) -> Sequence[Cell]:
    return f"{category.id:20}", ", ".join(_details(category))


def _details(category: Category) -> Iterator[str]:
    yield "mandatory" if category.mandatory else "on" if category.default_on else "off"
    if category.expires_after is not None:
        yield f"expires after {str(category.expires_after).removesuffix(', 0:00:00')}"
    if category.title is not None:
        yield category.title
