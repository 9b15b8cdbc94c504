"""Processor time by part of the system: each of our processes, PostgreSQL, Redis and the broker."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import psutil

from bench.service import Service
from workbench.embedded import EmbeddedServers

Spent = Mapping[str, float]
"""Processor seconds by part."""


def cpu(pid: int) -> float:
    """Processor seconds so far of a process and all its descendants, also of those that have ended."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    return sum(map(_own, family))


def _own(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:  # its parent counts it from now on
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


class Spending:
    """What the parts of a system have spent since they were last asked."""

    def __init__(self, parts: Mapping[str, Sequence[int]]) -> None:
        self.parts = parts
        self._before = self._now()

    def since(self) -> Spent:
        """Processor seconds by part since the last call, or the beginning."""
        now = self._now()
        spent = {name: now[name] - self._before[name] for name in now}
        self._before = now
        return spent

    def _now(self) -> dict[str, float]:
        return {name: sum(map(cpu, pids)) for name, pids in self.parts.items()}


def of(servers: EmbeddedServers, ours: Iterable[Service]) -> Spending:
    """The spending of these servers and of our processes, those of a kind together."""
    parts: defaultdict[str, list[int]] = defaultdict(list)
    for service in ours:
        parts["API" if service.name == "api" else service.name].append(service.pid)
    for name, server in (
        ("PostgreSQL", servers.postgres),
        ("Redis", servers.redis),
        ("broker", servers.kafka),
    ):
        if server is not None:
            parts[name].append(server.pid)
    return Spending(parts)
