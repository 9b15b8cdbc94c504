"""Revoking: users who are locked out, and tokens that are dead before they expire."""

import logging
from asyncio import sleep
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from application.credentials import Claims, Revocation
from application.errors import Unavailable
from application.ports import Users
from domain.identifiers import UserId

logger = logging.getLogger(__name__)

_EVERY_SECONDS = 2.0
# A revocation is seen once it is committed, with the time at which it was made. No transaction of ours lives
# this long; and the clock of the store may go back by as much when another server takes over.
_OVERLAP = timedelta(seconds=60)
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class DisableUser:
    """Lock a user out: no log-in, and every token is dead, also one that is issued later. The feed is kept,
    and goes on. Doing it again changes nothing. Raises UnknownUser.
    """

    users: Users

    async def __call__(self, user: UserId) -> None:
        await self.users.disable(user)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnableUser:
    """Let a disabled user in again, with tokens issued from now on: earlier ones stay dead. Does nothing to
    one who is not disabled. Raises UnknownUser.
    """

    users: Users

    async def __call__(self, user: UserId) -> None:
        await self.users.enable(user)


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeTokens:
    """Sign a user out everywhere: every token issued until now is dead. Raises UnknownUser."""

    users: Users

    async def __call__(self, user: UserId) -> None:
        await self.users.revoke_tokens(user)


class Revocations:
    """What a process knows of dead tokens, so that nobody waits for the store to learn it.

    It asks the store every 2 s what is new. While the store is away it keeps what it knows. Nothing is ever
    forgotten: a token may live for as long as the application that minted it liked.
    """

    def __init__(self, users: Users, *, every_seconds: float = _EVERY_SECONDS) -> None:
        self._users = users
        self._every_seconds = every_seconds
        self._good_from: dict[UserId, datetime] = {}
        """From when on a token must have been issued to be good."""
        self._as_of: datetime | None = None
        self._away = False

    def dead(self, claims: Claims) -> bool:
        """Whether the token that said this was revoked, or its user is disabled."""
        good_from = self._good_from.get(claims.user_id)
        return good_from is not None and claims.issued_at < good_from

    async def run(self) -> None:
        """Keep up with the store, for ever."""
        while True:
            await sleep(self._every_seconds)
            await self.refresh()

    async def refresh(self) -> None:
        """Learn what the store knows by now. Without the store nothing changes."""
        try:
            latest = await self._users.revocations(self._as_of and self._as_of - _OVERLAP)
        except Unavailable as error:
            if not self._away:
                logger.warning("revoked tokens are not read: %s", error)
            self._away = True
            return
        if self._away:
            logger.info("revoked tokens are read again")
        self._away = False
        self._as_of = latest.as_of
        self._learn(latest.revocations)

    def _learn(self, revocations: Iterable[Revocation]) -> None:
        for revocation in revocations:
            self._good_from[revocation.user_id] = _NEVER if revocation.disabled else revocation.at
