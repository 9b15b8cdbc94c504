"""The contents of user tokens and API keys."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.identifiers import UserId


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

    def usable(self, at: datetime) -> bool:
        """Whether it is neither expired nor revoked."""
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)
