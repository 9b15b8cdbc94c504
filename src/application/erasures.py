"""Erasures as the store returns them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.identifiers import UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """The removal of all that is kept of a user."""

    id: UUID
    requested_at: datetime
    deleted: Mapping[str, int]
    """How many rows are deleted so far, by kind."""
    finished_at: datetime | None = None
    kafka_until: datetime | None = None
    """Until when records in Kafka may hold texts of the user. None while it runs, and if Kafka does not
    say.
    """
    user_id: UserId | None = None
    """None once it is finished."""
    settled: bool = False
    """Whether it is old enough for every process to have noticed."""
