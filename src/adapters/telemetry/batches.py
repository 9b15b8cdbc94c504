"""BatchTraces: the spans of what a consumer reads.

A batch joins the work of many producers. Its span is below the producer's span if there is only one, and
otherwise in a trace of its own with links to all of them; then each record has a span in the trace of its
producer, with a link to that of the batch. Records whose trace is not sampled have none.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeAlias

from adapters.telemetry.queue import messaging
from adapters.telemetry.trail import distinct
from application.records import Batch, Entry, Undecodable
from common.tracing import Span, Tracer, accepted, is_sampled, traceparent
from domain.identifiers import NotificationId, UserId

Key: TypeAlias = tuple[UserId, NotificationId] | int
"""A record of a batch: what it is about, or the place of one that cannot be decoded."""


@dataclass(frozen=True, slots=True)
class Handling:
    """The spans of one batch."""

    batch: Span
    spans: Mapping[Key, Span]
    """The span of each record whose trace is sampled; that of the batch if it is the only one."""

    def end(self, failures: Mapping[Key, str]) -> None:
        """All is done. `failures` are codes of records that became dead letters."""
        for key, code in failures.items():
            if key in self.spans:
                self.spans[key].fail(code)
        for span in (*self.spans.values(), self.batch):
            span.end()

    def fail(self, reason: str) -> None:
        """Nothing of it was done."""
        for span in (*self.spans.values(), self.batch):
            span.fail(reason)
        self.end({})


handling: ContextVar[Handling | None] = ContextVar("handling", default=None)
"""Of the batch that this task works on."""


class BatchTraces:
    """Makes the spans of batches."""

    def __init__(self, tracer: Tracer, topic: str, group: str) -> None:
        self._tracer = tracer
        self._topic = topic
        self._group = group

    @contextmanager
    def handling(self, batch: Batch) -> Iterator[None]:
        """Work on a batch, and begin tasks that do. `end` or `fail` says that it is done."""
        current = self._begin(batch)
        tokens = handling.set(current), traceparent.set(current.batch.traceparent if current else None)
        try:
            yield
        except BaseException as error:
            self.fail(type(error).__name__)
            raise
        finally:
            traceparent.reset(tokens[1])
            handling.reset(tokens[0])

    def end(self, batch: Batch, failures: Mapping[tuple[UserId, NotificationId], str]) -> None:
        """The current batch is done."""
        if (current := handling.get()) is not None:
            codes: dict[Key, str] = dict(failures.items())
            for entry in _entries(batch):
                if isinstance(entry[1], Undecodable):
                    codes[_key(entry)] = entry[1].code
            current.end(codes)

    def fail(self, reason: str) -> None:
        """The current batch was not stored."""
        if (current := handling.get()) is not None:
            current.fail(reason)

    def _begin(self, batch: Batch) -> Handling | None:
        found = {_key(entry): _context(entry) for entry in _entries(batch)}
        producers = distinct(found.values())
        if not producers and any(found.values()):
            return None
        parent = producers[0] if len(producers) == 1 else None
        attributes = self._attributes(batch.size)
        name = f"process {self._topic}"
        span = self._tracer.begin(name, "consumer", parent=parent, links=producers, attributes=attributes)
        if not is_sampled(span.traceparent):
            return None
        if len(producers) < 2:
            return Handling(
                span, {key: span for key, context in found.items() if is_sampled(context) or not producers}
            )
        return Handling(
            span,
            {
                key: self._of_record(key, context, span)
                for key, context in found.items()
                if context is not None and is_sampled(context)
            },
        )

    def _attributes(self, count: int) -> dict[str, str | int]:
        return {**messaging(self._topic, "process", count), "messaging.consumer.group.name": self._group}

    def _of_record(self, key: Key, context: str, batch: Span) -> Span:
        attributes = self._attributes(1)
        if not isinstance(key, int):
            attributes["bellwire.notification.id"] = str(key[1])
        name = f"process {self._topic}"
        return self._tracer.begin(
            name, "consumer", parent=context, links=[batch.traceparent], attributes=attributes
        )


def _entries(batch: Batch) -> Iterator[Entry]:
    for part in batch.parts:
        yield from part.entries


def _key(entry: Entry) -> Key:
    record, made = entry
    return id(record) if isinstance(made, Undecodable) else (made.user_id, made.id)


def _context(entry: Entry) -> str | None:
    """The traceparent in the headers of a record, if it is valid."""
    for name, value in reversed(entry[0].headers):
        if name == "traceparent":
            return accepted((value or b"").decode("latin-1"))
    return None
