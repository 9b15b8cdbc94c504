"""Batches: what was read at once, partition by partition."""

import logging
from dataclasses import dataclass, field, replace
from typing import Any

from aiokafka import TopicPartition

from adapters.kafka.codec import Undecodable, decode
from adapters.kafka.records import UnreadableBatch
from domain.notification import Draft

logger = logging.getLogger(__name__)

Entry = tuple[Any, Draft | Undecodable]
"""A record, with what can be made of it."""


@dataclass(slots=True)
class Part:
    """What was read of one partition at once, in its order."""

    partition: TopicPartition
    entries: list[Entry] = field(default_factory=list)
    odd: bool = False
    """Whether it is better read alone on."""

    @property
    def first(self) -> int:
        """Where it begins."""
        return int(self.entries[0][0].offset)

    @property
    def end(self) -> int:
        """What to commit once every record of it is in one of the stores."""
        last = self.entries[-1][0]
        return last.end if isinstance(last, UnreadableBatch) else int(last.offset) + 1


@dataclass(slots=True)
class Batch:
    """What was read at once."""

    parts: list[Part] = field(default_factory=list)

    @property
    def size(self) -> int:
        """How many records it has."""
        return sum(len(part.entries) for part in self.parts)

    @property
    def drafts(self) -> list[Draft]:
        """What can be stored."""
        return [made for part in self.parts for _, made in part.entries if isinstance(made, Draft)]

    @property
    def oldest(self) -> int:
        """Timestamp of the oldest record, in Unix milliseconds."""
        return min(int(part.entries[0][0].timestamp) for part in self.parts)


def entry(record: Any) -> Entry:
    """Make of a record what can be made of it."""
    if record.timestamp is None:  # of a format from before Kafka 0.10
        record = replace(record, timestamp=-1)
    try:
        return record, decode(record)
    except Undecodable as error:
        return record, error
    # A mistake of ours: kept and told of, it does not hold up what lies behind the record.
    except Exception:
        logger.exception("a record could not be looked at")
        return record, Undecodable("defect", "the record made the decoder fail")
