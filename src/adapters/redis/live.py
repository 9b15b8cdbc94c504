"""RedisLiveFrames: what this process hears, of the users whose streams it serves."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

import msgspec
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import ResponseError

from adapters.once import Once
from adapters.redis import answers
from adapters.redis.announcer import RESYNC
from adapters.redis.macs import Macs
from adapters.redis.names import around_user, channel, control_channel
from adapters.redis.server import FAILURES, Connection, RedisServer
from adapters.redis.subscriptions import Subscriptions
from application.ports import Monotonic, NewToken
from application.streams import Frame
from common import metrics
from domain.identifiers import UserId

logger = logging.getLogger(__name__)

# A half-open connection raises no error on a subscriber, however long it waits. Only a missing heartbeat
# of the process's own reveals it (redis/redis-py#2417).
_HEARTBEAT_SECONDS = 2.0
_SILENCE_SECONDS = 6.0
_LOOK_SECONDS = 0.5
_RECONNECT_SECONDS = 0.25

# How many channels one command names: Redis does nothing else meanwhile.
_TOGETHER = 1_000

_MESSAGES = (b"message", b"smessage")
_CONFIRMATIONS = (b"subscribe", b"ssubscribe")

_ORDERS = 1_000
"""How many are remembered."""
_decode = msgspec.msgpack.Decoder(list[tuple[str, str, int, int, str, tuple[str, ...], float | None]]).decode


class Sharded(Protocol):
    """What is different for a node of a cluster."""

    @property
    def name(self) -> str:
        """The words that tell people which node it is."""
        ...

    def tag(self) -> str:
        """A hash tag of a slot that the node has. Raises redis-py's ConnectionError if it has none."""
        ...

    def failed(self) -> None:
        """The subscription was lost."""
        ...

    def moved(self, error: Exception) -> None:
        """The node answered MOVED."""
        ...

    def gone(self, user: UserId) -> None:
        """The node ended the subscription to a user's channel, or confirms that it was told to."""
        ...


class RedisLiveFrames:
    """Receives frames and passes them on; reports when some may have been lost."""

    def __init__(
        self,
        server: RedisServer,
        prefix: str,
        macs: Macs,
        subscriptions: Subscriptions,
        *,
        deliver: Callable[[Sequence[Frame]], None],
        lost: Callable[[UserId | None], None],
        now: Monotonic,
        new_token: NewToken,
        sharded: Sharded | None = None,
    ) -> None:
        """`lost` is called with the user whose frames may be lost, or None: any user's. `sharded` is given
        for a node of a cluster.
        """
        self._server = server
        self._macs = macs
        self._subscriptions = subscriptions
        self._obeyed: dict[bytes, None] = {}
        """The last orders, so that one that somebody repeats is ignored."""
        self._prefix = prefix
        self._control = control_channel(prefix)
        self._token = new_token(8)
        self._heartbeat = f"{prefix}:live:node:{self._token}"
        self._sharded = sharded
        self._shard = "S" if sharded else ""
        before, after = around_user(prefix, "live")
        self._user = slice(len(before), -len(after))
        """Where the name of a user's channel holds the user."""
        self._deliver = deliver
        self._lost = lost
        self._now = now
        self._heard = 0.0
        """When the last message arrived."""
        self._trouble = Once(logger, f"the live subscription{sharded.name if sharded else ''} is interrupted")
        self.connected = False

    async def run(self) -> None:
        """Receive until cancelled, reconnecting as often as needed."""
        while not _is_cancelled():
            left = self._server.left
            try:
                await self._receive(left)
            except FAILURES as error:
                if self.connected:
                    metrics.CARRIER_LOST.inc()
                self.connected = False
                self._trouble.failed(answers.reason(error))
                await self._server.judge(error, left)
                if self._sharded:
                    self._sharded.failed()
            except Exception:  # a surprise of the driver: frames may be lost all the same
                self.connected = False
                raise
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _receive(self, left: int) -> None:
        link, subscribed = self._server.subscriber(), asyncio.Event()
        self._heard = self._now()
        if self._sharded:
            self._heartbeat = f"{self._prefix}:live:node:{{{self._sharded.tag()}}}:{self._token}"
        try:
            await link.connect()
            await _until_one_fails(
                self._listen(link, subscribed), self._subscribe(link), self._watch(left, subscribed)
            )
        finally:
            self._subscriptions.end()
            await link.disconnect(nowait=True)

    def ended(self) -> None:
        """It does not run any more, because its node has left the cluster."""
        self._trouble.well()

    # --- asking ---

    async def _subscribe(self, link: Connection) -> None:
        changed = asyncio.Event()
        users = self._subscriptions.begin(changed.set)
        await link.send_command("SUBSCRIBE", self._control)
        await self._send(link, f"{self._shard}SUBSCRIBE", users)
        # Last, so that its confirmation is the last: a heartbeat that arrives shows that all of them stand.
        await link.send_command(f"{self._shard}SUBSCRIBE", self._heartbeat)
        while not _is_cancelled():
            await set_within(changed, _LOOK_SECONDS)
            changed.clear()
            await self._send(link, f"{self._shard}SUBSCRIBE", self._subscriptions.take_new())
            await self._send(link, f"{self._shard}UNSUBSCRIBE", self._subscriptions.take_expired())
            self._subscriptions.lose_patience()

    async def _send(self, link: Connection, command: str, users: Sequence[UserId]) -> None:
        together = 1 if self._sharded else _TOGETHER  # those of one command must share a slot
        for start in range(0, len(users), together):
            names = (channel(self._prefix, user) for user in users[start : start + together])
            await link.send_command(command, *names)

    async def _watch(self, left: int, subscribed: asyncio.Event) -> None:
        """Send heartbeats, and raise an error if they do not come back or the server was left."""
        await set_within(subscribed, _SILENCE_SECONDS)
        beat = 0.0
        while not _is_cancelled():
            if self._now() - beat > _HEARTBEAT_SECONDS:
                beat = self._now()
                await self._beat()
            if self._server.left != left:
                raise ConnectionLost("its server was left")
            if self._now() - self._heard > _SILENCE_SECONDS:
                silence = "no heartbeat came back"
                raise TimeoutError(silence)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _beat(self) -> None:
        """Send a heartbeat, which must return.

        Through replication it may return although the subscription and the published frames are on different
        servers, and frames could be lost unnoticed. So Redis must report that it delivered the message
        itself, which includes this subscription if it is the same server.

        A replica accepts PUBLISH. Only a write shows that the server is a primary: an error to it ends the
        subscription before it counts as connected.
        """
        client = self._server.client
        try:
            await client.delete(self._heartbeat)
        except ResponseError as error:
            if answers.has_moved(error) or not answers.refuses(error):
                raise
            await self._server.judge(error, self._server.left)
        heard = await client.execute_command(f"{self._shard}PUBLISH", self._heartbeat, b"")  # type: ignore[no-untyped-call]
        if not heard and self.connected:
            await self._server.leave()  # both: it is unknown which of the two is right

    # --- hearing ---

    async def _listen(self, link: Connection, subscribed: asyncio.Event) -> None:
        while not _is_cancelled():
            frames: list[Frame] = []
            for message in await link.messages():
                if isinstance(message, Exception):
                    self._refused(message)
                    continue
                kind, channel_name, data = message
                name = channel_name.decode()
                if kind in _MESSAGES:
                    frames += self._heard_on(name, data)
                elif name == self._heartbeat:
                    self._beating(kind, subscribed)
                elif kind in _CONFIRMATIONS and name != self._control:
                    self._confirmed(UserId(name[self._user]))
                elif kind == b"sunsubscribe" and self._sharded:
                    self._sharded.gone(UserId(name[self._user]))
            self._heard = self._now()
            if frames:
                self._deliver(frames)

    def _refused(self, error: Exception) -> None:
        """Raise the error, unless it only says that a user's channel is at another node of the cluster."""
        if self._sharded is None or not answers.has_moved(error):
            raise error
        self._sharded.moved(error)
        if not self.connected:  # it may be the heartbeat that it refuses
            raise error

    def _beating(self, kind: bytes, subscribed: asyncio.Event) -> None:
        if kind == b"sunsubscribe":
            raise ConnectionLost("the slot of the heartbeat has moved")
        subscribed.set()

    def _confirmed(self, user: UserId) -> None:
        if self._subscriptions.confirmed(user):
            self._lost(user)

    def _heard_on(self, name: str, data: bytes) -> Sequence[Frame]:
        """The frames of a message."""
        if name == self._heartbeat:
            if not self.connected:
                # Anything before this may have been missed; from here on nothing is.
                self.connected = True
                self._trouble.well()
                self._lost(None)
        elif name == self._control:
            self._obey(data)
        elif (packed := self._macs.opened(name, data)) is not None:
            return [Frame(UserId(row[0]), *row[1:]) for row in _decode(packed)]
        else:
            # Not followed by a comparison with the store: whoever writes to Redis could keep that busy.
            # Streams that miss a frame notice it as with every lost one.
            metrics.REDIS_REFUSED.labels("frames").inc()
        return ()

    def _obey(self, order: bytes) -> None:
        """Follow an order that was not seen before. Not one that is newer: clocks differ, and the order of a
        process whose clock is behind counts as well.
        """
        if self._macs.opened(RESYNC, order) is None:
            metrics.REDIS_REFUSED.labels("order").inc()
        elif order not in self._obeyed:
            self._obeyed[order] = None
            if len(self._obeyed) > _ORDERS:
                del self._obeyed[next(iter(self._obeyed))]
            self._lost(None)


async def _until_one_fails(*works: Coroutine[Any, Any, None]) -> None:
    """Run these together. When one ends, end the others and raise its error."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in ended:
        task.result()


async def set_within(event: asyncio.Event, seconds: float) -> None:
    """Wait for the event, but not longer."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


def _is_cancelled() -> bool:
    """Whether this task was cancelled. redis-py may have turned that into an error, or swallowed it."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
