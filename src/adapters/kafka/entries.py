"""Entries: records with what they were decoded to."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from adapters.kafka.codec import addressee, decode
from adapters.kafka.headers import key_id
from adapters.kafka.records import UnreadableBatch
from application.records import Entry, Part, Partition, Undecodable

logger = logging.getLogger(__name__)

_USER_LENGTH = 128


def make_part(partition: Partition, entries: Sequence[Entry], *, odd: bool = False) -> Part:
    """Make a Part from what was read of a partition: at least one entry."""
    last = entries[-1][0]
    end = last.end if isinstance(last, UnreadableBatch) else int(last.offset) + 1
    return Part(partition, end, list(entries), odd)


def entry(record: Any) -> Entry:
    """Decode a record. An entry holds the draft or the reason why there is none."""
    if record.timestamp is None:  # a format from before Kafka 0.10
        record = replace(record, timestamp=-1)
    try:
        return record, decode(record)
    except Undecodable as error:
        return record, _of_its_sender(record, error)
    # A defect of ours: the record becomes a dead letter and does not hold up the records behind it.
    except Exception:
        logger.exception("a record could not be decoded")
        return record, _of_its_sender(record, Undecodable("defect", "the decoder failed on this record"))


def _of_its_sender(record: Any, error: Undecodable) -> Undecodable:
    error.key_id = key_id(record.headers)
    error.user = addressee(record.key, record.value, record.headers)[:_USER_LENGTH]
    return error
