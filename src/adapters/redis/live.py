"""RedisLiveFrames: this process's subscription to the frames of all users."""

import asyncio
import logging
from collections.abc import Callable, Sequence

import msgspec
from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import ResponseError

from adapters.once import Once
from adapters.redis import answers
from adapters.redis.announcer import CHANNELS, RESYNC, control_channel
from adapters.redis.macs import Macs
from adapters.redis.server import FAILURES, RedisServer
from application.ports import Monotonic, NewToken
from application.streams import Frame
from common import metrics
from domain.identifiers import UserId

logger = logging.getLogger(__name__)

# A half-open connection raises no error on a subscriber, however long it waits. Only a missing heartbeat of
# the process's own reveals it (redis/redis-py#2417).
_HEARTBEAT_SECONDS = 2.0
_SILENCE_SECONDS = 6.0
_RECONNECT_SECONDS = 0.25

_ORDERS = 1_000
"""How many are remembered."""
_decode = msgspec.msgpack.Decoder(list[tuple[str, str, int, int, str, tuple[str, ...], float | None]]).decode


class RedisLiveFrames:
    """Receives frames and passes them on; reports when some may have been lost."""

    def __init__(
        self,
        server: RedisServer,
        prefix: str,
        macs: Macs,
        *,
        deliver: Callable[[Sequence[Frame]], None],
        lost: Callable[[], None],
        now: Monotonic,
        new_token: NewToken,
    ) -> None:
        self._server = server
        self._macs = macs
        self._obeyed: dict[bytes, None] = {}
        """The last orders, so that one that somebody repeats is ignored."""
        self._control = control_channel(prefix)
        self._names = [f"{prefix}:live:{number}" for number in range(CHANNELS)]
        self._heartbeat = f"{prefix}:live:node:{new_token(8)}"
        self._deliver = deliver
        self._lost = lost
        self._now = now
        self._trouble = Once(logger, "the live subscription is interrupted")
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
            except Exception:  # a surprise of the driver: frames may be lost all the same
                self.connected = False
                raise
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _receive(self, left: int) -> None:
        pubsub = self._server.client.pubsub(ignore_subscribe_messages=True)
        try:
            await pubsub.subscribe(*self._names, self._control, self._heartbeat)
            await self._listen(pubsub, left)
        finally:
            await pubsub.aclose()  # type: ignore[no-untyped-call]

    async def _listen(self, pubsub: PubSub, left: int) -> None:
        heard = self._now()
        beat = 0.0
        while not _is_cancelled():
            if self._now() - beat > _HEARTBEAT_SECONDS:
                beat = self._now()
                await self._beat()
            if self._server.left != left:
                raise ConnectionLost("its server was left")
            message = await pubsub.get_message(timeout=_HEARTBEAT_SECONDS / 4)
            if message is not None:
                heard = self._now()
                self._handle(message["channel"].decode(), message["data"])
            elif self._now() - heard > _SILENCE_SECONDS:
                silence = "no heartbeat came back"
                raise TimeoutError(silence)

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
            if not answers.refuses(error):
                raise
            await self._server.judge(error, self._server.left)
        if not await client.publish(self._heartbeat, b"") and self.connected:
            await self._server.leave()  # both: it is unknown which of the two is right

    def _handle(self, channel: str, data: bytes) -> None:
        if channel == self._heartbeat:
            if not self.connected:
                # Anything before this may have been missed; from here on nothing is.
                self.connected = True
                self._trouble.well()
                self._lost()
        elif channel == self._control:
            self._obey(data)
        elif not self._macs.verifies(data):
            # Not followed by a comparison with the store: whoever writes to Redis could keep that busy.
            # Streams that miss a frame notice it as with every lost one.
            metrics.REDIS_REFUSED.labels("frames").inc()
        else:
            *rows, _ = _decode(data)
            self._deliver([Frame(UserId(row[0]), *row[1:]) for row in rows])

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
            self._lost()


def _is_cancelled() -> bool:
    """Whether this task was cancelled. redis-py may have turned that into an error, or swallowed it."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
