"""Tokens for commands that speak to the service, made with its secret as `bellwire token` makes them."""

from bellwire_client import Token
from domain.identifiers import UserId
from entrypoints.container.parts.base import build
from entrypoints.container.parts.tokens import WithTokens
from entrypoints.settings import Settings


def minting(settings: Settings, user: str) -> Token:
    """A function that makes a fresh token of the user."""
    container = build(WithTokens, settings)

    async def mint() -> str:
        return container.tokens().mint(UserId(user), container.clock()())[0]

    return mint
