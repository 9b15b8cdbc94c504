"""Who uses the service, and what befalls it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from application.credentials import Claims
from application.errors import Unavailable
from application.pages import RenderedPage
from application.publishing import Idempotency
from common import wire
from domain.errors import DomainError
from domain.feed import Cursor, Marked
from domain.identifiers import NotificationId, UserId, uuid7
from domain.notification import Content
from domain.states import Mark, Status
from entrypoints.live.streaming import Hello
from tests.build import an_api_key
from tests.simulation.loop import Process
from tests.simulation.postgres import REFUSED
from tests.simulation.processes import ApiProcess, ConsumerProcess, Service, Socket
from tests.simulation.world import Disconnected
from tests.states import COMMANDS, USER_MARKS
from workbench.soak.tally import is_unread

SENDER = an_api_key()

STRANGER = UserId("nobody")
_MARKS = [Mark.READ, *USER_MARKS]
_COMMANDS = {mark: command for command, mark in COMMANDS.items()}


@dataclass(eq=False)
class Town:
    """The processes of the moment, and everybody who uses them."""

    service: Service
    users: Sequence[UserId]
    apis: list[ApiProcess] = field(default_factory=list)
    consumers: list[ConsumerProcess] = field(default_factory=list)
    accepted: list[tuple[UserId, NotificationId]] = field(default_factory=list)
    started: int = 0
    calm: bool = False
    """Whether nothing befalls anybody any more."""

    def start_api(self) -> None:
        self.started += 1
        self.apis.append(ApiProcess(self.service, f"api {self.started}"))

    def start_consumer(self) -> None:
        self.started += 1
        self.consumers.append(ConsumerProcess(self.service, f"consumer {self.started}"))

    def crash(self, process: Process) -> None:
        """A process dies; its supervisor starts another."""
        for api in self.apis:
            if api.process is process:
                self.remove(api)
                self.service.world.soon(self.service.world.source.random(), self.start_api)
        for consumer in self.consumers:
            if consumer.process is process:
                self.remove(consumer)
                self.service.world.soon(self.service.world.source.random(), self.start_consumer)

    def remove(self, process: ApiProcess | ConsumerProcess) -> None:
        """Kill it."""
        process.kill()
        self.apis = [api for api in self.apis if api is not process]
        self.consumers = [consumer for consumer in self.consumers if consumer is not process]

    async def api(self) -> ApiProcess:
        """One that is there."""
        while True:
            alive = [api for api in self.apis if api.alive]
            if alive:
                return self.service.world.source.choice(alive)
            await asyncio.sleep(0.1)

    def user(self) -> UserId:
        return self.service.world.source.choice(self.users)


# --- producers ------------------------------------------------------------------------------------------


class Producer:
    """Publishes over HTTP, and tries again with the same key where it has one."""

    def __init__(self, town: Town, name: str) -> None:
        self._town, self._name = town, name
        self._world = town.service.world
        self._sent = 0

    async def run(self, count: int) -> None:
        for _ in range(count):
            await self._world.pause(1.0)
            if self._world.chance(0.2):
                await self._batch()
            else:
                await self._one()

    def _content(self) -> Content:
        self._sent += 1
        expires = None
        if self._world.chance(0.15):
            expires = self._world.clock() + timedelta(seconds=10 * self._world.source.random())
        return Content(
            user_id=self._town.user(),
            event=self._world.source.choice(["comment.simulated", "billing.simulated"]),
            message=REFUSED if self._world.chance(0.05) else f"{self._name} {self._sent}",
            expires_at=expires,
        )

    def _idempotency(self) -> Idempotency | None:
        if self._world.chance(0.3):
            return None
        return Idempotency(self._name, f"key {self._sent}", "fingerprint")

    async def _one(self) -> None:
        content = self._content()
        key = self._idempotency()
        await self._insist(lambda api: api.publish(SENDER, content, key), [content])

    async def _batch(self) -> None:
        contents = [self._content() for _ in range(self._world.source.randrange(1, 5))]
        key = self._idempotency()
        await self._insist(lambda api: api.publish_batch(SENDER, contents, key), contents)

    async def _insist(self, publish: Callable[[ApiProcess], Any], contents: Sequence[Content]) -> None:
        for _ in range(self._world.source.randrange(1, 5)):
            api = await self._town.api()
            try:
                found = await api.call(partial(publish, api))
            except (Unavailable, Disconnected, DomainError) as error:
                self._world.note(f"{self._name} is not told that it is accepted: {error!r}")
                await self._world.pause(1.0)
                continue
            results = found if isinstance(found, list) else [found]
            for content, result in zip(contents, results, strict=True):
                if isinstance(result, UUID):
                    self._accepted(content, NotificationId(result))
            return

    def _accepted(self, content: Content, notification: NotificationId) -> None:
        postgres = self._town.service.postgres
        there = (content.user_id, notification) in postgres.sent
        self._world.check(there, f"I1: {notification} was accepted, but Kafka does not hold it")
        self._town.accepted.append((content.user_id, notification))


async def write_records(town: Town, count: int) -> None:
    """Another service writes to the topic itself, well or badly."""
    world, kafka = town.service.world, town.service.kafka
    for number in range(count):
        await world.pause(1.0)
        user = STRANGER if world.chance(0.15) else town.user()
        value: bytes | None = wire.encode(
            {"user_id": user, "event": "foreign", "message": f"foreign {number}"}
        )
        if world.chance(max(0.1, world.weather.foul)):
            value = world.source.choice([b"{", None, b"\xff", b'{"user_id":"x"}'])
        if world.chance(world.weather.foul / 2):  # a flood of one producer
            for _ in range(world.source.randrange(2, 30)):
                kafka.append(kafka.partition_of(user.encode()), user.encode(), b"{")
        held = [record for log in kafka.log for record in log]
        if held and world.chance(0.25):
            again = world.source.choice(held)
            kafka.append(again.partition, again.key, again.value)
        else:
            kafka.append(kafka.partition_of(user.encode()), user.encode(), value)


async def change_records(town: Town, count: int) -> None:
    """Another service edits and retracts, before and after what it is about; and what people like is one."""
    world, kafka = town.service.world, town.service.kafka
    for number in range(count):
        await world.pause(1.0)
        user, identifier = town.user(), uuid7(world.time_ns() // 1_000_000, world.source.getrandbits(74))
        told = [draft for draft in kafka.drafts.values() if draft is not None and not kafka.doomed(draft)]
        if told and world.chance(0.7):
            about = world.source.choice(told)
            user, identifier = about.user_id, about.id
        fields: dict[str, Any] = {"user_id": user, "id": str(identifier)}
        if world.chance(0.25):
            fields |= {"retract": True}
        else:
            fields |= {"event": "simulated", "message": f"changed {number}"}
            fields |= (
                {"revision": world.source.randrange(4)} if world.chance(0.6) else {"collapse_key": "post"}
            )
        kafka.append(kafka.partition_of(user.encode()), user.encode(), wire.encode(fields))


# --- users ----------------------------------------------------------------------------------------------


async def read_pages(town: Town, count: int) -> None:
    """Fetch unread pages. Each must be what the feed was at the version that it carries."""
    world = town.service.world
    for _ in range(count):
        await world.pause(0.8)
        user, limit = town.user(), min(town.service.capacity, world.source.choice([0, 1, 3, 20]))
        await _read_page(town, user, limit, None)


async def _read_page(town: Town, user: UserId, limit: int, before: NotificationId | None) -> None:
    world = town.service.world
    api = await town.api()
    try:
        page = await api.call(lambda: api.list(user, limit=limit, before=before))
    except (Unavailable, Disconnected):
        return
    check_page(town, page, user, limit, before)
    if page.more and page.items and world.chance(0.5):
        oldest = NotificationId(UUID(wire.identifier(page.items[-1])))
        await _read_page(town, user, limit, oldest)


def check_page(
    town: Town, page: RenderedPage, user: UserId, limit: int, before: NotificationId | None
) -> None:
    """Compare a page with the history of the feed."""
    history = town.service.postgres.history[user]
    try:
        assert page.feed.user_id == user, f"a page of {page.feed.user_id}"
        history.check(page, limit, before)
    except AssertionError as error:
        town.service.world.check(False, f"I3, I4: {user} was shown a page that was never true: {error}")


async def mark_over_http(town: Town, count: int) -> None:
    """Mark notifications, and do it again until it is known to be done."""
    world, postgres = town.service.world, town.service.postgres
    for _ in range(count):
        await world.pause(1.5)
        user, mark = town.user(), world.source.choice(_MARKS)
        if mark is Mark.UNREAD:
            postgres.unread_wanted.add(user)
        held = list(postgres.history[user].held)
        if world.chance(0.2):  # also what is not the user's: then nothing happens
            held = [item for history in postgres.history.values() for item in history.held]
        ids = world.source.sample(held, min(len(held), world.source.randrange(1, 4)))
        feed = postgres.feed(user)
        # One that was given out: a change of several notifications is seen whole or not at all.
        cursor = Cursor(feed.epoch, world.source.choice(postgres.history[user].versions()))
        category = world.source.choice([None, "comment"])
        await _insist(
            town,
            partial(_mark_up_to, user=user, mark=mark, cursor=cursor, category=category)
            if world.chance(0.3)
            else partial(_mark, user=user, mark=mark, ids=ids),
        )


async def _insist(town: Town, request: Callable[[ApiProcess], Awaitable[Marked]]) -> None:
    while True:
        api = await town.api()
        try:
            marked = await api.call(partial(request, api))
        except (Unavailable, Disconnected):
            await town.service.world.pause(0.5)
        else:
            _check_told(town, api, marked)
            return


def _check_told(town: Town, api: ApiProcess, marked: Marked) -> None:
    """A mark that was answered is known to Redis, unless that was out of the API's reach."""
    user, service = marked.feed.user_id, town.service
    if api.alive and user not in api.announcer._unannounced:
        told = service.redis.told.get(user, 0)
        service.world.check(told >= marked.feed.version, f"I3: {user} marked {marked.feed}, told was {told}")
        service.postgres.told(user)


async def _mark(api: ApiProcess, user: UserId, mark: Mark, ids: Sequence[NotificationId]) -> Marked:
    return await api.mark_notifications(user, mark, ids)


async def _mark_up_to(
    api: ApiProcess, user: UserId, mark: Mark, cursor: Cursor, category: str | None
) -> Marked:
    return await api.mark_notifications(user, mark, up_to=str(cursor), category=category)


class LiveClient:
    """A device that follows a feed, as docs/live-stream.md tells it to."""

    def __init__(self, town: Town, user: UserId, name: str, *, auto: bool) -> None:
        self._town, self.user, self.name = town, user, name
        self._service = town.service
        self._world = town.service.world
        self._auto = auto
        self._lifetime = timedelta(seconds=20) if self._world.chance(0.1) else timedelta(days=1)
        self._epoch = ""
        self.version = -1
        self.items: dict[str, dict[str, Any]] = {}

    async def run(self) -> None:
        """Load, follow, and come back whenever the connection is gone."""
        while True:
            try:
                if self.version < 0:
                    await self._load()
                await self._follow(await self._town.api())
            except (Unavailable, Disconnected):
                pass
            await self._world.pause(0.5)

    async def _load(self) -> None:
        api = await self._town.api()
        first = await api.call(lambda: api.list(self.user, Status.ALL, limit=100))
        second = await api.call(lambda: api.list(self.user, Status.ARCHIVED, limit=100))
        assert not first.more
        assert not second.more
        self._epoch, self.version = first.feed.epoch, first.feed.version
        for item in [*first.items, *second.items]:
            self._upsert(json.loads(item))

    async def _follow(self, api: ApiProcess) -> None:
        if not api.alive:
            raise Disconnected
        socket = Socket(self._world)
        now = self._world.clock()
        claims = Claims(self.user, now + self._lifetime, now)
        api.connect(socket, Hello(claims, Cursor(self._epoch, self.version), self._auto))
        leaving = asyncio.create_task(self._leave(socket))
        try:
            while (text := await socket.receive()) is not None:
                self._take(json.loads(text), socket)
                if socket.closed and self._world.chance(0.2):
                    break  # what was still on its way is lost
        finally:
            leaving.cancel()

    async def _leave(self, socket: Socket) -> None:
        """Say and do what users do, until the network or the user closes the connection."""
        while True:
            hasty = self._world.weather.hasty
            await self._world.pause(2.0 - 1.8 * hasty)
            if self._town.calm:
                return
            if self._world.chance(0.6) and self.items:
                for _ in range(self._world.source.randrange(1, 5)):
                    self._command(socket)
                await self._world.pause(0.02)
            if self._world.chance(max(0.3, hasty)):
                self._world.note(f"{self.name} closes its socket at {self.version}")
                socket.close()
            elif self._world.chance(0.1):
                socket.stuck = True

    def _command(self, socket: Socket) -> None:
        mark = self._world.source.choice(_MARKS)
        if mark is Mark.UNREAD:
            self._service.postgres.unread_wanted.add(self.user)
        ids = self._world.source.sample(list(self.items), min(len(self.items), 2))
        which = {"up_to": f"{self._epoch}.{self.version}"} if self._world.chance(0.2) else {"ids": ids}
        self._world.note(f"{self.name} says {_COMMANDS[mark]}")
        socket.send({"type": _COMMANDS[mark], "ref": 1, **which})

    # --- what comes ---

    def _take(self, frame: dict[str, Any], socket: Socket) -> None:
        kind = frame["type"]
        self._check(kind != "reset", f"its position is worth nothing: {frame}")
        match kind:
            case "welcome":
                self._check(frame["resumed"], "its cursor is good, but it did not resume")
                self._check(
                    _version(frame) == self.version, f"it is at {self.version}, not at {frame['cursor']}"
                )
            case "notifications":
                self._advance(frame, self._notifications)
            case "update":
                self._advance(frame, self._update)
            case "replayed":
                self._check(_version(frame) == self.version, f"caught up to {self.version}, not to {frame}")
                self._count(frame)
            case "ping":
                socket.send({"type": "pong"})

    def _advance(self, frame: dict[str, Any], apply: Callable[[dict[str, Any], int], None]) -> None:
        prev = int(frame["prev"].split(".")[1])
        self._check(prev == self.version, f"it is at {self.version}, but gets what follows {prev}")
        self._check(_version(frame) > prev, f"{frame} leads nowhere")
        apply(frame, prev)
        self.version = _version(frame)
        if not frame.get("replay"):
            self._count(frame)

    def _notifications(self, frame: dict[str, Any], prev: int) -> None:
        versions = [item["version"] for item in frame["items"]]
        self._check(
            versions == sorted(set(versions)) and prev < versions[0] and versions[-1] == _version(frame),
            f"versions {versions} after {prev}, up to {frame['cursor']}",
        )
        if not frame.get("replay"):
            self._check(versions[0] == prev + 1, f"versions {versions} leave a hole after {prev}")
        for item in frame["items"]:
            self._check(item["user_id"] == self.user, f"I4: it is shown {item}")
            self._upsert(item)

    def _update(self, frame: dict[str, Any], prev: int) -> None:
        ((name, value),) = frame["set"].items()
        if "ids" in frame:
            for version, item_id in enumerate(frame["ids"], prev + 1):
                self._check(item_id in self.items, f"it was never told of {item_id}")
                self._change(self.items[item_id], name, value, version)
            return
        up_to = int(frame["up_to"].split(".")[1])
        for item in self.items.values():
            applies = (item[name] is None) is not (value is None)
            if item["version"] <= up_to and applies and (name != "seen_at" or is_unread(item)):
                self._change(item, name, value, _version(frame))

    @staticmethod
    def _change(item: dict[str, Any], name: str, value: Any, version: int) -> None:
        if name in {"read_at", "archived_at"} and value is not None and item["seen_at"] is None:
            item["seen_at"] = value
        item |= {name: value, "version": version}

    def _upsert(self, item: dict[str, Any]) -> None:
        held = self.items.get(item["id"])
        if held is None or held["version"] < item["version"]:
            self.items[item["id"]] = item

    def _count(self, frame: dict[str, Any]) -> None:
        history = self._service.postgres.history[self.user]
        feed = history.page(_version(frame), 0).feed
        told = frame["unread_count"], frame["unseen_count"], frame["unread_in"]
        self._check(told == (feed.unread_count, feed.unseen_count, feed.unread_in), f"{told} are {feed}")

    def _check(self, holds: object, promise: str) -> None:
        self._world.check(holds, f"I6: {self.name} of {self.user}: {promise}")

    def differences(self) -> Sequence[str]:
        """How what it shows differs from the feed."""
        truth = {
            str(item.id): json.loads(wire.render(item))
            for item in self._service.postgres.history[self.user].held.values()
            if item.retracted_at is None
        }
        shown = {key: item for key, item in self.items.items() if item["retracted_at"] is None}
        states = ("seen_at", "read_at", "archived_at", "message")
        return [
            f"{key}: shows {_only(shown.get(key), states)}, is {_only(truth.get(key), states)}"
            for key in sorted({*truth, *shown})
            if _only(shown.get(key), states) != _only(truth.get(key), states)
        ]


def _version(frame: dict[str, Any]) -> int:
    return int(frame["cursor"].split(".")[1])


def _only(item: dict[str, Any] | None, names: Sequence[str]) -> dict[str, Any] | None:
    return None if item is None else {name: item[name] for name in names}


# --- what befalls the service ---------------------------------------------------------------------------


class Nemesis:
    """Crashes, cuts, flushes and clocks that jump. The seed draws which of them a schedule knows."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self._world = town.service.world
        self._service = town.service
        everything: Sequence[Callable[[], Any]] = [
            self._kill_consumer,
            self._stop_consumer,
            self._start_consumer,
            self._evict,
            self._kill_api,
            self._postgres_away,
            self._postgres_read_only,
            self._kafka_away,
            self._dead_letters_away,
            self._redis_away,
            self._flush,
            self._restart_redis,
            self._fail_over_redis,
            self._cut_redis,
            self._cut_one_from_redis,
            self._jump,
        ]
        source = self._world.source
        self._faults = source.sample(everything, source.randrange(1, len(everything) + 1))

    async def run(self, count: int) -> None:
        for _ in range(count):
            await self._world.pause(2.0)
            await self._world.source.choice(self._faults)()

    async def replace_consumers(self) -> None:
        """An operator has the consumers take whatever comes: a partition that a flood stopped stays so."""
        self._service.bad_records = 0
        for consumer in self._town.consumers[:]:
            await self._stop(consumer)
        self._town.start_consumer()

    def heal(self) -> None:
        """Everything is there again."""
        for server in (self._service.postgres.server, self._service.kafka.server, self._service.redis.server):
            server.away = False
        self._service.kafka.dead_letters_away = False
        self._service.postgres.read_only = False
        for process in [*self._town.apis, *self._town.consumers]:
            process.redis.cut_off = False

    def _consumer(self) -> ConsumerProcess | None:
        alive = [consumer for consumer in self._town.consumers if consumer.alive]
        return self._world.source.choice(alive) if alive else None

    async def _kill_consumer(self) -> None:
        consumer = self._consumer()
        if consumer is not None:
            self._town.remove(consumer)
            await self._world.pause(2.0)
            self._town.start_consumer()

    async def _stop_consumer(self) -> None:
        """SIGTERM; after a while SIGKILL."""
        consumer = self._consumer()
        if consumer is not None:
            await self._stop(consumer)
            self._town.start_consumer()

    async def _stop(self, consumer: ConsumerProcess) -> None:
        self._world.note(f"{consumer.process.name} is told to stop")
        consumer.process.context.run(consumer.worker.stop)
        await asyncio.wait([consumer.working], timeout=12.0)
        self._town.remove(consumer)

    async def _start_consumer(self) -> None:
        if len(self._town.consumers) < 3:
            self._town.start_consumer()

    async def _evict(self) -> None:
        members = self._service.kafka.group.members
        if members:
            self._world.source.choice(members).consumer.evict()

    async def _kill_api(self) -> None:
        self._town.remove(await self._town.api())
        await self._world.pause(1.0)
        self._town.start_api()

    async def _away(self, server: Any, seconds: float) -> None:
        self._world.note(f"{server.name} is away")
        server.away = True
        await self._world.pause(seconds)
        server.away = False
        self._world.note(f"{server.name} is back")

    async def _postgres_away(self) -> None:
        await self._away(self._service.postgres.server, 6.0)

    async def _postgres_read_only(self) -> None:
        self._world.note("PostgreSQL takes no writes")
        self._service.postgres.read_only = True
        await self._world.pause(6.0)
        self._service.postgres.read_only = False

    async def _kafka_away(self) -> None:
        await self._away(self._service.kafka.server, 6.0)

    async def _redis_away(self) -> None:
        if self._world.chance(0.5):
            self._service.redis.restart()
        await self._away(self._service.redis.server, 6.0)

    async def _dead_letters_away(self) -> None:
        self._world.note("the dead-letter topic is away")
        self._service.kafka.dead_letters_away = True
        await self._world.pause(8.0)
        self._service.kafka.dead_letters_away = False

    async def _flush(self) -> None:
        self._service.redis.flush()

    async def _restart_redis(self) -> None:
        self._service.redis.restart()

    async def _fail_over_redis(self) -> None:
        self._service.redis.fail_over()

    async def _cut_redis(self) -> None:
        self._service.redis.cut()

    async def _cut_one_from_redis(self) -> None:
        process = self._world.source.choice([await self._town.api(), *self._town.consumers])
        self._world.note(f"{process.process.name} does not reach Redis")
        self._service.redis.half_open(process.redis)
        process.redis.cut_off = True
        await self._world.pause(4.0)
        process.redis.cut_off = False

    async def _jump(self) -> None:
        self._world.skew += timedelta(seconds=self._world.source.uniform(-30, 30))
        self._world.note(f"the clock jumps; it is {self._world.skew} off")
