"""The service as commands for people reach it: over the network, with the Python client."""

import argparse
import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from application.errors import ApplicationError
from bellwire_client import Bellwire, BellwireError, Problem, StreamRefused, Token, Unreachable
from entrypoints.environment import given, variables
from entrypoints.settings import InvalidSettings, Settings

PATIENCE = 2.0
"""Seconds for which a call is repeated while the service is out of reach, when a person waits for it."""

_URL = "http://127.0.0.1:8000"
_REFUSED = frozenset({401, 4511, 4513})


def add_url(parser: argparse.ArgumentParser) -> None:
    """Add `--url`."""
    parser.add_argument("--url", help=f"where the service is; by default BELLWIRE_URL, or {_URL}")


def add_token(parser: argparse.ArgumentParser) -> None:
    """Add `--token`."""
    parser.add_argument(
        "--token",
        help="the user's token; by default one is made with BELLWIRE_TOKEN_SECRET, or it is BELLWIRE_TOKEN",
    )


def as_user(arguments: argparse.Namespace, user: str) -> Bellwire:
    """A client with the user's token. Raises InvalidSettings."""
    return _client(arguments, token=_token(arguments, user))


def as_producer(
    arguments: argparse.Namespace, *, follows: str | None = None, patience: float = PATIENCE
) -> Bellwire:
    """A client with the API key, and with the token of a user that it `follows`. Raises InvalidSettings."""
    key = _known(arguments).get("BELLWIRE_API_KEY")
    if key is None:
        raise InvalidSettings("BELLWIRE_API_KEY: is not set; `bellwire keys create NAME` makes a key")
    token = None if follows is None else _token(arguments, follows)
    return _client(arguments, token=token, api_key=key, patience=patience)


def run(arguments: argparse.Namespace, work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run to the end, and return the exit status. Raises ApplicationError, which says what to do."""
    try:
        return asyncio.run(work())
    except BellwireError as error:
        raise ApplicationError(explained(error, _url(arguments))) from error
    except ImportError as error:  # for SOCKS each library needs another one
        raise ApplicationError(f"the proxy that the environment names cannot be used: {error}") from error


def explained(error: BellwireError, url: str) -> str:
    """What is wrong and what to do, on one line."""
    if isinstance(error, Unreachable):
        return (
            f"no service answers at {url} ({error.__cause__ or error}): start it with `make dev`, or set "
            "BELLWIRE_URL"
        )
    if isinstance(error, StreamRefused):
        no_user = error.code == 4510 and "user" in error.reason
        return f"{error.reason} {_advice(error.code, error.reason, no_user=no_user)}".strip()
    if isinstance(error, Problem):
        what = error.detail or error.title
        return f"{what} {_advice(error.status, what, no_user=error.kind == 'unknown-user')}".strip()
    return str(error)


def _advice(code: int, what: str, *, no_user: bool) -> str:
    if no_user:
        return "`bellwire users create USER` makes one; `bellwire users list` shows those there are."
    if code in _REFUSED and "API key" in what:
        return "Set BELLWIRE_API_KEY: `bellwire keys create NAME` makes a key."
    if code in _REFUSED:
        return "Set BELLWIRE_TOKEN, or --token: `bellwire token USER` makes one."
    if code == 403 and "scope" in what:
        return "`bellwire keys create NAME --scope SCOPE` makes a key that has it."
    return ""


def _url(arguments: argparse.Namespace) -> str:
    return arguments.url or variables().get("BELLWIRE_URL") or _URL


def _client(arguments: argparse.Namespace, *, patience: float = PATIENCE, **credentials: Any) -> Bellwire:
    try:
        return Bellwire(_url(arguments), patience=patience, **credentials)
    except ValueError as error:
        raise InvalidSettings(f"BELLWIRE_URL: {error}") from None


def _known(arguments: argparse.Namespace) -> Mapping[str, str]:
    """The variables that may be used for the service: with `--url` none of `make dev`."""
    return given() if arguments.url else variables()


def _token(arguments: argparse.Namespace, user: str) -> Token:
    """The user's token: as it is given; or made afresh whenever one is needed, where the secret is known."""
    known = _known(arguments)
    if not arguments.token and "BELLWIRE_TOKEN_SECRET" in known:
        from entrypoints.commands.minting import minting  # noqa: PLC0415 - publishing needs no token

        return minting(Settings.from_env(), user)
    token = arguments.token or known.get("BELLWIRE_TOKEN")
    if token is None:
        raise InvalidSettings(
            "BELLWIRE_TOKEN: is not set; set a token of the user, or BELLWIRE_TOKEN_SECRET to make one"
        )
    return str(token)
