"""Dead letters as they are read again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, TypeAlias


class Position(NamedTuple):
    """Where a dead letter lies."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A record that could not be stored, and the reason. Everything in it may be hostile."""

    position: Position
    at: datetime
    """When it was written."""
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    user: str
    """The user that the record seems to be for; empty if nothing says so."""
    error_class: str
    code: str
    message: str
    attempt: int
    """How often the record has failed."""
    first_failed_at: datetime
    record: tuple[str, int, int] | None
    """Topic, partition and offset of the record; None if the letter does not say."""


Progress: TypeAlias = Callable[[int, int], None]
"""Called with how many letters were read, and about how many there are."""
