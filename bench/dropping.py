"""Scenario: clients whose connections are cut repeatedly, and clients that were away for long."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bench.cutting import Cutter, cutter
from bench.followers import Followers, Outcome, followers
from bench.load import Job, percentile, run
from bench.measured import Row
from bench.publishing import publishing, versions
from bench.scenario import Context
from bench.stored import store
from bench.user import User

_CLIENTS, _RATE = 200, 200
_AWAY = 50
_PATIENCE_SECONDS = 60


def drops(context: Context) -> Iterator[Row]:
    """200 clients, cut off again and again at 200 notifications/s; then 50 that were away for long."""
    users = context.users("drops", _CLIENTS)
    stack = context.stack
    stack.topic("drops")
    with stack.service("consumer", "drops"), stack.service("api", "drops") as api:
        with cutter(api.port) as cutting, followers(*cutting(Cutter.open)) as clients:
            yield _cut_off(context, users, api.port, cutting, clients)
        yield _away(context, api.port)


def _cut_off(
    context: Context,
    users: Sequence[User],
    port: int,
    cutting: Callable[..., Any],
    clients: Callable[..., Any],
) -> Row:
    clients(Followers.start, users)
    seconds = 15.0 if context.quick else max(60.0, context.seconds)
    cutting(Cutter.begin, seconds)
    requests = publishing(users, context.api_key)
    sending = run(Job(port=port, requests=requests, seconds=seconds, warmup=0, rate=_RATE, expect=202))
    cuts, healed = cutting(Cutter.finish)
    ends = versions(users, sending.sent)
    found: Outcome = clients(Followers.complete, ends, _PATIENCE_SECONDS)
    back, after = len(found.account.returns), max(0.0, found.completed_at - healed)
    told = f"{found.judgement.note}; {back:,} times back, all complete {after:.1f} s after the last cut"
    return Row(
        what=f"delivered over connections cut for 2 s, {cuts} cuts in {seconds:.0f} s",
        value=found.judgement.percent,
        unit="%",
        errors=sending.errors + found.errors,
        p50=percentile(found.ages, 0.5),
        p99=percentile(found.ages, 0.99),
        note=f"{told} {' '.join(found.incomplete)}{sending.first_error}",
        details={
            **found.judgement.details(),
            "cuts": cuts,
            "published": sending.sent,
            "reconnects": len(found.account.reconnects),
            "back": back,
            "ends": dict(found.account.ends),
            "failures": dict(found.account.failures),
            "complete_after_seconds": after,
        },
    )


def _away(context: Context, port: int) -> Row:
    """Clients with a cursor from before everything reconnect together."""
    each = 450 if context.quick else 1_000
    users = {user.id: user for user in context.users("away", _AWAY)}
    store(context.stack, "away", each)
    feeds = context.stack.sql("SELECT user_id, epoch FROM feeds WHERE user_id LIKE 'away-%'")
    cursors = [(users[row[0]], f"{row[1]}.0") for row in feeds]
    with followers(port) as clients:
        clients(Followers.sample)  # the process is up
        began = time.perf_counter()
        clients(Followers.start_from, cursors)
        found: Outcome = clients(Followers.complete, dict.fromkeys(users, each), _PATIENCE_SECONDS)
    seconds = found.completed_at - began
    return Row(
        what=f"replay of {each:,} notifications to each of {_AWAY} clients at once",
        value=found.judgement.delivered / seconds,
        unit="notifications/s",
        errors=found.errors,
        note=f"{found.judgement.note}; all complete after {seconds:.1f} s {' '.join(found.incomplete)}",
        details={**found.judgement.details(), "seconds": seconds},
    )
