"""Where tokens come from."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import httpx

from bellwire_client.errors import Unreachable

Token: TypeAlias = str | Callable[[], Awaitable[str]]
"""A user's token, or what makes a fresh one whenever it is called."""


class Tokens:
    """Hands out the token of one user."""

    def __init__(self, source: Token) -> None:
        self._source = source
        self._last = source if isinstance(source, str) else None

    @property
    def renewable(self) -> bool:
        """Whether another token can be had."""
        return not isinstance(self._source, str)

    async def last(self) -> str:
        """The newest that there is. Raises as `fresh` does."""
        return await self.fresh() if self._last is None else self._last

    async def fresh(self) -> str:
        """Make one. Raises Unreachable where the application's function could not reach something; what else
        it raises is passed on.
        """
        if isinstance(self._source, str):
            return self._source
        try:
            self._last = await self._source()
        except (OSError, TimeoutError, httpx.TransportError) as error:
            raise Unreachable(f"no token: {str(error) or type(error).__name__}") from error
        return self._last
