"""`python -m bench.capacity --sockets 1000000 --rate 100000`: what a load needs, from measured unit costs.

Arithmetic, not a measurement: a load times its cost, over the share of a core that may be busy. What it
assumes is printed below the table, and docs/scaling.md says which of it has been tried.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.units import FILE, Cost, Units

_KIB, _MIB, _GIB, _TIB = 2**10, 2**20, 2**30, 2**40
_DAY = 86_400


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is asked of the system, a second unless it says otherwise."""

    sockets: int
    rate: float
    """Notifications."""
    batched: float = 0.0
    """The share of them that is published in batches."""
    online: float = 0.3
    """The share of them whose user has sockets open."""
    sockets_per_user: float = 1.2
    """Of users who have any."""
    fetches: float | None = None
    """Lists of unread. None: each socket's user asks once in ten minutes."""
    histories: float | None = None
    """Lists from PostgreSQL. None: a tenth of the fetches."""
    marks: float | None = None
    """None: half of the notifications that are delivered are marked read."""
    openings: float | None = None
    """None: every socket lives for an hour."""
    retention_days: int = 90
    average: float = 0.1
    """The mean rate over days, as a share of `rate`, which is that of the busiest minutes."""
    hot_feeds: int | None = None
    """Feeds that Redis keeps. None: those of the sockets, and as many again."""

    @property
    def deliveries(self) -> float:
        return self.rate * self.online * self.sockets_per_user

    @property
    def fetching(self) -> float:
        return self.sockets / self.sockets_per_user / 600 if self.fetches is None else self.fetches

    @property
    def reading(self) -> float:
        return self.fetching / 10 if self.histories is None else self.histories

    @property
    def marking(self) -> float:
        return self.rate * self.online / 2 if self.marks is None else self.marks

    @property
    def opening(self) -> float:
        return self.sockets / 3_600 if self.openings is None else self.openings

    @property
    def feeds(self) -> float:
        return 2 * self.sockets / self.sockets_per_user if self.hot_feeds is None else self.hot_feeds


@dataclass(frozen=True, kw_only=True)
class Machines:
    """What one process or server may be asked for."""

    busy: float = 0.6
    """The share of a core that may be busy."""
    sockets_per_process: int = 20_000
    process_mib: int = 140
    """An API process or consumer without sockets."""
    primary_cores: int = 32
    """The cores of one PostgreSQL server."""
    primary_wal_mib: int = 200
    """The write-ahead log that one server writes and ships, MiB/s."""
    primary_disk_tib: float = 8.0
    broker_mib: int = 100
    """What one broker writes, copies for others included, MiB/s."""
    replicas: int = 3
    entry_bytes: int = 8 * _KIB
    """A feed's unread index entry in Redis: about 20 notifications."""
    subscription_bytes: int = 235


@dataclass(frozen=True)
class Need:
    """A line of the answer."""

    part: str
    count: int
    cores: float
    """Busy ones, on average."""
    memory: float
    """Bytes, of all of them together."""
    bound: str
    """What decides the count."""


def needs(load: Load, units: Units, machines: Machines) -> list[Need]:
    """What the load needs of each part."""
    consumers = _consumers(load, units, machines)
    return [
        _api(load, units, machines),
        consumers,
        _kafka(load, units, machines, consumers.count),
        _redis(load, units, machines),
        _postgres(load, units, machines),
    ]


def cores(part: str, load: Load, units: Units) -> float:
    """The cores of a part that the load keeps busy."""
    return sum(count * cost.get(part, 0.0) for count, cost in _work(load, units))


def _work(load: Load, units: Units) -> Iterator[tuple[float, Cost]]:
    yield load.rate * (1 - load.batched), units.publish
    yield load.rate * load.batched, units.batched
    yield load.rate, units.store
    yield load.deliveries, units.deliver
    yield load.fetching, units.fetch
    yield load.reading, units.history
    yield load.marking, units.mark
    yield load.opening, units.open
    yield load.sockets, units.idle_second


def _api(load: Load, units: Units, machines: Machines) -> Need:
    busy = cores("API", load, units)
    of_sockets = _enough(load.sockets, machines.sockets_per_process)
    of_cores = _enough(busy, machines.busy)
    count = max(of_sockets, of_cores, 2)
    memory = count * machines.process_mib * _MIB + load.sockets * units.socket_bytes
    bound = "processor time" if of_cores >= of_sockets else f"{machines.sockets_per_process:,} sockets each"
    return Need("API processes", count, busy, memory, bound)


def _consumers(load: Load, units: Units, machines: Machines) -> Need:
    busy = cores("consumer", load, units)
    count = max(_enough(busy, machines.busy), 2)
    return Need("consumers", count, busy, count * machines.process_mib * _MIB, "processor time")


def _kafka(load: Load, units: Units, machines: Machines, consumers: int) -> Need:
    written = load.rate * units.record_bytes * machines.replicas
    count = max(_enough(written, machines.broker_mib * _MIB), machines.replicas)
    bound = f"{partitions(consumers)} partitions; {written / _MIB:,.0f} MiB/s written, all replicas"
    return Need("Kafka brokers", count, cores("broker", load, units) * machines.replicas, 0.0, bound)


def partitions(consumers: int) -> int:
    """Three for each consumer, so that one that is lost is shared by several: a multiple of 12."""
    return 12 * math.ceil(3 * consumers / 12)


def _redis(load: Load, units: Units, machines: Machines) -> Need:
    busy = cores("Redis", load, units)
    memory = load.feeds * machines.entry_bytes + load.sockets * machines.subscription_bytes
    count = max(_enough(busy, machines.busy), 1)
    return Need("Redis shards", count, busy, memory, "processor time: one thread executes commands")


def _postgres(load: Load, units: Units, machines: Machines) -> Need:
    busy = cores("PostgreSQL", load, units)
    log = load.rate * units.wal_bytes / _MIB
    disk = load.rate * load.average * units.stored_bytes * _DAY * load.retention_days / _TIB
    counts = {
        "cores": _enough(busy, machines.primary_cores * machines.busy),
        "write-ahead log": _enough(log, machines.primary_wal_mib),
        "disk": _enough(disk, machines.primary_disk_tib),
    }
    bound = max(counts, key=lambda each: counts[each])
    sizes = f"{log:,.0f} MiB/s of log, {disk:,.1f} TiB in {load.retention_days} days"
    return Need("PostgreSQL primaries", max(counts[bound], 1), busy, 0.0, f"{bound}; {sizes}")


def _enough(asked: float, each: float) -> int:
    """How many it takes. What rounding adds to a whole number takes no more."""
    return math.ceil(asked / each - 1e-9)


def table(found: Sequence[Need]) -> str:
    """The needs as Markdown."""
    lines = ["| part | how many | cores busy | memory | decided by |", "| --- | ---: | ---: | ---: | --- |"]
    for need in found:
        memory = f"{need.memory / _GIB:,.1f} GiB" if need.memory else ""
        lines.append(f"| {need.part} | {need.count:,} | {need.cores:,.1f} | {memory} | {need.bound} |")
    return "\n".join(lines)


def assumptions(load: Load, machines: Machines) -> str:
    """What the table assumes, as a list."""
    lines = (
        f"{load.sockets:,} sockets, {load.rate:,.0f} notifications/s, {load.batched:.0%} of them in batches",
        f"{load.online:.0%} of the notifications are for users with sockets, {load.sockets_per_user:g} each:",
        f"  {load.deliveries:,.0f} frames/s",
        f"{load.fetching:,.0f} lists of unread/s, {load.reading:,.0f} lists from PostgreSQL/s,",
        f"  {load.marking:,.0f} marks/s, {load.opening:,.0f} sockets opened/s",
        f"a core may be {machines.busy:.0%} busy; {machines.sockets_per_process:,} sockets a process",
        f"PostgreSQL has {machines.primary_cores} cores and {machines.primary_disk_tib:g} TiB a server,",
        f"  and writes {machines.primary_wal_mib} MiB/s of log",
        f"over days the rate is {load.average:.0%} of the highest",
        f"a broker writes {machines.broker_mib} MiB/s; {machines.replicas} replicas",
        f"Redis keeps {load.feeds:,.0f} feeds of {machines.entry_bytes / _KIB:.0f} KiB",
        "nothing is shared, so that twice the processes do twice the work",
    )
    return "\n".join(line if line.startswith(" ") else f"- {line}" for line in lines)


def main() -> None:
    """Print what a load needs."""
    parser = argparse.ArgumentParser(prog="python -m bench.capacity", description=__doc__)
    parser.add_argument("--sockets", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True, help="notifications a second")
    parser.add_argument("--batched", type=float, default=Load.batched, help="share published in batches")
    parser.add_argument("--online", type=float, default=Load.online, help="share whose user has sockets")
    parser.add_argument("--sockets-per-user", type=float, default=Load.sockets_per_user)
    for name in ("fetches", "histories", "marks", "openings"):
        parser.add_argument(f"--{name}", type=float, help="a second")
    parser.add_argument("--retention-days", type=int, default=Load.retention_days)
    parser.add_argument("--average", type=float, default=Load.average, help="mean rate over days, as a share")
    parser.add_argument("--busy", type=float, default=Machines.busy, help="share of a core that may be busy")
    parser.add_argument("--primary-cores", type=int, default=Machines.primary_cores)
    parser.add_argument("--units", type=Path, default=FILE, help="a file of unit costs (those measured last)")
    given = vars(parser.parse_args())
    units = Units.load(given.pop("units"))
    machines = Machines(busy=given.pop("busy"), primary_cores=given.pop("primary_cores"))
    load = Load(**given)
    print(table(needs(load, units, machines)), assumptions(load, machines), sep="\n\n")


if __name__ == "__main__":
    main()
