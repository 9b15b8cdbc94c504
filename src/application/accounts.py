"""Accounts: users and the producers' keys."""

import hashlib
import hmac
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from application.credentials import ApiKey, Claims
from application.errors import NotAllowed, NotAuthenticated, Revoked, Unavailable
from application.ports import ApiKeys, Clock, NewToken, Passwords, TextForms, Tickets, Tokens, Users
from application.revoking import Revocations
from domain.errors import FieldError, Invalid, UserTaken, gathered
from domain.identifiers import UserId
from domain.user import User, check_password, earlier_email, is_password

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateUser:
    """Create a user and open its feed. A user without a password cannot log in but can be notified.

    Raises Invalid, UserTaken.
    """

    users: Users
    passwords: Passwords
    forms: TextForms
    clock: Clock
    new_user_id: Callable[[], UserId]

    async def __call__(
        self,
        name: str,
        email: str | None = None,
        password: str | None = None,
        user_id: UserId | None = None,
    ) -> User:
        user, secret = self._checked(name, email, password, user_id)
        if user.id in await self.users.known([user.id]):
            raise UserTaken  # before the costly hash
        earlier = earlier_email(email) if email is not None else None
        if earlier not in {None, user.email} and await self.users.has_address(earlier):
            raise UserTaken
        await self.users.add(user, await self.passwords.hash(secret) if secret is not None else None)
        return user

    def _checked(
        self, name: str, email: str | None, password: str | None, user_id: UserId | None
    ) -> tuple[User, str | None]:
        broken: list[FieldError] = []
        address = secret = None
        with gathered(broken):
            if email is not None:
                address = self.forms.email(email)
        with gathered(broken):
            if password is not None:
                secret = self.forms.password(password)
                check_password(secret)
        if password is not None and email is None:
            broken.append(FieldError("email", "is required to log in with a password"))
        with gathered(broken):
            user = User(
                id=user_id if user_id is not None else self.new_user_id(),
                name=name,
                email=address,
                created_at=self.clock(),
            )
        if broken:
            raise Invalid(broken)
        return user, secret


@dataclass(frozen=True, slots=True, kw_only=True)
class LogIn:
    """Exchange an e-mail address and a password for a user token. Raises NotAuthenticated.

    Accounts from before addresses and passwords had one form are let in with what was typed then, and come
    into that form by it.
    """

    users: Users
    passwords: Passwords
    forms: TextForms
    tokens: Tokens
    clock: Clock

    async def __call__(self, email: str, password: str) -> tuple[UserId, str, int]:
        """Whose token, the token, and its lifetime in seconds."""
        address, secret = _form(self.forms.email, email), _form(self.forms.password, password)
        # First as it was stored earlier: nobody loses an account to one who signs up with the form of its
        # address, for no address is stored in an earlier form any more.
        found = await self.users.credentials(_different(earlier_email(email), address))
        right = await self._right(
            _different(secret, password if is_password(password) else None), found[1] if found else None
        )
        if found is None or right is None or found[0].disabled_at is not None:
            raise NotAuthenticated("The e-mail address or the password is wrong.")
        user, held = found
        await self._renew(user, held, address or user.email, secret if right != secret else None)
        return user.id, *self.tokens.mint(user.id, self.clock())

    async def _right(self, forms: Sequence[str], held: str | None) -> str | None:
        """The form of the password that was hashed. How many are tried depends on nothing but what was typed,
        unless one is right: nobody learns who has an account, nor from when it is.
        """
        for form in forms:
            if await self.passwords.verify(form, held):
                return form
        return None

    async def _renew(self, user: User, held: str, email: str | None, secret: str | None) -> None:
        if email == user.email and secret is None:
            return
        new_hash = await self.passwords.hash(secret) if secret is not None else held
        try:
            for address in _different(email, user.email):
                with suppress(UserTaken):  # by another account: then this one keeps the address that it has
                    await self.users.renew(user, held, address, new_hash)
                    return
        except Unavailable as error:
            logger.warning("an account keeps its earlier form until the next log-in: %s", error)


def _form(form: Callable[[str], str], typed: str) -> str | None:
    """None for what has none: that is nobody's."""
    try:
        return form(typed)
    except Invalid:
        return None


def _different(*texts: str | None) -> list[str]:
    """What there is of these, in this order, each once."""
    return [text for text in dict.fromkeys(texts) if text is not None]


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
    """Make a key for a producer. Returns it with its text, which is shown this once.

    `text` is a key that was drawn elsewhere, `bw_<environment>_<id>_<secret>`; otherwise one is drawn here.
    """

    keys: ApiKeys
    clock: Clock
    new_token: NewToken
    environment: str

    async def __call__(
        self,
        name: str,
        scopes: frozenset[str],
        expires_at: datetime | None = None,
        *,
        text: str | None = None,
    ) -> tuple[ApiKey, str]:
        text = text or new_key(self.environment, self.new_token)
        _, _, key_id, secret = text.split("_")
        key = ApiKey(
            id=key_id,
            name=name,
            secret_hash=hash_secret(secret),
            scopes=scopes,
            created_at=self.clock(),
            expires_at=expires_at,
        )
        await self.keys.add(key)
        return key, text


def new_key(environment: str, new_token: NewToken) -> str:
    """The text of a new API key: a label, a public id of 48 random bits, a secret of 256."""
    return f"{KEY_PREFIX}_{environment}_{new_token(6)}_{new_token(32)}"


def hash_secret(secret: str) -> bytes:
    """A fast hash is enough: the secret is 256 random bits, beyond guessing."""
    return hashlib.sha256(secret.encode()).digest()
