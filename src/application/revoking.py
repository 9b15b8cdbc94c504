"""Revoking: disables users, and invalidates tokens before they expire."""

import logging
from asyncio import sleep
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from application.audit import THE_SERVICE, Action, By, Entry, audited
from application.credentials import Claims, Revocation
from application.errors import Unavailable
from application.ports import Users
from domain.identifiers import UserId

logger = logging.getLogger(__name__)

_EVERY_SECONDS = 2.0
# A revocation is visible from its commit on, with the time at which it was made. No transaction takes this
# long, and a failover may set the store's clock back by as much.
_OVERLAP = timedelta(seconds=60)
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class DisableUser:
    """Disable a user: it cannot log in, and its tokens are invalid, including those issued later. The feed
    goes on. Repeating it changes nothing. Raises UnknownUser.
    """

    users: Users

    async def __call__(self, user: UserId, by: By = THE_SERVICE) -> None:
        await audited(Entry(by, Action.USER_DISABLED, user), partial(self.users.disable, user))


@dataclass(frozen=True, slots=True, kw_only=True)
class EnableUser:
    """Enable a disabled user. Tokens issued until now stay invalid. Does nothing if the user is not disabled.
    Raises UnknownUser.
    """

    users: Users

    async def __call__(self, user: UserId, by: By = THE_SERVICE) -> None:
        await audited(Entry(by, Action.USER_ENABLED, user), partial(self.users.enable, user))


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeTokens:
    """Sign a user out everywhere: invalidate every token issued until now. Raises UnknownUser."""

    users: Users

    async def __call__(self, user: UserId, by: By = THE_SERVICE) -> None:
        await audited(Entry(by, Action.TOKENS_REVOKED, user), partial(self.users.revoke_tokens, user))


class Revocations:
    """The revocations that a process knows, so that no check of a token waits for the store.

    They are refreshed every 2 s by default, and kept while the store is out of reach. None is ever dropped:
    an application may mint tokens with any lifetime.
    """

    def __init__(self, users: Users, *, every_seconds: float = _EVERY_SECONDS) -> None:
        self._users = users
        self._every_seconds = every_seconds
        self._valid_from: dict[UserId, datetime] = {}
        """Tokens issued before this time are invalid."""
        self._as_of: datetime | None = None
        self._unreachable = False

    def is_revoked(self, claims: Claims) -> bool:
        """Whether the token with these claims was revoked, or its user is disabled."""
        valid_from = self._valid_from.get(claims.user_id)
        return valid_from is not None and claims.issued_at < valid_from

    async def run(self) -> None:
        """Refresh periodically, forever."""
        while True:
            await sleep(self._every_seconds)
            await self.refresh()

    async def refresh(self) -> None:
        """Read new revocations from the store. If it is out of reach, nothing changes."""
        try:
            latest = await self._users.revocations(self._as_of and self._as_of - _OVERLAP)
        except Unavailable as error:
            if not self._unreachable:
                logger.warning("revocations cannot be read: %s", error)
            self._unreachable = True
            return
        if self._unreachable:
            logger.info("revocations are read again")
        self._unreachable = False
        self._as_of = latest.as_of
        self._learn(latest.revocations)

    def _learn(self, revocations: Iterable[Revocation]) -> None:
        for revocation in revocations:
            self._valid_from[revocation.user_id] = _NEVER if revocation.disabled else revocation.at
