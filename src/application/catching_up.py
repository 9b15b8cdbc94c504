"""Catching up: what many streams of a process have missed, read from the store a few statements at a time."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Generic, NamedTuple, TypeVar

from application.errors import Unavailable
from application.feeds import FeedHistory, Standing
from application.ports import FeedReplay, Monotonic
from domain.errors import UnknownUser
from domain.feed import Cursor
from domain.identifiers import UserId

REPLAY_LIMIT = 200
"""Notifications on a page."""
BATCHES_AT_ONCE = 2
"""Statements of a kind under way. More would take connections from requests and gain little."""
STANDINGS_A_BATCH = 500
# What a statement may bring is held in memory at once, and turned into objects on the event loop.
ROWS_A_BATCH = 2_000
PAGES_A_BATCH = 50

CACHED_SECONDS = 2.0
CACHED_PAGES = 500
CACHED_CHARACTERS = 4_000_000

Key = TypeVar("Key")
Answer = TypeVar("Answer")


class CatchUps:
    """Catch-ups of all streams of a process.

    What is asked for while earlier statements are under way goes together in the next one, so that a
    storm of reconnecting clients takes a few large statements instead of thousands of small ones; whoever
    asks alone waits for nobody. To be shared by the streams of one event loop.
    """

    def __init__(self, feeds: FeedReplay, now: Monotonic) -> None:
        """`now` is in monotonic seconds."""
        self._feeds = feeds
        self._pages = _RecentPages(now)
        self._standings = _Gathering(self._read_standings, size=STANDINGS_A_BATCH)
        self._histories = _Gathering(self._read_histories, size=ROWS_A_BATCH, weigh=_rows_of)

    async def standing(self, user: UserId) -> Standing:
        """Where a feed stands, read after this was called. Raises UnknownUser or Unavailable."""
        standing = await self._standings.ask(user)
        if standing is None:
            raise UnknownUser
        return standing

    async def standings(self, users: Collection[UserId]) -> Mapping[UserId, Standing]:
        """The same for many; users without a feed are left out. Raises Unavailable if any is not known."""
        found = await asyncio.gather(*(self._standings.ask(user) for user in users))
        return {user: standing for user, standing in zip(users, found, strict=True) if standing}

    async def page(self, user: UserId, after: int, at_least: Cursor) -> FeedHistory:
        """The first page of what changed in a feed after a version. Raises UnknownUser or Unavailable.

        `at_least` is a position that the feed has reached and after which the caller misses nothing,
        because it follows the feed live from there: a page read for somebody else a moment ago will do
        if it is not older.
        """
        page = await self._histories.ask(_Wanted(user, after, at_least))
        if page is None:
            raise UnknownUser
        return page

    async def _read_standings(self, users: Sequence[UserId]) -> Sequence[Standing | None]:
        standings = await self._feeds.standings(users)
        return [standings.get(user) for user in users]

    async def _read_histories(self, wanted: Sequence["_Wanted"]) -> Sequence[FeedHistory | None]:
        """From the recent pages, the rest in one statement."""
        found = {one: page for one in wanted if (page := self._pages.get(one)) is not None}
        missing = list(dict.fromkeys(one.page for one in wanted if one not in found))
        if not missing:
            return [found[one] for one in wanted]
        read = dict(zip(missing, await self._feeds.histories(missing, REPLAY_LIMIT), strict=True))
        for key, page in read.items():
            if page is not None:
                self._pages.keep(key, page)
        return [found.get(one) or read[one.page] for one in wanted]


class _Wanted(NamedTuple):
    user: UserId
    after: int
    at_least: Cursor

    @property
    def page(self) -> tuple[UserId, int]:
        return self.user, self.after


def _rows_of(wanted: _Wanted) -> int:
    """How many rows a page will have at most, unless the feed has grown; a few even if it is none, so that
    the pages of a batch are bounded too.
    """
    return min(max(wanted.at_least.version - wanted.after, ROWS_A_BATCH // PAGES_A_BATCH), REPLAY_LIMIT)


class _Gathering(Generic[Key, Answer]):
    """Gathers what is asked for into batches: whatever waits when one can be started goes with it.

    A question never joins a batch that is under way, so that what is answered was read after it was asked.
    """

    def __init__(
        self,
        read: Callable[[Sequence[Key]], Awaitable[Sequence[Answer]]],
        *,
        size: int,
        weigh: Callable[[Key], int] = lambda _: 1,
    ) -> None:
        """`size` is what the keys of a batch may weigh together."""
        self._read = read
        self._size = size
        self._weigh = weigh
        self._waiting: dict[Key, list[asyncio.Future[Answer]]] = {}
        self._readers: set[object] = set()
        """Tasks. The event loop alone would not keep them."""

    def ask(self, key: Key) -> "asyncio.Future[Answer]":
        """The answer, for this asker alone: it may be cancelled. Fails with what the batch failed with."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(answer)
        if len(self._readers) < BATCHES_AT_ONCE:
            self._readers.add(asyncio.create_task(self._run()))
        return answer

    async def _run(self) -> None:
        try:
            await self._read_all()
        finally:
            # At once, not in a callback: what is asked for in between would find a reader that has ended.
            self._readers.discard(asyncio.current_task())

    async def _read_all(self) -> None:
        while batch := self._next():
            try:
                found = await self._read(list(batch))
                answered = list(zip(batch.values(), found, strict=True))
            except Exception as error:  # noqa: BLE001 - whoever asked raises it
                _fail(batch, error)
            except BaseException:
                _fail(batch, Unavailable("The service is stopping."))
                raise
            else:
                for answers, answer in answered:
                    for waiting in _still(answers):
                        waiting.set_result(answer)

    def _next(self) -> dict[Key, list["asyncio.Future[Answer]"]]:
        """The next batch, without those for whom nobody waits any more."""
        batch: dict[Key, list[asyncio.Future[Answer]]] = {}
        weight = 0
        while self._waiting and not batch:
            for key in list(islice(self._waiting, self._size)):
                if weight + self._weigh(key) > self._size:
                    break
                if answers := _still(self._waiting.pop(key)):
                    batch[key] = answers
                    weight += self._weigh(key)
        return batch


def _still(answers: Iterable["asyncio.Future[Answer]"]) -> list["asyncio.Future[Answer]"]:
    """Those that somebody waits for still."""
    return [answer for answer in answers if not answer.done()]


def _fail(batch: Mapping[Key, Sequence["asyncio.Future[Answer]"]], error: Exception) -> None:
    """Each gets an exception of its own: one that many raise would grow with each."""
    for answers in batch.values():
        for waiting in _still(answers):
            waiting.set_exception(Unavailable(error.detail) if isinstance(error, Unavailable) else error)


@dataclass(frozen=True, slots=True)
class _Kept:
    page: FeedHistory
    read_at: float
    size: int


class _RecentPages:
    """Pages read in the last two seconds, the oldest first. Bounded in number and, roughly, in size."""

    def __init__(self, now: Monotonic) -> None:
        self._now = now
        self._held: OrderedDict[tuple[UserId, int], _Kept] = OrderedDict()
        self._size = 0

    def get(self, wanted: _Wanted) -> FeedHistory | None:
        """A page that is not older than it may be."""
        self._expire()
        kept = self._held.get(wanted.page)
        if kept is None:
            return None
        feed, at_least = kept.page.feed, wanted.at_least
        return kept.page if feed.epoch == at_least.epoch and feed.version >= at_least.version else None

    def keep(self, key: tuple[UserId, int], page: FeedHistory) -> None:
        """Hold a page instead of the one before."""
        if key in self._held:
            self._size -= self._held.pop(key).size
        kept = _Kept(page, self._now(), _size_of(page))
        self._held[key] = kept
        self._size += kept.size
        self._expire()

    def _expire(self) -> None:
        while self._held and self._too_many_or_too_old():
            _, dropped = self._held.popitem(last=False)
            self._size -= dropped.size

    def _too_many_or_too_old(self) -> bool:
        oldest = next(iter(self._held.values()))
        too_many = len(self._held) > CACHED_PAGES or self._size > CACHED_CHARACTERS
        return too_many or self._now() - oldest.read_at >= CACHED_SECONDS


def _size_of(page: FeedHistory) -> int:
    """In characters, about. What is short and always there counts for 500."""
    return 500 + sum(500 + len(item.message) + len(item.metadata.text) for item in page.notifications)
