"""Scenario: one of two nodes is told to stop while thousands of clients are connected."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from bench.checking import busiest_share
from bench.followers import Followers, Outcome, followers
from bench.load import Job, percentile, request, run
from bench.load import Outcome as Answers
from bench.measured import Row
from bench.publishing import publishing, versions
from bench.report import RESULTS
from bench.scenario import Context
from bench.service import Service
from bench.user import User

_SOCKETS = 5_000
_RATE, _PROBES = 100, 100
_LONGEST_SECONDS = 60.0
_CALM_SECONDS = 15.0
"""Seconds before the drain that it is compared with. The time before them, in which all start, is left
out.
"""
_PATIENCE_SECONDS = 60
_CLEAN = (0, -signal.SIGTERM, 128 + signal.SIGTERM)
_BACK_SECONDS, _SHARE, _SLOWER = 30, 10, 2
_LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Ending:
    """How a node stopped. Times are time.perf_counter."""

    asked: float
    unready: float | None
    """When it first reported that it is not ready, or stopped answering."""
    gone: float | None
    code: int | None


@dataclass(frozen=True)
class Drained:
    """Measurements during the drain of a node."""

    ports: Sequence[int]
    """The node that was drained, and the one that stayed."""
    ending: Ending
    sent: Answers
    probes: Answers
    clients: Outcome

    @property
    def reconnects(self) -> list[float]:
        """Seconds after the node was told to stop."""
        return [when - self.ending.asked for when in self.clients.account.reconnects]

    @property
    def back(self) -> float:
        """When the last client was welcomed again, in seconds after the node was told to stop."""
        return max((when - self.ending.asked for when in self.clients.account.returns), default=0.0)

    def asking(self, start: float, end: float) -> list[float]:
        """The durations of the probes that were due between two times, in seconds after the same moment."""
        due = zip(self.probes.times, self.probes.latencies, strict=True)
        return [took for when, took in due if start <= when - self.ending.asked < end]


def drain(context: Context) -> Iterator[Row]:
    """SIGTERM to one of two nodes with 5,000 sockets at 100 notifications/s; clients go to the other one."""
    users = context.users("drain", 1_000 if context.quick else _SOCKETS)
    stack = context.stack
    stack.topic("drain")
    with ExitStack() as running:
        running.enter_context(stack.service("consumer", "drain"))
        nodes = [running.enter_context(stack.service("api", "drain", nth=nth)) for nth in (1, 2)]
        clients = running.enter_context(followers(*(node.port for node in nodes)))
        clients(Followers.start, users)
        clients(Followers.sample)
        seen = _drained(context, users, nodes, clients)
    from bench.plot import draw

    RESULTS.mkdir(exist_ok=True)
    draw(seen, RESULTS / "drain.svg")
    yield from _rows(seen, len(users))


def _drained(
    context: Context, users: Sequence[User], nodes: Sequence[Service], clients: Callable[..., Any]
) -> Drained:
    leaving, staying = nodes
    rest = _CALM_SECONDS + 4.0
    chosen = random.Random(1).choices(users, k=len(users))
    asking = [
        request("GET", f"/v1/users/{user.id}/notifications", f"Authorization: Bearer {user.token}")
        for user in users[:200]
    ]
    with ThreadPoolExecutor(2) as jobs:
        length = rest + (30.0 if context.quick else _LONGEST_SECONDS)
        job = Job(port=staying.port, requests=asking, seconds=length, warmup=0, rate=_PROBES)
        probing = jobs.submit(run, job)
        publish = publishing(chosen, context.api_key)
        sending = jobs.submit(run, replace(job, requests=publish, rate=_RATE, expect=202))
        time.sleep(rest)
        ending = _end(leaving)
        sent, probes = sending.result(), probing.result()
    found = clients(Followers.complete, versions(chosen, sent.sent), _PATIENCE_SECONDS)
    return Drained([node.port for node in nodes], ending, sent, probes, found)


def _end(node: Service) -> Ending:
    """Tell it to stop and watch it; its starter kills it if needed."""
    asked = time.perf_counter()
    os.kill(node.pid, signal.SIGTERM)
    unready = gone = None
    while gone is None and time.perf_counter() < asked + _LONGEST_SECONDS:
        if unready is None and node.get("/health/ready")[0] != 200:
            unready = time.perf_counter()
        if not node.running:
            gone = time.perf_counter()
        time.sleep(_LOOK_SECONDS)
    return Ending(asked, unready, gone, node.exit_code)


def _rows(seen: Drained, sockets: int) -> list[Row]:
    found, ending = seen.clients, seen.ending
    judgement, account = found.judgement, found.account
    resting, during = seen.asking(-_CALM_SECONDS, 0), seen.asking(0, seen.back)
    calm, busy = percentile(resting, 0.99), percentile(during, 0.99)
    ends, failures = dict(account.ends), dict(account.failures)
    by_second = dict(sorted(Counter(int(when) for when in seen.reconnects).items()))
    return [
        Row(
            what=f"drain of one of two nodes, {sockets:,} sockets: all back after",
            value=seen.back,
            unit="s",
            errors=found.away,
            note=f"bar: {_BACK_SECONDS} s; ended by {_counts(ends)}; in vain {_counts(failures)}",
            details={"reconnects_by_second": by_second, "ends": ends, "failures": failures},
        ),
        Row(
            what="drain: largest share of the reconnects in any second",
            value=100 * busiest_share(seen.reconnects),
            unit="%",
            note=f"bar: {_SHARE} %; of {len(seen.reconnects):,}",
        ),
        Row(
            what=f"drain: delivered meanwhile, at {_RATE} notifications/s",
            value=judgement.percent,
            unit="%",
            p50=percentile(found.ages, 0.5),
            p99=percentile(found.ages, 0.99),
            errors=found.errors + seen.sent.errors,
            note=f"{judgement.note} {' '.join(found.incomplete)}{seen.sent.first_error}",
            details=judgement.details(),
        ),
        Row(
            what="drain: p99 of REST at the other node, against before",
            value=busy / calm if calm else 0.0,
            unit="×",
            p50=percentile(during, 0.5),
            p99=busy,
            errors=seen.probes.errors,
            note=f"bar: {_SLOWER} ×; before {calm * 1e3:.1f} ms; {len(during):,} probes"
            f" {seen.probes.first_error}",
            details={"p99_before": calm, "p99_during": busy, "probes": len(during)},
        ),
        Row(
            what="drain: the drained process ended after",
            value=(ending.gone or ending.asked + _LONGEST_SECONDS) - ending.asked,
            unit="s",
            errors=int(ending.code not in _CLEAN),
            note=f"exit code {ending.code}; not ready after {_after(ending.unready, ending.asked)}",
            details={"exit_code": ending.code},
        ),
    ]


def _after(when: float | None, asked: float) -> str:
    return "never" if when is None else f"{when - asked:.1f} s"


def _counts(what: dict[str, int]) -> str:
    return ", ".join(f"{name} ({count:,})" for name, count in sorted(what.items())) or "nothing"
