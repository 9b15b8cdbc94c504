"""`bellwire keys`: the API keys of producers. `create-key` and `revoke-key` are its earlier names."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from application.credentials import SCOPES, ApiKey, Scope
from application.errors import KeyNotInUse
from entrypoints.commands import times
from entrypoints.commands.account import by_account
from entrypoints.commands.output import Cell, Output, add_json
from entrypoints.commands.running import on_postgres
from entrypoints.container.accounts import AccountsContainer

_OVERLAP = timedelta(hours=24)
_COLUMNS = ("Id", "State", "Created", "Scopes", "Name and limits")
_STYLES = {"in use": "green", "revoked": "red", "expired": "red", "replaced": "yellow"}


def keys(parser: argparse.ArgumentParser) -> None:
    """Manage keys; without a word of its own, list them."""
    parser.set_defaults(run=_list)
    add_json(parser)
    commands = parser.add_subparsers(metavar="COMMAND")

    def command(name: str, about: str, add_arguments: Callable[[argparse.ArgumentParser], None]) -> None:
        add_arguments(commands.add_parser(name, help=about, description=about))

    command("create", "create a key, and print it: it is not shown again", create_key)
    command("list", "list all keys", _add_list)
    command(
        "rotate", "make the successor of a key, which stays valid for some time, and print it", _add_rotate
    )
    command("revoke", "revoke a key: it is refused within 5 s", revoke_key)


def create_key(parser: argparse.ArgumentParser) -> None:
    """Create a key and print it."""
    parser.add_argument("name")
    parser.add_argument(
        "--scope",
        action="append",
        choices=sorted(SCOPES),
        dest="scopes",
        help="may be repeated; default publish",
    )
    parser.add_argument(
        "--user-prefix", metavar="PREFIX", help="limit it to users with such ids, as in acme:"
    )
    parser.add_argument("--event-prefix", metavar="PREFIX", help="limit it to such events, as in billing.")
    parser.add_argument(
        "--own-only", action="store_true", help="let it edit and retract only what it sent itself"
    )
    _add_expiry(parser)
    add_json(parser)
    parser.set_defaults(run=_create)


def revoke_key(parser: argparse.ArgumentParser) -> None:
    """Revoke a key."""
    parser.add_argument("id")
    parser.set_defaults(run=_revoke)


def _add_list(parser: argparse.ArgumentParser) -> None:
    add_json(parser)
    parser.set_defaults(run=_list)


def _add_rotate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id")
    parser.add_argument(
        "--overlap",
        type=times.overlap,
        default=_OVERLAP,
        metavar="SPAN",
        help="how long the old key stays valid: 0s to 30d, default 24h",
    )
    _add_expiry(parser)
    add_json(parser)
    parser.set_defaults(run=_rotate)


def _add_expiry(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--expires",
        type=times.expiry,
        metavar="TIME",
        help="a span such as 90d, a date, or a time with a zone",
    )


def _create(arguments: argparse.Namespace) -> None:
    async def create(container: AccountsContainer) -> tuple[ApiKey, str]:
        return await container.create_api_key()(
            arguments.name,
            frozenset(arguments.scopes or [Scope.PUBLISH]),
            times.after(container.clock()(), arguments.expires),
            user_prefix=arguments.user_prefix,
            event_prefix=arguments.event_prefix,
            own_only=arguments.own_only,
            actor=by_account(),
        )

    _print_new(arguments, *on_postgres(AccountsContainer, create))


def _list(arguments: argparse.Namespace) -> None:
    async def every(container: AccountsContainer) -> tuple[Sequence[ApiKey], datetime]:
        return await container.api_keys().all(), container.clock()()

    found, now = on_postgres(AccountsContainer, every)
    Output.of(arguments).table(
        found, columns=_COLUMNS, cells=lambda key: _cells(key, now), entry=lambda key: _entry(key, now)
    )


def _rotate(arguments: argparse.Namespace) -> None:
    async def rotate(container: AccountsContainer) -> tuple[ApiKey, str]:
        expires_at = times.after(container.clock()(), arguments.expires)
        return await container.rotate_api_key()(arguments.id, arguments.overlap, expires_at)

    _print_new(arguments, *on_postgres(AccountsContainer, rotate))


def _revoke(arguments: argparse.Namespace) -> int:
    async def revoke(container: AccountsContainer) -> None:
        if not await container.revoke_api_key()(arguments.id, actor=by_account()):
            raise KeyNotInUse("This API key was revoked before.")

    on_postgres(AccountsContainer, revoke)
    return 0


def _print_new(arguments: argparse.Namespace, key: ApiKey, text: str) -> None:
    Output.of(arguments).value(text, {**_entry(key, key.created_at), "key": text})


def _state(key: ApiKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if not key.usable(now):
        return "expired"
    return "replaced" if key.replaced_by else "in use"


def _entry(key: ApiKey, now: datetime) -> dict[str, object]:
    return {
        "id": key.id,
        "state": _state(key, now),
        "name": key.name,
        "scopes": sorted(key.scopes),
        "user_prefix": key.user_prefix,
        "event_prefix": key.event_prefix,
        "own_only": key.own_only,
        "created_at": key.created_at.isoformat(),
        "expires_at": key.expires_at and key.expires_at.isoformat(),
        "revoked_at": key.revoked_at and key.revoked_at.isoformat(),
        "replaced_by": key.replaced_by,
        "last_used_at": key.last_used_at and key.last_used_at.isoformat(),
    }


def _cells(key: ApiKey, now: datetime) -> Sequence[Cell]:
    state = _state(key, now)
    details = ", ".join([key.name, *_details(key)])
    scopes = ",".join(sorted(key.scopes))
    return (
        key.id,
        (f"{state:8}", _STYLES[state]),
        f"{key.created_at:%Y-%m-%d}",
        f"{scopes:15}",
        details,
    )


def _details(key: ApiKey) -> Iterator[str]:
    if key.user_prefix is not None:
        yield f"users {key.user_prefix}"
    if key.event_prefix is not None:
        yield f"events {key.event_prefix}"
    if key.own_only:
        yield "own only"
    if key.expires_at is not None:
        yield f"expires {key.expires_at:%Y-%m-%dT%H:%M:%SZ}"
    if key.replaced_by is not None:
        yield f"replaced by {key.replaced_by}"
    if key.last_used_at is not None:
        yield f"last used {key.last_used_at:%Y-%m-%dT%H:%M:%SZ}"
