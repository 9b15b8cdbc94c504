"""One run: start, load, faults one after another, rest, judgement."""

import asyncio
import contextlib
import itertools
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from aiokafka.errors import KafkaError

from entrypoints.container.parts.base import build
from entrypoints.container.parts.kafka import WithKafka
from entrypoints.settings import Settings
from workbench.embedded import KafkaServer
from workbench.local_client import local_client
from workbench.soak import contents
from workbench.soak.checks import judge
from workbench.soak.evidence import Evidence, Injected, Verdict
from workbench.soak.faults import CATALOGUE, Planned, draw
from workbench.soak.follower import Follower
from workbench.soak.health_checks import PROBE_SECONDS
from workbench.soak.history import History
from workbench.soak.product import create_users, set_categories
from workbench.soak.resting import Idle, idle_values, settled_gauges
from workbench.soak.stage import Stage, staged
from workbench.soak.stores import AWAY, Record, Stores, Topic
from workbench.soak.traffic import Traffic
from workbench.soak.waiting import TooLate, eventually
from workbench.soak.watch import Totals, Watch, health

USERS = [f"user-{number}" for number in range(20)]
FOLLOWED_TWICE = 4
"""How many of them have a second device, on another API process."""
PROBED = [f"probe-{number}" for number in range(12)]
"""Users that get a notification after every fault: enough of them for every partition."""

_QUIET_SECONDS = 2.0
_AGAIN_SECONDS = 1.0
"""As the service asks of its clients: those that ask again at once would keep it from recovering."""
_DRAIN_SECONDS = 120.0
_OUTCOME_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for."""

    seconds: float
    seed: int
    per_second: float
    broker: Callable[..., KafkaServer]
    durable_broker: bool

    @property
    def faults(self) -> Sequence[Planned]:
        return draw(self.seed, self.seconds, durable_broker=self.durable_broker)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    elapsed: float
    seconds: float
    doing: str
    totals: Totals | None


@dataclass(frozen=True, slots=True)
class Result:
    """The results of a run."""

    plan: Plan
    verdicts: Sequence[Verdict]
    injected: Sequence[Injected]
    totals: Sequence[Totals]
    watch: Watch
    exits: Sequence[str]
    notes: Sequence[str]


class Soak:
    """A run. `stop()` ends the load early; everything until then is judged all the same."""

    def __init__(self, plan: Plan, folder: Path, report: Callable[[str], None]) -> None:
        self.doing = "starting"
        self._plan = plan
        self._folder = folder
        self._report = report
        self._stopping = asyncio.Event()
        self._history = History(folder / "history.jsonl")
        self._began = time.monotonic()
        self._injected: list[Injected] = []
        self._probe_numbers = itertools.count()
        self._notes: list[str] = []
        self._watch: Watch | None = None

    def stop(self) -> None:
        self._stopping.set()

    @property
    def progress(self) -> Progress:
        totals = self._watch.totals[-1] if self._watch and self._watch.totals else None
        return Progress(time.monotonic() - self._began, self._plan.seconds, self.doing, totals)

    async def run(self) -> Result:
        """Run. Raises ServerFailed, MissingServer, TooLate if the servers or processes do not start."""
        (self._folder / "schedule.txt").write_text("".join(f"{each}\n" for each in self._plan.faults))
        with contextlib.closing(self._history):
            async with (
                staged(self._plan.broker, self._folder, seed=self._plan.seed) as stage,
                Stores.open(stage.product.settings) as stores,
            ):
                return await self._on(stage, stores)

    async def _on(self, stage: Stage, stores: Stores) -> Result:
        async with stage.apis[0].client() as client:
            await create_users(client, [*USERS, *PROBED])
            await set_categories(client, contents.SETTINGS)
        idle = await idle_values(stage)
        async with AsyncExitStack() as stack:
            followers = await _followers(stage, stack)
            self._history.begin()
            watch = self._watched(stage, stores, followers)
            await stack.enter_async_context(_beside(watch.run()))
            await stack.enter_async_context(_beside(stage.supervise(self._report)))
            probes = [follower for follower in followers if follower.user in PROBED]
            await self._load(stage, followers, probes)
            self.doing = "draining"
            await self._drain(stage, stores, followers, watch.topic)
        self.doing = "judging"
        return await self._judged(stage, stores, watch, followers, idle)

    def _watched(self, stage: Stage, stores: Stores, followers: Sequence[Follower]) -> Watch:
        settings = stage.product.settings
        topic = _topic(settings, settings.kafka_topic)
        first = {follower.user: follower for follower in reversed(followers)}.values()
        self._watch = Watch(
            stage, stores, self._history, topic, lambda: sum(len(one.created) for one in first)
        )
        return self._watch

    # --- load and faults ---

    async def _load(self, stage: Stage, followers: Sequence[Follower], probes: Sequence[Follower]) -> None:
        self._began = time.monotonic()
        traffic = Traffic(
            stage.apis,
            USERS,
            [follower for follower in followers if follower.user in USERS],
            self._history,
            per_second=self._plan.per_second,
            seed=self._plan.seed,
        )
        async with traffic:
            for nth, planned in enumerate(self._plan.faults):
                await self._quiet_until(planned.at)
                if self._over:
                    self._notes.append(f"{len(self._plan.faults) - nth} planned faults were not reached")
                    break
                await self._inflict(stage, planned, probes)
            await self._quiet_until(self._plan.seconds)
            stage.heal()
            self.doing = "waiting for outcomes"
            try:
                async with asyncio.timeout(_OUTCOME_SECONDS):
                    await traffic.stop()
            except TimeoutError:
                self._notes.append(f"some outcomes were not known within {_OUTCOME_SECONDS:.0f} s of the end")
        if traffic.held_back:
            self._notes.append(f"{traffic.held_back} requests were not sent: too many were under way")

    @property
    def _over(self) -> bool:
        return self._stopping.is_set() or time.monotonic() - self._began > self._plan.seconds

    async def _quiet_until(self, second: float) -> None:
        self.doing = "no fault"
        remaining = max(_QUIET_SECONDS, self._began + second - time.monotonic())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(remaining):
                await self._stopping.wait()

    async def _inflict(self, stage: Stage, planned: Planned, probes: Sequence[Follower]) -> None:
        self.doing = planned.fault
        began = self._history.now()
        self._history.note("fault begins", fault=planned.fault)
        async with CATALOGUE[planned.fault].apply(stage):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(planned.seconds):
                    await self._stopping.wait()
        ended = self._history.now()
        self._history.note("fault ends", fault=planned.fault)
        self.doing = f"recovering from {planned.fault}"
        ready, delivered = await asyncio.gather(
            self._until_ready(stage), self._until_delivered(stage, probes)
        )
        self._injected.append(Injected(planned.fault, began, ended, ready, delivered))
        self._history.note("recovered", fault=planned.fault, ready=ready, delivered=delivered)
        self._report(f"{planned} … ready {_took(ready)}, delivered {_took(delivered)}")

    async def _until_ready(self, stage: Stage) -> float | None:
        began = time.monotonic()
        async with local_client(timeout=5) as client:

            async def ready() -> bool:
                said = await asyncio.gather(*(health(client, service) for service in stage.services))
                return all(checks is not None and all(checks.values()) for checks in said)

            return await _seconds_until(ready, began)

    async def _until_delivered(self, stage: Stage, probes: Sequence[Follower]) -> float | None:
        """Wait until notifications published now reach the sockets of users in every partition."""
        began = time.monotonic()
        async with local_client(
            headers={"X-API-Key": stage.product.api_key}, timeout=PROBE_SECONDS
        ) as client:
            arrived = await asyncio.gather(*(self._probe(client, stage, probe, began) for probe in probes))
        return None if None in arrived else max(filter(None, arrived))

    async def _probe(
        self, client: httpx.AsyncClient, stage: Stage, probe: Follower, began: float
    ) -> float | None:
        """Publish under one key until it is accepted, and see it arrive."""
        item = self._history.item(probe.user, f"probe {next(self._probe_numbers)}")
        body = {"user_id": probe.user, "event": "soak.probe", "message": item.message}
        headers = {"Idempotency-Key": str(item.key)}
        again_at = 0.0

        async def accepted() -> bool:
            nonlocal again_at
            if time.monotonic() < again_at:
                return False
            again_at = time.monotonic() + _AGAIN_SECONDS
            url = f"{stage.apis[0].url}/v1/notifications"
            try:
                response = await client.post(url, json=body, headers=headers)
                self._history.answered(item, response.status_code, response.json())
            except (httpx.TransportError, ValueError) as error:
                self._history.answered(item, 0, {"error": repr(error)})
            return bool(item.accepted)

        async def arrived() -> bool:
            return (bool(item.accepted) or await accepted()) and not item.accepted.isdisjoint(probe.created)

        return await _seconds_until(arrived, began)

    # --- rest and judgement ---

    async def _drain(self, stage: Stage, stores: Stores, followers: Sequence[Follower], topic: Topic) -> None:
        """Wait until the consumer has nothing left to do and every follower is at its feed's position."""
        waiting_for = "anything"

        async def drained() -> bool:
            nonlocal waiting_for
            try:
                left = await topic.rest(await topic.committed())
                expiring, waking = await stores.expiring(), await stores.waking()
                versions = await stores.versions()
            except (KafkaError, *AWAY) as error:
                waiting_for = repr(error)
                return False
            behind = [one.user for one in followers if _at(one) != versions.get(one.user, 0)]
            waiting_for = (
                f"{len(left)} records are not committed, {expiring} expire, {waking} come back,"
                f" followers behind: {behind}"
            )
            return not (left or expiring or waking or behind)

        try:
            await eventually(drained, "everything is drained", _DRAIN_SECONDS)
        except TooLate as error:
            self._notes.append(f"{error}; {waiting_for}")

    async def _judged(
        self, stage: Stage, stores: Stores, watch: Watch, followers: Sequence[Follower], idle: Idle
    ) -> Result:
        resting = await settled_gauges(stage)
        watch.sample()
        settings, topic = stage.product.settings, watch.topic
        letters = _topic(settings, f"{settings.kafka_topic}.dlq")
        evidence = Evidence(
            history=self._history,
            ended_at=datetime.now(UTC),
            rows=await stores.rows(),
            withheld=await stores.withheld(),
            feeds=await stores.feeds(),
            broken_feeds=await stores.broken_feeds(),
            miscounted_feeds=await stores.miscounted_feeds(),
            versions=await stores.versions(),
            disagreements=await stores.disagreements(),
            indexed=await stores.indexed(),
            dead_letters=await self._dead_letters(letters),
            followers=followers,
            redis_forgot=[self._history.at(moment) for moment in stage.redis_forgot],
            samples=watch.samples,
            gauges_before=idle.gauges,
            idle_descriptors=idle.descriptors,
            gauges_after=resting,
            polls=watch.polls,
            injected=self._injected,
            busy=watch.busy,
        )
        evidence = await self._with_offsets(evidence, watch, topic)
        verdicts = judge(evidence)
        if watch.busy:
            seconds = sum(each.ended - each.begun for each in watch.busy)
            self._notes.append(
                f"the machine was too busy for {seconds:.0f} s, which limits of time do not count"
            )
        self._notes += [
            f"records were damaged: {how}, {times} times" for how, times in stage.damage.done.items()
        ]
        return Result(self._plan, verdicts, self._injected, watch.totals, watch, stage.exits, self._notes)

    async def _dead_letters(self, topic: Topic) -> Sequence[Record] | None:
        try:
            return await topic.rest({})
        except (KafkaError, OSError, TimeoutError) as error:
            self._notes.append(f"the dead letters could not be read: {error!r}")
            return None

    async def _with_offsets(self, evidence: Evidence, watch: Watch, topic: Topic) -> Evidence:
        try:
            await watch.compare_offsets()
            left = await topic.rest(await topic.committed())
        except (KafkaError, OSError, TimeoutError) as error:
            self._notes.append(f"the offsets could not be read: {error!r}")
            return evidence
        return replace(evidence, suspects=watch.suspects, checked=watch.checked, left=left)


def _topic(settings: Settings, name: str) -> Topic:
    login = build(WithKafka, settings).kafka_login()
    return Topic(settings.kafka_bootstrap, name, settings.kafka_group, settings.kafka_partitions, login)


async def _followers(stage: Stage, stack: AsyncExitStack) -> Sequence[Follower]:
    urls = [api.url for api in stage.apis]
    first = [*USERS, *PROBED]
    devices = [*enumerate(first), *enumerate(USERS[:FOLLOWED_TWICE], start=1)]
    followers = [_follower(stage, urls[nth % 2 :] + urls[: nth % 2], user) for nth, user in devices]
    for follower in followers:
        await stack.enter_async_context(follower)
    return followers


def _follower(stage: Stage, urls: Sequence[str], user: str) -> Follower:
    return Follower(urls, user, stage.product.token, frames=deque(maxlen=50))


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run something meanwhile; raise its defect at the end."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _seconds_until(condition: Callable[[], object], began: float) -> float | None:
    try:
        await eventually(condition, "recovered", PROBE_SECONDS)
    except TooLate:
        return None
    return round(time.monotonic() - began, 2)


def _at(follower: Follower) -> int:
    return int((follower.cursor or "0").rpartition(".")[2])


def _took(seconds: float | None) -> str:
    return "never" if seconds is None else f"after {seconds:.1f} s"
