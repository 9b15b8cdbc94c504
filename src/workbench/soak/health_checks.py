"""What must hold of the processes: their resources, their health, and how soon they recover."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from statistics import median
from typing import Any

from workbench.soak.evidence import Evidence, Injected, Notes, checks
from workbench.soak.faults import CATALOGUE
from workbench.soak.watch import Poll, Sample

HEALTH_SECONDS = 10.0
_POLL_SECONDS = 1.5  # how late a poll may be
_ABSENT_SECONDS = 5.0
RECOVERY_SECONDS = 60.0
PROBE_SECONDS = 1.5 * RECOVERY_SECONDS
"""For how long a run waits for a recovery."""
GROWTH_BYTES = 32 * 1024 * 1024
GROWTH_RATIO = 1.2
GROWTH_DESCRIPTORS = 64  # full pools stay full: 10 connections to PostgreSQL, 32 to Redis, Kafka's
GROWTH_TASKS = 16
IN_USE = 1  # connections to PostgreSQL: the health check's
_BASE_SECONDS = 20.0
_ALARM_SECONDS = 6.0  # for so long a process may report what it last saw
TOO_BUSY = "the machine was too busy to tell whether "
_REQUIRED = frozenset({"postgres", "kafka", "partitions"})


@checks("I8", "Memory, descriptors, tasks and the pool come back to where they were")
def resources_return(evidence: Evidence, notes: Notes) -> None:
    """Each process that lives at the end is compared with itself shortly after its start."""
    by_process: defaultdict[tuple[str, int], list[Sample]] = defaultdict(list)
    for sample in evidence.samples:
        by_process[sample.process, sample.pid].append(sample)
    last = max((sample.t for sample in evidence.samples), default=0.0)
    for (name, _), samples in by_process.items():
        if samples[-1].t >= last - 2.0:
            notes.wrong += _growth(name, samples, evidence, notes.figures)
    for name, after in evidence.gauges_after.items():
        before = evidence.gauges_before.get(name.partition(" ")[0], {})
        tasks = after.get("bellwire_tasks", 0) - before.get("bellwire_tasks", 0)
        if tasks > GROWTH_TASKS:
            notes.wrong.append(f"{name} has {tasks:.0f} tasks more than at first")
        if (in_use := after.get("bellwire_postgres_connections_in_use", 0)) > IN_USE:
            notes.wrong.append(f"{name} keeps {in_use:.0f} connections to PostgreSQL in use")
        notes.figures[f"{name}: tasks"] = f"{after.get('bellwire_tasks', 0):.0f} ({tasks:+.0f})"
    if not evidence.samples:
        notes.unchecked = "no process was watched"


def _growth(
    name: str, samples: Sequence[Sample], evidence: Evidence, figures: dict[str, Any]
) -> Sequence[str]:
    began = samples[0].t
    early = [sample for sample in samples if sample.t <= began + _BASE_SECONDS]
    base = median(sample.rss for sample in early[len(early) // 2 :])
    end = samples[-1]
    figures[f"{name}: RSS"] = f"{_mib(base)} to {_mib(end.rss)} MiB"
    figures[f"{name}: descriptors"] = end.descriptors
    wrong = []
    if end.rss > base * GROWTH_RATIO + GROWTH_BYTES:
        wrong.append(f"{name} grew from {_mib(base)} to {_mib(end.rss)} MiB")
    idle = evidence.idle_descriptors.get(name.partition(" ")[0], samples[0].descriptors)
    if end.descriptors > idle + GROWTH_DESCRIPTORS:
        wrong.append(f"{name} has {end.descriptors} descriptors open, {idle} at first")
    return wrong


def _mib(size: float) -> str:
    return f"{size / 1024 / 1024:.0f}"


@checks("I9", "Health tells the truth within 10 s")
def health_is_true(evidence: Evidence, notes: Notes) -> None:
    """An unavailable server is reported, so is its return, and nothing is reported in quiet times. This does
    not cover partitions that stand still: a fault may hold them for a moment.
    """
    noticed: list[float] = []
    recovered: list[float] = []
    for fault in evidence.injected:
        for role, server in sorted(CATALOGUE[fault.name].severs):
            polls: defaultdict[str, list[Poll]] = defaultdict(list)
            for poll in evidence.polls:
                if poll.role == role and server in poll.checks:
                    polls[poll.process].append(poll)
            for process, said in polls.items():
                if not any(fault.begun - _ABSENT_SECONDS <= poll.t <= fault.begun for poll in said):
                    continue  # the process did not run
                where = f"{process} during “{fault.name}” at {fault.begun:.0f} s"
                for words in _truth(evidence, fault, server, said, (noticed, recovered)):
                    notes.wrong.append(f"{where}: {words}")
    alarms = Counter(
        f"{poll.process} called {name} unavailable in quiet times"
        for poll in evidence.polls
        for name, good in poll.checks.items()
        if name in _REQUIRED and not good and not _disturbed(poll.t, evidence)
    )
    notes.wrong += [f"{words}, {times} times" for words, times in alarms.items() if times > 2]
    notes.figures = {
        "polls": len(evidence.polls),
        "slowest to notice": _seconds(noticed),
        "slowest to see it back": _seconds(recovered),
        "false alarms": alarms.total(),
    }


def _truth(
    evidence: Evidence,
    fault: Injected,
    server: str,
    polls: Sequence[Poll],
    times: tuple[list[float], list[float]],
) -> Sequence[str]:
    """What is wrong with a process's reports of a server that was cut off, and with their times."""
    noticed, recovered = times
    wrong = []
    down = next((p.t for p in polls if fault.begun <= p.t <= fault.ended and not p.checks[server]), None)
    if down is not None:
        noticed.append(down - fault.begun)
    if evidence.counted(fault.begun, down or fault.ended) > HEALTH_SECONDS + _POLL_SECONDS:
        wrong.append(
            f"{server} was reported unavailable: "
            + ("never" if down is None else f"after {noticed[-1]:.1f} s")
        )
    up = next((p.t for p in polls if p.t >= fault.ended and p.checks[server]), None)
    if up is not None:
        recovered.append(up - fault.ended)
    if up is None or evidence.counted(fault.ended, up) > HEALTH_SECONDS + _POLL_SECONDS:
        wrong.append(
            f"{server} was reported available again: "
            + ("never" if up is None else f"after {recovered[-1]:.1f} s")
        )
    return wrong


def _disturbed(t: float, evidence: Evidence) -> bool:
    """Whether a fault, or a machine that is too busy, is a reason to report a server as unavailable."""
    if evidence.counted(t - _ALARM_SECONDS, t) < _ALARM_SECONDS / 2:
        return True
    return any(
        fault.begun <= t and evidence.counted(fault.ended, max(fault.ended, t)) <= _settles(fault)
        for fault in evidence.injected
    )


def _settles(fault: Injected) -> float:
    """How many seconds into a run a fault's effects end. Until every process is ready again, a partition may
    stand still, or a restarted consumer have none: the check of recovery covers how long that takes.
    """
    ready = RECOVERY_SECONDS if fault.ready_after is None else fault.ready_after
    return max(HEALTH_SECONDS, min(ready, RECOVERY_SECONDS))


def _seconds(times: Sequence[float]) -> str:
    return f"{max(times):.1f} s" if times else "-"


@checks("I11", f"Everything works again within {RECOVERY_SECONDS:.0f} s of a fault's end")
def recovers(evidence: Evidence, notes: Notes) -> None:
    """Until new notifications of all partitions reach their sockets and every process reports that it is
    ready.
    """
    for fault in evidence.injected:
        for what, took in (("delivered", fault.delivered_after), ("was ready", fault.ready_after)):
            within = PROBE_SECONDS if took is None else took
            if evidence.counted(fault.ended, fault.ended + within) <= RECOVERY_SECONDS:
                if took is None:
                    notes.unchecked = f"{TOO_BUSY}it recovers from “{fault.name}” ({fault.begun:.0f} s)"
            else:
                words = "never" if took is None else f"after {took:.1f} s"
                notes.wrong.append(f"after “{fault.name}” ({fault.begun:.0f} s) it {what} again {words}")
    delivered = [fault.delivered_after for fault in evidence.injected if fault.delivered_after is not None]
    ready = [fault.ready_after for fault in evidence.injected if fault.ready_after is not None]
    notes.figures = {
        "faults": len(evidence.injected),
        "until delivered: median": f"{median(delivered):.1f} s" if delivered else "-",
        "until delivered: slowest": _seconds(delivered),
        "until ready: slowest": _seconds(ready),
    }
    if not evidence.injected:
        notes.unchecked = "no fault was injected"
