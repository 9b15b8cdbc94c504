"""The context of a scenario."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from bench.measured import Row
from bench.servers import Stack
from bench.user import User

Run = Callable[["Context"], Iterator[Row]]


@dataclass
class Context:
    """Where and how long to measure."""

    stack: Stack
    seconds: float
    quick: bool

    @cached_property
    def api_key(self) -> str:
        """A producer's key."""
        return self.stack.api_key()

    def users(self, prefix: str, count: int) -> list[User]:
        """Make users for one scenario."""
        return self.stack.users(prefix, count)
