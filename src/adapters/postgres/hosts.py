"""Hosts: connects to one of several servers, as in
`?host=a:5432&host=b:5432&target_session_attrs=read-write`.
"""

from collections.abc import Sequence
from typing import Any

import asyncpg

from adapters.postgres.states import reason

# After these asyncpg tries the next host by itself; but one that does not answer would use up the time of
# all. libpq gives each host its own:
# https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-MULTIPLE-HOSTS
_NEXT = (OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.TargetServerAttributeNotMatched)


class Hosts:
    """Connects to the first suitable host, beginning with the last one that was."""

    def __init__(self) -> None:
        self._last: tuple[str, int] | None = None

    async def connect(self, **options: Any) -> "asyncpg.Connection[Any]":
        """Connect as asyncpg.connect does. With several hosts, each gets a share of the time."""
        hosts = options.get("host")
        if not isinstance(hosts, list):
            return await asyncpg.connect(**options)
        several = list(zip(hosts, options.pop("port"), strict=True))
        several.sort(key=lambda address: address != self._last)
        options["timeout"] /= len(several)
        return await self._first(several, options)

    async def _first(
        self, several: Sequence[tuple[str, int]], options: dict[str, Any]
    ) -> "asyncpg.Connection[Any]":
        failed = []
        for host, port in several:
            try:
                connection = await asyncpg.connect(**{**options, "host": host, "port": port})
            except _NEXT as error:
                failed.append(f"{host}:{port}: {reason(error)}")
            else:
                self._last = host, port
                return connection
        raise ConnectionError("; ".join(failed))
