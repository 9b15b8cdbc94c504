"""The same loads for every peer."""

import http.client
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from bench.load import Job, Outcome, distribution, percentile, run
from bench.measured import Row
from bench.peers.peer import Peer
from bench.peers.sockets import PeerSockets, clients
from bench.spending import Spending
from bench.user import User

USERS = 200
_EACH = 20
_RATES = (200, 1_000)
_MARKS_AT_MOST = 20_000


@dataclass(frozen=True)
class Subject:
    """A peer that runs on a port of loopback, and what it spends."""

    name: str
    peer: Peer
    port: int
    spending: Spending

    def under(self, what: str, job: Job) -> Row:
        """Run a job against it."""
        self.spending.since()
        outcome = run(job)
        return self.row(what, outcome, outcome.per_second, "requests/s", outcome.answered)

    def row(self, what: str, outcome: Outcome, value: float, unit: str, count: int) -> Row:
        spent = self.spending.since()
        return Row(
            what=f"{self.name}: {what}",
            value=value,
            unit=unit,
            p50=percentile(outcome.latencies, 0.5),
            p99=percentile(outcome.latencies, 0.99),
            cpu=sum(spent.values()) / count if count else None,
            errors=outcome.errors,
            note=outcome.first_error,
            details={
                "peer": self.name,
                "operation": what,
                "cpu_by_part": {name: each / max(count, 1) for name, each in spent.items()},
                "generator_cpu": outcome.cpu / max(outcome.answered, 1),
            },
        )


def measure(subject: Subject, seconds: float) -> Iterator[Row]:
    """Open sockets, publish at a rate, fetch, mark, and publish as fast as it accepts."""
    peer = subject.peer
    users = [f"peers-{subject.name}-{nth}" for nth in range(1, USERS + 1)]
    send = partial(Job, port=subject.port)
    if created := [wanted for user in users if (wanted := peer.create(user)) is not None]:
        run(send(requests=created, seconds=20, warmup=0, once=True, connections=8, expect=201))
    publishes = [peer.publish(user) for user in users]
    with ExitStack() as stack:
        watchers = None
        if peer.handshake(users[0]) is not None:
            watchers = stack.enter_context(clients(subject.port, peer))
            yield _opened(subject, watchers, users)
        _fill(
            send(requests=publishes * _EACH, seconds=30, warmup=0, once=True, expect=peer.accepted), watchers
        )
        if watchers is not None:
            for rate in _RATES:
                job = send(requests=publishes, seconds=seconds, warmup=0, rate=rate, expect=peer.accepted)
                yield arrivals(subject, job, watchers)
        yield from _lists(subject, send, users, seconds)
        yield subject.under("publish", send(requests=publishes, seconds=seconds, expect=peer.accepted))


def _opened(subject: Subject, watchers: Callable[..., Any], users: Sequence[str]) -> Row:
    subject.spending.since()
    began = time.monotonic()
    watchers(PeerSockets.open, [User(user, "") for user in users])
    took = time.monotonic() - began
    return replace(
        subject.row("open a socket", Outcome(), len(users) / took, "sockets/s", len(users)),
        p50=None,
        p99=None,
    )


def _fill(job: Job, watchers: Callable[..., Any] | None) -> None:
    outcome = run(job)
    if watchers is not None:
        watchers(PeerSockets.collect, outcome.sent)


def arrivals(subject: Subject, job: Job, watchers: Callable[..., Any]) -> Row:
    """Publish at a rate; the latencies are those of the frames."""
    subject.spending.since()
    outcome = run(job)
    found = watchers(PeerSockets.collect, outcome.sent)
    lost = abs(outcome.sent - len(found))
    arrived = replace(outcome, latencies=found, errors=outcome.errors + lost)
    what = f"publish → frame at {job.rate:,}/s"
    row = subject.row(what, arrived, len(found) / job.seconds, "notifications/s", len(found))
    return replace(row, details={**row.details, "rate": job.rate, "distribution": distribution(found)})


def _lists(subject: Subject, send: Callable[..., Job], users: Sequence[str], seconds: float) -> Iterator[Row]:
    peer = subject.peer
    asked = {user: wanted for user in users if (wanted := peer.fetch(user)) is not None}
    if not asked:
        return
    yield subject.under("fetch 20 unread", send(requests=list(asked.values()), seconds=seconds))
    each = [peer.marks(user, body(subject.port, wanted)) for user, wanted in asked.items()]
    turns = [one for turn in zip(*each, strict=False) for one in turn][:_MARKS_AT_MOST]
    job = send(requests=turns, seconds=seconds, warmup=0, once=True, expect=peer.marked)
    yield subject.under("mark one read", job)


def body(port: int, wanted: bytes) -> bytes:
    """The body of the answer to a prepared GET."""
    line, *headers = wanted.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        fields = dict(header.split(": ", 1) for header in headers)
        connection.request("GET", line.split(" ")[1], headers=fields)
        return connection.getresponse().read()
    finally:
        connection.close()
