"""Load: producers that publish, and users that mark and fetch. Each attempt is noted with its outcome."""

import asyncio
import random
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Self

import httpx
from websockets.exceptions import ConnectionClosed

from workbench.local_client import local_client
from workbench.soak.follower import Follower, version
from workbench.soak.history import History, Item, Marking
from workbench.soak.product import Api

STRANGER = "nobody-knows"
"""A user that does not exist."""

_REQUEST_SECONDS = 15.0
_AT_ONCE = 100
"""How many requests may be under way ..."""
_WAITING = 400
"""... and how many producers and users may be active, most of them waiting to retry."""
_BATCH = 10
_RETRY_SECONDS = (1.0, 8.0)
_PUBLISHES = {"single": 30, "single with key": 20, "batch": 6, "batch with key": 10, "stranger": 1}
_ITEMS_PER_PUBLISH = sum(
    weight * (_BATCH if "batch" in kind else 1) for kind, weight in _PUBLISHES.items()
) / sum(_PUBLISHES.values())
_AGAIN = 0.1
"""The share of those with a key that are sent again although they were accepted."""
_USES = {"read": 60, "unread": 4, "archived": 8, "unarchived": 3, "up_to": 4, "fetch": 60, "trespass": 1}
_PATHS = {"archived": "archive", "unarchived": "unarchive"}
_USES_PER_PUBLISH = 0.3


class Traffic:
    """A steady load while it is entered; on the way out it retries until outcomes are known."""

    def __init__(
        self,
        apis: Sequence[Api],
        users: Sequence[str],
        followers: Sequence[Follower],
        history: History,
        *,
        per_second: float,
        seed: int,
    ) -> None:
        self._apis = apis
        self._users = users
        self._followers = followers
        self._history = history
        self._pause = _ITEMS_PER_PUBLISH / per_second
        self._random = random.Random(seed)
        self._clients: list[httpx.AsyncClient] = []
        self._stack = AsyncExitStack()
        self._running: set[asyncio.Task[None]] = set()
        self._pacing: asyncio.Task[None] | None = None
        self._requests = 0
        self.held_back = 0
        """How many requests were not sent because too many were under way."""

    async def __aenter__(self) -> Self:
        for api in self._apis:
            client = local_client(
                base_url=api.url,
                headers={"X-API-Key": api.product.api_key},
                timeout=_REQUEST_SECONDS,
                limits=httpx.Limits(max_connections=2 * _AT_ONCE, max_keepalive_connections=20),
            )
            self._clients.append(await self._stack.enter_async_context(client))
        self._pacing = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Start nothing more, and wait until what is under way has an outcome. If that is cut short, nothing
        is under way any more.
        """
        if self._pacing is not None:
            pacing, self._pacing = self._pacing, None
            pacing.cancel()
            try:
                done = await asyncio.gather(pacing, *self._running, return_exceptions=True)
            finally:  # tasks that were cancelled still have to end
                await asyncio.gather(*self._running, return_exceptions=True)
                await self._stack.aclose()
            for error in done[1:]:
                if isinstance(error, BaseException):
                    raise error

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + self._random.expovariate(1 / self._pause), loop.time() - 1.0)
            await asyncio.sleep(due - loop.time())
            self._begin(self._publish(self._drawn(_PUBLISHES)))
            if self._followers and self._random.random() < _USES_PER_PUBLISH:
                self._begin(self._use(self._drawn(_USES)))

    def _drawn(self, kinds: Mapping[str, int]) -> str:
        return self._random.choices(list(kinds), list(kinds.values()))[0]

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        if self._requests >= _AT_ONCE or len(self._running) >= _WAITING:
            self.held_back += 1
            work.close()
            return
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled() or task.exception() is None:
            self._running.discard(task)  # one that failed stays, and is raised at the end

    # --- producers ---

    async def _publish(self, kind: str) -> None:
        count = _BATCH if "batch" in kind else 1
        key = f"key {self._random.getrandbits(64):x}" if "key" in kind else None
        users = [STRANGER] if kind == "stranger" else self._random.choices(self._users, k=count)
        items = [self._history.item(user, key) for user in users]
        self._history.note("publish", items=[item.number for item in items], users=users, key=key)
        known = await self._attempt(items, batch=count > 1)
        if key is not None and known and self._random.random() < _AGAIN:
            known = await self._attempt(items, batch=count > 1)
        pause, longest = _RETRY_SECONDS
        while key is not None and not known:
            await asyncio.sleep(pause * self._random.uniform(0.5, 1))
            known = await self._attempt(items, batch=count > 1)
            pause = min(2 * pause, longest)

    async def _attempt(self, items: Sequence[Item], *, batch: bool) -> bool:
        """Send one request. Return whether the outcome of all items is known."""
        bodies = [{"user_id": item.user, "event": "soak.sent", "message": item.message} for item in items]
        path = "/v1/notifications/batch" if batch else "/v1/notifications"
        key = items[0].key
        status, answer = await self._request(
            self._random.choice(self._clients),
            "POST",
            path,
            json={"items": bodies} if batch else bodies[0],
            headers={"Idempotency-Key": key} if key else {},
        )
        outcomes = [(status, answer)] * len(items)
        if batch and status == 202:
            outcomes = [_outcome(result) for result in answer["results"]]
        known = [
            self._history.answered(item, *outcome) for item, outcome in zip(items, outcomes, strict=True)
        ]
        return all(known)

    # --- users ---

    async def _use(self, kind: str) -> None:
        follower = self._random.choice(self._followers)
        if kind == "fetch":
            await self._fetch(follower.user)
        elif kind == "trespass":
            await self._trespass(follower)
        elif follower.items and follower.cursor:
            await self._mark(follower, kind)

    async def _mark(self, follower: Follower, kind: str) -> None:
        newest = list(follower.items)[-100:]
        up_to = follower.cursor if kind == "up_to" else None
        ids = (
            () if up_to else tuple(self._random.sample(newest, min(len(newest), self._random.randint(1, 5))))
        )
        mark = "read" if up_to else kind
        marking = Marking(
            follower.user, mark, ids, version(up_to) if up_to else None, begun=self._history.now()
        )
        self._history.markings.append(marking)
        fields = {"up_to": up_to} if up_to else {"ids": list(ids)}
        word = _PATHS.get(mark, mark)
        if self._random.random() < 0.5:
            marking.acknowledged = await self._over_socket(follower, word, fields)
        else:
            path = f"/v1/users/{follower.user}/notifications/{word}"
            status, _ = await self._as_user(follower.user, "POST", path, json=fields)
            marking.acknowledged = status == 200
        self._history.note("mark", user=follower.user, mark=mark, **fields, ok=marking.acknowledged)

    async def _over_socket(self, follower: Follower, word: str, fields: dict[str, Any]) -> bool:
        try:
            answer = await follower.ask(type=word, **fields)
        except (ConnectionClosed, OSError, TimeoutError):
            return False
        return bool(answer["type"] == "ok")

    async def _fetch(self, user: str) -> None:
        limit = self._random.choice((20, 100))
        path = f"/notifications/{user}"
        status, page = await self._as_user(user, "GET", path, params={"limit": limit})
        if status != 200:
            return
        self._history.pages += 1
        strangers = [item["id"] for item in page["items"] if item["user_id"] != user]
        ids = [item["id"] for item in page["items"]]
        whole = len(ids) == min(page["unread_count"], limit) and ids == sorted(ids, reverse=True)
        if strangers:
            self._history.trespasses.append(f"a page of {user} has {strangers}")
        if not whole or len(set(ids)) != len(ids):
            words = f"{user}: {len(ids)} items, {page['unread_count']} unread, limit {limit}"
            self._history.bad_pages.append(words)
            self._history.note("bad page", user=user, page=page)

    async def _trespass(self, follower: Follower) -> None:
        """Ask for another user's things with one's own token."""
        other = self._random.choice([user for user in self._users if user != follower.user])
        theirs = next((item for one in self._followers if one.user == other for item in one.items), None)
        requests = [("GET", f"/notifications/{other}"), ("GET", f"/v1/users/{other}/unread-count")]
        if theirs:
            requests.append(("PATCH", f"/notifications/{follower.user}/{theirs}/read"))
        for method, path in requests:
            status, _ = await self._as_user(follower.user, method, path)
            self._history.attempted_trespasses += 1
            if 200 <= status < 300:
                self._history.trespasses.append(f"{follower.user} was answered {status} to {method} {path}")

    async def _as_user(self, user: str, method: str, path: str, **options: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self._apis[0].product.token(user)}"}
        client = self._random.choice(self._clients)
        return await self._request(client, method, path, headers=headers, **options)

    async def _request(
        self, client: httpx.AsyncClient, method: str, path: str, **options: Any
    ) -> tuple[int, Any]:
        """Return the status and the body; status 0 when no answer came."""
        self._requests += 1
        try:
            async with asyncio.timeout(2 * _REQUEST_SECONDS):
                response = await client.request(method, path, **options)
                return response.status_code, response.json()
        except (httpx.TransportError, TimeoutError) as error:
            return 0, {"error": repr(error)}
        finally:
            self._requests -= 1


def _outcome(result: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """The outcome of one item of a batch, as a single request would have been answered."""
    if result.get("error"):
        return int(result["error"]["status"]), result["error"]
    return 202, result
