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
from adapters.redis.server import FAILURES, RedisServer
from application.ports import Monotonic, NewToken
from application.streams import Frame
from common import metrics
from domain.identifiers import UserId

logger = logging.getLogger(__name__)

# A half-open connection raises no error on a subscriber, however long it waits; only the process's own
# heartbeat that does not come back shows it (redis/redis-py#2417).
_HEARTBEAT_SECONDS = 2.0
_SILENCE_SECONDS = 6.0
_RECONNECT_SECONDS = 0.25

_decode = msgspec.msgpack.Decoder(list[tuple[str, str, int, int, str, tuple[str, ...], float | None]]).decode


class RedisLiveFrames:
    """Receives frames and hands them on; says so when some may have been lost."""

    def __init__(
        self,
        server: RedisServer,
        prefix: str,
        *,
        deliver: Callable[[Sequence[Frame]], None],
        lost: Callable[[], None],
        now: Monotonic,
        new_token: NewToken,
    ) -> None:
        self._server = server
        self._control = control_channel(prefix)
        self._names = [f"{prefix}:live:{number}" for number in range(CHANNELS)]
        self._heartbeat = f"{prefix}:live:node:{new_token(8)}"
        self._deliver = deliver
        self._lost = lost
        self._now = now
        self._trouble = Once(logger, "the live subscription does not stand")
        self.connected = False

    async def run(self) -> None:
        """Receive for as long as the process lives, reconnecting as often as it takes."""
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
                raise ConnectionLost("the server it stood on was left")
            message = await pubsub.get_message(timeout=_HEARTBEAT_SECONDS / 4)
            if message is not None:
                heard = self._now()
                self._handle(message["channel"].decode(), message["data"])
            elif self._now() - heard > _SILENCE_SECONDS:
                silence = "no heartbeat came back"
                raise TimeoutError(silence)

    async def _beat(self) -> None:
        """Send a heartbeat, which is to come back.

        By way of replication it may come back although the subscription is on another server than the one
        that frames are published on. Then frames can be lost unnoticed. Redis says to how many it passed a
        message on itself: if it is the same server, to this subscription.

        A replica lets one publish. Only a write shows that the server is one: its answer ends the
        subscription before it is said to stand.
        """
        client = self._server.client
        try:
            await client.delete(self._heartbeat)
        except ResponseError as error:
            if not answers.refuses(error):
                raise
            await self._server.judge(error, self._server.left)
        if not await client.publish(self._heartbeat, b"") and self.connected:
            await self._server.leave()  # both: nobody can tell which of the two is the right one

    def _handle(self, channel: str, data: bytes) -> None:
        if channel == self._heartbeat:
            if not self.connected:
                # Everything up to here may have been missed; from here on nothing is.
                self.connected = True
                self._trouble.well()
                self._lost()
        elif channel == self._control:
            if data == RESYNC:
                self._lost()
        else:
            try:
                rows = _decode(data)
            except msgspec.MsgspecError as error:  # of another version of the service: read it from the store
                logger.warning("not understood on the live channels: %s", error)
                self._lost()
            else:
                self._deliver([Frame(UserId(row[0]), *row[1:]) for row in rows])


def _is_cancelled() -> bool:
    """Whether this task was cancelled. redis-py may have taken that for an error, or for nothing."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
