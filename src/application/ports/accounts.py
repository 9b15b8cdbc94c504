"""Users, their credentials, and the keys of producers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from application.credentials import ApiKey, Claims, LatestRevocations
from domain.identifiers import UserId
from domain.user import User


class Users(Protocol):
    """Who has a feed, and who of them is let in. Times are those of the store's own clock: revocations are
    made by many processes, and one clock must say which of them are new.
    """

    async def add(self, user: User, password_hash: str | None) -> None:
        """Store a user and open its feed. Raises UserTaken."""
        ...

    async def get(self, user: UserId) -> User:
        """Raise UnknownUser."""
        ...

    async def known(self, users: Sequence[UserId]) -> frozenset[UserId]:
        """Which of these exist. May remember that one did: users are never removed."""
        ...

    async def credentials(self, emails: Sequence[str]) -> tuple[User, str] | None:
        """The user with the first of these addresses that somebody with a password has, and its hash."""
        ...

    async def renew(self, user: User, password_hash: str, email: str, new_hash: str) -> None:
        """Store another form of the address and another hash of the password, if the user still has these.

        Raises UserTaken if another user has that address.
        """
        ...

    async def has_address(self, email: str) -> bool:
        """Whether somebody has this address, in exactly this form."""
        ...

    async def disable(self, user: UserId) -> None:
        """Kill all tokens, also those issued until the user is enabled. The first time counts.

        Raises UnknownUser.
        """
        ...

    async def enable(self, user: UserId) -> None:
        """Let a disabled user in again; tokens issued until now stay dead. Changes nothing for one who is
        not disabled. Raises UnknownUser.
        """
        ...

    async def revoke_tokens(self, user: UserId) -> None:
        """Kill the tokens issued until now. Raises UnknownUser."""
        ...

    async def revocations(self, since: datetime | None) -> LatestRevocations:
        """Who was disabled, enabled or had tokens revoked at or after this time, as it is now; ever, without
        one. What was made before the time and is not committed yet will not be in a later answer: ask with
        an overlap.
        """
        ...


class Tokens(Protocol):
    """User tokens."""

    def mint(self, user: UserId, at: datetime) -> tuple[str, int]:
        """A token, issued at this very moment and not only within its second, and its lifetime in seconds."""
        ...

    def verify(self, token: str, at: datetime) -> Claims:
        """Raise NotAuthenticated."""
        ...


class TextForms(Protocol):
    """Texts that can be typed in several ways, in the one form in which they are compared. A form has itself
    as its form. The work grows no faster than the length of the text, and is bounded.
    """

    def email(self, typed: str) -> str:
        """The local part as a username without regard to case (UsernameCaseMapped, RFC 8265), the domain as
        it is written in its own script (IDNA, UTS #46), in lower case. Raises Invalid.
        """
        ...

    def password(self, typed: str) -> str:
        """As an OpaqueString (RFC 8265). Raises Invalid, without a word of what was typed."""
        ...


class Passwords(Protocol):
    """Slow hashes, computed off the event loop and few at a time."""

    async def hash(self, password: str) -> str: ...

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Compare; without a hash, take as long and say no, so that nobody learns who has an account."""
        ...


class Tickets(Protocol):
    """Single-use admissions to a stream, for clients that cannot set headers."""

    lifetime: int
    """Seconds."""

    async def issue(self, claims: Claims) -> str:
        """A ticket that admits whom these claims are about, to a stream that ends when they expire."""
        ...

    async def redeem(self, ticket: str) -> Claims:
        """Raise NotAuthenticated if it is unknown, used or too old."""
        ...


class ApiKeys(Protocol):
    """The producers' keys."""

    async def add(self, key: ApiKey) -> None: ...

    async def get(self, key_id: str) -> ApiKey | None:
        """May be remembered for up to 30 s."""
        ...

    async def all(self) -> Sequence[ApiKey]: ...

    async def revoke(self, key_id: str, at: datetime) -> bool:
        """Return whether there was such a key in use."""
        ...
