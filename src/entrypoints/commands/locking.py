"""`bellwire disable-user`, `enable-user` and `revoke-tokens`: who may log in."""

import argparse

from domain.identifiers import UserId
from entrypoints.commands.account import by_account
from entrypoints.commands.running import on_postgres
from entrypoints.container.accounts import AccountsContainer


def disable_user(parser: argparse.ArgumentParser) -> None:
    """Disable a user."""
    parser.add_argument("id")
    parser.set_defaults(run=_disable)


def enable_user(parser: argparse.ArgumentParser) -> None:
    """Enable a disabled user."""
    parser.add_argument("id")
    parser.set_defaults(run=_enable)


def revoke_tokens(parser: argparse.ArgumentParser) -> None:
    """Sign a user out everywhere."""
    parser.add_argument("id")
    parser.set_defaults(run=_revoke_tokens)


def _disable(arguments: argparse.Namespace) -> None:
    on_postgres(
        AccountsContainer, lambda container: container.disable_user()(UserId(arguments.id), by_account())
    )


def _enable(arguments: argparse.Namespace) -> None:
    on_postgres(
        AccountsContainer, lambda container: container.enable_user()(UserId(arguments.id), by_account())
    )


def _revoke_tokens(arguments: argparse.Namespace) -> None:
    on_postgres(
        AccountsContainer, lambda container: container.revoke_tokens()(UserId(arguments.id), by_account())
    )
