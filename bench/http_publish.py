"""Scenarios: the bare application, single publishes, and batches of 500."""

import json
from collections.abc import Iterator, Sequence

from bench.load import Job, request
from bench.measured import Row, under_load
from bench.scenario import Context
from bench.service import Service, clean_environment, running
from bench.user import User
from workbench.embedded import free_port

_BATCH = 500


def baseline(context: Context) -> Iterator[Row]:
    """POST to a bare Litestar application that does nothing."""
    port = free_port()
    words = ["uvicorn", "bench.bare:app", "--port", str(port), "--no-access-log", "--log-level", "warning"]
    log = context.stack.folder / "bare.log"
    service = Service("bare", words, port, ready="/ready", log=log, environment=clean_environment())
    with running(service) as bare:
        job = Job(
            port=port,
            requests=[request("POST", "/notifications", body=body("bench-1"))],
            seconds=context.seconds,
            expect=202,
        )
        yield under_load("bare Litestar POST", bare, job)


def publish(context: Context) -> Iterator[Row]:
    """Single publishes to 200 users; each is answered once Kafka has it."""
    requests = [
        request("POST", "/v1/notifications", f"X-API-Key: {context.api_key}", body=body(user.id))
        for user in context.users("publish", 200)
    ]
    context.stack.topic("publish")
    with context.stack.service("api", "publish") as api:
        job = Job(port=api.port, requests=requests, seconds=context.seconds, expect=202)
        yield under_load("publish, one by one", api, job)


def batch(context: Context) -> Iterator[Row]:
    """Batches of 500 notifications to 200 users."""
    requests = _batches(context.users("batch", 200), context.api_key)
    context.stack.topic("batch")
    # One key publishes more than the default limit lets a key publish.
    with context.stack.service("api", "batch", settings={"BELLWIRE_LIMIT_PUBLISH": "off"}) as api:
        job = Job(
            port=api.port,
            requests=requests,
            seconds=context.seconds,
            expect=202,
            refuse=b'"error"',
            connections=8,
        )
        yield under_load("publish, 500 a call", api, job, size=_BATCH, unit="notifications/s")


def _batches(users: Sequence[User], api_key: str) -> list[bytes]:
    made = []
    for first in range(20):
        items = [json.loads(body(users[(first * 7 + nth) % len(users)].id)) for nth in range(_BATCH)]
        items_body = json.dumps({"items": items}).encode()
        made.append(request("POST", "/v1/notifications/batch", f"X-API-Key: {api_key}", body=items_body))
    return made


def body(user: str) -> bytes:
    """The body of a publish."""
    return json.dumps({"user_id": user, "event": "bench.done", "message": "Build 7 has passed."}).encode()
