"""TracedAnnouncer: a span for each announcement."""

from collections.abc import Sequence

from adapters.telemetry.trail import Trail, distinct, joined
from application.errors import Unavailable
from application.ports import Announcer
from common.tracing import Tracer, parent
from domain.feed import FeedChange


class TracedAnnouncer:
    """Announces in the current span, or else for the spans in which the changes were made."""

    def __init__(self, announcer: Announcer, tracer: Tracer, trail: Trail) -> None:
        self._announcer = announcer
        self._tracer = tracer
        self._trail = trail

    async def announce(self, changes: Sequence[FeedChange]) -> None:
        current = parent()
        contexts = self._trail.of_all(changes) if current is None else distinct([current])
        attributes: dict[str, str | int] = {"db.system.name": "redis", "bellwire.changes": len(changes)}
        with joined(self._tracer, "announce", "client", contexts, attributes) as span:
            try:
                await self._announcer.announce(changes)
            finally:
                well = self._trail.announced(changes)
            if span is not None and not well:
                span.fail(Unavailable.__name__)
