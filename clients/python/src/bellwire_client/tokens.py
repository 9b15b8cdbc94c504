"""The source of tokens."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import httpx

from bellwire_client.errors import Unreachable

Token: TypeAlias = str | Callable[[], Awaitable[str]]
"""A user's token, or a function that returns a fresh one whenever it is called."""


class Tokens:
    """Provides the token of one user."""

    def __init__(self, source: Token) -> None:
        self._source = source
        self._last = source if isinstance(source, str) else None

    @property
    def renewable(self) -> bool:
        """Whether another token is available."""
        return not isinstance(self._source, str)

    async def last(self) -> str:
        """Return the newest token. Raises as `fresh` does."""
        return await self.fresh() if self._last is None else self._last

    async def fresh(self) -> str:
        """Get a fresh token. Raises Unreachable if the application's function could not reach something; its
        other errors are passed on.
        """
        if isinstance(self._source, str):
            return self._source
        try:
            self._last = await self._source()
        except (OSError, TimeoutError, httpx.TransportError) as error:
            raise Unreachable(f"no token: {str(error) or type(error).__name__}") from error
        return self._last
