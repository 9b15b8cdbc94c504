"""What a consumer reads: records by partition, each with its draft or the reason why it has none."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from domain.arrivals import Arrival


class Partition(NamedTuple):
    """A partition of the queue."""

    topic: str
    partition: int


class Undecodable(Exception):
    """A record is not a notification."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        self.key_id: str | None = None
        """The API key that sent the record, if it says so."""
        self.user = ""
        """The user that the record seems to be for."""
        super().__init__(detail)


class Blame(NamedTuple):
    """In which way a record is bad, and whose it is."""

    code: str
    key_id: str | None
    """The API key that sent it, if it says so."""
    user: str
    """The user that it is, or seems to be, for; empty if nothing says so."""


class NotRead(Exception):
    """A read of all partitions failed. They are rewound and paused: each must be read alone."""

    def __init__(self, partitions: Collection[Partition], reason: str) -> None:
        self.partitions = partitions
        super().__init__(reason)


Entry: TypeAlias = tuple[Any, Arrival | Undecodable]
"""A record of the queue, with its draft or retraction, or the reason why it has neither."""

Failure: TypeAlias = tuple[Any, str, str]
"""A record that cannot be stored, with an error code and a readable reason."""


@dataclass(slots=True)
class Part:
    """Consecutive records of one partition."""

    partition: Partition
    end: int
    """The offset to commit once every record of it is stored or a dead letter."""
    entries: list[Entry] = field(default_factory=list)
    odd: bool = False
    """Whether to keep reading the partition alone."""

    @property
    def first(self) -> int:
        """The offset of its first record."""
        return int(self.entries[0][0].offset)


@dataclass(slots=True)
class Batch:
    """What one read returned, by partition."""

    parts: list[Part] = field(default_factory=list)

    @property
    def size(self) -> int:
        """How many records it has."""
        return sum(len(part.entries) for part in self.parts)

    @property
    def arrivals(self) -> list[Arrival]:
        """What its records say."""
        return [made for part in self.parts for _, made in part.entries if not isinstance(made, Undecodable)]

    @property
    def oldest(self) -> int:
        """Timestamp of the oldest record, in Unix milliseconds."""
        return min(int(part.entries[0][0].timestamp) for part in self.parts)
