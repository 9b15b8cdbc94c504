"""Watches a run: the processes, their health, and the offsets that the group commits."""

import asyncio
import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from aiokafka.errors import KafkaError

from workbench.local_client import local_client
from workbench.soak.history import History
from workbench.soak.product import Service
from workbench.soak.stage import Stage
from workbench.soak.stores import AWAY, Record, Stores, Topic

_SAMPLE_SECONDS = 1.0
_HEALTH_SECONDS = 1.0
_OFFSETS_SECONDS = 5.0
_PATIENCE = 5.0

METRICS = ("bellwire_tasks", "bellwire_postgres_connections_in_use", "bellwire_sockets")


@dataclass(frozen=True, slots=True)
class Sample:
    """One process at one moment. A restarted process has another pid."""

    t: float
    process: str
    pid: int
    rss: int
    descriptors: int


@dataclass(frozen=True, slots=True)
class Busy:
    """Some seconds, most of which one of the processes, or the soak itself, waited for a processor."""

    begun: float
    ended: float


@dataclass(frozen=True, slots=True)
class Totals:
    """How far everything was at one moment."""

    t: float
    accepted: int
    stored: int | None
    """None while PostgreSQL is unavailable."""
    delivered: int


@dataclass(frozen=True, slots=True)
class Poll:
    """What a process reported about a server it needs, at one moment."""

    t: float
    role: str
    process: str
    checks: Mapping[str, bool]


@dataclass
class Watch:
    """Everything that was seen. Times are the history's."""

    stage: Stage
    stores: Stores
    history: History
    topic: Topic
    delivered: Any
    """Returns how many notifications the followers have."""
    sample_seconds: float = _SAMPLE_SECONDS
    samples: list[Sample] = field(default_factory=list)
    totals: list[Totals] = field(default_factory=list)
    polls: list[Poll] = field(default_factory=list)
    suspects: list[Record] = field(default_factory=list)
    """Committed records that were not in PostgreSQL: dead letters, or lost."""
    busy: list[Busy] = field(default_factory=list)
    """When the machine was too busy for what runs on it: whatever is late then is not late by itself."""
    checked: dict[int, int] = field(default_factory=dict)
    """Up to which offset each partition was compared with PostgreSQL."""
    _counted: tuple[int, float] = (0, 0.0)
    _waited: tuple[float, Mapping[int, float]] = (0.0, {})

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._counting())
            tasks.create_task(self._sampling())
            tasks.create_task(self._polling())
            tasks.create_task(self._comparing())

    # --- processes and totals ---

    async def _sampling(self) -> None:
        while True:
            await asyncio.sleep(self.sample_seconds)
            self.sample()
            self.compare_waits()
            self.totals.append(
                Totals(self.history.now(), self.history.accepted, self._stored, self.delivered())
            )
            latest = self.totals[-1]
            self.history.note(
                "totals", accepted=latest.accepted, stored=latest.stored, delivered=latest.delivered
            )

    def sample(self) -> None:
        for service in self.stage.services:
            try:
                process = psutil.Process(service.pid)
                sample = Sample(
                    self.history.now(),
                    service.name,
                    service.pid,
                    process.memory_info().rss,
                    process.num_fds(),
                )
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            self.samples.append(sample)
            self.history.note(
                "process", name=sample.process, pid=sample.pid, rss=sample.rss, fds=sample.descriptors
            )

    def compare_waits(self) -> None:
        """Note whether one of the processes waited for a processor most of the time since the last call."""
        last, before = self._waited
        now, pids = self.history.now(), [os.getpid(), *(service.pid for service in self.stage.services)]
        waits = {pid: waited(pid) for pid in pids}
        if any(wait - before.get(pid, wait) > (now - last) / 2 for pid, wait in waits.items()):
            self.busy.append(Busy(last, now))
            self.history.note("busy machine", seconds=now - last)
        self._waited = now, waits

    async def _counting(self) -> None:
        """Separate from the samples, which must not stop when a server does not answer."""
        while True:
            # When it fails, the last count becomes too old to be shown.
            with contextlib.suppress(*AWAY):
                async with asyncio.timeout(_PATIENCE):
                    self._counted = await self.stores.count(), time.monotonic()
            await asyncio.sleep(self.sample_seconds)

    @property
    def _stored(self) -> int | None:
        count, at = self._counted
        return count if time.monotonic() - at < 3 * self.sample_seconds else None

    # --- health ---

    async def _polling(self) -> None:
        async with local_client(timeout=_PATIENCE) as client:
            while True:
                began = time.monotonic()
                await asyncio.gather(*(self._poll(client, service) for service in self.stage.services))
                await asyncio.sleep(max(0.0, began + _HEALTH_SECONDS - time.monotonic()))

    async def _poll(self, client: httpx.AsyncClient, service: Service) -> None:
        t = self.history.now()
        checks = await health(client, service)
        if checks is None:
            return
        self.polls.append(Poll(t, service.role, service.name, checks))
        if not all(checks.values()):
            self.history.note("unhealthy", process=service.name, checks=checks)

    # --- offsets ---

    async def _comparing(self) -> None:
        while True:
            await asyncio.sleep(_OFFSETS_SECONDS)
            try:
                async with asyncio.timeout(6 * _PATIENCE):
                    await self.compare_offsets()
            except (KafkaError, *AWAY) as error:
                self.history.note("offsets not compared", error=repr(error))

    async def compare_offsets(self) -> None:
        """Check that every record below a committed offset is in PostgreSQL or a dead letter."""
        committed = await self.topic.committed()
        records = await self.topic.read(self.checked, committed)
        known = await self.stores.known([record.id for record in records if record.id])
        self.suspects += [record for record in records if record.id not in known]
        self.checked = {**self.checked, **committed}


async def health(client: httpx.AsyncClient, service: Service) -> Mapping[str, bool] | None:
    """What a process reports about each server; None if it does not answer."""
    try:
        response = await client.get(f"{service.url}/health/ready")
        return {name: words == "ok" for name, words in response.json()["checks"].items()}
    except (httpx.TransportError, ValueError, KeyError):
        return None


async def gauges(service: Service) -> Mapping[str, float]:
    """The metrics of a process that must return to their first values."""
    async with local_client(timeout=_PATIENCE) as client:
        text = (await client.get(f"{service.url}/metrics")).text
    found = (line.split() for line in text.splitlines() if line.startswith(METRICS))
    return {name: float(value) for name, value in found}


def waited(pid: int) -> float:
    """How many seconds the main thread of a process was ready to run and had no processor. 0.0 if the system
    does not tell.
    """
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def busy_seconds(busy: Sequence[Busy], begun: float, ended: float) -> float:
    """How much of some time the machine was too busy."""
    return sum(max(0.0, min(each.ended, ended) - max(each.begun, begun)) for each in busy)
