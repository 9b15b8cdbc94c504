"""How many frames a client may send."""

from application.ports import Monotonic


class Pace:
    """A token bucket: `per_second` in the long run, up to `burst` after a silence."""

    __slots__ = ("_at", "_left", "_most", "_now", "_per_second")

    def __init__(self, per_second: float, burst: float, now: Monotonic) -> None:
        """`now` returns monotonic seconds."""
        self._per_second = per_second
        self._most = self._left = burst
        self._now = now
        self._at = now()

    def left(self) -> int:
        """How many frames may come now."""
        at = self._now()
        self._left = min(self._most, self._left + (at - self._at) * self._per_second)
        self._at = at
        return int(self._left)

    def take(self, count: int) -> None:
        """Count frames that came."""
        self._left -= count
