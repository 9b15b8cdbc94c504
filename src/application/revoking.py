"""Revoking: disables users, and invalidates tokens before they expire."""

import logging
from asyncio import sleep
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count

from application.audit import THE_SERVICE, Action, By, Entry, audited
from application.credentials import Claims, Revocation, RevokedToken, token_id
from application.errors import NotAuthenticated, Unavailable, UnknownSigningKey
from application.ports import Clock, RevokedTokens, Tokens, Users
from domain.errors import FieldError, Invalid
from domain.identifiers import UserId

logger = logging.getLogger(__name__)

_EVERY_SECONDS = 2.0
# A revocation is visible from its commit on, with the time at which it was made. No transaction takes this
# long, and a failover may set the store's clock back by as much.
_OVERLAP = timedelta(seconds=60)
_NEVER = datetime.max.replace(tzinfo=UTC)
_MOST_TOKENS = 500_000
_PRUNE_EVERY = 300
JTI_LENGTH = 256


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


async def claims_of(token: str, tokens: Tokens, clock: Clock) -> Claims:
    """The claims of a token. If its key is not known, the keys are read again. Raises NotAuthenticated."""
    try:
        return tokens.verify(token, clock())
    except UnknownSigningKey:
        if not await tokens.renew_keys():
            raise
        return tokens.verify(token, clock())


def check_jti(jti: str) -> None:
    """Raise Invalid unless it has an allowed length."""
    if not 1 <= len(jti) <= JTI_LENGTH:
        raise Invalid([FieldError("jti", f"must have 1 to {JTI_LENGTH} characters")])


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeToken:
    """Revoke a single token, either itself or by its `jti`, user and expiry. Raises Invalid."""

    revoked_tokens: RevokedTokens
    tokens: Tokens
    clock: Clock
    longest: timedelta
    """No accepted token is valid for longer."""

    async def __call__(
        self, token: str, check: Callable[[UserId], object] = lambda _user: None, *, by: By = THE_SERVICE
    ) -> UserId:
        """Revoke the token, which must be valid. Returns its user. `check` may raise if the caller must not
        touch this user.
        """
        try:
            claims = await claims_of(token, self.tokens, self.clock)
        except NotAuthenticated as error:
            raise Invalid([FieldError("token", error.detail)]) from error
        check(claims.user_id)
        await self._revoke(claims.user_id, RevokedToken(claims.token_id, claims.expires_at), by)
        return claims.user_id

    async def by_jti(
        self, user: UserId, jti: str, expires_at: datetime | None, *, by: By = THE_SERVICE
    ) -> None:
        """Revoke the token of this user with this `jti`. Without a time it counts for as long as any token
        that exists now can be valid.
        """
        check_jti(jti)
        latest = self.clock() + self.longest
        until = latest if expires_at is None else min(expires_at, latest)
        await self._revoke(user, RevokedToken(token_id(user, jti), until), by)

    async def _revoke(self, user: UserId, token: RevokedToken, by: By) -> None:
        """The entry has the token's identity, which is a hash, and nothing that the token says."""
        entry = Entry(by, Action.TOKEN_REVOKED, user, {"token": token.token_id})
        await audited(entry, partial(self.revoked_tokens.add, token))


@dataclass(frozen=True, slots=True, kw_only=True)
class EndSession:
    """Log out: revoke the token that a user presents, in this process immediately."""

    revoked_tokens: RevokedTokens
    revocations: "Revocations"

    async def __call__(self, claims: Claims) -> None:
        token = RevokedToken(claims.token_id, claims.expires_at)
        await self.revoked_tokens.add(token)
        self.revocations.learn_tokens([token])


class Revocations:
    """The revocations that a process knows, so that no check of a token waits for the store.

    They are refreshed every 2 s by default, and kept while the store is out of reach. Those of users are
    never dropped: an application may mint tokens with any lifetime. Those of single tokens are dropped when
    the token has expired; up to `most_tokens` are kept, those that expire last.
    """

    def __init__(
        self,
        users: Users,
        tokens: RevokedTokens,
        *,
        every_seconds: float = _EVERY_SECONDS,
        most_tokens: int = _MOST_TOKENS,
    ) -> None:
        self._users = users
        self._tokens = tokens
        self._every_seconds = every_seconds
        self._most_tokens = most_tokens
        self._valid_from: dict[UserId, datetime] = {}
        """Tokens issued before this time are invalid."""
        self._revoked_tokens: dict[str, datetime] = {}
        """When each expires."""
        self._as_of: datetime | None = None
        self._tokens_as_of: datetime | None = None
        self._unreachable = False
        self.learned = 0
        """Increases when more is revoked than before."""

    def is_revoked(self, claims: Claims) -> bool:
        """Whether the token with these claims was revoked, or its user is disabled."""
        valid_from = self._valid_from.get(claims.user_id)
        return (
            valid_from is not None and claims.issued_at < valid_from
        ) or claims.token_id in self._revoked_tokens

    async def run(self) -> None:
        """Refresh periodically, forever. Now and then forget tokens that have expired, also in the store."""
        for turn in count(1):
            await sleep(self._every_seconds)
            await self.refresh()
            if turn % _PRUNE_EVERY == 0:
                await self.prune()

    async def refresh(self) -> None:
        """Read new revocations from the store. If it is out of reach, nothing changes."""
        try:
            latest = await self._users.revocations(self._as_of and self._as_of - _OVERLAP)
            tokens = await self._tokens.latest(self._tokens_as_of and self._tokens_as_of - _OVERLAP)
        except Unavailable as error:
            if not self._unreachable:
                logger.warning("revocations cannot be read: %s", error)
            self._unreachable = True
            return
        if self._unreachable:
            logger.info("revocations are read again")
        self._unreachable = False
        self._as_of, self._tokens_as_of = latest.as_of, tokens.as_of
        self._learn(latest.revocations)
        self.learn_tokens(tokens.tokens)

    async def prune(self) -> None:
        """Forget tokens that have expired, also in the store; if it is out of reach, at the next turn."""
        self._keep_tokens(self._tokens_as_of)
        with suppress(Unavailable):
            while await self._tokens.prune():
                pass

    def learn_tokens(self, tokens: Iterable[RevokedToken]) -> None:
        """Refuse these tokens from now on."""
        for token in tokens:
            self.learned += token.token_id not in self._revoked_tokens
            self._revoked_tokens[token.token_id] = token.expires_at
        if len(self._revoked_tokens) > self._most_tokens:
            self._keep_tokens(self._tokens_as_of)

    def _keep_tokens(self, after: datetime | None) -> None:
        left = [(at, token) for token, at in self._revoked_tokens.items() if after is None or at > after]
        if len(left) > self._most_tokens:
            logger.error(
                "%d tokens are revoked, more than a process can hold: some are valid again", len(left)
            )
            left = sorted(left)[len(left) - self._most_tokens * 9 // 10 :]
        self._revoked_tokens = {token: at for at, token in left}

    def _learn(self, revocations: Iterable[Revocation]) -> None:
        for revocation in revocations:
            user, valid_from = revocation.user_id, _NEVER if revocation.disabled else revocation.at
            self.learned += self._valid_from.get(user) != valid_from
            self._valid_from[user] = valid_from
