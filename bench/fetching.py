"""Scenario: users who fetch their unread notifications, with few and with many stored."""

from collections.abc import Iterator

from bench.load import Job, request
from bench.measured import Row, under_load
from bench.scenario import Context
from bench.stored import store

_USERS = 200
_UNREAD = 20


def fetch(context: Context) -> Iterator[Row]:
    """GET the 20 unread of 200 users, then again with over 100,000 notifications more in their feeds."""
    users = context.users("fetch", _USERS)
    more = 550 if context.quick else 5_000
    stack = context.stack
    stack.topic("fetch")
    store(stack, "fetch", _UNREAD)

    def job(*queries: str) -> Job:
        requests = [
            request("GET", f"/v1/users/{user.id}/notifications{query}", f"Authorization: Bearer {user.token}")
            for query in queries
            for user in users
        ]
        return Job(port=api.port, requests=requests, seconds=context.seconds, refuse=b'"items":[]')

    with stack.service("api", "fetch") as api:
        few, many = f"{_USERS * _UNREAD:,} stored", f"{_USERS * (_UNREAD + more):,} stored"
        yield under_load(f"fetch 20 unread, {few}", api, job(""))
        # The process remembers the last page of each user only.
        yield under_load("fetch 20 unread, not remembered", api, job("?limit=20", "?limit=19"))
        yield under_load(f"fetch 20 of all, from PostgreSQL, {few}", api, job("?status=all"))
        store(stack, "fetch", more, read=True)
        stack.sql("ANALYZE notifications")
    # Rows stored without the service are not in its index: restart both.
    if stack.servers.redis is not None:
        stack.servers.redis.stop()
        stack.servers.redis.start()
    with stack.service("api", "fetch") as api:
        yield under_load(f"fetch 20 unread, {many}", api, job(""))
        yield under_load(f"fetch 20 of all, from PostgreSQL, {many}", api, job("?status=all"))
