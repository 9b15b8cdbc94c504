"""The trace of the current work (W3C Trace Context), so that records can carry it, and what makes its spans.

Whether spans are made is the container's choice: where tracing is off nothing here has a Tracer.
docs/tracing.md says what each span means.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, Protocol, TypeAlias

traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

# Ids of zeros are not valid (W3C Trace Context §3.2.2).
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")

FRESH_BYTES = 24
"""Of an id of a trace and one of a span."""

Kind: TypeAlias = Literal["server", "client", "producer", "consumer", "internal"]
Attributes: TypeAlias = Mapping[str, str | int]


class Span(Protocol):
    """One piece of work in a trace. Nobody records it if the trace is not sampled.

    Attributes and reasons hold no text of a notification, no secret and no user: traces are kept by other
    systems, which know nothing of erasures.
    """

    @property
    def traceparent(self) -> str:
        """What makes other spans its children."""
        ...

    def rename(self, name: str) -> None:
        """Give it another name."""
        ...

    def note(self, attributes: Attributes) -> None:
        """Add attributes."""
        ...

    def fail(self, reason: str) -> None:
        """Say that the work failed: a code, or the name of an error."""
        ...

    def end(self) -> None:
        """Say that the work is over. Only the first call counts."""
        ...


class Tracer(Protocol):
    """Makes spans. Never waits and never raises."""

    def begin(
        self,
        name: str,
        kind: Kind = "internal",
        *,
        parent: str | None = None,
        links: Sequence[str] = (),
        attributes: Attributes | None = None,
    ) -> Span:
        """Begin a span below `parent`, or a new trace. `parent` and `links` are traceparents."""
        ...

    def close(self) -> None:
        """Send what is recorded, within some seconds. Blocks."""
        ...


class Trail(Protocol):
    """Which span each change belongs to on its way to the streams."""

    def of(self, user: str, version: int) -> str | None:
        """The traceparent for the frame of a change; None if its trace is not sampled."""
        ...

    def missed(self, user: str, version: int) -> None:
        """Say that this change could not be announced."""
        ...


def accepted(received: str | None) -> str | None:
    """A received traceparent if it is valid, without flags other than *sampled*."""
    match = _TRACEPARENT.fullmatch(received or "")
    return f"00-{match[1]}-{match[2]}-{_sampled(match[3])}" if match else None


def continued(received: str | None, fresh: str) -> str:
    """A traceparent for this service's part: in the received trace if that is valid, else in a new one, which
    nobody samples. `fresh` are FRESH_BYTES random bytes in hexadecimal, for the ids.
    """
    match = _TRACEPARENT.fullmatch(received) if received else None
    if match is None:
        return f"00-{fresh[:32]}-{fresh[32:48]}-00"
    return f"00-{match[1]}-{fresh[32:48]}-{_sampled(match[3])}"


def _sampled(flags: str) -> str:
    return f"{int(flags, 16) & 1:02x}"


def is_sampled(context: str | None) -> bool:
    """Whether a valid traceparent says that its trace is recorded."""
    return context is not None and context.endswith("1")


def parent() -> str | None:
    """The traceparent of the current work."""
    return traceparent.get()


def trace_id() -> str | None:
    """The id of the current trace."""
    current = parent()
    return current.split("-")[1] if current else None


@contextmanager
def within(span: Span) -> Iterator[Span]:
    """Work in a span: it is the parent of what begins meanwhile, and ends with the work."""
    token = traceparent.set(span.traceparent)
    try:
        yield span
    except BaseException as error:
        span.fail(type(error).__name__)
        raise
    finally:
        traceparent.reset(token)
        span.end()
