"""PostgresMaintenance: maintenance of the store."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import check_writes
from adapters.postgres.partitions import count_strays, ensure_partitions
from adapters.postgres.states import READ_ONLY, reason, sqlstate
from application.errors import Unavailable
from common import metrics


class PostgresMaintenance:
    """Makes partitions ahead of time, counts strays, and pings. All methods raise Unavailable."""

    def __init__(self, engine: AsyncEngine, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._clock = clock

    async def prepare(self) -> None:
        """Make the partitions of this month and the next ones; count the strays even if that fails."""
        try:
            await ensure_partitions(self._engine, self._clock())
        except Unavailable:
            await self._count()
            raise
        await self._count()

    async def _count(self) -> None:
        metrics.STRAYS.set(await count_strays(self._engine))

    async def ping(self) -> None:
        """Raise Unavailable, with the reason, if the store does not answer or takes no writes."""
        try:
            await check_writes(self._engine)
        except Unavailable as error:
            cause = error.__cause__ or error
            what = "takes no writes" if sqlstate(cause) == READ_ONLY else "is out of reach"
            raise Unavailable(f"PostgreSQL {what}: {reason(cause)}") from error

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()
