"""Marks: marks notifications of many users in few statements, and announces the changes."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from application.feeds import MarkRequest
from application.ports import Announcer, FeedMarks
from domain.feed import Cursor, Marked, Settled
from domain.identifiers import NotificationId, UserId
from domain.states import Mark

CONCURRENT_BATCHES: Final = 2
"""How many statements run concurrently, besides those for users whose feed was being changed."""
IDS_A_BATCH: Final = 500


class _Asked(NamedTuple):
    mark: Mark
    request: MarkRequest
    answer: asyncio.Future[Marked]


class Marks:
    """The marks of all callers of an event loop. When a mark returns, it is announced.

    Marks of different users that are asked for while statements are running go together into the next one;
    one that is alone does not wait. Of one user, one mark by ids is made at a time, in the order in which
    they were asked for.

    If several cannot be made together, each is made alone: one user's error or locked feed fails or delays
    nobody else. A caller that is cancelled stops nothing: a socket that closes must not leave a change that
    is not announced.
    """

    def __init__(self, feeds: FeedMarks, announcer: Announcer) -> None:
        self._feeds = feeds
        self._announcer = announcer
        self._waiting: dict[UserId, deque[_Asked]] = {}
        self._busy: set[UserId] = set()
        self._batches = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        """Running tasks. The event loop holds only weak references to them."""

    def by_ids(
        self,
        user: UserId,
        mark: Mark,
        ids: Sequence[NotificationId],
        at: datetime,
        *,
        action: str | None = None,
    ) -> asyncio.Future[Marked]:
        """Mark these notifications, as `FeedMarks.mark`. Raises UnknownUser."""
        asked = _Asked(mark, MarkRequest(user, ids, at, action), asyncio.get_running_loop().create_future())
        self._waiting.setdefault(user, deque()).append(asked)
        self._begin_batch()
        return asked.answer

    def up_to(
        self, user: UserId, mark: Mark, cursor: Cursor, at: datetime, *, category: str | None = None
    ) -> asyncio.Future[Marked]:
        """Mark everything up to a position, as `FeedMarks.mark_up_to`. Raises UnknownUser."""
        marking = asyncio.create_task(
            self._announced(self._feeds.mark_up_to(user, mark, cursor, at, category=category))
        )
        self._keep(marking)
        return asyncio.shield(marking)

    async def _announced(self, marking: Awaitable[Marked]) -> Marked:
        marked = await marking
        await self._announce([marked])
        return marked

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _begin_batch(self) -> None:
        if self._batches < CONCURRENT_BATCHES:
            self._batches += 1
            self._keep(asyncio.create_task(self._make_batches()))

    async def _make_batches(self) -> None:
        try:
            while batch := list(self._next()):
                await self._make(batch)
        finally:
            self._batches -= 1

    def _next(self) -> Iterator[_Asked]:
        """Take the next batch: marks of one kind, one for each user who has none under way."""
        mark: Mark | None = None
        left = IDS_A_BATCH
        for user in [user for user in self._waiting if user not in self._busy]:
            asked = self._waiting[user][0]
            mark = mark or asked.mark
            if asked.mark is mark:
                yield self._take(user)
                left -= max(1, len(asked.request.ids))
            if left <= 0:
                break

    def _take(self, user: UserId) -> _Asked:
        """Take the first mark that waits for this user, who goes behind all others."""
        queue = self._waiting.pop(user)
        asked = queue.popleft()
        if queue:
            self._waiting[user] = queue
        self._busy.add(user)
        return asked

    async def _make(self, batch: Sequence[_Asked]) -> None:
        outcomes: Mapping[UserId, Marked | Exception] = {}
        try:
            outcomes = made = await self._feeds.mark_together(
                batch[0].mark, [asked.request for asked in batch]
            )
            self._release(made)
            await self._announce(list(made.values()))
        except Exception as error:  # noqa: BLE001 - the callers raise it
            if len(batch) == 1:
                self._release([batch[0].request.user_id])
                self._answer(batch[0], error)
                return
            outcomes = dict.fromkeys(outcomes, error)
        for asked in batch:
            if asked.request.user_id in outcomes:
                self._answer(asked, outcomes[asked.request.user_id])
            else:
                self._keep(asyncio.create_task(self._make_alone(asked)))

    async def _make_alone(self, asked: _Asked) -> None:
        try:
            marked = await self._mark_alone(asked)
        except Exception as error:  # noqa: BLE001 - as above
            self._answer(asked, error)
        else:
            self._answer(asked, marked)

    async def _mark_alone(self, asked: _Asked) -> Marked:
        user, ids, at, action = asked.request
        try:
            marked = await self._feeds.mark(user, asked.mark, ids, at, action=action)
        except Exception:
            self._release([user])
            raise
        self._release([user])
        await self._announce([marked])
        return marked

    def _release(self, users: Iterable[UserId]) -> None:
        """Go on with other marks of these users. They are announced after those that were made before."""
        self._busy.difference_update(users)
        if self._waiting:
            self._begin_batch()

    def _answer(self, asked: _Asked, outcome: Marked | Exception) -> None:
        if asked.answer.done():  # the caller was cancelled
            return
        if isinstance(outcome, Exception):
            asked.answer.set_exception(outcome)
        else:
            asked.answer.set_result(outcome)

    async def _announce(self, made: Sequence[Marked]) -> None:
        """A mark that changed nothing is announced too, for streams that missed the first announcement."""
        if made:
            await self._announcer.announce(
                [marked if marked.changed else Settled(marked.feed) for marked in made]
            )
