"""One schedule: what a seed makes of everything."""

import asyncio
import gc
import logging
import random
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from application.pages import RenderedPage
from common import wire
from domain.feed import Feed
from domain.identifiers import UserId
from domain.states import Status
from tests.build import MACS
from tests.simulation.actors import (
    LiveClient,
    Nemesis,
    Producer,
    Town,
    change_records,
    check_page,
    mark_over_http,
    read_pages,
    write_records,
)
from tests.simulation.kafka import Kafka
from tests.simulation.loop import SimulatedLoop, Stuck
from tests.simulation.postgres import Postgres
from tests.simulation.processes import Parts, Service
from tests.simulation.redis import Redis
from tests.simulation.world import CALM, Violation, Weather, World

_USERS = [UserId("ada"), UserId("bob"), UserId("eve")]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a schedule."""

    seed: int
    broken: str | None
    """The promise that was broken first."""
    steps: int
    seconds: float
    """How long it took, in virtual seconds."""
    stored: int
    dead: int
    excused: int
    """Users of whom Redis was rightly not told everything."""
    trace: list[str]


def play(seed: int, parts: Parts | None = None, *, tracing: bool = False) -> Outcome:
    """Play the schedule of a seed. The same seed is the same schedule."""
    source = random.Random(seed)
    loop = SimulatedLoop(source, lag=source.choice([0.0, 0.0, 0.01]))
    world = World(loop, source, tracing=tracing)
    stage = _Stage(world, parts or Parts())
    collecting = gc.isenabled()
    gc.disable()  # when it would run depends on what ran before
    try:
        with _logged(world):
            try:
                loop.run_until_complete(stage.play())
            except (Violation, Stuck, RuntimeError) as error:
                if not world.broken:
                    world.broken.append(repr(error))
            finally:
                loop.bury()
    finally:
        if collecting:
            gc.enable()
    return Outcome(
        seed=seed,
        broken=world.broken[0] if world.broken else None,
        steps=loop.steps,
        seconds=loop.time(),
        stored=sum(len(history.held) for history in stage.service.postgres.history.values()),
        dead=len(stage.service.kafka.dead_places),
        excused=len(stage.service.postgres.excused),
        trace=world.trace,
    )


class _Stage:
    def __init__(self, world: World, parts: Parts) -> None:
        self._world = world
        source = world.source
        users = _USERS[: source.randrange(1, len(_USERS) + 1)]
        postgres = Postgres(world, users)
        self.service = Service(
            world=world,
            postgres=postgres,
            redis=Redis(world, parts.rules),
            kafka=Kafka(world, postgres, partitions=source.randrange(1, 4)),
            parts=parts,
            capacity=source.choice([2, 5, 200]),
            batch=source.choice([1, 3, 10]),
            bad_records=source.choice([0, 3, 50]),
        )
        self._town = Town(self.service, users)
        self.service.kafka.announced = self._is_announced
        self._clients: list[LiveClient] = []

    async def play(self) -> None:
        """A time of troubles, then peace; in the end everything must have come right."""
        world, town = self._world, self._town
        world.weather = Weather.draw(world.source)
        world.note(f"{world.weather}")
        world.loop.set_exception_handler(lambda _, context: self._defect(context))
        for _ in range(world.source.randrange(1, 3)):
            town.start_consumer()
            town.start_api()
        world.crash = town.crash
        nemesis = Nemesis(town)
        busy = [asyncio.create_task(work) for work in self._everybody(nemesis)]
        following = [asyncio.create_task(client.run()) for client in self._clients]
        done, late = await asyncio.wait(busy, timeout=30.0)
        world.note("peace")
        town.calm, world.weather = True, CALM
        nemesis.heal()
        if late:
            done, late = await asyncio.wait(busy, timeout=60.0)
        nemesis.heal()
        await asyncio.sleep(1.0)  # those who died are back
        world.check(not late, f"within 60 s of peace everybody is done: {late}")
        for task in done:
            task.result()
        if self.service.bad_records:
            await nemesis.replace_consumers()
        await self._come_right()
        for task in following:
            world.check(not task.done(), f"a client failed: {task}")

    def _everybody(self, nemesis: Nemesis) -> Sequence[Coroutine[None, None, None]]:
        world, town = self._world, self._town
        for number in range(world.source.randrange(1, 4)):
            user = town.user()
            self._clients.append(LiveClient(town, user, f"client {number}", auto=world.chance(0.2)))
        producers = [Producer(town, f"producer {n}") for n in range(world.source.randrange(1, 3))]
        return [
            *(producer.run(world.source.randrange(1, 8)) for producer in producers),
            write_records(town, world.source.randrange(8)),
            change_records(town, world.source.randrange(8)),
            read_pages(town, world.source.randrange(8)),
            read_pages(town, world.source.randrange(8)),
            mark_over_http(town, world.source.randrange(10)),
            nemesis.run(world.source.randrange(7)),
        ]

    def _defect(self, context: dict[str, object]) -> None:
        """Something failed where nobody looks."""
        if not self._world.broken:
            self._world.broken.append(f"{context.get('message')}: {context.get('exception')!r}")
            self._world.loop.stop()

    # --- the end ---

    async def _come_right(self) -> None:
        service, town, until = self.service, self._town, self._world.until
        kafka = service.kafka
        await until(
            lambda: all(kafka.is_settled(record) for log in kafka.log for record in log),
            "I1: every record is in one of the stores",
        )
        # An offset whose commit failed is committed with the next one, or with the next assignment.
        town.start_consumer()
        await until(
            lambda: kafka.group.offsets == [len(log) for log in kafka.log], "I7: every record is committed"
        )
        for user, notification in town.accepted:
            sent = service.postgres.sent[user, notification]
            there = service.postgres.holds(user, notification) or any(map(kafka.doomed, sent))
            self._world.check(there, f"I1: {notification} was accepted and is nowhere")
        self._world.skew += timedelta(minutes=11)  # what is to expire does, tokens too
        await until(self._is_retracted, "what has expired is taken back")
        await until(
            lambda: not any(process.announcer._unannounced for process in [*town.apis, *town.consumers]),
            "Redis is told what it missed",
        )
        certain = [user for user in town.users if user not in service.postgres.excused]
        await until(
            lambda: all(self._was_told(user) for user in certain),
            f"I3: Redis is told of all that {certain} have",
        )
        await self._agree(certain)
        # The others are right once what they hold has expired and their streams have resumed.
        service.redis.expire()
        service.redis.cut()
        await self._agree(town.users)
        for client in self._clients:
            await until(
                lambda told=client: not told.differences(),  # type: ignore[misc]
                f"I6: {client.name} shows {client.user} what is so: {client.differences()}",
            )

    def _is_announced(self, user: UserId, version: int) -> bool:
        owed = any(user in consumer.announcer._unannounced for consumer in self._town.consumers)
        return (
            owed or user in self.service.postgres.excused or self.service.redis.told.get(user, 0) >= version
        )

    def _was_told(self, user: UserId) -> bool:
        return self.service.redis.told.get(user, 0) >= self.service.postgres.feed(user).version

    def _is_retracted(self) -> bool:
        held = [item for history in self.service.postgres.history.values() for item in history.held.values()]
        return all(item.expires_at is None or item.retracted_at is not None for item in held)

    async def _agree(self, users: Sequence[UserId]) -> None:
        postgres, redis = self.service.postgres, self.service.redis
        for client in self._clients:
            if client.user in users:
                await self._world.until(
                    lambda told=client: told.version == postgres.feed(told.user).version,  # type: ignore[misc]
                    f"I6: {client.name} is told of everything of {client.user}",
                )
        for user in users:
            feed = postgres.feed(user)
            await self._world.until(
                lambda told=feed: redis.entry(told.user_id) is None or self._is_true(told),  # type: ignore[misc]
                f"I3: the index of {user} is right or gone",
            )
            limit = min(100, self.service.capacity)
            page = await self._town.apis[0].fetch(user, limit)
            check_page(self._town, page, user, limit, None)
            fresh = page.feed.version >= feed.version
            self._world.check(fresh, f"I3: {user} is shown {page.feed}, and is at {feed}")

    def _is_true(self, feed: Feed) -> bool:
        entry = self.service.redis.entry(feed.user_id)
        assert entry is not None
        truth: RenderedPage = self._truth(feed)
        newest = list(map(MACS.stamper(feed.user_id, feed.epoch), reversed(truth.items)))
        held = newest[-len(entry.items) :] if entry.items else []
        return (
            (entry.epoch, entry.version, entry.count) == (feed.epoch, feed.version, feed.unread_count)
            and entry.items == held
            and (not entry.complete or len(entry.items) == feed.unread_count)
        )

    def _truth(self, feed: Feed) -> RenderedPage:
        page = self._world.now_or_never(
            self.service.postgres.feeds.page(feed.user_id, Status.UNREAD, limit=1_000)
        )
        return RenderedPage(page.feed, [wire.render(item) for item in page.notifications], page.more)


class _Listener(logging.Handler):
    """What the service logs is part of the trace; what it logs as an error is a defect."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info is not None and record.exc_info[1] is not None:
            text = f"{text}: {record.exc_info[1]!r}"
        self._world.note(f"{record.levelname}: {text}")
        # Redis may restart, and lose its scripts, just after it was given one. A flood is an error.
        fine = "NoScriptError" in text or "too many bad records" in text
        if record.levelno >= logging.ERROR and not fine and not self._world.broken:
            self._world.broken.append(f"the service logs an error: {text}")
            self._world.loop.stop()


@contextmanager
def _logged(world: World) -> Iterator[None]:
    root, listener = logging.getLogger(), _Listener(world)
    before = root.level, root.handlers[:], logging.root.manager.disable
    root.handlers[:] = [listener]
    root.setLevel(logging.INFO)
    logging.disable(logging.NOTSET if world.tracing else logging.WARNING)
    try:
        yield
    finally:
        root.setLevel(before[0])
        root.handlers[:] = before[1]
        logging.disable(before[2])
