"""Notifications that their producers change: originals, edits and retractions, in every order."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeAlias

from domain.identifiers import ENTROPY_BITS, uuid7
from workbench.soak import contents
from workbench.soak.doors import Doors
from workbench.soak.history import History, Item

Json: TypeAlias = dict[str, Any]
Order: TypeAlias = Callable[[], Awaitable[None]]

_EDITS: Final = 3
_APART_SECONDS = 0.3
_LATER_SECONDS = 3.0
_EXPIRED_SECONDS = -60.0
_TRIES = 4
_RETRY_SECONDS = 2.0
_RETRACT = 0.3
_BROUGHT_BACK = 0.5
"""The share of what had expired when it arrived that an edit shows after all."""
_UNREAD = 0.15
_AGAIN = 0.2
"""The share of orders that are sent again although they were accepted."""


class Stories:
    """What producers do to single notifications. Each order has an outcome when it returns, or none."""

    def __init__(self, doors: Doors, history: History, chance: random.Random) -> None:
        self._doors = doors
        self._history = history
        self._chance = chance

    async def tell(self, item: Item) -> None:
        """Publish, edit and perhaps retract a notification whose id the producer chose, all at once."""
        item.expires_at = None
        identifier = self._identify(item)
        orders: list[Order] = [partial(self._publish, item, identifier), *self._changes(item, identifier)]
        await self._all_at_once(orders, _APART_SECONDS)

    async def change(self, item: Item) -> None:
        """Edit and perhaps retract what was just accepted and may not be stored yet, or later."""
        (identifier,) = item.accepted
        longest = self._chance.choice((_APART_SECONDS, _LATER_SECONDS))
        await self._all_at_once(self._changes(item, identifier), longest)

    async def tell_too_late(self, item: Item) -> None:
        """Write a record of a notification that has expired, and perhaps one of an edit that has not."""
        item.arrives_expired = True
        item.expires_at = contents.in_seconds(datetime.now(UTC), _EXPIRED_SECONDS)
        identifier = self._identify(item)
        body = contents.body(item) | {"id": identifier}
        if await self._until_known(lambda: self._doors.record(item.user, body)) == 202:
            self._accepted(item, identifier)
        else:
            self._history.answered(item, 0, {"id": identifier})
        if self._chance.random() < _BROUGHT_BACK:
            item.expires_at = None
            await self._edit(item, identifier, 1)

    def _identify(self, item: Item) -> str:
        identifier = str(uuid7(time.time_ns() // 1_000_000, self._chance.getrandbits(ENTROPY_BITS)))
        item.unknown |= {identifier}
        return identifier

    def _changes(self, item: Item, identifier: str) -> list[Order]:
        revisions = range(1, self._chance.randint(1, _EDITS) + 1)
        orders: list[Order] = [partial(self._edit, item, identifier, revision) for revision in revisions]
        if contents.may_be_retracted(item) and self._chance.random() < _RETRACT:
            item.retracted = False
            orders.append(partial(self._retract, item, identifier))
        return orders

    async def _all_at_once(self, orders: Sequence[Order], longest: float) -> None:
        async def after(order: Order, seconds: float) -> None:
            await asyncio.sleep(seconds)
            await order()

        await asyncio.gather(*(after(order, self._chance.uniform(0, longest)) for order in orders))

    async def _publish(self, item: Item, identifier: str) -> None:
        if await self._sent(item, identifier, 0, contents.body(item)):
            self._accepted(item, identifier)

    async def _edit(self, item: Item, identifier: str, revision: int) -> None:
        body = contents.body(item, revision) | {"revision": revision}
        if self._chance.random() < _UNREAD:
            item.reopened = body["unread"] = True
        item.revisions[revision] = False
        if await self._sent(item, identifier, revision, body):
            item.revisions[revision] = True
            self._accepted(item, identifier)

    def _accepted(self, item: Item, identifier: str) -> None:
        self._history.answered(item, 202, {"id": identifier})

    async def _sent(self, item: Item, identifier: str, revision: int, body: Json) -> bool:
        by_record = self._chance.random() < 0.5

        async def send() -> int:
            if by_record:
                return await self._doors.record(item.user, body | {"id": identifier})
            named = {name: value for name, value in body.items() if name != "user_id"}
            path = f"/v1/users/{item.user}/notifications/{identifier}"
            return (await self._doors.request("PUT", path, json=named | {"revision": revision}))[0]

        status = await self._until_known(send)
        self._history.note(
            "edit", item=item.number, id=identifier, revision=revision, record=by_record, status=status
        )
        if status != 202:
            self._history.answered(item, status, {"id": identifier})
        return status == 202

    async def _retract(self, item: Item, identifier: str) -> None:
        by_record = self._chance.random() < 0.5

        async def send() -> int:
            if by_record:
                order = {"user_id": item.user, "id": identifier, "retract": True}
                return await self._doors.record(item.user, order)
            path = f"/v1/users/{item.user}/notifications/{identifier}"
            return (await self._doors.request("DELETE", path))[0]

        status = await self._until_known(send)
        item.retracted = status in {200, 202}
        self._history.note("retract", item=item.number, id=identifier, record=by_record, status=status)

    async def _until_known(self, send: Callable[[], Awaitable[int]]) -> int:
        """Send until there is an answer, and sometimes again."""
        status = 0
        for _ in range(_TRIES):
            status = await send()
            if 200 <= status < 500 and status != 429:
                break
            await asyncio.sleep(_RETRY_SECONDS * self._chance.uniform(0.5, 1))
        if self._chance.random() < _AGAIN:
            await send()
        return status
