"""RedisLiveFrames: this process's subscription to the frames of all users."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from time import monotonic

import msgspec
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from adapters import metrics
from adapters.redis.announcer import CHANNELS, RESYNC, control_channel
from application.ports import Frame
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
        client: Redis,
        prefix: str,
        *,
        deliver: Callable[[Sequence[Frame]], None],
        lost: Callable[[], None],
    ) -> None:
        self._client = client
        self._control = control_channel(prefix)
        self._names = [f"{prefix}:live:{number}" for number in range(CHANNELS)]
        self._heartbeat = f"{prefix}:live:node:{secrets.token_hex(8)}"
        self._deliver = deliver
        self._lost = lost
        self.connected = False

    async def run(self) -> None:
        """Receive for as long as the process lives, reconnecting as often as it takes."""
        while True:
            try:
                await self._receive()
            except (RedisError, OSError, TimeoutError) as error:
                if self.connected:
                    metrics.CARRIER_LOST.inc()
                    logger.warning("lost the live subscription: %s", error)
                self.connected = False
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _receive(self) -> None:
        pubsub = self._client.pubsub(ignore_subscribe_messages=True)
        try:
            await pubsub.subscribe(*self._names, self._control, self._heartbeat)
            await self._listen(pubsub)
        finally:
            await pubsub.aclose()  # type: ignore[no-untyped-call]

    async def _listen(self, pubsub: PubSub) -> None:
        heard = monotonic()
        beat = 0.0
        while True:
            if monotonic() - beat > _HEARTBEAT_SECONDS:
                beat = monotonic()
                await self._client.publish(self._heartbeat, b"")
            message = await pubsub.get_message(timeout=_HEARTBEAT_SECONDS / 4)
            if message is not None:
                heard = monotonic()
                self._handle(message["channel"].decode(), message["data"])
            elif monotonic() - heard > _SILENCE_SECONDS:
                silence = "no heartbeat came back"
                raise TimeoutError(silence)

    def _handle(self, channel: str, data: bytes) -> None:
        if channel == self._heartbeat:
            if not self.connected:
                # Everything up to here may have been missed; from here on nothing is.
                self.connected = True
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
