"""A row of the results, and how scenarios make one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.load import Job, percentile, run
from bench.service import Service


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement."""

    what: str
    value: float
    unit: str
    p50: float | None = None
    p99: float | None = None
    """Seconds."""
    cpu: float | None = None
    """Processor seconds of the measured process, for each unit of work."""
    errors: int = 0
    comparable: bool = False
    """Whether the value can be compared with the bare Litestar application's."""
    note: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    """More figures, for readers of the file."""


def timed(
    what: str, latencies: Sequence[float], value: float, unit: str, *, errors: int = 0, note: str = ""
) -> Row:
    """Make a row of latencies."""
    return Row(
        what=what,
        value=value,
        unit=unit,
        p50=percentile(latencies, 0.5),
        p99=percentile(latencies, 0.99),
        errors=errors,
        note=note,
    )


def under_load(what: str, service: Service, job: Job, *, size: int = 1, unit: str = "requests/s") -> Row:
    """Run a job against a service; each request is `size` units of work."""
    before = service.cpu()
    outcome = run(job)
    spent = service.cpu() - before
    return Row(
        what=what,
        value=outcome.per_second * size,
        unit=unit,
        p50=percentile(outcome.latencies, 0.5),
        p99=percentile(outcome.latencies, 0.99),
        cpu=spent / (outcome.answered * size) if outcome.answered else None,
        errors=outcome.errors,
        comparable=size == 1,
        note=outcome.first_error,
    )
