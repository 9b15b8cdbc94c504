"""What commands have in common: settings that are checked, and a container that is closed in the end."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from entrypoints.container.parts.base import build
from entrypoints.container.parts.postgres import WithPostgres
from entrypoints.settings import Settings

C = TypeVar("C", bound=WithPostgres)
T = TypeVar("T")


def on_postgres(kind: type[C], work: Callable[[C], Awaitable[T]]) -> T:
    """Do something with a container of this kind, then close its connections to PostgreSQL."""

    async def working() -> T:
        container = build(kind, Settings.for_serving())
        try:
            return await work(container)
        finally:
            await container.maintenance().close()

    return asyncio.run(working())
