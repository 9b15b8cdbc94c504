"""What the sessions of a process share, and what a client asks for."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from application.accounts import AuthenticateUser
from application.arriving import Arrive
from application.catching_up import CatchUps
from application.credentials import Claims
from application.feeds import Standing
from application.inbox import ActOnNotification, MarkNotifications
from application.ports import Chance, Clock, LiveFeed, Monotonic
from application.revoking import Revocations
from domain.errors import UnknownUser
from domain.feed import Cursor
from entrypoints.timing import Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class Streaming:
    """What the sessions of a process share."""

    authenticate: AuthenticateUser
    arrive: Arrive
    live_feed: LiveFeed
    catch_ups: CatchUps
    mark_notifications: MarkNotifications
    act: ActOnNotification
    revocations: Revocations
    clock: Clock
    now: Monotonic
    """Monotonic seconds."""
    chance: Chance
    new_session_id: Callable[[], str]
    server: str
    """The name of this process."""
    timing: Timing
    awake: set[Any] = field(default_factory=set)
    """The sessions that something happened to since their last tick."""

    async def first_standing(self, claims: Claims) -> Standing:
        """Where the feed of this user is, who may be created for that. Raises UnknownUser or Unavailable."""
        try:
            return await self.catch_ups.standing(claims.user_id)
        except UnknownUser:
            await self.arrive(claims)
            return await self.catch_ups.standing(claims.user_id)


@dataclass(frozen=True, slots=True)
class Hello:
    """What a client asked for when it connected."""

    claims: Claims
    cursor: Cursor | None
    auto: bool
