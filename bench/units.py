"""What one operation costs each part: processor time and bytes, as measured, for `bench.capacity`."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

FILE = Path(__file__).parent / "units.json"
"""Written by `python -m bench.page` from the results of a run."""

Cost = Mapping[str, float]
"""Seconds of processor time by part: API, consumer, PostgreSQL, Redis, broker."""


@dataclass(frozen=True, kw_only=True)
class Units:
    """The cost of one operation each."""

    publish: Cost
    """A single publish, until it is acknowledged."""
    batched: Cost
    """One notification of a batch of 500."""
    store: Cost
    """From Kafka into PostgreSQL, the index and the channel of its user."""
    deliver: Cost
    """One frame to one socket of one of many users."""
    fetch: Cost
    """20 unread, from the index."""
    history: Cost
    """20 of all, from PostgreSQL."""
    mark: Cost
    """One notification, marked read."""
    open: Cost
    """A socket, opened."""
    idle_second: Cost
    """A silent socket, for a second."""
    socket_bytes: float
    """Memory of an API process for a silent socket."""
    record_bytes: float
    """One record in Kafka, on one replica."""
    wal_bytes: float
    """Write-ahead log of one stored notification."""
    stored_bytes: float
    """One notification in PostgreSQL, with its indexes."""

    @classmethod
    def load(cls, file: Path = FILE) -> Self:
        """Read them. ValueError if something is missing."""
        found: dict[str, Any] = json.loads(file.read_text())
        if missing := {field.name for field in fields(cls)} - found.keys():
            raise ValueError(f"{file} lacks {', '.join(sorted(missing))}")
        return cls(**{field.name: found[field.name] for field in fields(cls)})

    def save(self, file: Path = FILE) -> None:
        """Write them."""
        file.write_text(json.dumps(asdict(self), indent=1) + "\n")
