"""Scenario: what each operation costs when more and more is stored, and for one user with 30,000 unread."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from bench import spending
from bench.http_publish import body
from bench.load import Job, Outcome, request, run
from bench.measured import Row
from bench.scenario import Context
from bench.servers import Stack
from bench.service import Service
from bench.stored import have_unread, store
from bench.user import User

_USERS, _MARKS = 50, 4_000
_HEAVY = 30_000
_LOAD_SECONDS, _MARK_SECONDS, _STORE_SECONDS, _RATE = 3.0, 10, 3, 500
_PATIENCE_SECONDS = 60
_NO_LIMITS = {"BELLWIRE_LIMIT_REQUESTS": "off", "BELLWIRE_LIMIT_MARKS": "off"}
_LOG = "SELECT pg_current_wal_lsn() - '0/0'"
_SIZE = """SELECT (SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('notifications')),
    (SELECT count(*) FROM notifications)"""
_HERE = ("API", "PostgreSQL", "Redis")
"""The parts that answer requests; the idle consumer and broker are not among them."""


def growth(context: Context) -> Iterator[Row]:
    """Fetch, mark and publish for one user with 30,000 unread, then for 50 with more and more stored."""
    stack = context.stack
    yield from _heavy(context)
    users = context.users("growth", _USERS)
    size, stored = 1_000, 0
    while size <= context.stored:
        store(stack, "growth", size // _USERS - stored, read=True)
        stored = size // _USERS
        have_unread(stack, "growth", min(stored, _MARKS // _USERS))
        for row in _operations(context, f"growth-{size}", users):
            yield replace(row, what=f"{size:,} stored: {row.what}", details={**row.details, "stored": size})
        stored += _published(users)
        size *= 10


def _heavy(context: Context) -> Iterator[Row]:
    """One user with 30,000 unread, who is gone afterwards."""
    users, stack = context.users("heavy", 1), context.stack
    store(stack, "heavy", _HEAVY)
    for row in _operations(context, "growth-heavy", users):
        yield replace(
            row, what=f"one user, {_HEAVY:,} unread: {row.what}", details={**row.details, "stored": 0}
        )
    stack.sql("DELETE FROM notifications WHERE user_id LIKE 'heavy-%'", "VACUUM notifications")


def _published(users: Sequence[User]) -> int:
    return _RATE * _STORE_SECONDS // len(users)


@contextmanager
def _running(stack: Stack, scenario: str) -> Iterator[tuple[Service, Service]]:
    """A consumer and an API that know nothing of what was stored without them: Redis begins empty."""
    stack.topic(scenario)
    if stack.servers.redis is not None:
        stack.servers.redis.stop()
        stack.servers.redis.start()
    with ExitStack() as opened:
        consumer = opened.enter_context(stack.service("consumer", scenario))
        yield consumer, opened.enter_context(stack.service("api", scenario, settings=_NO_LIMITS))


def _operations(context: Context, scenario: str, users: Sequence[User]) -> Iterator[Row]:
    stack, seconds = context.stack, min(context.seconds, _LOAD_SECONDS)
    page = {user: f"/v1/users/{user.id}/notifications" for user in users}
    login = {user: f"Authorization: Bearer {user.token}" for user in users}
    lists = {
        "fetch 20 unread": [request("GET", page[user], login[user]) for user in users],
        "fetch 20 of all, from PostgreSQL": [
            request("GET", f"{page[user]}?status=all", login[user]) for user in users
        ],
    }
    key = f"X-API-Key: {context.api_key}"  # before the API runs, which then knows it
    publishes = [request("POST", "/v1/notifications", key, body=body(user.id)) for user in users]
    with _running(stack, scenario) as (consumer, api):
        spent = spending.of(stack.servers, [consumer, api])
        for what, requests in lists.items():
            spent.since()
            outcome = run(Job(port=api.port, requests=requests, seconds=seconds))
            yield _row(what, outcome, spent.since())
        marks = Job(port=api.port, requests=_marks(stack, users), seconds=_MARK_SECONDS, warmup=0, once=True)
        spent.since()
        yield _row("mark one read", run(marks), spent.since())
        yield _storing(
            stack,
            users,
            Job(port=api.port, requests=publishes, seconds=_STORE_SECONDS, warmup=0, rate=_RATE, expect=202),
            spent,
        )


def _marks(stack: Stack, users: Sequence[User]) -> list[bytes]:
    """One request for each of the newest unread, users in turn."""
    tokens = dict(users)
    names = ", ".join(f"'{user.id}'" for user in users)
    rows = stack.sql(
        f"""SELECT user_id, n.id::text FROM notifications AS n JOIN feeds AS f USING (user_id)
        WHERE user_id IN ({names}) AND n.read_at IS NULL AND n.version > f.version - {_MARKS // len(users)}
        ORDER BY n.version, user_id"""
    )
    return [
        request(
            "PATCH", f"/v1/users/{user}/notifications/{one}/read", f"Authorization: Bearer {tokens[user]}"
        )
        for user, one in rows
    ]


def _storing(stack: Stack, users: Sequence[User], job: Job, spent: spending.Spending) -> Row:
    """Publish at a rate; the cost is that of every part, until all of it is stored."""
    count = _RATE * _STORE_SECONDS
    names = ", ".join(f"'{user.id}'" for user in users)
    total = f"SELECT sum(version)::bigint FROM feeds WHERE user_id IN ({names})"
    before, log = stack.sql(total)[0][0], stack.sql(_LOG)[0][0]
    spent.since()
    began = time.monotonic()
    outcome = run(job)
    while (done := stack.sql(total)[0][0] - before) < count and time.monotonic() < began + _PATIENCE_SECONDS:
        time.sleep(0.1)
    took = time.monotonic() - began
    each = {part: spend / count for part, spend in spent.since().items()}
    what = f"publish at {_RATE}/s, until stored"
    errors = outcome.errors + count - done
    row = _made(what, (done / took, "notifications/s"), each, errors, outcome.first_error)
    log = stack.sql(_LOG)[0][0] - log
    size, stored = map(float, stack.sql(_SIZE)[0])
    more = {"wal_bytes": float(log) / count, "stored_bytes": size / stored}
    return replace(row, details={**row.details, **more})


def _row(what: str, outcome: Outcome, spent: spending.Spent) -> Row:
    each = {part: spent[part] / max(outcome.answered, 1) for part in _HERE if part in spent}
    return _made(what, (outcome.per_second, "requests/s"), each, outcome.errors, outcome.first_error)


def _made(what: str, per_second: tuple[float, str], each: spending.Spent, errors: int, note: str) -> Row:
    value, unit = per_second
    details = {"operation": what, "cpu_by_part": each}
    cost = sum(each.values())
    return Row(what=what, value=value, unit=unit, cpu=cost, errors=errors, note=note, details=details)
