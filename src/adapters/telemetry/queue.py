"""TracedQueue: what is put into the queue carries its span."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from application.errors import Unconfirmed
from application.ports import NotificationQueue
from common.tracing import Span, Tracer, is_sampled, parent, within
from domain.notification import Draft


def messaging(topic: str, operation: str, count: int) -> Mapping[str, str | int]:
    """Attributes of OpenTelemetry's conventions for messaging."""
    attributes: dict[str, str | int] = {
        "messaging.system": "kafka",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": topic,
    }
    return attributes | ({"messaging.batch.message_count": count} if count != 1 else {})


class TracedQueue:
    """A queue with a span for each call."""

    def __init__(self, queue: NotificationQueue, tracer: Tracer, topic: str) -> None:
        self._queue = queue
        self._tracer = tracer
        self._topic = topic

    async def put(self, draft: Draft) -> None:
        with self._sending([draft]):
            await self._queue.put(draft)

    async def put_all(self, drafts: Sequence[Draft]) -> Sequence[Unconfirmed | None]:
        with self._sending(drafts) as span:
            outcomes = await self._queue.put_all(drafts)
            if span is not None and any(outcomes):
                span.fail(Unconfirmed.__name__)
            return outcomes

    @contextmanager
    def _sending(self, drafts: Sequence[Draft]) -> Iterator[Span | None]:
        current = parent()
        if current is not None and not is_sampled(current):
            yield None
            return
        attributes = dict(messaging(self._topic, "send", len(drafts)))
        if len(drafts) == 1:
            attributes["bellwire.notification.id"] = str(drafts[0].id)
        span = self._tracer.begin(f"send {self._topic}", "producer", parent=current, attributes=attributes)
        with within(span):
            yield span
