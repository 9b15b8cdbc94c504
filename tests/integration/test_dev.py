"""`bellwire dev`: what becomes of the service when one of its servers dies."""

import asyncio
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from tests.development import development
from tests.forked import begins_cold
from tests.product import eventually
from workbench.embedded import EmbeddedServers
from workbench.processes import Process

START_SECONDS = 120.0


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, because the socket of PostgreSQL is below it."""
    with TemporaryDirectory(prefix="bellwire-dev-") as name:
        yield Path(name)


@pytest.fixture
def dev(request: pytest.FixtureRequest, folder: Path) -> Iterator[Process]:
    if request.config.getoption("--servers") != "embedded":
        pytest.skip("`bellwire dev` brings its own servers")
    process = development(folder)
    begins_cold(process)
    process.start()
    try:
        process.wait_ready(lambda: "Bellwire is up" in process.log.read_text(), START_SECONDS)
        yield process
    finally:
        process.stop(START_SECONDS)


def environment_of(folder: Path) -> dict[str, str]:
    written = (folder / ".bellwire/env").read_text()
    return dict(re.findall(r"^export (\w+)=(\S+)$", written, re.MULTILINE))


async def test_what_is_accepted_before_it_is_stopped_is_stored(dev: Process, folder: Path) -> None:
    environment = environment_of(folder)
    bodies = [{"user_id": f"user-{number}", "event": "a.b", "message": "m"} for number in range(1000)]
    headers = {"X-API-Key": environment["BELLWIRE_API_KEY"]}
    async with httpx.AsyncClient(base_url=environment["BELLWIRE_URL"], headers=headers, timeout=60) as client:
        answers = await asyncio.gather(
            *(client.post("/v1/notifications/batch", json={"items": bodies}) for _ in range(8))
        )
    assert {answer.status_code for answer in answers} == {202}

    await asyncio.to_thread(dev.stop, START_SECONDS)

    assert "are lost" not in dev.log.read_text()
    servers = EmbeddedServers.start(folder / ".bellwire", given={}, report=lambda _line: None)
    with servers as started:
        assert started.postgres is not None
        counted = started.postgres.sql("SELECT count(*) FROM notifications", database="bellwire")
    assert counted.strip() == "8000"


async def test_what_is_accepted_after_the_broker_died_is_stored(dev: Process, folder: Path) -> None:
    environment = environment_of(folder)
    ledger = json.loads((folder / ".bellwire/processes.json").read_text())
    (broker,) = [int(pid) for pid, entry in ledger.items() if entry["name"] == "Kafka"]
    headers = {
        "X-API-Key": environment["BELLWIRE_API_KEY"],
        "Authorization": f"Bearer {environment['BELLWIRE_TOKEN']}",
    }
    accepted: set[str] = set()
    stored: set[str] = set()
    async with httpx.AsyncClient(base_url=environment["BELLWIRE_URL"], headers=headers, timeout=30) as client:

        async def publish() -> bool:
            body = {"user_id": "demo", "event": "a.b", "message": "m"}
            try:
                answer = await client.post("/v1/notifications", json=body)
            except httpx.TransportError:  # the API is down for a moment, too
                return False
            if answer.status_code == 202:
                accepted.add(answer.json()["id"])
            return "Kafka runs again" in dev.log.read_text() and len(accepted) > 9

        async def read() -> bool:
            answer = await client.get("/v1/users/demo/notifications?status=all&limit=100")
            stored.update(item["id"] for item in answer.json()["items"])
            return accepted <= stored

        os.kill(broker, signal.SIGKILL)
        await eventually(publish, "notifications are accepted again")
        await eventually(read, "all of them are stored")
