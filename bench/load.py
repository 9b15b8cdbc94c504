"""Load: HTTP/1.1 over persistent connections, with requests prepared as bytes, from a process of its own."""

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")

STAMP = b"1000000000000000000"
"""A placeholder in a request sent at a rate: replaced by the time at which it was due, in nanoseconds."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """As many requests as possible (`rate` 0), or this many a second regardless of the answers."""

    port: int
    requests: Sequence[bytes]
    seconds: float
    expect: int = 200
    refuse: bytes = b"\0"
    """Bytes that an answer must not contain."""
    connections: int = 64
    warmup: float = 1.0
    rate: int = 0
    once: bool = False
    """Stop when each request was sent once."""


@dataclass
class Outcome:
    """The results. Latencies are in seconds, of answers after the warm-up."""

    sent: int = 0
    answered: int = 0
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    """When each of those was due: time.perf_counter, which all processes share."""
    cpu: float = 0.0
    """Processor seconds of the generator, from its first connection to its last answer."""
    errors: int = 0
    first_error: str = ""

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def fail(self, what: str) -> None:
        self.errors += 1
        self.first_error = self.first_error or what


def request(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    """The bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: bench", *headers]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def run(job: Job) -> Outcome:
    """Run a job in a new process and wait for its outcome."""
    from bench.generator import send

    return elsewhere(send, job, seconds=job.seconds + job.warmup + 60)


def elsewhere(work: Callable[..., T], *arguments: Any, seconds: float) -> T:
    """Call a function in a new process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result(timeout=seconds)


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def distribution(values: Sequence[float]) -> list[tuple[float, float]]:
    """Shares, each with the value below which so many are: every percent, then the tail up to 0.9999."""
    ordered = sorted(values)
    tail = [1 - 10**-power for power in (2.25, 2.5, 2.75, 3, 3.5, 4)]
    shares = [share / 100 for share in range(100)] + [
        share for share in tail if (1 - share) * len(ordered) >= 1
    ]
    return [(share, ordered[int(len(ordered) * share)]) for share in shares] if ordered else []
