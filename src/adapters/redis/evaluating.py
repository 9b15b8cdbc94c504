"""Runs scripts by their digest. Not with SCRIPT LOAD: who offers Redis as a service often removes SCRIPT."""

from collections.abc import Sequence
from hashlib import sha1
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError


class Script:
    """A script that Redis is sent once: EVAL keeps it, as SCRIPT LOAD would."""

    def __init__(self, client: Redis, text: str) -> None:
        self._client = client
        self.by_digest = ("EVALSHA", sha1(text.encode(), usedforsecurity=False).hexdigest())
        """The command, without keys and arguments. It fails with NoScriptError if Redis does not have it."""
        self.whole = ("EVAL", text)
        """The same with the script."""

    async def __call__(self, *, keys: Sequence[str], args: Sequence[Any] = ()) -> Any:
        """The answer of the script. Raises what redis-py raises."""
        words = (len(keys), *keys, *args)
        try:
            return await self._client.execute_command(*self.by_digest, *words)  # type: ignore[no-untyped-call]
        except NoScriptError:  # it was restarted, or its scripts were flushed
            return await self._client.execute_command(*self.whole, *words)  # type: ignore[no-untyped-call]
