"""The producers' keys: who is admitted, and how keys are made, replaced and revoked."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from application.audit import THE_SERVICE, Action, By, Entry, audited, note
from application.credentials import SCOPES, ApiKey, Scope
from application.errors import KeyNotInUse, NotAllowed, NotAuthenticated, UnknownKey
from application.known_keys import KnownKeys
from application.ports import ApiKeys, Clock, NewToken
from domain.errors import FieldError, Invalid
from domain.notification import LATEST
from domain.prefixes import EVENT_PREFIX, EVENT_PREFIX_RULE, USER_PREFIX, USER_PREFIX_RULE

KEY_PREFIX = "bw"
NAME_LENGTH = 100
LONGEST_OVERLAP = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticateProducer:
    """Check an API key `bw_<environment>_<id>_<secret>` and return it.

    Raises NotAuthenticated, NotAllowed if the key lacks the scope, and Unavailable.
    """

    known: KnownKeys
    clock: Clock
    environment: str

    async def __call__(self, text: str, scope: str) -> ApiKey:
        parts = text.split("_")
        if len(parts) != 4 or parts[0] != KEY_PREFIX or parts[1] != self.environment:
            raise NotAuthenticated("This is not an API key of this service.")
        key, now = await self.known.find(parts[2]), self.clock()
        if (
            key is None
            or not hmac.compare_digest(key.secret_hash, hash_secret(parts[3]))
            or not key.usable(now)
        ):
            raise NotAuthenticated("This API key is unknown, expired or revoked.")
        self.known.note_use(key.id, now)
        if scope not in key.scopes:
            raise NotAllowed(f"This API key lacks the scope {scope!r}.")
        return key


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateApiKey:
    """Create an API key. Returns it and its text, which cannot be read again later.

    `text` is a key generated elsewhere, `bw_<environment>_<id>_<secret>`; by default a new one is generated.
    `by` is the key of the caller: the new one gets its limits where none are given, and may do no more.
    Without it the caller is the operator, who may do everything.

    Raises Invalid, NotAllowed.
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
        user_prefix: str | None = None,
        event_prefix: str | None = None,
        own_only: bool | None = None,
        by: ApiKey | None = None,
        text: str | None = None,
        actor: By = THE_SERVICE,
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
            user_prefix=by.user_prefix if by and user_prefix is None else user_prefix,
            event_prefix=by.event_prefix if by and event_prefix is None else event_prefix,
            own_only=by.own_only if by and own_only is None else bool(own_only),
        )
        if errors := _broken_rules(key):
            raise Invalid(errors)
        if by is not None and not by.covers(key):
            raise NotAllowed("An API key cannot make one that may do more than itself.")
        entry = Entry(actor, Action.KEY_CREATED, key.id, _described(key))
        await audited(entry, partial(self.keys.add, key))
        return key, text


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateApiKey:
    """Make the successor of a key, with the same name, scopes and limits and another secret. The key itself
    expires after `overlap`. Returns the successor and its text.

    Without `expires_at` the successor lives as long as the key was made to. Raises UnknownKey, KeyNotInUse,
    Invalid.
    """

    keys: ApiKeys
    clock: Clock
    new_token: NewToken
    environment: str

    async def __call__(
        self,
        key_id: str,
        overlap: timedelta,
        expires_at: datetime | None = None,
        *,
        by: ApiKey | None = None,
        actor: By = THE_SERVICE,
    ) -> tuple[ApiKey, str]:
        if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
            raise Invalid([FieldError("overlap", f"must be 0 to {LONGEST_OVERLAP.days} days")])
        key, now = await found(self.keys, key_id, by), self.clock()
        text = new_key(self.environment, self.new_token)
        _, _, new_id, secret = text.split("_")
        if expires_at is None and key.expires_at is not None:
            expires_at = now + (key.expires_at - key.created_at)
        successor = replace(
            key,
            id=new_id,
            secret_hash=hash_secret(secret),
            created_at=now,
            expires_at=expires_at,
            last_used_at=None,
        )
        if errors := _broken_expiry(successor):
            raise Invalid(errors)
        entry = Entry(actor, Action.KEY_ROTATED, key_id, _described(successor) | {"successor": new_id})
        if not await self.keys.replace(key_id, successor, now + overlap, entry):
            raise KeyNotInUse
        note(entry)
        return successor, text


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeApiKey:
    """Revoke a key: every process refuses it within 5 s, or 60 s where the store is out of reach.

    Returns whether that changed anything. Raises UnknownKey.
    """

    keys: ApiKeys
    clock: Clock

    async def __call__(self, key_id: str, *, by: ApiKey | None = None, actor: By = THE_SERVICE) -> bool:
        await found(self.keys, key_id, by)
        entry = Entry(actor, Action.KEY_REVOKED, key_id)
        revoked = await self.keys.revoke(key_id, self.clock(), entry)
        if revoked:
            note(entry)
        return revoked


@dataclass(frozen=True, slots=True, kw_only=True)
class FindApiKey:
    """The key with this id. Raises UnknownKey."""

    keys: ApiKeys

    async def __call__(self, key_id: str, *, by: ApiKey | None = None) -> ApiKey:
        return await found(self.keys, key_id, by)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListApiKeys:
    """Up to `limit` keys after the one with the id `after`, and whether there are more, in the order of
    creation. Raises Invalid if there is no key `after`.
    """

    keys: ApiKeys

    async def __call__(
        self, limit: int, after: str | None = None, *, by: ApiKey | None = None
    ) -> tuple[Sequence[ApiKey], bool]:
        listed = [key for key in await self.keys.all() if by is None or by.covers(key)]
        ids = [key.id for key in listed]
        if after is not None and after not in ids:
            raise Invalid([FieldError("cursor", "is not a cursor of this service")])
        first = 0 if after is None else ids.index(after) + 1
        return listed[first : first + limit], len(listed) > first + limit


async def found(keys: ApiKeys, key_id: str, by: ApiKey | None) -> ApiKey:
    """The key with this id. One that the caller's key does not cover is unknown to it. Raises UnknownKey."""
    key = await keys.get(key_id)
    if key is None or (by is not None and not by.covers(key)):
        raise UnknownKey
    return key


def new_key(environment: str, new_token: NewToken) -> str:
    """The text of a new API key: a label, a public id of 48 random bits, a secret of 256."""
    return f"{KEY_PREFIX}_{environment}_{new_token(6)}_{new_token(32)}"


def hash_secret(secret: str) -> bytes:
    """A fast hash is enough: the secret is 256 random bits, beyond guessing."""
    return hashlib.sha256(secret.encode()).digest()


def _described(key: ApiKey) -> dict[str, object]:
    """What the audit trail says of a new key."""
    return {
        "name": key.name,
        "scopes": sorted(key.scopes),
        "user_prefix": key.user_prefix,
        "event_prefix": key.event_prefix,
        "own_only": key.own_only,
        "expires_at": key.expires_at,
    }


def _broken_rules(key: ApiKey) -> list[FieldError]:
    errors: list[FieldError] = []
    if not 0 < len(key.name.strip()) <= len(key.name) <= NAME_LENGTH or not key.name.isprintable():
        errors.append(FieldError("name", f"must have 1 to {NAME_LENGTH} printable characters"))
    if not key.scopes or not key.scopes <= SCOPES:
        errors.append(FieldError("scopes", f"must be one or more of {', '.join(sorted(SCOPES))}"))
    if key.user_prefix is not None and USER_PREFIX.fullmatch(key.user_prefix) is None:
        errors.append(FieldError("user_prefix", USER_PREFIX_RULE))
    if key.event_prefix is not None and EVENT_PREFIX.fullmatch(key.event_prefix) is None:
        errors.append(FieldError("event_prefix", EVENT_PREFIX_RULE))
    if key.event_prefix is not None and Scope.READ in key.scopes:
        errors.append(FieldError("scopes", "read shows every event, so not with an event_prefix"))
    return [*errors, *_broken_expiry(key)]


def _broken_expiry(key: ApiKey) -> list[FieldError]:
    if key.expires_at is None or key.created_at < key.expires_at <= LATEST:
        return []
    return [FieldError("expires_at", "must be in the future, and at most 9999-12-31T23:59:59Z")]
