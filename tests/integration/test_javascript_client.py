"""The JavaScript client against the real product, in Node."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.load import Traffic
from tests.product import Api, Product, create_users, eventually

FOLLOW = Path(__file__).with_name("follow.mjs")
RECOVERY_SECONDS = 60.0


def _lacking() -> str | None:
    """What of Node is not here: the client wants 20, whose WebSocket is behind a flag that 20.10 brought."""
    node = shutil.which("node")
    if node is None:
        return "there is no Node here"
    version = subprocess.check_output([node, "--version"], text=True).strip().removeprefix("v")
    return f"Node {version} has no WebSocket" if _release(version) < (20, 10) else None


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


LACKING = _lacking()
pytestmark = pytest.mark.skipif(LACKING is not None, reason=LACKING or "")


@dataclass
class Told:
    """A client in a process of its own, and the events that it told."""

    process: asyncio.subprocess.Process
    events: list[dict[str, Any]] = field(default_factory=list)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    @property
    def items(self) -> list[dict[str, Any]]:
        return [item for frame in self.of("notifications") for item in frame["items"]]

    async def mark(self, mark: str, marks: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"mark": mark, "marks": marks}).encode() + b"\n")
        await self.process.stdin.drain()

    async def listen(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.events.append(json.loads(line))


@asynccontextmanager
async def follow(api: Api, user: str) -> AsyncIterator[Told]:
    """Follow until the block ends; the process must then end by itself, without an error."""
    process = await asyncio.create_subprocess_exec(
        *(
            "node",
            "--experimental-websocket",
            "--no-warnings",
            FOLLOW,
            api.url,
            user,
            api.product.token(user),
        ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        limit=2**24,
    )
    told = Told(process)
    listening = asyncio.create_task(told.listen())
    try:
        await eventually(lambda: told.of("connected"), f"{user} is connected")
        yield told
        assert process.stdin is not None
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), RECOVERY_SECONDS) == 0
        await listening
    finally:
        if process.returncode is None:
            process.kill()
        await asyncio.gather(listening, process.wait())


async def test_whatever_becomes_of_the_api_everything_is_told_once_in_order(product: Product) -> None:
    dies, stays, _ = await asyncio.gather(product.api(), product.api(), product.consumer())
    async with stays.client("ada") as client:
        await create_users(client, ["ada"])
        async with follow(dies, "ada") as told, Traffic(client, ["ada"]) as traffic:
            for connections in (2, 3):
                await traffic.more(20)
                await asyncio.to_thread(dies.process.kill)
                await traffic.more(20)
                await asyncio.to_thread(dies.process.start)
                await eventually(
                    lambda n=connections: len(told.of("connected")) >= n,  # type: ignore[misc]
                    "it is connected again",
                    RECOVERY_SECONDS,
                )
            await traffic.more(20)
            await traffic.end()
            accepted = traffic.accepted["ada"]
            await eventually(lambda: len(told.items) >= len(accepted), "all are told", RECOVERY_SECONDS)

            assert [item["id"] for item in told.items] == accepted
            assert [item["version"] for item in told.items] == list(range(1, len(accepted) + 1))
            assert not told.of("reset")
            # The counts follow what they count, as an event of their own.
            await eventually(
                lambda: told.of("counts")[-1]["unread_count"] == len(accepted), "all are counted"
            )


async def test_marks_come_back_also_those_of_a_time_without_the_api(product: Product) -> None:
    api, _ = await asyncio.gather(product.api(), product.consumer())
    async with api.client("ada") as client:
        await create_users(client, ["ada"])
        async with follow(api, "ada") as told:
            async with Traffic(client, ["ada"]) as traffic:
                await traffic.more(3)
            ids = traffic.accepted["ada"]
            await eventually(lambda: len(told.items) == len(ids), "all are told")
            await told.mark("markRead", ids[:1])
            await eventually(lambda: told.of("marked") and told.of("update"), "its mark is answered and told")
            assert told.of("update")[0]["ids"] == ids[:1]

            await asyncio.to_thread(api.process.kill)
            await eventually(lambda: told.of("disconnected"), "it notices")
            await told.mark("archive", {"upTo": told.of("update")[0]["cursor"]})
            await asyncio.to_thread(api.process.start)
            await eventually(lambda: len(told.of("marked")) == 2, "the other is answered", RECOVERY_SECONDS)
            assert [answer["changed"] for answer in told.of("marked")] == [1, len(ids)]

        listing = await client.get("/v1/users/ada/notifications", params={"status": "archived"})
        assert {item["id"] for item in listing.json()["items"]} == set(ids)
