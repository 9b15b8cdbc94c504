"""Runs scripts by their digest. Not with SCRIPT LOAD: who offers Redis as a service often removes SCRIPT."""

from collections.abc import Sequence
from hashlib import sha1
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

Call = tuple[Sequence[str], Sequence[Any]]
"""The keys and the arguments of a script."""


class Script:
    """A script that Redis is sent once: EVAL keeps it, as SCRIPT LOAD would."""

    def __init__(self, text: str) -> None:
        self._by_digest = ("EVALSHA", sha1(text.encode(), usedforsecurity=False).hexdigest())
        self._whole = ("EVAL", text)

    async def __call__(self, client: Redis, *, keys: Sequence[str], args: Sequence[Any] = ()) -> Any:
        """The answer of the script. Raises what redis-py raises."""
        (answer,) = await self.each(client, [(keys, args)])
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def each(self, client: Redis, calls: Sequence[Call]) -> list[Any]:
        """The answer to each call, or its error, in one round trip. Raises what redis-py raises if the
        connection fails.
        """
        found = await _together(client, self._by_digest, calls)
        missing = [at for at, answer in enumerate(found) if isinstance(answer, NoScriptError)]
        if missing:  # it was restarted, or its scripts were flushed
            again = await _together(client, self._whole, [calls[at] for at in missing])
            for at, answer in zip(missing, again, strict=True):
                found[at] = answer
        return found


async def _together(client: Redis, command: tuple[str, str], calls: Sequence[Call]) -> list[Any]:
    pool: Any = client.connection_pool
    connection = await pool.get_connection()
    try:
        return list(await connection.exchange([(*command, len(keys), *keys, *args) for keys, args in calls]))
    finally:
        await pool.release(connection)
