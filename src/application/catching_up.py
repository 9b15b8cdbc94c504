"""Catching up: reads what the streams of a process have missed from the store, in few statements."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Generic, NamedTuple, TypeVar

from application.errors import Unavailable
from application.feeds import FeedHistory, Standing
from application.ports import FeedReplay, Monotonic
from domain.errors import UnknownUser
from domain.feed import Cursor
from domain.identifiers import UserId

REPLAY_LIMIT = 200
"""Notifications per page."""
CONCURRENT_BATCHES = 2
"""How many statements of a kind run concurrently. More would take connections from requests and gain
little."""
STANDINGS_A_BATCH = 500
STANDINGS_PAUSE_SECONDS = 0.01
"""How long a reader of standings waits for more after a statement: a statement costs as much as reading some
hundred standings in it."""
# All rows of a statement are in memory together, and are turned into objects on the event loop.
ROWS_A_BATCH = 2_000
PAGES_A_BATCH = 50

CACHED_SECONDS = 2.0
CACHED_PAGES = 500
CACHED_CHARACTERS = 4_000_000

_pause = partial(asyncio.sleep, STANDINGS_PAUSE_SECONDS)

Key = TypeVar("Key")
Answer = TypeVar("Answer")


class CatchUps:
    """Catch-ups of all streams of a process.

    Requests that arrive while statements are running go together into the next one, so that a storm of
    reconnecting clients takes a few large statements instead of thousands of small ones. A request that is
    alone does not wait. Shared by the streams of one event loop.
    """

    def __init__(
        self,
        feeds: FeedReplay,
        now: Monotonic,
        pause: Callable[[], Awaitable[object]] = _pause,
    ) -> None:
        """`now` is in monotonic seconds; `pause` lasts STANDINGS_PAUSE_SECONDS."""
        self._feeds = feeds
        self._pages = _RecentPages(now)
        self._standings = _Gathering(self._read_standings, size=STANDINGS_A_BATCH, pause=pause)
        self._histories = _Gathering(self._read_histories, size=ROWS_A_BATCH, weigh=_rows_of)

    async def standing(self, user: UserId) -> Standing:
        """The standing of a feed, read after this call. Raises UnknownUser or Unavailable."""
        standing = await self._standings.ask(user)
        if standing is None:
            raise UnknownUser
        return standing

    async def standings(self, users: Collection[UserId]) -> Mapping[UserId, Standing]:
        """The same for many users; those without a feed are left out. Raises Unavailable if any read
        fails.
        """
        found = await asyncio.gather(*(self._standings.ask(user) for user in users))
        return {user: standing for user, standing in zip(users, found, strict=True) if standing}

    async def page(self, user: UserId, after: int, at_least: Cursor) -> FeedHistory:
        """The first page of a feed's changes after a version. Raises UnknownUser or Unavailable.

        `at_least` is a position that the feed has reached. The caller follows the feed live from there, so a
        page that was recently read for another stream is good enough if it is not older.
        """
        page = await self._histories.ask(_Wanted(user, after, at_least))
        if page is None:
            raise UnknownUser
        return page

    async def _read_standings(self, users: Sequence[UserId]) -> Sequence[Standing | None]:
        standings = await self._feeds.standings(users)
        return [standings.get(user) for user in users]

    async def _read_histories(self, wanted: Sequence["_Wanted"]) -> Sequence[FeedHistory | None]:
        """Take recent pages from memory, and read the others in one statement."""
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
    """The most rows that a page can have, unless the feed has grown. Not below ROWS_A_BATCH / PAGES_A_BATCH,
    which bounds the number of pages in a batch.
    """
    return min(max(wanted.at_least.version - wanted.after, ROWS_A_BATCH // PAGES_A_BATCH), REPLAY_LIMIT)


class _Gathering(Generic[Key, Answer]):
    """Gathers requests into batches: a new batch takes all that are waiting, up to its size.

    A request never joins a batch that is under way, so its answer is always read after it was made.
    """

    def __init__(
        self,
        read: Callable[[Sequence[Key]], Awaitable[Sequence[Answer]]],
        *,
        size: int,
        weigh: Callable[[Key], int] = lambda _: 1,
        pause: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """`size` is the greatest total weight of the keys in a batch; a reader pauses after each."""
        self._read = read
        self._pause = pause
        self._size = size
        self._weigh = weigh
        self._waiting: dict[Key, list[asyncio.Future[Answer]]] = {}
        self._readers: set[object] = set()
        """Running tasks. The event loop holds only weak references to them."""

    def ask(self, key: Key) -> "asyncio.Future[Answer]":
        """The answer, as a future of the caller's own that it may cancel. Fails with the batch's error."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(answer)
        if len(self._readers) < CONCURRENT_BATCHES:
            self._readers.add(asyncio.create_task(self._run()))
        return answer

    async def _run(self) -> None:
        try:
            await self._read_all()
        finally:
            # Not in a done callback: a request made before it ran would count on a reader that has ended.
            self._readers.discard(asyncio.current_task())

    async def _read_all(self) -> None:
        while batch := self._next():
            try:
                found = await self._read(list(batch))
                answered = list(zip(batch.values(), found, strict=True))
            except Exception as error:  # noqa: BLE001 - the callers raise it
                _fail(batch, error)
            except BaseException:
                _fail(batch, Unavailable("The service is stopping."))
                raise
            else:
                for answers, answer in answered:
                    for waiting in _pending(answers):
                        waiting.set_result(answer)
            if self._pause is not None:
                await self._pause()

    def _next(self) -> dict[Key, list["asyncio.Future[Answer]"]]:
        """The next batch, without requests that were cancelled."""
        batch: dict[Key, list[asyncio.Future[Answer]]] = {}
        weight = 0
        while self._waiting and not batch:
            for key in list(islice(self._waiting, self._size)):
                if weight + self._weigh(key) > self._size:
                    break
                if answers := _pending(self._waiting.pop(key)):
                    batch[key] = answers
                    weight += self._weigh(key)
        return batch


def _pending(answers: Iterable["asyncio.Future[Answer]"]) -> list["asyncio.Future[Answer]"]:
    return [answer for answer in answers if not answer.done()]


def _fail(batch: Mapping[Key, Sequence["asyncio.Future[Answer]"]], error: Exception) -> None:
    """Fail each with an Unavailable of its own: the traceback of a shared one grows each time it is
    raised.
    """
    for answers in batch.values():
        for waiting in _pending(answers):
            waiting.set_exception(Unavailable(error.detail) if isinstance(error, Unavailable) else error)


@dataclass(frozen=True, slots=True)
class _Kept:
    page: FeedHistory
    read_at: float
    size: int


class _RecentPages:
    """Pages read in the last CACHED_SECONDS, oldest first. Bounded in number and, roughly, in size."""

    def __init__(self, now: Monotonic) -> None:
        self._now = now
        self._held: OrderedDict[tuple[UserId, int], _Kept] = OrderedDict()
        self._size = 0

    def get(self, wanted: _Wanted) -> FeedHistory | None:
        """The page, if it is kept and not older than `at_least`."""
        self._expire()
        kept = self._held.get(wanted.page)
        if kept is None:
            return None
        feed, at_least = kept.page.feed, wanted.at_least
        return kept.page if feed.epoch == at_least.epoch and feed.version >= at_least.version else None

    def keep(self, key: tuple[UserId, int], page: FeedHistory) -> None:
        """Keep a page. It replaces an earlier one."""
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
    """The approximate size in characters. The short fields of a notification count as 500."""
    return 500 + sum(500 + len(item.message) + len(item.metadata.text) for item in page.notifications)
