"""Users who arrive with a valid token before anybody has created them."""

from dataclasses import dataclass

from application.credentials import ApiKey, Claims
from application.ports import Clock, MissingUsers
from domain.errors import UnknownUser


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrive:
    """Create the user of a token, who is unknown. Raises UnknownUser if tokens create nobody.

    When this returns, the user is there, unless it was erased: ask again for what was not found. An API key
    creates nobody here: its holder may have mistyped the id of the feed that it reads.
    """

    missing: MissingUsers | None
    """None if tokens create nobody."""
    clock: Clock

    async def __call__(self, caller: Claims | ApiKey) -> None:
        if self.missing is None or not isinstance(caller, Claims):
            raise UnknownUser
        await self.missing.create([caller.user_id], self.clock())
