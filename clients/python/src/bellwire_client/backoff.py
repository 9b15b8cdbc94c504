"""How long to wait before trying again."""

from collections.abc import Callable

SHORTEST, LONGEST = 0.5, 20.0


class Backoff:
    """Pauses that grow and are drawn from all of their length, so that clients that lost a server together do
    not come back together.
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._tries = 0

    def reset(self) -> None:
        """Begin with the shortest again."""
        self._tries = 0

    def next(self, at_least: float = 0.0) -> float:
        """Seconds to wait: what the service asked for, and a drawn part more."""
        ceiling = min(LONGEST, SHORTEST * 2.0 ** min(self._tries, 30))
        self._tries += 1
        return at_least + ceiling * self._random()
