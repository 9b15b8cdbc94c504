"""RedisCluster: a RedisServer for each node, and the map that says which of them has a key.

Each node has its own circuit breaker: one that is away costs nothing to whoever needs another. Where the map
is wrong, a node says so (MOVED), the map is corrected and the command is sent once more. A slot that is on
its way between two nodes takes no script whose keys are not all on one side (ASK, TRYAGAIN): those who can
wait try again for a second, the others have it announced later.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeVar, cast

from redis.asyncio import Redis

from adapters.redis import answers
from adapters.redis.evaluating import Call, Script
from adapters.redis.server import RedisServer
from adapters.redis.slots import Slots, ranges, replicas, slot_of
from application.errors import Unavailable
from application.ports import Chance, Monotonic
from common.clusters import Address, shown

T = TypeVar("T")

logger = logging.getLogger(__name__)

# How long those wait who can, while a slot moves, and how long between two attempts.
_MOVING_SECONDS = 1.0
_AGAIN_SECONDS = 0.05
# The map is not read more often than this for the same reason: that something failed.
_LEARN_SECONDS = 0.25


class ClusterNode(RedisServer):
    """A node of a cluster."""

    def __init__(self, address: Address, client: Redis, now: Monotonic) -> None:
        super().__init__(client, now, name=f"Redis at {shown(address)}")
        self.address = address

    async def judge(self, error: Exception, left: int) -> None:
        if not answers.redirects(error):  # which is an answer, to a question for another node
            await super().judge(error, left)

    async def retire(self) -> None:
        """It has no slots any more."""
        await self.leave()
        self._away.over()
        self._refused.over()


class RedisCluster:
    """The masters of a cluster."""

    clustered = True

    def __init__(
        self, seeds: Sequence[Address], connect: Callable[[Address], Redis], now: Monotonic, chance: Chance
    ) -> None:
        """`seeds` are nodes that are asked for the map at first; `connect` makes the client of a node."""
        self._seeds = seeds
        self._connect = connect
        self._now = now
        self._chance = chance
        self._nodes: dict[Address, ClusterNode] = {}
        self._replicas: Sequence[Address] = ()
        self._learning: asyncio.Task[None] | None = None
        self._learnt_at = 0.0
        self.slots = Slots()
        self.changed: list[Callable[[], None]] = []
        """Called whenever the map has changed."""

    # --- commands ---

    async def on(self, key: str, operation: Callable[[Redis], Awaitable[T]], *, repeatable: bool = True) -> T:
        """Run commands on the node that has this key. Raises Unavailable. See RedisServer.ask."""
        slot, began, attempt = slot_of(key), self._now(), 0
        while True:
            node = await self._master_of(slot)
            try:
                return await node.ask(lambda node=node: operation(node.client), repeatable=repeatable)  # type: ignore[misc]
            except Unavailable as error:
                again = self._follow(error.__cause__, node) and self._now() - began < _MOVING_SECONDS
                if not again:
                    raise
            if attempt:
                await asyncio.sleep(_AGAIN_SECONDS)
            attempt += 1

    async def each(self, script: Script, calls: Sequence[Call], *, repeatable: bool = True) -> Sequence[Any]:
        """Run a script for each of these, in one round trip for each node. Returns for each the answer, or an
        Unavailable. What was sent to the wrong node is sent once more.
        """
        found: list[Any] = [Unavailable("Redis is out of reach. Try again shortly.")] * len(calls)
        left: Sequence[int] = range(len(calls))
        for _ in range(2):
            parts = await self._parts(calls, left)
            each = [self._part(node, script, [calls[at] for at in part], repeatable) for node, part in parts]
            for (_, part), given in zip(parts, await asyncio.gather(*each), strict=True):
                for at, answer in zip(part, given, strict=True):
                    found[at] = answer
            left = [at for at in left if answers.has_moved(found[at])]
            if not left:
                break
        return [_final(answer) for answer in found]

    async def masters(self) -> Sequence[ClusterNode]:
        if not self.slots.masters:
            await self.learn()
        return [self.node(address) for address in self.slots.masters]

    async def ping(self) -> None:
        masters = await self.masters()
        await asyncio.gather(*(master.ping() for master in masters))
        if missing := self.slots.missing:
            self.learn_soon()
            raise Unavailable(f"Redis is out of reach: {missing} slots of the cluster have no master")

    async def close(self) -> None:
        if self._learning is not None:
            self._learning.cancel()
            await asyncio.wait([self._learning])
        for node in self._nodes.values():
            await node.close()

    # --- the map ---

    def node(self, address: Address) -> ClusterNode:
        """The node at an address."""
        node = self._nodes.get(address)
        if node is None:
            node = self._nodes[address] = ClusterNode(address, self._connect(address), self._now)
        return node

    async def learn(self) -> None:
        """Read the map. Raises Unavailable. Whoever asks meanwhile waits for the same answer."""
        await asyncio.shield(self._learn())

    def learn_soon(self) -> None:
        """Read the map because something failed, unless that was done a moment ago. Nobody waits."""
        if self._now() - self._learnt_at > _LEARN_SECONDS:
            _ = self._learn()

    def moved(self, error: Exception, asked: Address) -> None:
        """Learn from MOVED, an answer of this node."""
        told = cast(Any, error)
        if self.slots.move(told.slot_id, (told.host or asked[0], told.port)):
            self._tell()
        self.learn_soon()  # seldom has one slot moved alone

    def _learn(self) -> asyncio.Task[None]:
        if self._learning is None:
            self._learnt_at = self._now()
            self._learning = asyncio.create_task(self._read())
            self._learning.add_done_callback(self._learnt)
        return self._learning

    def _learnt(self, task: asyncio.Task[None]) -> None:
        self._learning = None
        if not task.cancelled():
            task.exception()  # those who wait for it raise it

    async def _read(self) -> None:
        """Take the map of the first node that is well; else that of the last election."""
        found: list[tuple[bool, int, Address, Sequence[Any]]] = []
        reason: Exception | None = None
        for node in self._candidates():
            try:
                well, epoch, answer = await node.ask(lambda node=node: _map_of(node.client))  # type: ignore[misc]
            except Unavailable as error:
                reason = error
                continue
            found.append((well, epoch, node.address, answer))
            if well:
                break
        if not found:
            raise Unavailable("Redis is out of reach. Try again shortly.") from reason and reason.__cause__
        await self._take(*max(found, key=lambda each: each[:2])[2:])

    async def _take(self, asked: Address, answer: Sequence[Any]) -> None:
        self._replicas = replicas(answer, asked)
        before = self.slots.masters
        if not self.slots.learn(ranges(answer, asked)):
            return
        if set(before) != set(self.slots.masters):
            logger.info("the masters of Redis Cluster are %s", ", ".join(map(shown, self.slots.masters)))
        self._tell()
        for address in set(before) - set(self.slots.masters):
            await self.node(address).retire()

    def _tell(self) -> None:
        for changed in self.changed:
            changed()

    def _candidates(self) -> Iterator[ClusterNode]:
        """Those who may know the map, in a random order: a node that is cut off from the others has an old
        one.
        """
        known = list(dict.fromkeys([*self.slots.masters, *self._replicas]))
        self._chance.shuffle(known)
        for address in dict.fromkeys([*known, *self._seeds]):
            yield self.node(address)

    # --- routing ---

    async def _master_of(self, slot: int) -> ClusterNode:
        address = self.slots.of(slot)
        if address is None:
            await self.learn()
            address = self.slots.of(slot)
        if address is None:
            raise Unavailable("Redis is out of reach. Try again shortly.")
        return self.node(address)

    def _follow(self, error: BaseException | None, node: ClusterNode) -> bool:
        """Learn from the failure of a command. Returns whether it should be sent again."""
        if isinstance(error, Exception) and answers.redirects(error):
            if answers.has_moved(error):
                self.moved(error, node.address)
            return True
        self.learn_soon()
        return False

    async def _parts(
        self, calls: Sequence[Call], which: Sequence[int]
    ) -> Sequence[tuple[ClusterNode, Sequence[int]]]:
        """Which of the calls each node gets. Those whose slot nobody has get none."""
        if not self.slots.masters:
            await self.learn()
        parts: dict[Address, list[int]] = {}
        for at in which:
            address = self.slots.of(slot_of(calls[at][0][0]))
            if address is None:
                self.learn_soon()
            else:
                parts.setdefault(address, []).append(at)
        return [(self.node(address), part) for address, part in parts.items()]

    async def _part(
        self, node: ClusterNode, script: Script, calls: Sequence[Call], repeatable: bool
    ) -> Sequence[Any]:
        """The answers of one node, and errors."""
        try:
            given = await node.ask(lambda: _run(node.client, script, calls), repeatable=repeatable)
        except Unavailable as error:
            self._follow(error.__cause__, node)
            return [error] * len(calls)
        for answer in given:
            if answers.has_moved(answer):
                self.moved(answer, node.address)
        return given


async def _run(client: Redis, script: Script, calls: Sequence[Call]) -> Sequence[Any]:
    """The answers; where a call was sent to the wrong node, its error. Raises any other."""
    found = await script.each(client, calls)
    for answer in found:
        if isinstance(answer, Exception) and not answers.redirects(answer):
            raise answer
    return found


def _final(answer: Any) -> Any:
    if isinstance(answer, Exception) and not isinstance(answer, Unavailable):
        return Unavailable("Redis moves this to another node. Try again shortly.")
    return answer


async def _map_of(client: Redis) -> tuple[bool, int, Sequence[Any]]:
    """Whether the cluster is well in the eyes of a node, the epoch that it knows, and its map."""
    async with client.pipeline(transaction=False) as pipeline:
        pipeline.execute_command("CLUSTER", "INFO")
        pipeline.execute_command("CLUSTER", "SLOTS")
        said, slots = await pipeline.execute()
    lines = dict(line.split(":", 1) for line in bytes(said).decode().split() if ":" in line)
    return lines.get("cluster_state") == "ok", int(lines.get("cluster_current_epoch", 0)), slots
