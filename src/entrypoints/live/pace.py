"""How many frames a client may send."""


class Pace:
    """A token bucket: `per_second` in the long run, `at_once` after a silence. Times are in seconds."""

    __slots__ = ("_at", "_left", "_most", "_per_second")

    def __init__(self, per_second: float, at_once: float, now: float) -> None:
        self._per_second = per_second
        self._most = self._left = at_once
        self._at = now

    def allows(self, now: float) -> bool:
        """Take one, if there is one left."""
        self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
