"""Scenario: what the load generator itself costs, and how fast it can be."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from bench.beside import bellwire, trivial
from bench.load import Job, Outcome, request
from bench.measured import Row
from bench.peers.measuring import USERS, Subject, arrivals
from bench.peers.sockets import PeerSockets, clients
from bench.scenario import Context
from bench.user import User

_SOCKETS = 500
_ROUNDS, _FRAMES = 20, 20
"""So many times each socket is pushed so many frames at once."""


def generator(context: Context) -> Iterator[Row]:
    """As many requests and frames as the generator can send and read, then the same requests to Bellwire."""
    with trivial(context) as subject:
        yield _requests(subject, context.seconds, "POST", subject.peer.accepted)
        yield _requests(subject, context.seconds, "GET", 200)
        yield from _frames(subject)
    with bellwire(context, "generator") as subject:
        context.users("generator", USERS)
        yield _requests(subject, context.seconds, "POST", subject.peer.accepted)


def _requests(subject: Subject, seconds: float, method: str, expect: int) -> Row:
    made = subject.peer.publish if method == "POST" else subject.peer.fetch
    wanted = [made(f"generator-{nth}") or b"" for nth in range(1, USERS + 1)]
    row = subject.under(
        f"{method} as fast as possible",
        Job(port=subject.port, requests=wanted, seconds=seconds, expect=expect),
    )
    own, theirs = row.details["generator_cpu"], row.cpu or 0.0
    share = own / (own + theirs)
    note = f"{row.note} generator {own * 1e6:.0f} µs each, {share:.0%} of both".strip()
    return replace(row, note=note, details={**row.details, "share": share})


def _frames(subject: Subject) -> Iterator[Row]:
    users = [User(f"generator-{nth}", "") for nth in range(_SOCKETS)]
    with clients(subject.port, subject.peer) as watchers:
        watchers(PeerSockets.open, users)
        subject.spending.since()
        count, seconds, busy = watchers(_flood, subject.port)
        outcome = Outcome(answered=count, cpu=busy, errors=_ROUNDS * _FRAMES * _SOCKETS - count)
        row = subject.row("frames, many at a time", outcome, count / seconds, "frames/s", count)
        yield replace(row, p50=None, p99=None, note=f"clients {busy / max(count, 1) * 1e6:.1f} µs each")
        for rate in (200, 1_000):
            wanted = [subject.peer.publish(user.id) for user in users]
            job = Job(port=subject.port, requests=wanted, seconds=5, warmup=0, rate=rate, expect=202)
            yield _alone(subject, job, watchers)


def _alone(subject: Subject, job: Job, watchers: Callable[..., Any]) -> Row:
    busy = watchers(_busy)
    row = arrivals(subject, job, watchers)
    own = (watchers(_busy) - busy) / (job.rate * job.seconds)
    return replace(row, note=f"clients {own * 1e6:.0f} µs each", details={**row.details, "clients_cpu": own})


async def _busy(_sockets: PeerSockets) -> float:
    """The processor time of the clients so far."""
    return time.process_time()


async def _flood(sockets: PeerSockets, port: int) -> tuple[int, float, float]:
    """Have frames pushed, each round once the one before has arrived. Return frames, seconds, and seconds of
    processor time.
    """
    wanted = request("POST", "/flood", body=b"%d" % _FRAMES)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sockets.timed, began, busy, first = False, time.monotonic(), time.process_time(), sockets.frames
    for done in range(1, _ROUNDS + 1):
        writer.write(wanted)
        await reader.readuntil(b"}")
        await sockets.reach(first + done * _FRAMES * len(sockets.clients), until=began + 30)
    spent, took = time.process_time() - busy, time.monotonic() - began
    writer.close()
    sockets.timed = True
    return sockets.frames - first, took, spent
