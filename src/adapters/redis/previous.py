"""What the API processes of the previous release need while both releases run. The next release drops this.

They listen to 16 channels, each for the frames of many users, and their index has other keys.
"""

from collections.abc import Iterable
from zlib import crc32

from redis.asyncio import Redis

from adapters.redis.macs import Macs
from domain.identifiers import UserId

_CHANNELS = 16


class PreviousRelease:
    """Announces to API processes of the previous release."""

    def __init__(self, prefix: str, macs: Macs) -> None:
        self._prefix = prefix
        self._macs = macs

    @property
    def question(self) -> tuple[str, ...]:
        """The command that asks how many of them there are. The answer ends with the number."""
        return "PUBSUB", "NUMSUB", f"{self._prefix}:live:0"

    async def tell(self, client: Redis, rows: Iterable[tuple[UserId, tuple[object, ...]]]) -> None:
        """Drop these users' entries from their index, then publish the packed frames."""
        channels: dict[str, list[tuple[object, ...]]] = {}
        async with client.pipeline(transaction=False) as pipeline:
            for user, row in rows:
                keys = (f"{self._prefix}:{kind}:{user}" for kind in ("lease", "feed", "unread"))
                pipeline.execute_command("DEL", *keys)
                name = f"{self._prefix}:live:{crc32(user.encode()) % _CHANNELS}"
                channels.setdefault(name, []).append(row)
            for name, packed in channels.items():
                pipeline.execute_command("PUBLISH", name, self._macs.message(packed))
            await pipeline.execute()
