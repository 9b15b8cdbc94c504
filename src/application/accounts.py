"""Accounts: users and their credentials."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from application.audit import THE_SERVICE, Action, ActorKind, By, Entry, audited
from application.credentials import ApiKey, Claims
from application.errors import NotAuthenticated, Revoked, Unavailable
from application.failed_log_ins import FailedLogIns
from application.ports import Clock, Passwords, TextForms, Tickets, Tokens, Users
from application.revoking import Revocations, claims_of
from application.users import check_may_give_addresses
from domain.errors import FieldError, Invalid, UserTaken, gathered
from domain.identifiers import UserId
from domain.user import User, check_password, earlier_email, is_password

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateUser:
    """Create a user and open its feed. A user without a password cannot log in but can be notified.

    Raises Invalid, UserTaken, NotAllowed.
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
        party: str = "",
        *,
        key: ApiKey | None = None,
        by: By = THE_SERVICE,
    ) -> User:
        """`key` is the producer's, None where no key is needed."""
        new_id = self._new_id(key, user_id, email)
        user, secret = self._checked(name, email, password, new_id)
        if user.id in await self.users.known([user.id]):
            raise UserTaken  # before the costly hash
        earlier = earlier_email(email) if email is not None else None
        if earlier not in {None, user.email} and await self.users.has_address(earlier):
            raise UserTaken
        hashed = await self.passwords.hash(secret, party) if secret is not None else None
        await self._add(user, hashed, by)
        return user

    async def _add(self, user: User, password_hash: str | None, by: By) -> None:
        """Sign-ups without a key are not audited: anybody could fill the trail with them."""
        if by.kind is ActorKind.USER:
            await self.users.add(user, password_hash)
        else:
            entry = Entry(by, Action.USER_CREATED, user.id)
            await audited(entry, partial(self.users.add, user, password_hash))

    def _new_id(self, key: ApiKey | None, chosen: UserId | None, email: str | None) -> UserId:
        """Raises NotAllowed if the key may not create this user."""
        if key is None or key.user_prefix is None:
            return chosen if chosen is not None else self.new_user_id()
        if email is not None:
            check_may_give_addresses(key)
        user = chosen if chosen is not None else UserId(key.user_prefix + self.new_user_id())
        key.check(user)
        return user

    def _checked(
        self, name: str, email: str | None, password: str | None, user_id: UserId
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
                id=user_id,
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

    Earlier releases did not store addresses and passwords in canonical form. Such an account is found by its
    earlier form, and a log-in converts it.
    """

    users: Users
    passwords: Passwords
    forms: TextForms
    tokens: Tokens
    clock: Clock
    failures: FailedLogIns | None = None

    async def __call__(
        self, email: str, password: str, party: str = "", *, first: bool = False, by: By = THE_SERVICE
    ) -> tuple[UserId, str, int]:
        """The user, its token, and the token's lifetime in seconds. For the slow check parties take turns;
        some come first.
        """
        address = _canonical(self.forms.email, email)
        secret = _canonical(self.forms.password, password)
        # Before the password is read: a token for one that is changed meanwhile is revoked with the others.
        at = self.clock()
        # The earlier form first: addresses are no longer stored in it, so nobody can take over an account by
        # signing up with the canonical form of its address.
        found = await self.users.credentials(_distinct(earlier_email(email), address))
        matching = await self._matching(
            _distinct(secret, password if is_password(password) else None),
            found[1] if found else None,
            partial(self.passwords.verify, party=party, first=first),
        )
        if found is None or matching is None or found[0].disabled_at is not None:
            if self.failures is not None:
                self.failures.add(found[0].id if found else None, by)
            raise NotAuthenticated("The e-mail address or the password is wrong.")
        user, held, revoked_at = found
        await self._renew(user, held, address or user.email, secret if matching != secret else None)
        # The store's clock may be ahead: a token from before the last revocation would be invalid.
        return user.id, *self.tokens.mint(user.id, at if revoked_at is None else max(at, revoked_at))

    async def _matching(
        self, forms: Sequence[str], held: str | None, verify: Callable[[str, str | None], Awaitable[bool]]
    ) -> str | None:
        """The form of the password that matches the hash. Unless one matches, the number of attempts depends
        only on what was typed, so that it does not reveal which accounts exist, nor how old they are.
        """
        for form in forms:
            if await verify(form, held):
                return form
        return None

    async def _renew(self, user: User, held: str, email: str | None, secret: str | None) -> None:
        if email == user.email and secret is None:
            return
        new_hash = await self.passwords.hash(secret) if secret is not None else held
        try:
            for address in _distinct(email, user.email):
                with suppress(UserTaken):  # by another account: this one keeps its address
                    await self.users.renew(user, held, address, new_hash)
                    return
        except Unavailable as error:
            logger.warning("an account was not converted, the next log-in tries again: %s", error)


def _canonical(form: Callable[[str], str], typed: str) -> str | None:
    """The canonical form of a text; None if it has none and so belongs to no account."""
    try:
        return form(typed)
    except Invalid:
        return None


def _distinct(*texts: str | None) -> list[str]:
    """The texts that are not None, in this order, without repetitions."""
    return [text for text in dict.fromkeys(texts) if text is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticateUser:
    """Find the user of a token or a stream ticket.

    Raises NotAuthenticated; its subclass Revoked if only a revocation makes it invalid.
    """

    tokens: Tokens
    tickets: Tickets
    revocations: Revocations
    clock: Clock

    async def token(self, token: str) -> Claims:
        """The claims of a token."""
        return self._not_revoked(await claims_of(token, self.tokens, self.clock))

    async def ticket(self, ticket: str) -> Claims:
        """The claims of the token for which a stream ticket was issued. Uses up the ticket."""
        return self._not_revoked(await self.tickets.redeem(ticket))

    def _not_revoked(self, claims: Claims) -> Claims:
        if self.revocations.is_revoked(claims):
            raise Revoked
        return claims


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticateOperator:
    """Check an operator token. It is made with a secret of its own: whoever may issue users' tokens must not
    be able to operate the service.

    Raises NotAuthenticated.
    """

    tokens: Tokens | None
    """None if no secret is set."""
    clock: Clock

    def __call__(self, token: str) -> None:
        if self.tokens is None:
            raise NotAuthenticated(
                "This process has no BELLWIRE_OPERATOR_SECRET, so nobody operates it by HTTP."
            )
        self.tokens.verify(token, self.clock())


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueStreamTicket:
    """Exchange a user token for a single-use ticket that opens one stream. Returns the ticket and its
    lifetime in seconds.
    """

    tickets: Tickets

    async def __call__(self, claims: Claims) -> tuple[str, int]:
        return await self.tickets.issue(claims), self.tickets.lifetime
