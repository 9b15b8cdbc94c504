"""Load: producers that publish, and users that use their inbox. Each attempt is noted with its outcome."""

import asyncio
import random
from collections.abc import Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Self

from workbench.soak import contents
from workbench.soak.doors import AT_ONCE, Doors
from workbench.soak.follower import Follower
from workbench.soak.history import History, Item
from workbench.soak.product import Api
from workbench.soak.readers import USES, Readers
from workbench.soak.stories import Stories

STRANGER = "nobody-knows"
"""A user that does not exist."""

_WAITING = 400
"""How many producers and users may be active, most of them waiting to retry."""
_BATCH = 10
_RETRY_SECONDS = (1.0, 8.0)
_PUBLISHES = {
    "single": 26,
    "single with key": 18,
    "story": 6,
    "expired": 1,
    "batch": 6,
    "batch with key": 10,
    "stranger": 1,
}
_ITEMS_PER_PUBLISH = sum(
    weight * (_BATCH if "batch" in kind else 1) for kind, weight in _PUBLISHES.items()
) / sum(_PUBLISHES.values())
_AGAIN = 0.1
"""The share of those with a key that are sent again although they were accepted."""
_CHANGED = 0.1
"""The share of single ones without a key that their producers change."""
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
        self._users = users
        self._history = history
        self._pause = _ITEMS_PER_PUBLISH / per_second
        self._random = random.Random(seed)
        self._doors = Doors(apis, self._random)
        self._readers = Readers(self._doors, users, followers, history, self._random)
        self._stories = Stories(self._doors, history, self._random)
        self._running: set[asyncio.Task[None]] = set()
        self._pacing: asyncio.Task[None] | None = None
        self.held_back = 0
        """How many requests were not sent because too many were under way."""

    async def __aenter__(self) -> Self:
        await self._doors.__aenter__()
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
                await self._doors.__aexit__()
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
            if self._random.random() < _USES_PER_PUBLISH:
                self._begin(self._readers.use(self._drawn(USES)))

    def _drawn(self, kinds: Mapping[str, int]) -> str:
        return self._random.choices(list(kinds), list(kinds.values()))[0]

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        if self._doors.under_way >= AT_ONCE or len(self._running) >= _WAITING:
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
        for item in items:
            contents.draw(item, self._random, datetime.now(UTC))
        self._history.note("publish", items=[item.number for item in items], users=users, key=key)
        match kind:
            case "story":
                await self._stories.tell(items[0])
            case "expired":
                await self._stories.tell_too_late(items[0])
            case _:
                await self._send(items, kind)

    async def _send(self, items: Sequence[Item], kind: str) -> None:
        """Publish through the API, under a key until the outcome is known."""
        key, batch = items[0].key, len(items) > 1
        known = await self._attempt(items, batch=batch)
        if kind == "single" and self._random.random() < _CHANGED and _may_be_changed(items[0]):
            await self._stories.change(items[0])
        if key is not None and known and self._random.random() < _AGAIN:
            known = await self._attempt(items, batch=batch)
        pause, longest = _RETRY_SECONDS
        while key is not None and not known:
            await asyncio.sleep(pause * self._random.uniform(0.5, 1))
            known = await self._attempt(items, batch=batch)
            pause = min(2 * pause, longest)

    async def _attempt(self, items: Sequence[Item], *, batch: bool) -> bool:
        """Send one request. Return whether the outcome of all items is known."""
        bodies = [contents.body(item) for item in items]
        path = "/v1/notifications/batch" if batch else "/v1/notifications"
        key = items[0].key
        status, answer = await self._doors.request(
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


def _may_be_changed(item: Item) -> bool:
    """An edit of what has expired is refused."""
    return bool(item.accepted) and item.expires_at is None


def _outcome(result: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """The outcome of one item of a batch, as a single request would have been answered."""
    if result.get("error"):
        return int(result["error"]["status"]), result["error"]
    return 202, result
