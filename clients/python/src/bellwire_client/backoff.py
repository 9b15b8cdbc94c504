"""Pauses between attempts."""

from collections.abc import Callable

SHORTEST, LONGEST = 0.5, 20.0


class Backoff:
    """Pauses that grow, with full jitter, so that clients that lost a server together do not return
    together.
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._tries = 0

    def reset(self) -> None:
        """Start again with the shortest pause."""
        self._tries = 0

    def next(self, at_least: float = 0.0) -> float:
        """Seconds to wait: what the service asked for, plus a random part."""
        ceiling = min(LONGEST, SHORTEST * 2.0 ** min(self._tries, 30))
        self._tries += 1
        return at_least + ceiling * self._random()
