"""Shared by commands: checked settings, and a container that is closed at the end."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from entrypoints.container.parts.base import build
from entrypoints.container.parts.postgres import WithPostgres
from entrypoints.settings import Settings

C = TypeVar("C", bound=WithPostgres)
T = TypeVar("T")


def on_postgres(kind: type[C], work: Callable[[C], Awaitable[T]]) -> T:
    """Run `work` with a container of this kind, then close its connections to PostgreSQL."""

    async def working() -> T:
        container = build(kind, Settings.for_serving())
        try:
            return await work(container)
        finally:
            await container.maintenance().close()

    return asyncio.run(working())
