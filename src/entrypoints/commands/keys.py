"""`bellwire create-key`, `keys` and `revoke-key`: the API keys of producers."""

import argparse
import sys
from collections.abc import Sequence

from application.credentials import ApiKey, Scope
from entrypoints.commands.running import by_account, on_postgres
from entrypoints.container.accounts import AccountsContainer


def create_key(parser: argparse.ArgumentParser) -> None:
    """Create a key and print it."""
    parser.add_argument("name")
    parser.add_argument(
        "--scope", action="append", choices=[Scope.PUBLISH, Scope.USERS, Scope.ADMIN], dest="scopes"
    )
    parser.set_defaults(run=_create)


def keys(parser: argparse.ArgumentParser) -> None:
    """List all keys."""
    parser.set_defaults(run=_list)


def revoke_key(parser: argparse.ArgumentParser) -> None:
    """Revoke a key."""
    parser.add_argument("id")
    parser.set_defaults(run=_revoke)


def _create(arguments: argparse.Namespace) -> None:
    scopes = frozenset(arguments.scopes or [Scope.PUBLISH])

    async def create(container: AccountsContainer) -> str:
        _, text = await container.create_api_key()(arguments.name, scopes, by=by_account())
        return text

    print(on_postgres(AccountsContainer, create))


def _list(_arguments: argparse.Namespace) -> None:
    async def every(container: AccountsContainer) -> Sequence[ApiKey]:
        return await container.api_keys().all()

    for key in on_postgres(AccountsContainer, every):
        state = "revoked" if key.revoked_at else "in use"
        print(f"{key.id}  {state:8} {key.created_at:%Y-%m-%d}  {','.join(sorted(key.scopes)):15} {key.name}")


def _revoke(arguments: argparse.Namespace) -> int:
    async def revoke(container: AccountsContainer) -> bool:
        return await container.revoke_api_key()(arguments.id, by_account())

    if on_postgres(AccountsContainer, revoke):
        return 0
    print("bellwire: no such key in use", file=sys.stderr)
    return 1
