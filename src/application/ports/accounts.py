"""Users, their credentials, and the keys of producers."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from application.audit import Entry
from application.credentials import (
    ApiKey,
    Claims,
    LatestKeys,
    LatestRevocations,
    LatestRevokedTokens,
    RevokedToken,
)
from application.directory import Put, UserPage, UserSearch
from domain.identifiers import UserId
from domain.user import User


class Users(Protocol):
    """Users, and which of them may come in. Times are those of the store's clock: many processes revoke, and
    one clock must order what they do.
    """

    async def add(self, user: User, password_hash: str | None, entry: Entry | None = None) -> None:
        """Store a user and open its feed. Raises UserTaken, also if the id was erased and cannot be used
        again.
        """
        ...

    async def get(self, user: UserId) -> User:
        """The user with this id. Raises UnknownUser."""
        ...

    async def known(self, users: Sequence[UserId]) -> frozenset[UserId]:
        """Which of these exist. May answer from memory; an erased user is forgotten with `revocations`."""
        ...

    async def credentials(self, emails: Sequence[str]) -> tuple[User, str, datetime | None] | None:
        """The user with a password who has the first of these addresses that is taken, the hash, and the time
        until which tokens were revoked, if any were.
        """
        ...

    async def password(self, user: UserId) -> tuple[User, str | None]:
        """The user and its hash. Raises UnknownUser."""
        ...

    async def set_password(
        self, user: UserId, held: str | None, new_hash: str, entry: Entry | None = None
    ) -> datetime | None:
        """Replace the hash and invalidate the tokens issued until now. Returns that time; None, and nothing
        changes, if the hash is no longer `held` (None: whatever it is). Raises UnknownUser.
        """
        ...

    async def renew(self, user: User, password_hash: str, email: str, new_hash: str) -> None:
        """Replace the stored form of the address and the hash, if both are still what was read.

        Raises UserTaken if another user has that address.
        """
        ...

    async def has_address(self, email: str, besides: UserId | None = None) -> bool:
        """Whether a user, other than `besides`, has this address, in exactly this form."""
        ...

    async def disable(self, user: UserId, entry: Entry | None = None) -> None:
        """Invalidate all tokens of the user, including those issued before it is enabled again. A user who is
        disabled already keeps the first time. Raises UnknownUser.
        """
        ...

    async def enable(self, user: UserId, entry: Entry | None = None) -> None:
        """Let a disabled user in again; tokens issued until now stay invalid. Does nothing if the user is not
        disabled. Raises UnknownUser.
        """
        ...

    async def revoke_tokens(self, user: UserId, entry: Entry | None = None) -> None:
        """Invalidate the tokens issued until now. Raises UnknownUser."""
        ...

    async def revocations(self, since: datetime | None) -> LatestRevocations:
        """The current state of every user who was disabled or enabled, or whose tokens were revoked, at or
        after `since` (None: at any time), and of those who are being erased. A change that was made before
        `since` and commits later is missed: ask with an overlap.
        """
        ...


class MissingUsers(Protocol):
    """Creates users just in time, where the operator wants that."""

    async def create(self, users: Collection[UserId], at: datetime) -> frozenset[UserId]:
        """Create those of these users that do not exist, each with its id as its name, and open their feeds.
        Returns those that it created.

        Erased users are left out, even if the id may be used again: neither a late record nor an old token
        brings anybody back.
        """
        ...


class UserDirectory(Protocol):
    """Users as other systems keep them up to date, and as operators look them up."""

    async def put(self, user: User, *, keeps_email: bool, created: Entry, changed: Entry) -> Put:
        """Create the user and open its feed, or give the user with this id this name and address; with
        `keeps_email` an existing user keeps its address. Writes the entry of what it did, and none if nothing
        changed.

        Raises UserTaken if another user has the address, or if the id was erased and cannot be used again;
        Invalid if a user with a password would lose its address.
        """
        ...

    async def page(self, search: UserSearch, limit: int, after: UserId | None = None) -> UserPage:
        """Users by id, from the one behind `after` on, up to `limit`. The order is that of the bytes."""
        ...


class Tokens(Protocol):
    """User tokens."""

    def mint(self, user: UserId, at: datetime) -> tuple[str, int]:
        """A token and its lifetime in seconds. Its time of issue keeps the fraction of a second."""
        ...

    def verify(self, token: str, at: datetime) -> Claims:
        """The claims of a token. Raises NotAuthenticated; if `renew_keys` may help, UnknownSigningKey."""
        ...

    async def renew_keys(self) -> bool:
        """Read the issuers' public keys again, unless that was tried a moment ago. Returns whether they
        changed. Never raises; the keys stay if it fails.
        """
        ...


class RevokedTokens(Protocol):
    """Single tokens that were revoked. Times are those of the store's clock."""

    async def add(self, token: RevokedToken, entry: Entry | None = None) -> None:
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
    """Slow hashes, computed off the event loop and a few at a time. Parties take turns: one that asks for
    many does not hold up the others. Those who come first wait for nobody else. Both raise Busy if too many
    are waiting.
    """

    async def hash(self, password: str, party: str = "") -> str: ...

    async def verify(
        self, password: str, password_hash: str | None, party: str = "", *, first: bool = False
    ) -> bool:
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

    async def add(self, key: ApiKey, entry: Entry | None = None) -> None:
        """Store a new key."""
        ...

    async def get(self, key_id: str) -> ApiKey | None:
        """The key with this id, as it is stored now."""
        ...

    async def all(self) -> Sequence[ApiKey]:
        """Every key, in the order in which they were created."""
        ...

    async def revoke(self, key_id: str, at: datetime, entry: Entry | None = None) -> bool:
        """Revoke a key. Returns whether there was such a key that was not revoked."""
        ...

    async def replace(
        self, key_id: str, successor: ApiKey, until: datetime, entry: Entry | None = None
    ) -> bool:
        """Store the successor of a key, which then expires at `until` unless it expires sooner.

        Returns False and stores nothing if there is no such key, or if it was replaced, was revoked or has
        expired when the successor was created.
        """
        ...

    async def changed(self, since: datetime | None) -> LatestKeys:
        """The current state of every key that was created, replaced or revoked at or after `since` (None: at
        any time), by the store's clock. A change that was made before `since` and commits later is missed:
        ask with an overlap.
        """
        ...

    async def note_uses(self, uses: Mapping[str, datetime]) -> None:
        """Store when keys were last used, unless a use less than a minute earlier is stored."""
        ...
