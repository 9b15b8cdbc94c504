"""RedisInspection: what Redis says of itself, and whether its index was written with our secret."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from typing import Any, TypeVar

from redis.exceptions import ResponseError

from adapters.redis import answers
from adapters.redis.macs import Macs
from adapters.redis.names import around_user
from adapters.redis.server import RedisServer
from application.inspection import CacheState, ahead
from application.ports import Clock

T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SCAN_STEPS = 10
_SCAN_KEYS = 200
_LOOKED_AT = 50


class RedisInspection:
    """Reads only."""

    def __init__(self, server: RedisServer, prefix: str, macs: Macs, clock: Clock) -> None:
        self._server = server
        self._clock = clock
        self._prefix = prefix
        self._macs = macs

    async def look(self) -> CacheState:
        """The state of Redis. Raises Unavailable."""
        await self._server.ping()
        client = self._server.client
        info: Mapping[str, Any] = await self._allowed(lambda: client.info("everything"), {})
        offset = await self._ahead()
        verified = await self._verified()
        return CacheState(
            ahead=offset,
            version=info.get("redis_version"),
            used_bytes=info.get("used_memory"),
            most_bytes=info.get("maxmemory"),
            policy=info.get("maxmemory_policy"),
            evicted=info.get("evicted_keys"),
            entries=len(verified),
            foreign=verified.count(False),
        )

    async def _allowed(self, ask: Callable[[], Awaitable[T]], otherwise: T) -> T:
        """The answer, or `otherwise` if the account may not ask, or the server has no such command."""

        async def asked() -> T:
            try:
                return await ask()
            except ResponseError as error:
                if not answers.refuses(error):
                    raise
                return otherwise

        return await self._server.ask(asked)

    async def _ahead(self) -> timedelta | None:
        before = self._clock()
        found = await self._allowed(self._server.client.time, None)
        if found is None:
            return None
        theirs = _EPOCH + timedelta(seconds=found[0], microseconds=found[1])
        return ahead(before, theirs, self._clock())

    async def _verified(self) -> list[bool]:
        """Of some entries of the index whether they verify with our secret."""
        first, last = around_user(self._prefix, "feed")
        client, at, found = self._server.client, 0, list[str]()
        for _ in range(_SCAN_STEPS):
            at, keys = await self._server.ask(
                lambda at=at: client.scan(at, match=f"{first}*{last}", count=_SCAN_KEYS)  # type: ignore[misc]
            )
            found += [bytes(key).decode(errors="replace") for key in keys]  # type: ignore[arg-type] # it is never decoded
            if at == 0 or len(found) >= _LOOKED_AT:
                break
        heads = [
            (key[len(first) : -len(last)], await self._server.ask(lambda key=key: self._head(key)))  # type: ignore[misc]
            for key in found[:_LOOKED_AT]
        ]
        return [self._is_ours(user, head) for user, head in heads if None not in head]

    async def _head(self, key: str) -> list[Any]:
        return await self._server.client.hmget(key, ["e", "v", "n", "k", "m"])

    def _is_ours(self, user: str, head: list[Any]) -> bool:
        epoch, version, count, others, code = head
        return compare_digest(self._macs.head(user, epoch, version, count, others).encode(), code)
