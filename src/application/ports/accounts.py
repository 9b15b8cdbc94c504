"""Users, their credentials, and the keys of producers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from application.credentials import ApiKey, Claims, LatestRevocations, LatestRevokedTokens, RevokedToken
from domain.identifiers import UserId
from domain.user import User


class Users(Protocol):
    """Users, and which of them may come in. Times are those of the store's clock: many processes revoke, and
    one clock must order what they do.
    """

    async def add(self, user: User, password_hash: str | None) -> None:
        """Store a user and open its feed. Raises UserTaken."""
        ...

    async def get(self, user: UserId) -> User:
        """The user with this id. Raises UnknownUser."""
        ...

    async def known(self, users: Sequence[UserId]) -> frozenset[UserId]:
        """Which of these exist. May answer from memory: users are never removed."""
        ...

    async def credentials(self, emails: Sequence[str]) -> tuple[User, str] | None:
        """The user with a password who has the first of these addresses that is taken, and the hash."""
        ...

    async def renew(self, user: User, password_hash: str, email: str, new_hash: str) -> None:
        """Replace the stored form of the address and the hash, if both are still what was read.

        Raises UserTaken if another user has that address.
        """
        ...

    async def has_address(self, email: str) -> bool:
        """Whether a user has this address, in exactly this form."""
        ...

    async def disable(self, user: UserId) -> None:
        """Invalidate all tokens of the user, including those issued before it is enabled again. A user who is
        disabled already keeps the first time. Raises UnknownUser.
        """
        ...

    async def enable(self, user: UserId) -> None:
        """Let a disabled user in again; tokens issued until now stay invalid. Does nothing if the user is not
        disabled. Raises UnknownUser.
        """
        ...

    async def revoke_tokens(self, user: UserId) -> None:
        """Invalidate the tokens issued until now. Raises UnknownUser."""
        ...

    async def revocations(self, since: datetime | None) -> LatestRevocations:
        """The current state of every user who was disabled or enabled, or whose tokens were revoked, at or
        after `since` (None: at any time). A change that was made before `since` and commits later is missed:
        ask with an overlap.
        """
        ...


class Tokens(Protocol):
    """User tokens."""

    def mint(self, user: UserId, at: datetime) -> tuple[str, int]:
        """A token and its lifetime in seconds. Its time of issue keeps the fraction of a second."""
        ...

    def verify(self, token: str, at: datetime) -> Claims:
        """The claims of a token. Raises NotAuthenticated; if `renew_keys` may help, UnknownKey."""
        ...

    async def renew_keys(self) -> bool:
        """Read the issuers' public keys again, unless that was tried a moment ago. Returns whether they
        changed. Never raises; the keys stay if it fails.
        """
        ...


class RevokedTokens(Protocol):
    """Single tokens that were revoked. Times are those of the store's clock."""

    async def add(self, token: RevokedToken) -> None:
        """Revoke a token. If it is revoked already, the later expiry counts."""
        ...

    async def latest(self, since: datetime | None) -> LatestRevokedTokens:
        """What was revoked at or after `since` (None: at any time) and has not expired. What is revoked
        before `since` and commits later is missed: ask with an overlap.
        """
        ...

    async def prune(self) -> int:
        """Forget tokens that have expired. Returns how many."""
        ...


class TextForms(Protocol):
    """The canonical form of texts that can be typed in several ways. Idempotent. The work is bounded, and
    grows no faster than the length of the text.
    """

    def email(self, typed: str) -> str:
        """The local part as a UsernameCaseMapped string (RFC 8265), the domain as Unicode (IDNA, UTS #46), in
        lower case. Raises Invalid.
        """
        ...

    def password(self, typed: str) -> str:
        """As an OpaqueString (RFC 8265). Raises Invalid; the error never quotes the password."""
        ...


class Passwords(Protocol):
    """Slow hashes, computed off the event loop and a few at a time."""

    async def hash(self, password: str) -> str: ...

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Whether the password has this hash. Without a hash it is False, after as long a time, so that the
        answer does not reveal which accounts exist.
        """
        ...


class Tickets(Protocol):
    """Single-use tickets that open a stream, for clients that cannot set headers."""

    lifetime: int
    """Seconds."""

    async def issue(self, claims: Claims) -> str:
        """A ticket for the user of these claims. Its stream ends when the claims expire."""
        ...

    async def redeem(self, ticket: str) -> Claims:
        """The claims of a ticket. Raises NotAuthenticated if it is unknown, used or too old."""
        ...


class ApiKeys(Protocol):
    """The producers' keys."""

    async def add(self, key: ApiKey) -> None: ...

    async def get(self, key_id: str) -> ApiKey | None:
        """The key with this id. The answer may be up to 30 s old."""
        ...

    async def all(self) -> Sequence[ApiKey]: ...

    async def revoke(self, key_id: str, at: datetime) -> bool:
        """Revoke a key. Returns whether there was such a key in use."""
        ...
