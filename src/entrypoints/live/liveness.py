"""Liveness: whether a client is still there."""

from enum import Enum

from entrypoints.timing import Timing


class Due(Enum):
    """What to do about a client's silence."""

    NOTHING = "nothing"
    PING = "ping"
    CLOSE = "close"


class Liveness:
    """When the client last sent something, and when it was last sent something, in monotonic seconds."""

    __slots__ = ("_heard_at", "_pinged_at", "_sent_at", "sent")

    def __init__(self, now: float) -> None:
        self._heard_at = self._sent_at = now
        self._pinged_at = 0.0
        self.sent = False
        """Whether something was sent since the last call of `due`. For each frame a flag costs less than
        reading the clock.
        """

    def heard(self, now: float) -> None:
        """The client sent something."""
        self._heard_at = now

    def pinged(self, now: float, *, answers: bool) -> None:
        """The client was sent a ping. If it does not answer pings at all, it counts as heard."""
        self._sent_at = now
        if answers:
            self._pinged_at = now
        else:
            self._heard_at = now

    def due(self, now: float, timing: Timing) -> Due:
        """What to do now."""
        if self.sent:
            self.sent = False
            self._sent_at = now
        if self._heard_at < self._pinged_at:
            return Due.CLOSE if now - self._pinged_at >= timing.pong else Due.NOTHING
        return Due.PING if self._quiet(now) >= timing.ping else Due.NOTHING

    def next_at(self, timing: Timing) -> float:
        """When there is something to do next, unless something is sent or heard before."""
        if self._heard_at < self._pinged_at:
            return self._pinged_at + timing.pong
        return min(self._sent_at + timing.ping, self._heard_at + 2 * timing.ping)

    def _quiet(self, now: float) -> float:
        """How long nothing was sent. A client that receives frames all the time and sends nothing may have
        gone too: its own silence counts half.
        """
        return max(now - self._sent_at, (now - self._heard_at) / 2)
