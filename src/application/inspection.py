"""What the servers behind the service say of themselves, for `bellwire status` and `bellwire doctor`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreState:
    """PostgreSQL, and what the service keeps in it."""

    version: str
    ahead: timedelta
    """How far its clock is ahead of ours."""
    revision: str | None
    """The migration that the database is at; None if it is at none."""
    newest: str
    """The migration that this release needs."""
    refuses_writes: str = ""
    """Why it takes no writes; empty if it does."""
    time_limits: bool = True
    """Whether it ends statements that take too long."""
    missing_months: Sequence[str] = ()
    """The partitions of this month and the next that do not exist."""
    strays: int = 0
    """Notifications in the DEFAULT partition, counted up to 10,000."""
    users: int = 0
    unread: int = 0
    """Unread notifications of all users."""

    @property
    def migrated(self) -> bool:
        """Whether the database is as this release needs it, or a later one."""
        return self.revision is not None and self.revision >= self.newest


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheState:
    """Redis. What an account may not ask for is None."""

    ahead: timedelta | None
    """How far its clock is ahead of ours."""
    version: str | None
    used_bytes: int | None
    most_bytes: int | None
    """0 for no limit."""
    policy: str | None
    """What is evicted first when it is full."""
    evicted: int | None
    """Keys that it evicted since it started."""
    entries: int
    """Entries of the index that were looked at."""
    foreign: int
    """How many of these do not verify with the secret of these settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicState:
    """A topic."""

    partitions: int
    replication: int
    """The lowest of its partitions."""
    without_leader: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """Kafka."""

    brokers: int
    topics: Mapping[str, TopicState]
    """By name, those that exist."""
    lag: int | None
    """Records that the group has not stored yet; None if there are none and it has never committed."""
    dead_letters: int


def ahead(before: datetime, theirs: datetime, after: datetime) -> timedelta:
    """How far a clock is ahead that was read between two looks at ours."""
    return theirs - (before + (after - before) / 2)
