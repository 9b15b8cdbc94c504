"""Accounts: users and the producers' keys."""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from application.errors import NotAllowed, NotAuthenticated, Revoked
from application.ports import ApiKey, ApiKeys, Claims, Clock, Passwords, Tickets, Tokens, Users
from application.revoking import Revocations
from domain.errors import FieldError, Invalid, UserTaken
from domain.identifiers import UserId
from domain.user import User, check_password, normal_email


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateUser:
    """Create a user and open its feed. A user without a password cannot log in but can be notified.

    Raises Invalid, UserTaken.
    """

    users: Users
    passwords: Passwords
    clock: Clock
    new_user_id: Callable[[], UserId]

    async def __call__(
        self,
        name: str,
        email: str | None = None,
        password: str | None = None,
        user_id: UserId | None = None,
    ) -> User:
        if password is not None:
            check_password(password)
            if email is None:
                raise Invalid([FieldError("email", "is required to log in with a password")])
        user = User(
            id=user_id if user_id is not None else self.new_user_id(),
            name=name,
            email=normal_email(email) if email is not None else None,
            created_at=self.clock(),
        )
        if user.id in await self.users.known([user.id]):
            raise UserTaken  # before the costly hash
        await self.users.add(user, await self.passwords.hash(password) if password else None)
        return user


@dataclass(frozen=True, slots=True, kw_only=True)
class LogIn:
    """Exchange an e-mail address and a password for a user token. Raises NotAuthenticated."""

    users: Users
    passwords: Passwords
    tokens: Tokens
    clock: Clock

    async def __call__(self, email: str, password: str) -> tuple[UserId, str, int]:
        """Whose token, the token, and its lifetime in seconds."""
        found = await self.users.credentials(normal_email(email))
        right = await self.passwords.verify(password, found[1] if found else None)
        if found is None or not right or found[0].disabled_at is not None:
            raise NotAuthenticated("The e-mail address or the password is wrong.")
        user = found[0].id
        return user, *self.tokens.mint(user, self.clock())


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticateUser:
    """Find out whom a token or a stream ticket speaks for.

    Raises NotAuthenticated; as Revoked if it would be good but for a revocation.
    """

    tokens: Tokens
    tickets: Tickets
    revocations: Revocations
    clock: Clock

    def token(self, token: str) -> Claims:
        """What a token says."""
        return self._alive(self.tokens.verify(token, self.clock()))

    async def ticket(self, ticket: str) -> Claims:
        """What the token said that a stream ticket was issued for. The ticket is used up by this."""
        return self._alive(await self.tickets.redeem(ticket))

    def _alive(self, claims: Claims) -> Claims:
        if self.revocations.dead(claims):
            raise Revoked
        return claims


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticateOperator:
    """Check a token that lets its bearer run this process: made by whoever has the secret, for this alone.

    Raises NotAuthenticated.
    """

    tokens: Tokens
    clock: Clock

    def __call__(self, token: str) -> None:
        self.tokens.verify(token, self.clock())


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueStreamTicket:
    """Exchange a user token for a single-use ticket that opens one stream. Returns it and its lifetime in
    seconds.
    """

    tickets: Tickets

    async def __call__(self, claims: Claims) -> tuple[str, int]:
        return await self.tickets.issue(claims), self.tickets.lifetime


KEY_PREFIX = "bw"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticateProducer:
    """Check an API key `bw_<environment>_<id>_<secret>` and return it.

    Raises NotAuthenticated, and NotAllowed if the key lacks the scope.
    """

    keys: ApiKeys
    clock: Clock

    async def __call__(self, text: str, scope: str) -> ApiKey:
        parts = text.split("_")
        if len(parts) != 4 or parts[0] != KEY_PREFIX:
            raise NotAuthenticated("This is not an API key of this service.")
        key = await self.keys.get(parts[2])
        if (
            key is None
            or not hmac.compare_digest(key.secret_hash, hash_secret(parts[3]))
            or not key.usable(self.clock())
        ):
            raise NotAuthenticated("This API key is unknown, expired or revoked.")
        if scope not in key.scopes:
            raise NotAllowed(f"This API key lacks the scope {scope!r}.")
        return key


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateApiKey:
    """Make a key for a producer. Returns it with its text, which is shown this once."""

    keys: ApiKeys
    clock: Clock
    environment: str

    async def __call__(
        self, name: str, scopes: frozenset[str], expires_at: datetime | None = None
    ) -> tuple[ApiKey, str]:
        key_id, secret = secrets.token_hex(6), secrets.token_hex(32)
        key = ApiKey(
            id=key_id,
            name=name,
            secret_hash=hash_secret(secret),
            scopes=scopes,
            created_at=self.clock(),
            expires_at=expires_at,
        )
        await self.keys.add(key)
        return key, f"{KEY_PREFIX}_{self.environment}_{key_id}_{secret}"


def hash_secret(secret: str) -> bytes:
    """A fast hash is enough: the secret is 256 random bits, beyond guessing."""
    return hashlib.sha256(secret.encode()).digest()
