"""Scenario: how long a notification takes to reach a socket."""

import json
from collections.abc import Iterator
from dataclasses import replace

from bench.load import STAMP, Job, distribution, request, run
from bench.measured import Row, timed
from bench.scenario import Context
from bench.sockets import Sockets, clients
from bench.user import User

_SOCKETS = 500


def latency(context: Context) -> Iterator[Row]:
    """From the moment a publish is due until its frame is read, with 500 users on one socket each."""
    users = context.users("latency", _SOCKETS)
    stack = context.stack
    stack.topic("latency")
    requests = [
        request("POST", "/v1/notifications", f"X-API-Key: {context.api_key}", body=template(user))
        for user in users
    ]
    with (
        stack.service("consumer", "latency"),
        stack.service("api", "latency") as api,
        clients(api.port) as watchers,
    ):
        watchers(Sockets.open, users)
        run(Job(port=api.port, requests=requests, seconds=0.0, warmup=1.0, rate=200, expect=202))
        watchers(Sockets.collect, 200)
        for rate in (200, 1_000):
            job = Job(
                port=api.port, requests=requests, seconds=context.seconds, warmup=0, rate=rate, expect=202
            )
            outcome = run(job)
            found = watchers(Sockets.collect, outcome.sent)
            what = f"publish → frame at {rate:,}/s, {_SOCKETS} sockets"
            lost = outcome.sent - len(found)
            errors = outcome.errors + abs(lost)
            row = timed(what, found, len(found) / context.seconds, "notifications/s", errors=errors)
            yield replace(row, details={"rate": rate, "distribution": distribution(found)})


def template(user: User) -> bytes:
    """The body of a publish that carries the time at which it is due."""
    body = {"user_id": user.id, "event": "bench.done", "message": "Build 7 has passed.", "metadata": {}}
    return json.dumps(body).encode().replace(b"{}", b'{"sent":%b}' % STAMP)
