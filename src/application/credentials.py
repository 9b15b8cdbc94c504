"""The contents of user tokens and API keys."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from application.errors import NotAllowed
from domain.identifiers import UserId
from domain.prefixes import within


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a valid user token."""

    user_id: UserId
    expires_at: datetime
    issued_at: datetime
    """The earliest time at which it can have been issued: the clocks of some issuers are ahead."""
    token_id: str = ""
    """Of this one token, in the form of `token_id`."""


def token_id(user: str, jti: str) -> str:
    """The identity of a token with a `jti` (RFC 7519 §4.1.7): 32 hexadecimal digits. The user is part of it,
    so that nobody can revoke another user's token, whatever identifiers an issuer chooses.
    """
    return hashlib.sha256(f"{user} {jti}".encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Revocation:
    """Which tokens of a user are invalid."""

    user_id: UserId
    at: datetime
    """Tokens issued before this time, by the clock of the store."""
    disabled: bool
    """All tokens, including those issued later."""


@dataclass(frozen=True, slots=True)
class LatestRevocations:
    """Revocations, one per user. They are complete up to `as_of`, except those of open transactions."""

    as_of: datetime
    revocations: Sequence[Revocation]


@dataclass(frozen=True, slots=True)
class RevokedToken:
    """A single token that is invalid before it expires."""

    token_id: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class LatestRevokedTokens:
    """Revoked tokens that have not expired. They are complete up to `as_of`, except those of open
    transactions.
    """

    as_of: datetime
    tokens: Sequence[RevokedToken]


class Scope:
    """What an API key permits."""

    PUBLISH = "publish"
    USERS = "users"
    READ = "read"
    ADMIN = "admin"


SCOPES = frozenset({Scope.PUBLISH, Scope.USERS, Scope.READ, Scope.ADMIN})


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A producer's key. The secret itself is never kept."""

    id: str
    name: str
    secret_hash: bytes
    scopes: frozenset[str]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    user_prefix: str | None = None
    """Ids of the only users that it may touch begin with this."""
    event_prefix: str | None = None
    """The only events that it may publish begin with this."""
    own_only: bool = False
    """Whether it may edit and retract only what it sent."""
    replaced_by: str | None = None
    """The id of the key that a rotation made."""
    last_used_at: datetime | None = None
    """To about a minute."""

    def usable(self, at: datetime) -> bool:
        """Whether it is neither expired nor revoked."""
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)

    @property
    def limited(self) -> bool:
        """Whether it is limited to a prefix."""
        return self.user_prefix is not None or self.event_prefix is not None

    @property
    def changes_own_only(self) -> bool:
        """Whether it may edit and retract only what it sent. One with an event prefix always: what it sent is
        within the prefix, and of other notifications nothing but the id is known.
        """
        return self.own_only or self.event_prefix is not None

    def check(self, user: str, event: str | None = None) -> None:
        """Raise NotAllowed unless the key may touch this user, and publish this event.

        Everything that touches a user on behalf of a key passes here before it looks the user up, so that the
        answer for an id beyond the prefix is the same whether or not there is such a user.
        """
        if self.user_prefix is not None and not user.startswith(self.user_prefix):
            raise NotAllowed(f"This API key is limited to users whose ids begin with {self.user_prefix!r}.")
        if self.event_prefix is not None and event is not None and not event.startswith(self.event_prefix):
            raise NotAllowed(f"This API key is limited to events that begin with {self.event_prefix!r}.")

    def covers(self, other: "ApiKey") -> bool:
        """Whether it may do everything that the other may. Only then may it see, make or change the other."""
        return (
            other.scopes <= self.scopes
            and within(other.user_prefix, self.user_prefix)
            and within(other.event_prefix, self.event_prefix)
            and (other.own_only or not self.own_only)
        )


@dataclass(frozen=True, slots=True)
class LatestKeys:
    """Keys that changed. They are complete up to `as_of`, except for changes in open transactions."""

    as_of: datetime
    keys: Sequence[ApiKey]
