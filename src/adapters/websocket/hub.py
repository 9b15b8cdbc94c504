"""Hub: the sessions of this process, by user."""

from collections.abc import Sequence

from application.ports import Carrier, Clock, Follower
from application.streams import Frame
from common import metrics
from domain.identifiers import UserId


class Hub:
    """The LiveFeed of a process. The carrier's reader passes frames to `deliver`."""

    def __init__(self, clock: Clock, carrier: Carrier) -> None:
        self._clock = clock
        self.carrier = carrier
        self._followers: dict[UserId, list[Follower]] = {}

    async def join(self, user: UserId, follower: Follower) -> None:
        self._followers.setdefault(user, []).append(follower)
        metrics.SOCKETS.inc()
        await self.carrier.join(user)

    def leave(self, user: UserId, follower: Follower) -> None:
        mine = self._followers.get(user)
        if mine is None or follower not in mine:
            return
        mine.remove(follower)
        metrics.SOCKETS.dec()
        if not mine:
            del self._followers[user]
            self.carrier.leave(user)

    def count(self, user: UserId) -> int:
        """How many followers the user has here."""
        return len(self._followers.get(user, ()))

    def deliver(self, frames: Sequence[Frame]) -> None:
        """Hand frames to the followers of their users."""
        for frame in frames:
            followers = self._followers.get(frame.user_id)
            if not followers:
                continue
            for follower in tuple(followers):  # one that is too slow leaves meanwhile
                follower.take(frame)
            metrics.FRAMES.inc(len(followers))
            if frame.accepted_at is not None:
                metrics.LIVE_LATENCY.observe(max(0.0, self._clock().timestamp() - frame.accepted_at))

    def lost(self, user: UserId | None = None) -> None:
        """Have every follower, or those of this user, compare with the store: frames may be lost."""
        concerned = list(self._followers.values()) if user is None else [self._followers.get(user, ())]
        for followers in concerned:
            for follower in tuple(followers):
                follower.miss()
