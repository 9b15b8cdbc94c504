"""Scenario: users who mark notifications read."""

from collections.abc import Iterator

from bench.load import Job, request
from bench.measured import Row, under_load
from bench.scenario import Context
from bench.stored import store, unread

_USERS = 200
_AT_MOST_A_SECOND = 6_000


def read(context: Context) -> Iterator[Row]:
    """PATCH one notification as read, a different one in each request, 200 users in turn."""
    users = context.users("read", _USERS)
    tokens = dict(users)
    context.stack.topic("read")
    store(context.stack, "read", int(_AT_MOST_A_SECOND * (context.seconds + 1) / _USERS))
    requests = [
        request(
            "PATCH",
            f"/v1/users/{user}/notifications/{notification}/read",
            f"Authorization: Bearer {tokens[user]}",
        )
        for user, notification in unread(context.stack, "read")
    ]
    with context.stack.service("api", "read") as api:
        job = Job(
            port=api.port, requests=requests, seconds=context.seconds, refuse=b'"read_at":null', once=True
        )
        yield under_load("mark one read", api, job)
