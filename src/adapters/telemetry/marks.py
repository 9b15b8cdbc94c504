"""MarksInSpans: a span for each mark that someone asks for."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from adapters.telemetry.trail import Trail
from application.marks import Marks
from application.ports import Announcer, FeedMarks
from common.tracing import Span, Tracer, parent, traceparent
from domain.feed import Cursor, Marked
from domain.identifiers import NotificationId, UserId
from domain.states import Mark


class MarksInSpans(Marks):
    """A mark over HTTP is below its request. One on a stream continues the trace of the notification if it
    was pushed here not long ago, and has links if there are several; else it is a trace of its own.
    """

    def __init__(self, feeds: FeedMarks, announcer: Announcer, tracer: Tracer, trail: Trail) -> None:
        super().__init__(feeds, announcer)
        self._tracer = tracer
        self._trail = trail

    def by_ids(
        self,
        user: UserId,
        mark: Mark,
        ids: Sequence[NotificationId],
        at: datetime,
        *,
        action: str | None = None,
    ) -> asyncio.Future[Marked]:
        span = self._begin(mark, self._trail.of_ids(ids), len(ids))
        self._trail.asked(user, span.traceparent)
        token = traceparent.set(None)  # the task that begins here works for other callers too
        try:
            answer = super().by_ids(user, mark, ids, at, action=action)
        finally:
            traceparent.reset(token)
        answer.add_done_callback(partial(self._answered, user, span))
        return answer

    def up_to(
        self, user: UserId, mark: Mark, cursor: Cursor, at: datetime, *, category: str | None = None
    ) -> asyncio.Future[Marked]:
        span = self._begin(mark, [], 0)
        token = traceparent.set(span.traceparent)
        try:
            answer = super().up_to(user, mark, cursor, at, category=category)
        finally:
            traceparent.reset(token)
        answer.add_done_callback(partial(_end, span))
        return answer

    def _begin(self, mark: Mark, pushed: list[str], count: int) -> Span:
        current = parent()
        if current is None and len(pushed) == 1:
            current = pushed[0]
        pushed = [one for one in pushed if one != current]
        attributes: dict[str, str | int] = {"bellwire.mark": str(mark)}
        if count:
            attributes["bellwire.count"] = count
        return self._tracer.begin(f"mark {mark}", parent=current, links=pushed, attributes=attributes)

    def _answered(self, user: UserId, span: Span, answer: asyncio.Future[Marked]) -> None:
        self._trail.answered(user, span.traceparent)
        _end(span, answer)


def _end(span: Span, answer: asyncio.Future[Marked]) -> None:
    if answer.cancelled():
        span.fail("CancelledError")
    elif (error := answer.exception()) is not None:
        span.fail(type(error).__name__)
    span.end()
