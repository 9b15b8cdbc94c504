"""Subscriptions: to whose frames a process listens. Policy without I/O; live.py carries it out.

A user is *held* from the first stream until a while after the last. Each connection to Redis begins with a
subscription to everybody who is held, and asks for those who come later as they come. Streams of the former
need not wait: all streams compare themselves with the store once the connection works. A stream of the latter
waits until Redis has confirmed the subscription. What it read from the store before that could be followed by
a frame that it never gets.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from application.ports import Monotonic
from domain.identifiers import UserId

LINGER_SECONDS = 15.0
"""How long a user is held after the last stream: a page that is reloaded and a client that reconnects are
back by then."""
PATIENCE_SECONDS = 1.0
"""How long a stream waits for the confirmation. If it comes later, the stream reads the store once more."""


@dataclass(slots=True)
class _Asked:
    at: float
    waiting: "list[asyncio.Future[None]]" = field(default_factory=list)
    """A future of each stream that waits, which it may cancel."""
    released: bool = False
    """Whether they went on."""


class Subscriptions:
    """Who is held, and what has to be asked of Redis."""

    def __init__(self, now: Monotonic) -> None:
        """`now` is a monotonic clock, in seconds."""
        self._now = now
        self._held: dict[UserId, None] = {}
        self._left: dict[UserId, float] = {}
        """Those of them whom nobody follows, and since when. The longest first."""
        self._asked: dict[UserId, _Asked] = {}
        """Those of them whose subscription is not confirmed yet. The oldest first."""
        self._new: list[UserId] = []
        """Those of them for whom Redis must still be asked."""
        self._wake: Callable[[], None] | None = None
        """Called when somebody is new. None without a connection."""

    async def join(self, user: UserId) -> None:
        """Hold a user. Returns once the user's frames arrive, or earlier if the user's streams will compare
        themselves with the store.
        """
        self._left.pop(user, None)
        if user not in self._held:
            self._held[user] = None
            self._ask(user)
        asked = self._asked.get(user)
        if asked is not None and not asked.released:
            confirmed = asyncio.get_running_loop().create_future()
            asked.waiting.append(confirmed)
            await confirmed

    def _ask(self, user: UserId) -> None:
        if self._wake is not None:
            self._asked[user] = _Asked(self._now())
            self._new.append(user)
            self._wake()

    def leave(self, user: UserId) -> None:
        """Nobody follows the user any more."""
        if user in self._held:
            self._left[user] = self._now()

    # --- the connection ---

    def begin(self, wake: Callable[[], None]) -> Sequence[UserId]:
        """A connection is about to subscribe, first to these users. `wake` is called when there are more."""
        for user in self._left:
            del self._held[user]
        self._left.clear()
        self._wake = wake
        return list(self._held)

    def end(self) -> None:
        """The connection is lost. Who waits goes on: the next one has all streams compare themselves."""
        self._wake = None
        self._new.clear()
        for asked in self._asked.values():
            _release(asked)
        self._asked.clear()

    def drop(self, user: UserId) -> None:
        """Hold the user no longer: another connection does, or will. Who waits goes on."""
        self._held.pop(user, None)
        self._left.pop(user, None)
        asked = self._asked.pop(user, None)
        if asked is not None:
            _release(asked)

    def take_over(self, user: UserId) -> None:
        """Hold a user who is followed already, and whose frames nobody listens to now. Who waits goes on."""
        self.drop(user)
        self._held[user] = None
        self._ask(user)
        if user in self._asked:
            self._asked[user].released = True  # nobody waits, but what is missed until then must be read

    @property
    def followed(self) -> Sequence[UserId]:
        """Those who are held and have not left."""
        return [user for user in self._held if user not in self._left]

    def take_new(self) -> Sequence[UserId]:
        """Those for whom Redis must be asked now."""
        new, self._new = self._new, []
        return new

    def take_expired(self) -> Sequence[UserId]:
        """Those whose subscription is to end now."""
        latest = self._now() - LINGER_SECONDS
        gone: list[UserId] = []
        for user, since in self._left.items():
            if since > latest:
                break
            if (
                user not in self._asked
            ):  # a confirmation on its way must not be taken for one of a later request
                gone.append(user)
        for user in gone:
            del self._left[user], self._held[user]
        return gone

    def confirmed(self, user: UserId) -> bool:
        """Redis confirms a subscription. Returns whether streams went on without it and may miss frames."""
        asked = self._asked.pop(user, None)
        return asked is not None and not _release(asked)

    def lose_patience(self) -> None:
        """Let those go on who have waited for too long."""
        latest = self._now() - PATIENCE_SECONDS
        for asked in self._asked.values():
            if asked.at > latest:
                break
            _release(asked)


def _release(asked: _Asked) -> bool:
    """Let those go on who wait. Returns whether that had not been done before."""
    if asked.released:
        return False
    asked.released = True
    for confirmed in asked.waiting:
        if not confirmed.done():
            confirmed.set_result(None)
    return True
