"""Users who arrive with a valid token before anybody has created them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from application.credentials import ApiKey, Claims
from application.ports import Clock, MissingUsers
from domain.errors import UnknownUser

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrive:
    """Do work for a caller; if it is unknown as a user and shows a token, create it and do the work again.

    An API key creates nobody here: it may read the feeds of users whose ids its holder mistyped.
    """

    missing: MissingUsers | None
    """None if tokens create nobody."""
    clock: Clock

    async def __call__(self, caller: Claims | ApiKey, work: Callable[[], Awaitable[T]]) -> T:
        try:
            return await work()
        except UnknownUser:
            if self.missing is None or not isinstance(caller, Claims):
                raise
        # Another process may be creating it at the same time, so it may be there whoever did it.
        await self.missing.create([caller.user_id], self.clock())
        return await work()
