"""Deliver 329 real GitHub webhooks to the users they concern, and check that everybody saw everything.

A tour of the API in the order in which an application uses it: create users, log in, follow a feed over a
WebSocket and resume it by cursor, publish, fetch unread notifications, mark them read. See README.md.
"""

import argparse
import asyncio
import json
import os
import random
import sys
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import uuid4

import httpx
from websockets import ConnectionClosed, Subprotocol, WebSocketException
from websockets.asyncio.client import ClientConnection, connect

PASSWORD = "github-webhooks-example"


@dataclass
class Report:
    """What a run saw; a success if there are no `problems`."""

    users: int = 0
    published: int = 0
    arrived: int = 0
    marked: int = 0
    updated: int = 0
    reconnects: int = 0
    latencies: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def latency(self, percent: int) -> float:
        """Milliseconds from the publishing call to the frame on a socket, at this percentile."""
        ordered = sorted(self.latencies) or [float("nan")]
        return 1000 * ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]

    def __str__(self) -> str:
        rows = {
            "users, each on two sockets": self.users,
            "notifications published": self.published,
            "arrived on the sockets": f"{self.arrived} of {2 * self.published}",
            "marked read on one socket": self.marked,
            "seen read on the other": f"{self.updated} of {self.marked}",
            "reconnects": self.reconnects,
            "publish to socket, p50": f"{self.latency(50):.1f} ms",
            "publish to socket, p99": f"{self.latency(99):.1f} ms",
        }
        lines = [f"  {name:<28}{value:>14}" for name, value in rows.items()]
        return "\n".join([*lines, *(f"  ✗ {problem}" for problem in self.problems)])


class Device:
    """One socket of a user: follows the feed, answers pings, and resumes by cursor after a disconnect."""

    def __init__(self, url: str, user_id: str, token: str) -> None:
        self.connections = 0
        self.arrived: dict[str, float] = {}  # id: when it arrived
        self.read: set[str] = set()
        self.problems: list[str] = []
        self._address = f"{url.replace('http', 'ws', 1)}/ws/{user_id}"
        self._headers = {"Authorization": f"Bearer {token}"}
        self._cursor: str | None = None
        self._version = 0
        self._socket: ClientConnection | None = None

    async def follow(self) -> None:
        """Follow until cancelled, or until the server says not to reconnect."""
        while True:
            address = self._address + (f"?cursor={self._cursor}" if self._cursor else "")
            with suppress(OSError, WebSocketException):
                async with connect(
                    address, additional_headers=self._headers, subprotocols=[Subprotocol("bellwire.v1")]
                ) as self._socket:
                    async for text in self._socket:
                        frame = json.loads(text)
                        if frame["type"] == "bye" and not frame["resume"]:
                            return self.problems.append(f"refused: {frame['reason']}")
                        await self._take(frame)
            await asyncio.sleep(random.uniform(0.5, 2))

    async def mark_read(self, ids: Sequence[str]) -> None:
        """Mark these read. Marking again changes nothing, so a broken connection does no harm."""
        for start in range(0, len(ids), 50):  # a frame from a client has at most 4 KiB
            frame = json.dumps({"type": "read", "ids": ids[start : start + 50]})
            with suppress(ConnectionClosed):
                if self._socket is not None:
                    await self._socket.send(frame)

    async def _take(self, frame: dict[str, Any]) -> None:
        match frame["type"]:
            case "welcome":
                self.connections += 1
            case "ping" if self._socket is not None:
                await self._socket.send('{"type": "pong"}')
            case "notifications" | "update":
                if frame["prev"] != self._cursor:
                    self.problems.append(f"a gap between {self._cursor} and {frame['prev']}")
                for item in frame.get("items", ()):
                    self._notified(item)
                if frame.get("set", {}).get("read_at"):
                    self.read.update(frame.get("ids", ()))
        self._cursor = frame.get("cursor", self._cursor)

    def _notified(self, item: dict[str, Any]) -> None:
        if item["version"] <= self._version:
            self.problems.append(f"version {item['version']} came after {self._version}")
        self._version = item["version"]
        self.arrived.setdefault(item["id"], perf_counter())
        if item["read_at"]:  # a replay shows notifications in their current state
            self.read.add(item["id"])


class User:
    """A user with a session and two devices."""

    def __init__(self, client: httpx.AsyncClient, user_id: str, token: str) -> None:
        self.id = user_id
        self.published: dict[str, float] = {}  # id: when the call was made
        self.reads: set[str] = set()  # ids that this run marks read
        self.unread_before = 0
        self.devices = [Device(str(client.base_url).rstrip("/"), user_id, token) for _ in range(2)]
        self._client = client
        self._headers = {"Authorization": f"Bearer {token}"}

    async def unread(self) -> tuple[int, set[str]]:
        """The number of unread notifications, and their ids: page by page, over REST."""
        ids: set[str] = set()
        query: dict[str, str | int] = {"limit": 100}
        while True:
            answer = await self._client.get(f"/notifications/{self.id}", params=query, headers=self._headers)
            page = answer.raise_for_status().json()
            ids.update(item["id"] for item in page["items"])
            if page["next_cursor"] is None:
                return page["unread_count"], ids
            query["cursor"] = page["next_cursor"]

    def has_everything(self) -> bool:
        """Whether both devices have everything that was published."""
        return all(device.arrived.keys() >= self.published.keys() for device in self.devices)

    async def check_unread(self) -> list[str]:
        """Compare the unread list over REST with the notifications published and not read."""
        count, ids = await self.unread()
        due = self.unread_before + len(self.published) - len(self.reads)
        found = [] if count == due else [f"{self.id}: unread_count is {count}, not {due}"]
        if ids & self.published.keys() != self.published.keys() - self.reads:
            found.append(f"{self.id}: the unread list over REST is not what was published and not read")
        return found


async def enter(client: httpx.AsyncClient, api_key: str, user_id: str) -> User:
    """Create the user, unless an earlier run did, and log in.

    An application with its own users gives them no password here; it mints their tokens itself.
    """
    login = {"email": f"{user_id.lower()}@webhooks.example", "password": PASSWORD}
    account = {"id": user_id, "name": user_id, **login}
    created = await client.post("/v1/users", json=account, headers={"X-API-Key": api_key})
    if created.status_code != httpx.codes.CONFLICT:
        created.raise_for_status()
    session = (await client.post("/v1/sessions", json=login)).raise_for_status()
    user = User(client, user_id, session.json()["access_token"])
    user.unread_before, _ = await user.unread()
    return user


async def publish(client: httpx.AsyncClient, headers: dict[str, str], body: dict[str, Any]) -> str:
    """Publish one notification and return its id. After a 503 or a broken connection it is not
    known whether it was accepted; with the same Idempotency-Key it can be sent again and is stored once.
    """
    for _ in range(20):
        with suppress(httpx.TransportError):
            answer = await client.post("/v1/notifications", json=body, headers=headers)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                return str(answer.raise_for_status().json()["id"])
        await asyncio.sleep(random.uniform(0.5, 2))
    raise TimeoutError("publishing failed twenty times in a row")


async def run(
    url: str,
    api_key: str,
    deliveries: Sequence[dict[str, Any]] | None = None,
    *,
    patience: float = 30,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Take the deliveries (those of the file by default) through a running Bellwire.

    Raises httpx.HTTPError if a call is refused; the report lists what is missing or wrong.
    """
    chosen = load() if deliveries is None else deliveries
    names = sorted({item["user_id"] for item in chosen})
    async with httpx.AsyncClient(base_url=url, timeout=20) as client:
        users = [await enter(client, api_key, name) for name in names]
        devices = [device for user in users for device in user.devices]
        async with following(devices, patience):
            say(f"{len(users)} users follow their feeds on {len(devices)} sockets")
            await publish_all(client, api_key, chosen, {user.id: user for user in users})
            say(f"{len(chosen)} notifications published")

            await until(lambda: all(user.has_everything() for user in users), patience)
            problems = [problem for user in users for problem in await user.check_unread()]
            say("What arrived is what is unread over REST")

            for user in users:
                user.reads = set(sorted(user.published)[::2])
            for _ in range(3):
                for user in users:
                    await user.devices[0].mark_read(sorted(user.reads - user.devices[1].read))
                if await until(
                    lambda: all(user.reads <= user.devices[1].read for user in users), patience / 3
                ):
                    break
            problems += [problem for user in users for problem in await user.check_unread()]
            say("Every other one marked read on one socket, seen on the other and over REST")
    return summary(users, problems)


@asynccontextmanager
async def following(devices: Collection[Device], patience: float) -> AsyncIterator[None]:
    """Keep the devices connected and following."""
    tasks = [asyncio.create_task(device.follow()) for device in devices]
    try:
        await until(lambda: all(device.connections for device in devices), patience)
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def publish_all(
    client: httpx.AsyncClient, api_key: str, deliveries: Sequence[dict[str, Any]], users: dict[str, User]
) -> None:
    """Publish all, eight at a time."""
    this_run, slots = uuid4().hex, asyncio.Semaphore(8)

    async def deliver(line: int, body: dict[str, Any]) -> None:
        # Some lines are equal, so the key contains the line's number; each run delivers everything again.
        headers = {"X-API-Key": api_key, "Idempotency-Key": f"github-webhooks/{this_run}/{line}"}
        async with slots:
            began = perf_counter()
            users[body["user_id"]].published[await publish(client, headers, body)] = began

    await asyncio.gather(*(deliver(line, body) for line, body in enumerate(deliveries)))


def summary(users: Sequence[User], problems: Sequence[str]) -> Report:
    """Add up what the devices saw."""
    report = Report(len(users), problems=list(problems))
    for user in users:
        report.published += len(user.published)
        report.marked += len(user.reads)
        report.updated += len(user.reads & user.devices[1].read)
        unseen = user.reads - user.devices[1].read
        report.problems += [f"{user.id}: no word that {item} is read" for item in unseen]
        for device in user.devices:
            came = device.arrived.keys() & user.published.keys()
            report.arrived += len(came)
            report.latencies += [device.arrived[item] - user.published[item] for item in came]
            report.reconnects += max(0, device.connections - 1)
            report.problems += [f"{user.id}: {problem}" for problem in device.problems]
            report.problems += [f"{user.id}: {item} never came" for item in user.published.keys() - came]
    return report


def load() -> list[dict[str, Any]]:
    """The notifications of the file beside this one."""
    lines = Path(__file__).with_name("github-webhooks.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


async def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for a condition up to a limit; the comparison that follows finds what is still missing."""
    give_up = perf_counter() + seconds
    while not condition() and perf_counter() < give_up:  # noqa: ASYNC110 - many parties, one waiter
        await asyncio.sleep(0.02)
    return condition()


def main() -> int:
    """Run from the command line. Returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="where Bellwire is (%(default)s)")
    parser.add_argument("--api-key", default=os.environ.get("BELLWIRE_API_KEY"), help="or BELLWIRE_API_KEY")
    options = parser.parse_args()
    if not options.api_key:
        parser.error("an API key is needed: --api-key or BELLWIRE_API_KEY")
    try:
        report = asyncio.run(
            run(options.url, options.api_key, say=lambda line: print(f"✓ {line}", flush=True))
        )
    except (httpx.HTTPError, TimeoutError) as error:
        print(f"✗ {error}", file=sys.stderr)
        return 1
    print(report)
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
