"""The audit trail: who did what to whom, and from where."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeVar
from uuid import UUID

T = TypeVar("T")

logger = logging.getLogger("bellwire.audit")


class ActorKind(StrEnum):
    """What kind of actor acts."""

    KEY = "key"
    USER = "user"
    OPERATOR = "operator"
    CLI = "cli"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class By:
    """Who acts, and from where."""

    kind: ActorKind
    id: str | None = None
    """The id of an API key or a user, or the name of the account that runs a command. None if unknown."""
    address: str | None = None
    request_id: str | None = None


THE_SERVICE = By(ActorKind.SYSTEM)
"""The service itself, and callers that name nobody."""


class Action(StrEnum):
    """What is recorded. The target is an object of the kind before the dot."""

    KEY_CREATED = "key.created"
    KEY_ROTATED = "key.rotated"
    KEY_REVOKED = "key.revoked"
    USER_CREATED = "user.created"
    USER_CHANGED = "user.changed"
    USER_DISABLED = "user.disabled"
    USER_ENABLED = "user.enabled"
    TOKENS_REVOKED = "user.tokens-revoked"
    TOKEN_REVOKED = "user.token-revoked"  # noqa: S105 - not a password
    PASSWORD_CHANGED = "user.password-changed"  # noqa: S105 - not a password
    LOG_IN_FAILED = "user.log-in-failed"
    USER_EXPORTED = "user.exported"
    USER_IMPORTED = "user.imported"
    USER_ERASED = "user.erased"
    ERASURE_FINISHED = "user.erasure-finished"
    FEEDS_RESET = "feeds.reset"
    CATEGORY_SET = "category.set"
    LETTERS_REPLAYED = "letters.replayed"
    PROCESS_DRAINED = "process.drained"


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry to be written. It never holds a secret or a text of a user."""

    by: By
    action: Action
    target: str | None = None
    detail: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """An entry as it was written. Users are named by a keyed hash of their id."""

    id: UUID
    at: datetime
    actor_kind: str
    actor: str | None
    action: str
    target: str | None
    detail: Mapping[str, object]
    address: str | None
    request_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Which entries to list. A field that is not given restricts nothing."""

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    since: datetime | None = None


async def audited(entry: Entry, work: Callable[[Entry], Awaitable[T]]) -> T:
    """Do the work, which writes the entry in its own transaction, then log the entry."""
    done = await work(entry)
    note(entry)
    return done


def note(entry: Entry) -> None:
    """Log an entry that was written."""
    by = entry.by
    logger.info(
        "%s %s by %s %s",
        entry.action,
        entry.target or "",
        by.kind,
        by.id or "",
        extra={
            "action": entry.action,
            "target": entry.target or "",
            "actor_kind": by.kind,
            "actor": by.id or "",
            "address": by.address or "",
            "detail": dict(entry.detail),
        },
    )
