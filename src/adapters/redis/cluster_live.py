"""ClusterLiveFrames: what a process hears of a cluster, over one subscription to each master.

Each subscription has heartbeats of its own, through its node, as the one to a single server has. When slots
move, the node ends the subscriptions to their channels: their users are given to the node that the map names,
and compare themselves with the store once it has confirmed them.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from redis.exceptions import ConnectionError as ConnectionLost

from adapters.redis.cluster import ClusterNode, RedisCluster
from adapters.redis.live import RedisLiveFrames, Sharded, set_within
from adapters.redis.names import channel
from adapters.redis.slots import slot_of
from adapters.redis.subscriptions import Subscriptions
from application.errors import Unavailable
from application.ports import Monotonic
from common.clusters import Address, shown
from domain.identifiers import UserId

# How soon the parts follow a map that has changed, and how often they are looked after.
_TOGETHER_SECONDS = 0.1
_LOOK_SECONDS = 0.5


class ClusterSubscriptions:
    """Who is held, and by the subscription to which node. The carrier of a process."""

    def __init__(self, cluster: RedisCluster, prefix: str, now: Monotonic) -> None:
        self._slots = cluster.slots
        self._prefix = prefix
        self._homeless = Subscriptions(now)
        """Those whose node is not known or has no part yet."""
        self._at: dict[UserId, Subscriptions] = {}
        self.parts: dict[Address, Subscriptions] = {}
        self.suspects: set[int] = set()
        """Slots of which a node ended or refused a subscription."""

    async def join(self, user: UserId) -> None:
        own = self._at.get(user)
        if own is None:
            own = self._at[user] = self._of(self.slot(user))
        await own.join(user)

    def leave(self, user: UserId) -> None:
        own = self._at.pop(user, None)
        if own is not None:
            own.leave(user)

    def slot(self, user: UserId) -> int:
        """The slot of a user's channel."""
        return slot_of(channel(self._prefix, user))

    def follows(self, user: UserId, node: Address) -> bool:
        """Whether somebody follows a user by way of this node."""
        return user in self._at and self._at[user] is self.parts.get(node)

    def arrange(self) -> None:
        """Give those to another part whose node is another. Those of a suspected slot that stay are
        subscribed to again.
        """
        suspects, self.suspects = self.suspects, set()
        for user, own in self._at.items():
            slot = self.slot(user)
            there = self._of(slot)
            if there is not own:
                own.drop(user)
                self._at[user] = there
                there.take_over(user)
            elif slot in suspects:
                own.take_over(user)

    def _of(self, slot: int) -> Subscriptions:
        address = self._slots.of(slot)
        return self.parts.get(address, self._homeless) if address else self._homeless


class OpenPart(Protocol):
    """Makes the subscription to a node."""

    def __call__(
        self,
        node: ClusterNode,
        *,
        subscriptions: Subscriptions,
        lost: Callable[[UserId | None], None],
        sharded: Sharded,
    ) -> RedisLiveFrames: ...


@dataclass(frozen=True, slots=True)
class _Part:
    frames: RedisLiveFrames
    task: "asyncio.Task[None]"


class ClusterLiveFrames:
    """Receives frames and passes them on; reports when some may have been lost."""

    def __init__(
        self,
        cluster: RedisCluster,
        subscriptions: ClusterSubscriptions,
        open_part: OpenPart,
        *,
        lost: Callable[[UserId | None], None],
        now: Monotonic,
    ) -> None:
        self._cluster = cluster
        self._subscriptions = subscriptions
        self._open_part = open_part
        self._lost = lost
        self._now = now
        self._parts: dict[Address, _Part] = {}
        self._changed = asyncio.Event()
        cluster.changed.append(self._changed.set)

    @property
    def connected(self) -> bool:
        """Whether frames arrive from every master."""
        return bool(self._parts) and all(part.frames.connected for part in self._parts.values())

    async def run(self) -> None:
        """Receive until cancelled."""
        try:
            while True:
                self._changed.clear()
                with suppress(Unavailable):
                    await self._fit()
                self._subscriptions.arrange()
                await asyncio.sleep(_TOGETHER_SECONDS)  # seldom does one slot move alone
                await set_within(self._changed, _LOOK_SECONDS)
        finally:
            for address in list(self._parts):
                await self._end(address)

    async def _fit(self) -> None:
        """Have one part for each master. Raises the error of one that failed."""
        masters = [master.address for master in await self._cluster.masters()]
        for address in self._parts.keys() - masters:
            await self._end(address)
        for address in masters:
            if address not in self._parts:
                self._begin(address)
        for part in self._parts.values():
            if part.task.done():
                part.task.result()

    def _begin(self, address: Address) -> None:
        own = self._subscriptions.parts[address] = Subscriptions(self._now)
        shard = _Shard(address, self._cluster, self._subscriptions, self._changed)

        def lost(user: UserId | None) -> None:
            for each in own.followed if user is None else [user]:
                self._lost(each)

        frames = self._open_part(self._cluster.node(address), subscriptions=own, lost=lost, sharded=shard)
        self._parts[address] = _Part(frames, asyncio.create_task(frames.run()))

    async def _end(self, address: Address) -> None:
        part = self._parts.pop(address)
        del self._subscriptions.parts[address]
        self._subscriptions.arrange()
        part.task.cancel()
        await asyncio.gather(part.task, return_exceptions=True)
        part.frames.ended()


class _Shard:
    """What a part of a cluster's subscription needs to know of it, and tells it."""

    def __init__(
        self,
        address: Address,
        cluster: RedisCluster,
        subscriptions: ClusterSubscriptions,
        changed: asyncio.Event,
    ) -> None:
        self.name = f" to {shown(address)}"
        self._address = address
        self._cluster = cluster
        self._subscriptions = subscriptions
        self._changed = changed

    def tag(self) -> str:
        found = self._cluster.slots.tag(self._address)
        if found is None:
            raise ConnectionLost("the node has no slots")
        return found

    def failed(self) -> None:
        self._cluster.learn_soon()

    def moved(self, error: Exception) -> None:
        told: Any = error
        self._cluster.moved(error, self._address)
        self._suspect(told.slot_id)

    def gone(self, user: UserId) -> None:
        if self._subscriptions.follows(user, self._address):
            self._cluster.learn_soon()
            self._suspect(self._subscriptions.slot(user))

    def _suspect(self, slot: int) -> None:
        self._subscriptions.suspects.add(slot)
        self._changed.set()
