"""Notifications one by one or in batches, what became of each, and whether everybody agrees with that."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count, cycle
from typing import Any, Self

import httpx

from tests.product import Api, Follower, Stores, eventually
from workbench.soak.waiting import TooLate


class Load:
    """Publishes batches one after another until it is left; each user's notifications are numbered."""

    def __init__(
        self, client: httpx.AsyncClient, users: Sequence[str], *, size: int, pause: float = 0, filler: int = 0
    ) -> None:
        """`size` items go into a batch, `pause` seconds lie between two. Each carries `filler` bytes more."""
        self._client = client
        self._users = users
        self._size = size
        self._pause = pause
        self._metadata = {"filler": "x" * filler} if filler else {}
        self._numbers = count()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self.accepted: dict[str, list[str]] = {user: [] for user in users}
        self.attempted: set[str] = set()
        """The messages of all that were sent, whether or not they were accepted."""
        self.refused = 0

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end()

    async def end(self) -> None:
        """Let the batch that is under way end: what it publishes counts too."""
        assert self._task is not None
        self._stopping = True
        await self._task

    @property
    def total(self) -> int:
        """How many were accepted."""
        return sum(map(len, self.accepted.values()))

    async def more(self, number: int) -> None:
        """Wait until this many more were accepted."""
        goal = self.total + number
        await eventually(lambda: self._failed() or self.total >= goal, f"{number} more are accepted")

    async def batch(self) -> None:
        """Publish one. An item that was not confirmed may still arrive."""
        items = []
        for number in (next(self._numbers) for _ in range(self._size)):
            user = self._users[number % len(self._users)]
            body = {"user_id": user, "event": "load.sent", "message": f"number {number}"}
            items.append({**body, "metadata": self._metadata})
            self.attempted.add(body["message"])
        response = await self._client.post("/v1/notifications/batch", json={"items": items})
        assert response.status_code == 202, response.text
        for item, result in zip(items, response.json()["results"], strict=True):
            if "id" in result:
                self.accepted[str(item["user_id"])].append(result["id"])
            else:
                assert result["error"]["status"] == 503, result
                self.refused += 1

    async def _run(self) -> None:
        while not self._stopping:
            await self.batch()
            await asyncio.sleep(self._pause)

    def _failed(self) -> bool:
        """Raise what it ended with, if it did."""
        if self._task is not None and self._task.done():
            self._task.result()
        return False


class Traffic:
    """A steady trickle of notifications to a few users, with the ids that were accepted."""

    def __init__(self, client: httpx.AsyncClient, users: list[str]) -> None:
        self._client = client
        self._users = users
        self.accepted: dict[str, list[str]] = {user: [] for user in users}
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end()

    async def end(self) -> None:
        """Let the request that is under way end: what it publishes counts too."""
        assert self._task is not None
        self._stopping = True
        await self._task

    async def more(self, count: int) -> None:
        """Wait until this many more were accepted."""
        goal = self.total + count
        await eventually(lambda: self.total >= goal, f"{count} more are accepted")
        assert self._task is not None
        assert not self._task.done()

    @property
    def total(self) -> int:
        return sum(map(len, self.accepted.values()))

    async def send(self, user: str) -> None:
        """Publish one."""
        body = {"user_id": user, "event": "tick", "message": f"tick {self.total}"}
        response = await self._client.post("/v1/notifications", json=body)
        assert response.status_code == 202, response.text
        self.accepted[user].append(response.json()["id"])

    async def _run(self) -> None:
        for user in cycle(self._users):
            if self._stopping:
                return
            await self.send(user)


async def settled(api: Api, traffic: Traffic, followers: dict[str, Follower], stores: Stores) -> None:
    """Everybody has everything, once and in order, and all agree."""
    for user, follower in followers.items():
        ids = traffic.accepted[user]
        await eventually(lambda f=follower, i=ids: set(i) <= set(f.created), f"{user} has all")  # type: ignore[misc]
        assert not follower.holes
        assert list(dict(sorted(follower.created.items(), key=lambda entry: entry[1]))) == ids
        async with api.client(user) as client:
            response = (await client.get(f"/notifications/{user}", params={"limit": 100})).json()
        assert response["unread_count"] == len(ids)
        assert [item["id"] for item in response["items"]] == ids[::-1][:100]
    await eventually(lambda: agree(stores), "the index agrees with the store")
    assert not await stores.broken_feeds()


async def fetches_are_whole(api: Api, users: list[str]) -> None:
    """REST goes on answering, each answer true in itself."""
    for user in users:
        async with api.client(user) as client:
            response = await client.get(f"/notifications/{user}", params={"limit": 100})
        assert response.status_code == 200, response.text
        page = response.json()
        assert len(page["items"]) == min(page["unread_count"], 100)


async def all_stored(stores: Stores, load: Load) -> bool:
    """Whether everything that was accepted is there."""
    if await stores.count() < load.total:
        return False
    return set().union(*load.accepted.values()) <= set(await stores.ids())


async def assert_stored_once(stores: Stores, load: Load, *, in_order: bool = True) -> None:
    """Nothing lost, made up or twice; versions 1 to n; and as a rule in the order of acceptance.

    After a broker failed the order may be another: a send that is tried again overtakes none, but may be
    overtaken.
    """
    rows = await stores.postgres.fetch(
        "SELECT user_id, id, version, message FROM notifications ORDER BY user_id, version"
    )
    messages = [row["message"] for row in rows]
    assert len(messages) == len(set(messages))
    assert set(messages) <= load.attempted
    for user, ids in load.accepted.items():
        mine = [row for row in rows if row["user_id"] == user]
        accepted = set(ids)
        stored = [str(row["id"]) for row in mine if str(row["id"]) in accepted]
        assert [row["version"] for row in mine] == list(range(1, len(mine) + 1)), user
        assert (stored if in_order else sorted(stored)) == (ids if in_order else sorted(ids)), user
    assert not await stores.broken_feeds()
    await eventually(lambda: agree(stores), "the index agrees with the store")


async def agree(stores: Stores) -> bool:
    """Whether the index says of everybody what PostgreSQL says, or nothing."""
    return not await stores.disagreements()


async def read_states(stores: Stores) -> Mapping[str, object]:
    """The version of every feed and every notification, and when it was read."""
    feeds = await stores.postgres.fetch("SELECT user_id, version, unread_count FROM feeds")
    rows = await stores.postgres.fetch("SELECT id, version, read_at FROM notifications")
    return {str(row[0]): tuple(row)[1:] for row in (*feeds, *rows)}


async def for_a_moment(publish: Callable[..., Awaitable[str]], device: Follower) -> str:
    """Publish something that expires soon, but not before the device has it: a busy machine gets more time.
    Returns the id.
    """
    for seconds in (5, 20, 80):
        expires = datetime.now(UTC) + timedelta(seconds=seconds)
        identifier = await publish(expires_at=expires.isoformat())
        with suppress(TooLate):
            await eventually(lambda one=identifier: one in device.items, "it came", seconds)  # type: ignore[misc]
            return identifier
    raise TooLate("everything has expired before it came")


async def timed(condition: Callable[[], Any], what: str, seconds: float = 600.0) -> float:
    """Wait for a condition; return how many seconds it took."""
    started = time.monotonic()
    await eventually(condition, what, seconds)
    return time.monotonic() - started
