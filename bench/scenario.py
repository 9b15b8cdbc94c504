"""The context of a scenario."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from bench.measured import Row
from bench.servers import Stack
from bench.user import User

Run = Callable[["Context"], Iterator[Row]]


@dataclass(frozen=True)
class Named:
    """A system that runs already: the name of its adapter, its address, and its processes."""

    name: str
    url: str
    key: str
    secret: str
    pids: Sequence[int]


@dataclass
class Context:
    """Where and how long to measure."""

    stack: Stack
    seconds: float
    quick: bool
    stored: int = 1_000_000
    """How many notifications `growth` stores in the end."""
    peer: Named | None = None

    @cached_property
    def api_key(self) -> str:
        """A producer's key."""
        return self.stack.api_key()

    def users(self, prefix: str, count: int) -> list[User]:
        """Make users for one scenario."""
        return self.stack.users(prefix, count)
