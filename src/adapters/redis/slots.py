"""The map of a cluster: which node has which slot. Without I/O; cluster.py learns it."""

from collections.abc import Iterable, Sequence
from typing import Any

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from common.clusters import Address


def slot_of(key: str) -> int:
    """The slot of a key or a channel."""
    return key_slot(key.encode())


class Slots:
    """Which master has each slot, as far as it is known."""

    def __init__(self) -> None:
        self._masters: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self.masters: Sequence[Address] = ()
        """Those that have slots."""

    def of(self, slot: int) -> Address | None:
        """The master of a slot."""
        return self._masters[slot]

    def learn(self, ranges: Iterable[tuple[int, int, Address]]) -> bool:
        """Take over a map: first slot, last slot and master of each range. Returns whether it is new."""
        masters: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        for first, last, master in ranges:
            masters[first : last + 1] = [master] * (last + 1 - first)
        changed, self._masters = masters != self._masters, masters
        self._count()
        return changed

    def move(self, slot: int, master: Address) -> bool:
        """Learn of one slot that another node has it. Returns whether that is new."""
        if self._masters[slot] == master:
            return False
        self._masters[slot] = master
        self._count()
        return True

    @property
    def missing(self) -> int:
        """How many slots nobody has."""
        return self._masters.count(None)

    def tag(self, master: Address) -> str | None:
        """A hash tag that leads to a slot of this master; None if it has none."""
        if master not in self.masters:
            return None
        # With one slot of 16,384 it takes as many attempts on average; with thousands, a few.
        return next(
            (
                tag
                for tag in map(str, range(20 * REDIS_CLUSTER_HASH_SLOTS))
                if self.of(slot_of(tag)) == master
            ),
            None,
        )

    def _count(self) -> None:
        self.masters = list(dict.fromkeys(master for master in self._masters if master is not None))


def ranges(answer: Sequence[Any], asked: Address) -> Sequence[tuple[int, int, Address]]:
    """The ranges of an answer to CLUSTER SLOTS by this node."""
    return [(first, last, _address(master, asked)) for first, last, master, *_ in answer]


def replicas(answer: Sequence[Any], asked: Address) -> Sequence[Address]:
    """The replicas in an answer to CLUSTER SLOTS."""
    return [_address(node, asked) for _, _, _, *nodes in answer for node in nodes]


def _address(node: Sequence[Any], asked: Address) -> Address:
    """Of a node that does not know its own address, the host is the one that was asked."""
    host = node[0].decode() if node[0] else ""
    return (asked[0] if host in {"", "?"} else host), node[1]
