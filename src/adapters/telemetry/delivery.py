"""TracedDelivery: a span for each frame that this process pushes to streams."""

from collections.abc import Callable, Sequence

from adapters.telemetry.trail import Trail
from application.streams import Frame
from common.tracing import Tracer, accepted, within
from domain.identifiers import UserId


class TracedDelivery:
    """Passes frames on, those with a context in a span. One for the process, not one for each stream."""

    def __init__(
        self,
        deliver: Callable[[Sequence[Frame]], None],
        count: Callable[[UserId], int],
        tracer: Tracer,
        trail: Trail,
    ) -> None:
        """`count` says how many streams of a user this process has."""
        self._deliver = deliver
        self._count = count
        self._tracer = tracer
        self._trail = trail

    def __call__(self, frames: Sequence[Frame]) -> None:
        """Deliver frames, in this order. One for nobody has the context of the next one as its epoch."""
        context: str | None = None
        plain: list[Frame] = []
        for frame in frames:
            if not frame.user_id:
                context = accepted(frame.epoch)
            elif context is None or not self._count(frame.user_id):
                plain.append(frame)
                context = None
            else:
                self._deliver(plain)
                plain = []
                self._push(frame, context)
                context = None
        self._deliver(plain)

    def _push(self, frame: Frame, context: str) -> None:
        streams = {"bellwire.streams": self._count(frame.user_id)}
        span = self._tracer.begin("push", parent=context, attributes=streams)
        self._trail.pushed(frame.unread_ids, span.traceparent)
        with within(span):
            self._deliver([frame])
