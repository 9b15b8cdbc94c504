"""Scenario: what one, two and four processes of a kind achieve on these cores, and what each part spends."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from bench import spending
from bench.http_publish import body
from bench.ingest import preload, until_stored
from bench.load import Job, Outcome, request, run
from bench.measured import Row
from bench.scenario import Context
from bench.service import Service
from bench.stored import store

_COUNTS = (1, 2, 4)
_USERS, _ASKING, _UNREAD = 1_000, 200, 20
_CONNECTIONS = 64


def scaling(context: Context) -> Iterator[Row]:
    """A backlog for 1, 2 and 4 consumers; publishes and fetches at 1, 2 and 4 API processes."""
    for count in _COUNTS:
        yield _consumers(context, count)
    users = context.users("scaling", _ASKING)
    store(context.stack, "scaling", _UNREAD)
    context.stack.topic("scaling")
    key = f"X-API-Key: {context.api_key}"
    publishes = [request("POST", "/v1/notifications", key, body=body(user.id)) for user in users]
    fetches = [
        request("GET", f"/v1/users/{user.id}/notifications", f"Authorization: Bearer {user.token}")
        for user in users
    ]
    for count in _COUNTS:
        with ExitStack() as opened:
            start = partial(context.stack.service, "api", "scaling")
            apis = [opened.enter_context(start(nth=nth)) for nth in range(count)]
            yield _requests(context, apis, "publish", publishes, 202)
            yield _requests(context, apis, "fetch 20 unread", fetches, 200)


def _consumers(context: Context, count: int) -> Row:
    """Consumers that are frozen until the whole backlog is there, so that all begin together."""
    stack, scenario = context.stack, f"consumers{count}"
    records = 20_000 if context.quick else 60_000
    ids = [user.id for user in context.users(scenario, _USERS)]
    stack.topic(scenario)
    url = stack.servers.postgres_url.replace("+asyncpg", "")
    with ExitStack() as opened:
        consumers = [
            opened.enter_context(stack.service("consumer", scenario, nth=nth)) for nth in range(count)
        ]
        for consumer in consumers:
            consumer.pause()
        stack.in_container(scenario, preload, ids, records)
        spent = spending.of(stack.servers, consumers)
        for consumer in consumers:
            consumer.resume()
        stored, seconds, done = asyncio.run(until_stored(url, scenario, records, consumers))
        what = f"{_named(count, 'consumer')}: Kafka → stored and announced"
        rate = stored / seconds, "notifications/s"
        return _row(what, rate, spent.since(), count=done, seconds=seconds, errors=records - done)


def _requests(
    context: Context, apis: Sequence[Service], what: str, requests: Sequence[bytes], expect: int
) -> Row:
    """Each process has a generator of its own, with its share of the connections and of the users."""
    jobs = [
        Job(
            port=api.port,
            requests=requests[nth :: len(apis)],
            seconds=context.seconds,
            expect=expect,
            connections=_CONNECTIONS // len(apis),
        )
        for nth, api in enumerate(apis)
    ]
    with ThreadPoolExecutor(len(jobs)) as pool:
        # Once for each user first, so that what is asked for the first time is not what is measured.
        list(pool.map(run, [replace(job, seconds=20, warmup=0, once=True) for job in jobs]))
        spent = spending.of(context.stack.servers, apis)
        outcomes: list[Outcome] = list(pool.map(run, jobs))
    rate = sum(outcome.per_second for outcome in outcomes)
    answered = sum(outcome.answered for outcome in outcomes)
    parts = {**spent.since(), "generator": sum(outcome.cpu for outcome in outcomes)}
    took = context.seconds + jobs[0].warmup
    errors = sum(outcome.errors for outcome in outcomes)
    return _row(
        f"{_named(len(apis), 'API process')}: {what}",
        (rate, "requests/s"),
        parts,
        count=answered,
        seconds=took,
        errors=errors,
    )


def _row(
    what: str,
    per_second: tuple[float, str],
    spent: spending.Spent,
    *,
    count: int,
    seconds: float,
    errors: int,
) -> Row:
    value, unit = per_second
    cores = {part: spend / seconds for part, spend in spent.items()}
    busy = ", ".join(f"{part} {share:.0%}" for part, share in cores.items())
    each = {part: spend / max(count, 1) for part, spend in spent.items()}
    return Row(
        what=what,
        value=value,
        unit=unit,
        cpu=sum(each.values()),
        errors=errors,
        note=f"of {os.cpu_count()} cores: {busy}",
        details={"cpu_by_part": each, "cores": cores},
    )


def _named(count: int, kind: str) -> str:
    plural = f"{kind}es" if kind.endswith("s") else f"{kind}s"
    return f"{count} {kind if count == 1 else plural}"
