"""How many frames a client may send."""


class Pace:
    """A token bucket: `per_second` in the long run, up to `burst` after a silence. Times are in seconds."""

    __slots__ = ("_at", "_left", "_most", "_per_second")

    def __init__(self, per_second: float, burst: float, now: float) -> None:
        self._per_second = per_second
        self._most = self._left = burst
        self._at = now

    def left(self, now: float) -> int:
        """How many frames may come now."""
        self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now
        return int(self._left)

    def take(self, count: int) -> None:
        """Count frames that came."""
        self._left -= count
