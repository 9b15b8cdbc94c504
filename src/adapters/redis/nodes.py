"""What the adapters need of Redis, be it one server or a cluster of them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

from redis.asyncio import Redis

from adapters.redis.evaluating import Call, Script

T = TypeVar("T")


class Node(Protocol):
    """One server."""

    async def ask(self, operation: Callable[[], Awaitable[T]], *, repeatable: bool = True) -> T:
        """Run commands with its client. Raises Unavailable."""
        ...

    @property
    def client(self) -> Redis:
        """Its client."""
        ...


class Nodes(Protocol):
    """One server, or the masters of a cluster."""

    @property
    def clustered(self) -> bool:
        """Whether the keys of a script must share a slot, and frames are published with SPUBLISH."""
        ...

    def on(
        self, key: str, operation: Callable[[Redis], Awaitable[T]], *, repeatable: bool = True
    ) -> Awaitable[T]:
        """Run commands on the server that has this key, and all others that they use. Raises Unavailable."""
        ...

    async def each(self, script: Script, calls: Sequence[Call], *, repeatable: bool = True) -> Sequence[Any]:
        """Run a script for each of these, in one round trip for each server. Returns for each the answer, or
        an Unavailable. Raises Unavailable if it holds for all of them.
        """
        ...

    async def masters(self) -> Sequence[Node]:
        """Every server that has keys. Raises Unavailable."""
        ...

    async def ping(self) -> None:
        """Raise Unavailable, with the reason, if one does not answer or recently refused a command."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...
