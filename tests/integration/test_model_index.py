"""The real scripts and adapters against a model: whatever is stored, announced late, twice or never, read
and loaded at any moment, no page of the index is ever untrue, and in the end the index agrees.

Random walks, each from a seed of its own. One that fails is replayed with ever fewer steps, and the test ends
with the few that matter: `play` takes them as they are printed.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from random import Random, uniform
from secrets import token_hex
from time import monotonic
from typing import Any, TypeVar, cast

import pytest

from adapters import clock as system
from adapters.redis.announcer import RedisAnnouncer
from adapters.redis.index import RedisUnreadIndex
from adapters.redis.names import index_keys
from adapters.redis.server import RedisServer, connect
from application.delivery import StoreNotifications
from application.errors import Unavailable
from application.inbox import FetchUnread, MarkNotifications
from application.marks import Marks
from application.pages import Missing, RenderedPage
from application.ports import Feeds
from application.preferences import ChoosePreferences
from common import wire
from domain.feed import Added, Chosen, Cursor, FeedChange, Marked, Settled
from domain.identifiers import NotificationId
from domain.notification import Draft
from domain.states import Mark, Status
from tests.build import ADA, MACS, TestClock, a_draft, a_feed, a_user, an_id
from tests.memory import MemoryCategories, MemoryFeeds, MemoryUsers
from tests.model.history import History
from tests.states import USER_MARKS, time_of
from workbench.embedded import EmbeddedServers

T = TypeVar("T")

CAPACITY = 3
NUMBERS = 12
WALKS, PARTS, STEPS = 1_000, 4, 60
# Of an entry of this capacity: the count, less than it holds, more, and from the middle.
ASKED = [(0, None), (1, None), (CAPACITY + 6, None), (1, an_id(9)), (CAPACITY, an_id(6))]


class Fate(Enum):
    ARRIVES = "arrives"
    LOST = "lost"
    UNCONFIRMED = "arrives, but the answer is lost"
    TWICE = "arrives, but its answer is lost, and it is sent again"


FATES = list(Fate)


class Unreliable(RedisServer):
    """Redis over a network that can be told to fail."""

    fate = Fate.ARRIVES

    async def ask(self, operation: Callable[[], Awaitable[T]], *, repeatable: bool = True) -> T:
        if self.fate is Fate.LOST:
            raise Unavailable
        answer = await operation()
        if self.fate is Fate.UNCONFIRMED:
            raise Unavailable
        if self.fate is Fate.TWICE:
            assert repeatable
            return await operation()
        return answer


class Outbox:
    """An announcer that only collects."""

    def __init__(self) -> None:
        self.changes: list[FeedChange] = []

    async def announce(self, changes: Sequence[FeedChange]) -> None:
        self.changes += changes


@dataclass
class Word:
    """What was committed and is to be announced; and what its process does once more if it crashes."""

    changes: Sequence[FeedChange]
    again: Callable[[], Coroutine[Any, Any, "Word"]]

    @property
    def version(self) -> int:
        return max((change.feed.version for change in self.changes), default=0)


@dataclass
class Steps:
    """Feeds that are read in two steps: one up to the reading, one after it."""

    feeds: Feeds
    waits: asyncio.Event = field(default_factory=asyncio.Event)
    goes_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def rendered_page(
        self, user: Any, status: Status, *, limit: int, before: NotificationId | None = None
    ) -> RenderedPage:
        await self._step()
        found = await self.feeds.rendered_page(user, status, limit=limit, before=before)
        await self._step()
        return found

    async def _step(self) -> None:
        self.goes_on.clear()
        self.waits.set()
        await self.goes_on.wait()


class Fetch:
    """A fetch that is under way. It begins by asking the index."""

    def __init__(
        self, index: RedisUnreadIndex, feeds: Feeds, limit: int, before: NotificationId | None, told: int
    ) -> None:
        self.limit = limit
        self.before = before
        self.told = told
        self._steps = Steps(feeds)
        fetch = FetchUnread(index=index, feeds=cast("Feeds", self._steps))
        self._task = asyncio.create_task(fetch(ADA, limit, before))

    async def advance(self) -> RenderedPage | None:
        """Let it come to its next step; return the page if that was the last."""
        self._steps.waits.clear()
        self._steps.goes_on.set()
        waits = asyncio.create_task(self._steps.waits.wait())
        await asyncio.wait([self._task, waits], return_when=asyncio.FIRST_COMPLETED)
        waits.cancel()
        return await self._task if self._task.done() else None

    async def abandon(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])


class World:
    """What outlives an example: the loop, the connections, and what was seen at all."""

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        self.run = self._runner.get_loop().run_until_complete
        self.client = connect(url, now=monotonic)
        self.lives = count()
        self.name = secrets.token_hex(4)
        self.hits = 0

    def close(self) -> None:
        self.run(self.client.aclose())
        self._runner.close()


class Life:
    """One user. Every use case and adapter is real but the store."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._run = world.run
        prefix = f"model:{world.name}:{next(world.lives)}"
        self._keys = index_keys(prefix, ADA)
        self._index = RedisUnreadIndex(
            RedisServer(self.world.client, monotonic), prefix, MACS, CAPACITY, uniform, token_hex
        )
        self._network = Unreliable(self.world.client, monotonic)
        self._announcer = RedisAnnouncer(self._network, prefix, MACS, CAPACITY, uniform, clock=system.now)
        users = MemoryUsers()
        self._run(users.add(a_user(), None))
        self._feeds = MemoryFeeds(users)
        self._clock = TestClock()
        self._history = History(self._run(self._feeds.feed(ADA)), wire.render)
        self._words: list[Word] = []
        self._crashed: list[Word] = []
        self._fetches: list[Fetch] = []
        self._told = 0

    # --- what is stored ---

    def store(self, numbers: Sequence[int]) -> None:
        """Notifications in any order of time; those that are there already are redelivered."""
        self._words.append(self._run(self._store([a_draft(number) for number in numbers])))

    def mark(self, mark: Mark, numbers: Sequence[int]) -> None:
        self._words.append(self._run(self._mark(mark, [an_id(number) for number in numbers])))

    def mark_up_to(self, mark: Mark, back: int) -> None:
        version = max(0, self._history.feed.version - back)
        self._words.append(self._run(self._mark_up_to(mark, version)))

    def choose(self, category: str, chosen: bool | None) -> None:
        self._words.append(self._run(self._choose(category, chosen)))

    # --- what is announced ---

    def announce(self, which: int, fate: Fate, repeated: bool) -> None:
        if self._words:
            word = self._words[which % len(self._words)]
            self._deliver(word, fate)
            if not repeated:
                self._words.remove(word)

    def announce_in_order(self) -> None:
        while self._words:
            self._deliver(self._words.pop(0), Fate.ARRIVES)

    def crash(self, which: int) -> None:
        if self._words:
            self._crashed.append(self._words.pop(which % len(self._words)))

    def begin_again(self) -> None:
        if self._crashed:
            self._words.append(self._run(self._crashed.pop(0).again()))

    def heal(self) -> None:
        self._run(self._announcer.heal())

    # --- what is read ---

    def fetch(self, limit: int, before: int | None) -> None:
        if len(self._fetches) < 3:
            self._run(self._begin(limit, None if before is None else an_id(before)))
            self._advance(len(self._fetches) - 1)

    def fetch_at_once(self, limit: int) -> None:
        others = len(self._fetches)
        self._run(self._begin(limit, None))
        while len(self._fetches) > others:
            self._advance(others)

    def fetch_on(self, which: int) -> None:
        if self._fetches:
            self._advance(which % len(self._fetches))

    # --- what Redis forgets ---

    def forget(self, keys: Sequence[int]) -> None:
        """Everything in a flush; single keys when they expire, or are evicted to make room for others."""
        self._run(self.world.client.delete(*(self._keys[key] for key in keys)))

    # --- what must hold ---

    def every_page_is_true(self) -> None:
        for (limit, before), page in zip(ASKED, self._run(self._pages(ASKED)), strict=True):
            if page is not None:
                self._check(page, limit, before, self._told)
                self.world.hits += bool(page.items)

    def end(self) -> None:
        """Let everything come to an end; then nothing may be left that is old."""
        while self._fetches:
            self._advance(0)
        while self._crashed:
            self.begin_again()
        self.announce_in_order()
        self.heal()
        self._check_settled()

    def leave(self) -> None:
        """Leave nothing behind."""
        for fetch in self._fetches:
            self._run(fetch.abandon())
        self.forget((0, 1, 2))

    # --- how ---

    async def _store(self, drafts: Sequence[Draft]) -> Word:
        outbox = Outbox()
        store = StoreNotifications(feeds=self._feeds, announcer=outbox, clock=self._clock)
        await store.announce(await store(drafts))
        return self._word(outbox, lambda: self._store(drafts))

    async def _mark(self, mark: Mark, ids: Sequence[NotificationId]) -> Word:
        outbox = Outbox()
        mark_notifications = MarkNotifications(marks=Marks(self._feeds, outbox), clock=self._clock)
        await mark_notifications(ADA, mark, ids, until=time_of(mark))
        return self._word(outbox, lambda: self._mark(mark, ids))

    async def _mark_up_to(self, mark: Mark, version: int) -> Word:
        outbox = Outbox()
        mark_notifications = MarkNotifications(marks=Marks(self._feeds, outbox), clock=self._clock)
        await mark_notifications(ADA, mark, up_to=str(Cursor(self._history.feed.epoch, version)))
        return self._word(outbox, lambda: self._mark_up_to(mark, version))

    async def _choose(self, category: str, chosen: bool | None) -> Word:
        outbox = Outbox()
        choose = ChoosePreferences(preferences=self._feeds, categories=MemoryCategories(), announcer=outbox)
        await choose(ADA, {category: chosen})
        return self._word(outbox, lambda: self._choose(category, chosen))

    def _word(self, outbox: Outbox, again: Callable[[], Coroutine[Any, Any, Word]]) -> Word:
        for change in outbox.changes:
            if isinstance(change, Added | Marked | Chosen):
                self._history.tell(change)
        return Word(outbox.changes, again)

    def _deliver(self, word: Word, fate: Fate) -> None:
        self._network.fate = fate
        self._run(self._announcer.announce(word.changes))
        self._network.fate = Fate.ARRIVES
        if fate is not Fate.LOST:
            self._told = max(self._told, word.version)

    async def _begin(self, limit: int, before: NotificationId | None) -> None:
        self._fetches.append(Fetch(self._index, self._feeds, limit, before, self._told))

    def _advance(self, which: int) -> None:
        fetch = self._fetches[which]
        page = self._run(fetch.advance())
        if page is not None:
            del self._fetches[which]
            self._check(page, fetch.limit, fetch.before, fetch.told)

    async def _pages(
        self, asked: Sequence[tuple[int, NotificationId | None]]
    ) -> Sequence[RenderedPage | None]:
        """Ask the index without leaving a trace."""
        found = await asyncio.gather(*(self._index.page(ADA, limit, before) for limit, before in asked))
        if any(isinstance(page, Missing) and page.lease for page in found):
            await self.world.client.delete(self._keys[2])
        return [page if isinstance(page, RenderedPage) else None for page in found]

    def _check(self, page: RenderedPage, limit: int, before: NotificationId | None, told: int) -> None:
        self._history.check(page, limit, before)
        assert page.feed.version >= told, "the page is older than what had been announced"

    def _check_settled(self) -> None:
        """The index is missing, or is the truth; and once asked it is the truth."""
        self._run(self.world.client.delete(self._keys[2]))
        truth = self._history.feed
        for fetches in range(2):
            for page in self._run(self._pages([(0, None), (1, None), (CAPACITY - 1, None)])):
                assert page is not None or fetches == 0
                assert page is None or page.feed == truth
            self.fetch_at_once(CAPACITY - 1)


@pytest.fixture
def world(servers: EmbeddedServers) -> Iterator[World]:
    opened = World(servers.redis_url)
    yield opened
    opened.close()


Step = tuple[str, tuple[Any, ...]]


def walk(random: Random) -> list[Step]:
    """A life, step by step. It begins with an index that knows something."""

    def some(at_most: int) -> tuple[int, ...]:
        return tuple(random.sample(range(1, NUMBERS + 1), random.randint(1, at_most)))

    kinds: dict[str, tuple[float, Callable[[], tuple[Any, ...]]]] = {
        "store": (3, lambda: (some(4),)),
        "mark": (3, lambda: (random.choice(list(Mark)), some(3))),
        "mark_up_to": (1, lambda: (random.choice(USER_MARKS), random.randint(0, 5))),
        "choose": (1, lambda: (random.choice(["comment", "billing"]), random.choice([True, False, None]))),
        "announce": (5, lambda: (random.randrange(9), random.choice(FATES), random.random() < 0.2)),
        "announce_in_order": (2, tuple),
        "crash": (1, lambda: (random.randrange(9),)),
        "begin_again": (1, tuple),
        "heal": (1, tuple),
        "fetch": (2, lambda: (random.randint(0, CAPACITY), random.choice([None, None, *some(1)]))),
        "fetch_on": (5, lambda: (random.randrange(3),)),
        "fetch_at_once": (2, lambda: (random.randint(0, CAPACITY),)),
        "forget": (1, lambda: (random.choice([(0,), (1,), (2,), (0, 1, 2)]),)),
    }
    # Mostly short ones, in which nothing later makes up for what went wrong.
    length = round(3 + STEPS * random.random() ** 3)
    names = random.choices(list(kinds), [weight for weight, _ in kinds.values()], k=length)
    begin: list[Step] = [("store", (some(4),)), ("announce_in_order", ()), ("fetch_at_once", (CAPACITY,))]
    return [*begin, *((name, kinds[name][1]()) for name in names)]


def play(world: World, steps: Sequence[Step]) -> AssertionError | None:
    """Return what went wrong."""
    life = Life(world)
    try:
        for name, arguments in steps:
            getattr(life, name)(*arguments)
            life.every_page_is_true()
        life.end()
    except AssertionError as error:
        return error
    finally:
        life.leave()
    return None


def shortened(world: World, steps: list[Step]) -> list[Step]:
    """Leave out whatever it goes wrong without."""
    kept = len(steps) + 1
    while len(steps) < kept:
        kept = len(steps)
        for number in reversed(range(kept)):
            fewer = steps[:number] + steps[number + 1 :]
            if play(world, fewer):
                steps = fewer
    return steps


@pytest.mark.parametrize("part", range(PARTS))
def test_no_page_is_ever_untrue_and_in_the_end_the_index_agrees(world: World, part: int) -> None:
    for seed in range(part, WALKS, PARTS):
        steps = walk(Random(seed))
        if play(world, steps):
            steps = shortened(world, steps)
            pytest.fail(f"{play(world, steps)}\n\nseed {seed}, after:\n" + "\n".join(map(str, steps)))

    assert world.hits > 1_000, "the index had next to nothing to say"


def test_an_entry_that_lost_its_notifications_does_not_begin_anew(world: World) -> None:
    """Late ones would fill it up to its capacity, and from then on it would pass for the newest."""
    wrong = play(
        world,
        [
            ("store", ((9, 10, 11),)),
            ("announce_in_order", ()),
            ("fetch_at_once", (CAPACITY,)),
            ("forget", ((1,),)),
            ("store", ((1, 2, 3, 4),)),
            ("announce_in_order", ()),
        ],
    )

    assert wrong is None


async def test_what_cannot_be_told_while_everything_is_forgotten_is_told_after(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = f"model:{secrets.token_hex(4)}"
    network = Unreliable(redis_server.client, monotonic)
    announcer = RedisAnnouncer(network, prefix, MACS, CAPACITY, uniform, clock=system.now, remembered_feeds=0)
    index = RedisUnreadIndex(redis_server, prefix, MACS, CAPACITY, uniform, token_hex)
    old, new = a_feed(version=1, unread=0), a_feed(version=2, unread=0)
    network.fate = Fate.LOST
    await announcer.announce([Settled(old)])
    network.fate = Fate.ARRIVES

    async def forget() -> None:
        """Somebody loads an entry behind its back, and is overtaken by a change that is lost."""
        await RedisAnnouncer.forget_everything(announcer)
        missing = await index.page(ADA, 1, None)
        assert isinstance(missing, Missing)
        assert missing.lease
        await index.load(RenderedPage(old, [], more=False), missing.lease)
        network.fate = Fate.LOST
        announcer._remembered_feeds = 100
        await announcer.announce([Settled(new)])
        network.fate = Fate.ARRIVES

    monkeypatch.setattr(announcer, "forget_everything", forget)
    await announcer.heal()

    assert isinstance(await index.page(ADA, 1, None), Missing)
