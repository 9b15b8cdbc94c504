"""Scenario: clients that stop reading, and the effect on the others."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from typing import Any

from bench.followers import Followers, Outcome, followers
from bench.load import Job, run
from bench.load import Outcome as Sent
from bench.measured import Row, timed
from bench.publishing import publishing, versions
from bench.scenario import Context
from bench.service import Service
from bench.sockets import Sockets, clients
from bench.user import User

_QUICK, _STALLED = 900, 100
_EACH = 10
"""Sockets of a slow user: one publish is queued for each of them."""
_RATE = 400
_BYTES = 8_000
_STALL_SECONDS = 20.0
"""At 20 a second for each slow socket: 3 MB, more than its queue and the kernel's buffers hold."""
_PATIENCE_SECONDS = 60
_CLOSED = re.compile(r'^bellwire_closes_total\{code="4002"\} (\S+)', re.MULTILINE)


def slow(context: Context) -> Iterator[Row]:
    """1,000 sockets at 400 notifications/s, 200 of them of 8 KB to 100 sockets; then those stop reading."""
    quick, stalled = context.users("quick", _QUICK), context.users("stalled", _STALLED // _EACH)
    context.stack.topic("slow")
    with (
        context.stack.service("consumer", "slow"),
        context.stack.service("api", "slow") as api,
        clients(api.port) as watchers,
        followers(api.port) as stalling,
    ):
        watchers(Sockets.open, quick)
        stalling(Followers.start, stalled * _EACH, True)
        yield from _stall(context, api, (quick, stalled), watchers, stalling)


def _stall(
    context: Context,
    api: Service,
    users: tuple[Sequence[User], Sequence[User]],
    watchers: Callable[..., Any],
    stalling: Callable[..., Any],
) -> Iterator[Row]:
    quick, stalled = users
    # Alternate between a quick client and a slow user, so that both get the same number.
    turn = [user for pair in zip(quick, cycle(stalled), strict=False) for user in pair]
    small, large = publishing(turn, context.api_key), publishing(turn, context.api_key, size=_BYTES)
    requests = [(small, large)[nth % 2][nth] for nth in range(len(turn))]
    seconds = max(_STALL_SECONDS, context.seconds)
    sent: list[Sent] = []

    def send(what: str, seconds: float) -> Row:
        sending = run(
            Job(port=api.port, requests=requests, seconds=seconds, warmup=0, rate=_RATE, expect=202)
        )
        ages = watchers(Sockets.collect, sending.sent // 2)
        sent.append(sending)
        errors = sending.errors + abs(sending.sent // 2 - len(ages))
        return timed(
            what, ages, len(ages) / seconds, "notifications/s", errors=errors, note=sending.first_error
        )

    send("", 2.0)  # warm
    yield send(f"publish → frame, {_QUICK} sockets, {_STALLED} others read too", seconds)
    stalling(Followers.stop_reading)
    yield send(f"publish → frame, {_QUICK} sockets, {_STALLED} others do not read", seconds)
    told = _CLOSED.search(api.get("/metrics")[1])
    closed = int(float(told[1])) if told else 0
    stalling(Followers.read_again)
    began = time.perf_counter()
    ends = sum((versions(turn, each.sent) for each in sent), versions(turn, 0))
    found: Outcome = stalling(Followers.complete, ends, _PATIENCE_SECONDS)
    yield Row(
        what=f"delivered to {_STALLED} sockets that did not read for {seconds:.0f} s",
        value=found.judgement.percent,
        unit="%",
        errors=found.errors + abs(_STALLED - closed) + sent[0].errors,
        note=f"{found.judgement.note}; {closed} closed with 4002, {found.account.ends['4002']} of them "
        f"could still read it; complete {found.completed_at - began:.1f} s after they read again "
        f"{' '.join(found.incomplete)}",
        details={**found.judgement.details(), "closed": closed, "ends": dict(found.account.ends)},
    )
