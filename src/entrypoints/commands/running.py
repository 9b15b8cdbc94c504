"""Shared by commands: checked settings, and a container that is closed at the end."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from application.errors import Unavailable
from entrypoints.commands.output import quiet
from entrypoints.container.parts.base import build
from entrypoints.container.parts.postgres import WithPostgres
from entrypoints.settings import Settings

C = TypeVar("C", bound=WithPostgres)
T = TypeVar("T")


def on_postgres(kind: type[C], work: Callable[[C], Awaitable[T]], *, as_owner: bool = False) -> T:
    """Run `work` with a container of this kind, then close its connections to PostgreSQL.

    `as_owner` is for work that needs the role that owns the tables. Raises Unavailable with the reason.
    """

    async def working() -> T:
        settings = Settings.for_serving()
        container = build(kind, settings.as_owner() if as_owner else settings)
        try:
            return await work(container)
        except Unavailable as error:
            raise container.explained()(error) from error
        finally:
            await container.maintenance().close()

    with quiet():
        return asyncio.run(working())
