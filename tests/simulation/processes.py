"""The processes of the service: the real use cases and adapters, on simulated servers."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from adapters import clock
from adapters.kafka.dead_letters import KafkaDeadLetters
from adapters.kafka.queue import KafkaQueue
from adapters.kafka.reader import KafkaQueueReader
from adapters.redis.announcer import RedisAnnouncer
from adapters.redis.idempotency import RedisIdempotencyKeys
from adapters.redis.index import RedisUnreadIndex
from adapters.redis.live import RedisLiveFrames
from adapters.redis.server import RedisServer
from adapters.redis.subscriptions import Subscriptions
from adapters.websocket.bounds import check_room
from adapters.websocket.hub import Hub
from application.arriving import Arrive
from application.catching_up import CatchUps
from application.delivery import MarkDue, StoreNotifications
from application.errors import Stuck, Unavailable
from application.inbox import ActOnNotification, FetchUnread, ListNotifications, MarkNotifications
from application.marks import Marks
from application.publishing import PublishBatch, PublishNotification
from application.reconciling import Mismatch, ReconcileIndex
from application.revoking import Revocations
from application.streams import Lagging
from common import wire
from entrypoints.consumer.floods import Floods
from entrypoints.consumer.holds import Holds
from entrypoints.consumer.partitions import Partitions
from entrypoints.consumer.watchdog import Watchdog
from entrypoints.consumer.worker import Worker
from entrypoints.live.session import Session
from entrypoints.live.sessions import Sessions
from entrypoints.live.streaming import Hello, Streaming
from entrypoints.timing import Timing
from tests.build import MACS
from tests.simulation.kafka import (
    DEAD_LETTERS,
    SESSION_SECONDS,
    TOPIC,
    Consumer,
    Kafka,
    Producer,
    ProducingClient,
    read,
)
from tests.simulation.loop import Process
from tests.simulation.postgres import Postgres, SimulatedFeeds, SimulatedUsers
from tests.simulation.redis import PREFIX, Client, Redis, Rules
from tests.simulation.world import Disconnected, World

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Parts:
    """What the processes are made of. Any of them can be exchanged for a worse one, which must show."""

    inlet: type[KafkaQueueReader] = KafkaQueueReader
    partitions: type[Partitions] = Partitions
    store: type[StoreNotifications] = StoreNotifications
    marks: type[Marks] = Marks
    redis_server: type[RedisServer] = RedisServer
    announcer: type[RedisAnnouncer] = RedisAnnouncer
    hub: type[Hub] = Hub
    session: type[Session] = Session
    sessions: type[Sessions] = Sessions
    rules: Rules = field(default_factory=Rules)


@dataclass(eq=False)
class Service:
    """The servers, and what it takes to start processes on them."""

    world: World
    postgres: Postgres
    redis: Redis
    kafka: Kafka
    parts: Parts
    capacity: int
    """Of the unread index, in notifications of a feed."""
    batch: int
    """Records a batch."""
    bad_records: int
    """How many in a row stop a partition; 0 for any number."""


class ServiceProcess:
    """What both kinds of process have."""

    def __init__(self, service: Service, name: str) -> None:
        self.service = service
        self.world = service.world
        self.process = Process(name)
        self.redis = Client(service.redis, self.process)
        self.feeds = SimulatedFeeds(service.postgres)
        self.redis_server = service.parts.redis_server(self.redis, self.world.loop.time)  # type: ignore[arg-type]
        self.announcer = service.parts.announcer(
            self.redis_server, PREFIX, MACS, service.capacity, self.world.jitter, clock=self.world.clock
        )

    def index(self) -> RedisUnreadIndex:
        """Its unread index."""
        world = self.world
        return RedisUnreadIndex(
            self.redis_server, PREFIX, MACS, self.service.capacity, world.jitter, world.new_token
        )

    def producer(self, _bootstrap: str, _client_id: str) -> Producer:
        """A producer of dead letters."""
        return Producer(self.service.kafka)

    def producing_client(self, _bootstrap: str, _client_id: str) -> ProducingClient:
        """A client for the queue."""
        return ProducingClient(self.service.kafka)

    @property
    def alive(self) -> bool:
        """Whether it was not killed."""
        return self.process.alive

    def run(self, work: Any) -> None:
        """Run something for as long as the process lives. It must not fail."""
        _ = self.start(work)

    def start(self, work: Any) -> "asyncio.Task[Any]":
        """Run something that ends. It must not fail."""
        task = self.process.start(work)
        task.add_done_callback(self._ended, context=self.world.context)
        return task

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        if not task.cancelled() and task.exception() is not None:
            self.world.check(False, f"{self.process.name} failed: {task.exception()!r}")

    def kill(self) -> None:
        """End it as SIGKILL does."""
        if not self.alive:
            return
        self.world.note(f"{self.process.name} is killed")
        self.process.alive = False
        for user in [*self.announcer._unannounced, *self.feeds.owed(self.service.redis.told)]:
            self.service.postgres.excuse(user, f"{self.process.name} died and owed Redis a word")
        for subscriber in self.service.redis.subscribers[:]:
            if subscriber.client is self.redis:
                self.service.redis.subscribers.remove(subscriber)
        self.service.kafka.died(self.process)


class ConsumerProcess(ServiceProcess):
    """What entrypoints.consumer.process runs."""

    def __init__(self, service: Service, name: str) -> None:
        super().__init__(service, name)
        parts, world = service.parts, self.world
        self.store = parts.store(feeds=self.feeds, announcer=self.announcer, clock=world.clock)
        self.inlet = parts.inlet(
            "simulated",
            TOPIC,
            "bellwire",
            session_seconds=SESSION_SECONDS,
            fetch_wait_ms=20,
            batch_records=service.batch,
            clock=world.clock,
            consumer=partial(Consumer, service.kafka),
            read=read,
        )
        letters = KafkaDeadLetters(
            "simulated", DEAD_LETTERS, "bellwire", "0", world.clock, producer=self.producer
        )
        now = world.loop.time
        partitions = parts.partitions(self.inlet, Holds(now, world.jitter), Floods(service.bad_records, now))
        self.worker = Worker(self.inlet, self.store, letters, partitions, world.clock)
        self.watchdog = Watchdog(self.worker, self.inlet, self._broker_answers, 20.0, now)
        self.retract = MarkDue(feeds=self.feeds, announcer=self.announcer, clock=self.world.clock)
        self.run(self.announcer.run())
        self.reconcile = ReconcileIndex(index=self.index(), feeds=self.feeds, announcer=self.announcer)
        self.run(self._retract())
        self.run(self._reconcile())
        self.run(self._watch())
        self.working = self.start(self._work())

    async def _broker_answers(self) -> bool:
        await asyncio.sleep(0)
        return not self.service.kafka.server.away

    async def _work(self) -> None:
        """As entrypoints.consumer.process does."""
        while not self.worker.stopping:
            try:
                await self.worker.join()
            except Unavailable:
                await self.worker.stopped_within(1.0)
            else:
                break
        try:
            await self.worker.run()
        finally:
            await self.worker.leave()

    async def _watch(self) -> None:
        """Without what ends a process whose loop is blocked."""
        while True:
            await asyncio.sleep(5.0)
            try:
                await self.watchdog.look()
            except Stuck as error:
                self.world.note(f"the watchdog ends it: {error}")
                self.world.crash(self.process)

    async def _retract(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            try:
                await self.retract()
            except Unavailable as error:
                self.world.note(f"expired notifications were not retracted: {error}")

    async def _reconcile(self) -> None:
        """It may find what nobody could tell Redis, never what contradicts the store."""
        while True:
            await asyncio.sleep(3.0)
            try:
                found = await self.reconcile(10)
            except Unavailable as error:
                self.world.note(f"the index was not compared: {error}")
                continue
            for user, kind in found.mismatches.items():
                self.world.note(f"the index was {kind} for {user}")
                self.world.check(kind is not Mismatch.WRONG, f"I3: what the index held of {user} was wrong")


class ApiProcess(ServiceProcess):
    """What entrypoints.app serves, without HTTP."""

    def __init__(self, service: Service, name: str) -> None:
        super().__init__(service, name)
        world, parts = self.world, service.parts
        self.queue = KafkaQueue("simulated", TOPIC, world.loop.time, client=self.producing_client)
        subscriptions = Subscriptions(world.loop.time)
        self.hub = parts.hub(world.clock, subscriptions)
        wired: dict[str, Any] = {
            "users": SimulatedUsers(service.postgres),
            "queue": self.queue,
            "keys": RedisIdempotencyKeys(self.redis_server, PREFIX, MACS, 0),
            "clock": world.clock,
            "new_id": clock.NotificationIds(world.time_ns, world.service_chance.getrandbits),
        }
        self.publish = PublishNotification(**wired)
        self.publish_batch = PublishBatch(**wired)
        self.fetch = FetchUnread(
            index=self.index(),
            feeds=self.feeds,
        )
        self.list = ListNotifications(feeds=self.feeds, fetch_unread=self.fetch)
        marks = parts.marks(self.feeds, self.announcer)
        self.mark_notifications = MarkNotifications(marks=marks, clock=world.clock)
        self.streaming = Streaming(
            authenticate=None,  # type: ignore[arg-type] # nobody refreshes a token here
            arrive=Arrive(missing=None, clock=world.clock),
            live_feed=self.hub,
            catch_ups=CatchUps(self.feeds, world.loop.time),
            mark_notifications=self.mark_notifications,
            act=ActOnNotification(marks=marks, feeds=self.feeds, clock=world.clock),
            revocations=Revocations(  # never asked
                SimulatedUsers(service.postgres),  # type: ignore[arg-type]
                tokens=None,  # type: ignore[arg-type]
            ),
            clock=world.clock,
            now=world.loop.time,
            chance=world.service_chance,
            new_session_id=lambda: f"{world.service_chance.getrandbits(128):032x}",
            server=name,
            timing=Timing(),
        )
        frames = RedisLiveFrames(
            self.redis_server,
            PREFIX,
            MACS,
            subscriptions,
            deliver=self.hub.deliver,
            lost=self.hub.lost,
            now=world.loop.time,
            new_token=world.new_token,
        )
        self.frames = frames
        self.sessions = parts.sessions(self.streaming, most=0, per_user=0, carried=lambda: frames.connected)
        self._answers: list[asyncio.Future[Any]] = []
        self._sockets: list[Socket] = []
        self.run(self.announcer.run())
        self.run(self.queue.run())
        self.run(frames.run())
        self.run(self.sessions.run())

    async def call(self, request: Callable[[], Awaitable[T]]) -> T:
        """A request over HTTP. Raises Disconnected if no answer comes; it may have been obeyed."""
        if not self.alive:
            raise Disconnected
        answer: asyncio.Future[T] = self.world.loop.create_future()
        self._answers.append(answer)

        def answered(task: "asyncio.Task[T]") -> None:
            if answer.done():
                return
            error = task.exception()
            if error is None:
                answer.set_result(task.result())
            else:
                answer.set_exception(error)

        async def serve() -> T:
            return await request()

        self.process.start(serve()).add_done_callback(answered, context=self.world.context)
        if self.world.chance(self.world.weather.fails / 4):
            self.world.soon(self.world.delay(), _disconnect, answer)
        try:
            return await answer
        finally:
            self._answers.remove(answer)

    def connect(self, socket: "Socket", hello: Hello) -> None:
        """A client's socket."""
        self._sockets.append(socket)
        self.run(self._serve(socket, hello))

    async def _serve(self, socket: "Socket", hello: Hello) -> None:
        """As entrypoints.live.socket does."""
        try:
            with self.sessions.entrance() as welcomed:
                found = self.service.parts.session(self.streaming, hello, ServerEnd(socket))
                await self.sessions.serve(found, welcomed)
        finally:
            socket.close()
            self._sockets.remove(socket)

    def kill(self) -> None:
        super().kill()
        for answer in self._answers[:]:
            _disconnect(answer)
        for socket in self._sockets:
            socket.close()


def _disconnect(answer: "asyncio.Future[Any]") -> None:
    if not answer.done():
        answer.set_exception(Disconnected())


class Socket:
    """The client's end of a live socket, and the network."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.inbound: asyncio.Queue[str | None] = asyncio.Queue()
        self.outbound: asyncio.Queue[str | None] = asyncio.Queue()
        self.closed = False
        self.stuck = False
        """Whether the client reads nothing."""

    def send(self, frame: Mapping[str, Any]) -> None:
        """Send a frame."""
        self.inbound.put_nowait(wire.text(frame))

    async def receive(self) -> str | None:
        """The next frame, or None once the connection is closed. Frames on their way may be lost then."""
        return await self.outbound.get()

    def close(self) -> None:
        """Close the connection, from either end or in between."""
        if not self.closed:
            self.closed = True
            self.inbound.put_nowait(None)
            self.outbound.put_nowait(None)


class ServerEnd:
    """The Connection of a session."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._world = socket.world
        self._waiting: list[str] = []
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.stalled_since = 0.0

    @property
    def queued(self) -> int:
        return sum(map(len, self._waiting))

    def send(self, text: str, cursor: str = "") -> None:
        if self._socket.closed:
            return
        if not self.stalled_since and (self._socket.stuck or self._world.chance(self._world.weather.slow)):
            self.stalled_since = self._world.loop.time() or 1e-9
            self._flowing.clear()
            self._world.soon(self._world.delay(), self._flow)
        check_room(len(self._waiting), self.queued, len(text))
        self._waiting.append(text)
        if not self.stalled_since:
            self._flow()

    def ping(self) -> bool:
        self.send('{"type":"ping"}')
        return True

    async def flowing(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._flowing.wait()
        except TimeoutError:
            raise Lagging from None

    async def receive(self) -> str | None:
        return await self._socket.inbound.get()

    def close(self, code: int, reason: str, bye: str) -> None:
        self._world.note(f"a session ends: {code} {reason}")
        if not self._socket.closed and not self._socket.stuck:
            self._socket.outbound.put_nowait(bye)
        self._socket.close()

    def _flow(self) -> None:
        """The network takes what waits, unless the client reads nothing."""
        if self._socket.stuck:
            return
        self.stalled_since = 0.0
        self._flowing.set()
        if not self._socket.closed:
            for text in self._waiting:
                self._socket.outbound.put_nowait(text)
        self._waiting.clear()
