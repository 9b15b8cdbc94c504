"""Spans around the transactions in PostgreSQL that store and mark."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from adapters.telemetry.batches import handling
from adapters.telemetry.trail import Trail, distinct, joined
from application.feeds import Appended, MarkRequest, Retracted
from application.ports import FeedMarks, FeedWriter
from common.tracing import Tracer, parent
from domain.arrivals import Arrival
from domain.feed import Cursor, Marked
from domain.identifiers import NotificationId, UserId
from domain.notification import BEFORE_ALL, Notification
from domain.states import Mark


def _attributes(operation: str, size: int) -> Mapping[str, str | int]:
    """Attributes of OpenTelemetry's conventions for databases."""
    attributes: dict[str, str | int] = {"db.system.name": "postgresql", "db.operation.name": operation}
    return attributes | ({"db.operation.batch.size": size} if size > 1 else {})


class TracedWriter:
    """Stores arrivals, and notes in whose span each change was made."""

    def __init__(self, feeds: FeedWriter, tracer: Tracer, trail: Trail) -> None:
        self._feeds = feeds
        self._tracer = tracer
        self._trail = trail

    async def append(self, arrivals: Sequence[Arrival], now: datetime = BEFORE_ALL) -> Appended:
        contexts, attributes = distinct([parent()]), _attributes("append", len(arrivals))
        with joined(self._tracer, "store", "client", contexts, attributes):
            appended = await self._feeds.append(arrivals, now)
        self._note(appended)
        return appended

    async def retract(
        self, user: UserId, notification: NotificationId, at: datetime, key_id: str | None = None
    ) -> Retracted:
        contexts = distinct([parent()])
        with joined(self._tracer, "store", "client", contexts, _attributes("retract", 1)):
            retracted = await self._feeds.retract(user, notification, at, key_id)
        if contexts and retracted.marked is not None:
            self._trail.stored(retracted.marked, contexts[0])
        return retracted

    def _note(self, appended: Appended) -> None:
        current = handling.get()
        if current is None:
            return
        for change in (*appended.changed, *appended.added):
            for item in change.notifications or ():
                span = current.spans.get((change.feed.user_id, item.id))
                if span is not None:
                    self._trail.stored(change, span.traceparent)


class TracedMarks:
    """Marks, and notes in whose span each mark was made: that of its caller."""

    def __init__(self, feeds: FeedMarks, tracer: Tracer, trail: Trail) -> None:
        self._feeds = feeds
        self._tracer = tracer
        self._trail = trail

    async def mark(
        self,
        user: UserId,
        mark: Mark,
        ids: Sequence[NotificationId],
        at: datetime,
        *,
        action: str | None = None,
    ) -> Marked:
        context = self._trail.marking(user)
        with joined(self._tracer, "store", "client", distinct([context]), _attributes("mark", 1)):
            marked = await self._feeds.mark(user, mark, ids, at, action=action)
        self._trail.stored(marked, context)
        return marked

    async def mark_together(self, mark: Mark, requests: Sequence[MarkRequest]) -> Mapping[UserId, Marked]:
        asked = {request.user_id: self._trail.marking(request.user_id) for request in requests}
        attributes = _attributes("mark", len(requests))
        with joined(self._tracer, "store", "client", distinct(asked.values()), attributes):
            made = await self._feeds.mark_together(mark, requests)
        for user, marked in made.items():
            self._trail.stored(marked, asked[user])
        return made

    async def mark_up_to(
        self, user: UserId, mark: Mark, cursor: Cursor, at: datetime, *, category: str | None = None
    ) -> Marked:
        context = parent()
        with joined(self._tracer, "store", "client", distinct([context]), _attributes("mark", 1)):
            marked = await self._feeds.mark_up_to(user, mark, cursor, at, category=category)
        self._trail.stored(marked, context or "")
        return marked

    async def get(self, user: UserId, notification: NotificationId) -> Notification:
        return await self._feeds.get(user, notification)
