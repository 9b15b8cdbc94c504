"""RedisInspection: what Redis says of itself, and whether its index was written with our secret."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from adapters.redis import answers
from adapters.redis.macs import Macs
from adapters.redis.names import around_user
from adapters.redis.nodes import Node, Nodes
from application.inspection import CacheState, ahead
from application.ports import Clock

T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SCAN_STEPS = 10
_SCAN_KEYS = 200
_LOOKED_AT = 50


class RedisInspection:
    """Reads only."""

    def __init__(self, server: Nodes, prefix: str, macs: Macs, clock: Clock) -> None:
        self._server = server
        self._clock = clock
        self._prefix = prefix
        self._macs = macs

    async def look(self) -> CacheState:
        """The state of Redis; of all masters of a cluster together. Raises Unavailable."""
        await self._server.ping()
        masters = await self._server.masters()
        infos = [await _info(master) for master in masters]
        offset = await self._ahead(masters[0])
        verified = await self._verified(masters)
        return CacheState(
            ahead=offset,
            version=infos[0].get("redis_version"),
            used_bytes=_total(infos, "used_memory"),
            most_bytes=_total(infos, "maxmemory"),
            policy=infos[0].get("maxmemory_policy"),
            evicted=_total(infos, "evicted_keys"),
            entries=len(verified),
            foreign=verified.count(False),
        )

    async def _ahead(self, master: Node) -> timedelta | None:
        before = self._clock()
        found = await _allowed(master, master.client.time, None)
        if found is None:
            return None
        theirs = _EPOCH + timedelta(seconds=found[0], microseconds=found[1])
        return ahead(before, theirs, self._clock())

    async def _verified(self, masters: Sequence[Node]) -> list[bool]:
        """Of some entries of the index whether they verify with our secret."""
        first, last = around_user(self._prefix, "feed")
        found = list[str]()
        for master in masters:
            found += await _some_keys(master, f"{first}*{last}", _LOOKED_AT // len(masters) + 1)
        heads = [
            (
                key[len(first) : -len(last)],
                await self._server.on(key, lambda client, key=key: _head(client, key)),  # type: ignore[misc]
            )
            for key in found[:_LOOKED_AT]
        ]
        return [self._is_ours(user, head) for user, head in heads if None not in head]

    def _is_ours(self, user: str, head: list[Any]) -> bool:
        epoch, version, count, others, code = head
        return compare_digest(self._macs.head(user, epoch, version, count, others).encode(), code)


async def _info(master: Node) -> Mapping[str, Any]:
    return await _allowed(master, lambda: master.client.info("everything"), {})


async def _allowed(master: Node, ask: Callable[[], Awaitable[T]], otherwise: T) -> T:
    """The answer, or `otherwise` if the account may not ask, or the server has no such command."""

    async def asked() -> T:
        try:
            return await ask()
        except ResponseError as error:
            if not answers.refuses(error):
                raise
            return otherwise

    return await master.ask(asked)


async def _some_keys(master: Node, pattern: str, enough: int) -> list[str]:
    at, found = 0, list[str]()
    for _ in range(_SCAN_STEPS):
        at, keys = await master.ask(
            lambda at=at: master.client.scan(at, match=pattern, count=_SCAN_KEYS)  # type: ignore[misc]
        )
        found += [bytes(key).decode(errors="replace") for key in keys]  # type: ignore[arg-type] # it is never decoded
        if at == 0 or len(found) >= enough:
            break
    return found


async def _head(client: Redis, key: str) -> list[Any]:
    return await client.hmget(key, ["e", "v", "n", "k", "m"])


def _total(infos: Sequence[Mapping[str, Any]], name: str) -> int | None:
    values = [info[name] for info in infos if name in info]
    return sum(values) if values else None
