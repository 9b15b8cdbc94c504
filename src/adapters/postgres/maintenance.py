"""PostgresMaintenance: what the store needs done besides being used."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters import metrics
from adapters.postgres.engine import driver
from adapters.postgres.partitions import count_strays, ensure_partitions
from application.errors import Unavailable


class PostgresMaintenance:
    """Partitions made ahead, strays counted, and a ping. All raise Unavailable."""

    def __init__(self, engine: AsyncEngine, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._clock = clock

    async def prepare(self) -> None:
        """Make the partitions of this month and the next ones; count the strays also where that fails."""
        try:
            await ensure_partitions(self._engine, self._clock())
        except Unavailable:
            await self._count()
            raise
        await self._count()

    async def _count(self) -> None:
        metrics.STRAYS.set(await count_strays(self._engine))

    async def ping(self) -> None:
        """Raise Unavailable if the store does not answer."""
        async with driver(self._engine) as connection:
            await connection.execute("SELECT 1")

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()
